"""How well similar conversations are found, judged by labels, and how long a query takes.

    python -m benchmarks.similar_cases quality data/star --limit 3000 --queries 400
    python -m benchmarks.similar_cases quality data/star --queries 50 --rerank models/mistral-7b-contact-center
    python -m benchmarks.similar_cases latency --conversations 200000 --queries 20

The query is what the customer of a held-out conversation said first. Found conversations of the train split are
relevant when they have the same label. The label is never indexed as text.
"""

import math
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from msgspec import Struct

from mlx_cc.analyst import Analyst, load
from mlx_cc.bench.comparison import warn_if_busy
from mlx_cc.conversation import Conversation, replace
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations
from mlx_cc.folders import DataFolder
from mlx_cc.metrics import Estimate, interval
from mlx_cc.retrieve.embed import Embedder, embedder
from mlx_cc.retrieve.entries import MODES, problem
from mlx_cc.retrieve.filters import where
from mlx_cc.retrieve.index import Index, open_index
from mlx_cc.retrieve.indexing import index_conversations
from mlx_cc.retrieve.rerank import LOOKED_AT, reranked
from mlx_cc.retrieve.search import Finder
from mlx_cc.simulate import Parameters, World, simulate
from mlx_cc.terminal import status

DEPTH = 10
DIFFERENT = 500
"""Simulated conversations that are embedded; larger indexes repeat them and move each vector a little."""
FILTERS = {"none": None, "one": {"queue": "billing"}, "two": {"queue": "billing", "csat_score": {"$gte": 4}}}


class Quality(Struct):
    """Measures of one way of ranking."""

    recall_at_5: Estimate
    """Share of queries with a relevant conversation among the first five."""
    precision_at_5: Estimate
    """Share of relevant conversations among the first five."""
    mrr: Estimate
    """Mean of 1 / rank of the first relevant conversation among ten; 0 where there is none."""
    ndcg_at_10: Estimate


class RetrievalQuality(Struct):
    """All ways of ranking on the same queries."""

    data: str
    label: str
    classes: int
    indexed: int
    queries: int
    modes: dict[str, Quality]
    difference: dict[str, Estimate]
    """Mode -> hybrid's nDCG@10 minus its own, paired by query."""


class Latency(Struct):
    """How long a query takes, embedding included."""

    conversations: int
    entries: int
    mode: str
    filters: str
    allowed: float
    """Share of conversations that the filter allows."""
    p50_ms: float
    p95_ms: float
    queries: int


# Quality


def retrieval_quality(
    folder: Path,
    label: str,
    embedder: Embedder,
    limit: int,
    queries: int,
    analyst: Analyst | None = None,
    tell: Callable[[str], Any] = lambda _: None,
) -> RetrievalQuality:
    """Index the train split of a data folder and search for the conversations of its test split.

    Args:
        limit: at most this many conversations are indexed, the first ones by id.
        queries: at most this many queries, the first ones by id.
        analyst: a model that ranks the results of the hybrid again, as one more mode.

    Raises:
        UserError: a file is missing, or holds no such label.
    """
    train, held_out = (_labelled(DataFolder(folder).chatml(split), label) for split in ("train", "test"))
    train, held_out = train[:limit], held_out[:queries]
    sizes = Counter(str(c.label(label)) for c in train)
    truth = {c.id: str(c.label(label)) for c in train}
    with tempfile.TemporaryDirectory() as scratch, open_index(Path(scratch) / "index", "bench", embedder) as index:
        index_conversations(
            index, embedder, ((c, "train") for c in train), done=lambda n: tell(f"{n:,} conversations indexed")
        )
        finder = Finder(index, embedder, Path(scratch) / "words")
        found = {
            mode: [[name for name, _, _ in finder.ranked(problem(c), DEPTH, None, mode)] for c in held_out]
            for mode in MODES
        }
        if analyst:
            found["reranked"] = []
            for number, c in enumerate(held_out, 1):
                found["reranked"].append(_again(finder, analyst, problem(c)))
                tell(f"{number:,} of {len(held_out):,} reranked")
    gold = [str(c.label(label)) for c in held_out]
    hits = {
        mode: [[truth[name] == label for name in names] for names, label in zip(rows, gold, strict=True)]
        for mode, rows in found.items()
    }
    ndcg = {mode: [_ndcg(row, sizes[y]) for row, y in zip(rows, gold, strict=True)] for mode, rows in hits.items()}
    modes = {
        mode: Quality(
            _mean([float(any(row[:5])) for row in rows]),
            _mean([sum(row[:5]) / 5 for row in rows]),
            _mean([next((1 / rank for rank, hit in enumerate(row, 1) if hit), 0.0) for row in rows]),
            _mean(ndcg[mode]),
        )
        for mode, rows in hits.items()
    }
    difference = {
        mode: _mean([a - b for a, b in zip(ndcg["hybrid"], ndcg[mode], strict=True)])
        for mode in found
        if mode != "hybrid"
    }
    return RetrievalQuality(str(folder), label, len(sizes), len(train), len(held_out), modes, difference)


def _again(finder: Finder, analyst: Analyst, query: str) -> list[str]:
    ranked = reranked(analyst, query, finder.similar(query, LOOKED_AT))
    return [case.conversation_id for case in ranked[:DEPTH]]


def _labelled(path: Path, label: str) -> list[Conversation]:
    found = sorted((c for c in read_conversations(path) if label in c.labels), key=lambda c: c.id)
    if not found:
        raise UserError(f"{path}: no conversation has the label {label}. Choose another with --label.")
    return found


def _ndcg(hits: Sequence[bool], relevant: int) -> float:
    """Normalised discounted cumulative gain at ten, relevance 0 or 1 (Jaervelin and Kekaelaeinen, 2002)."""
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(relevant, DEPTH) + 1))
    return sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, 1) if hit) / best if best else 0.0


def _mean(values: Sequence[float]) -> Estimate:
    return interval(lambda _, drawn: statistics.fmean(drawn), values, values)


# Speed


def latencies(
    sizes: Sequence[int], embedder: Embedder, queries: int, tell: Callable[[str], Any] = lambda _: None
) -> list[Latency]:
    """Time queries in an index of simulated conversations that grows from the smallest size to the largest.

    Args:
        queries: number for each size, filter and mode.
    """
    different = list(simulate(World(Parameters(conversations=DIFFERENT, agents=50, seed=0))))
    asked = [problem(c) for c in simulate(World(Parameters(conversations=queries, agents=50, seed=1)))]
    known: dict[str, np.ndarray] = {}
    rng = np.random.default_rng(0)

    def encode(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, embedder.encode(new), strict=True))
        moved = np.stack([known[text] for text in texts]) + rng.normal(0, 0.01, (len(texts), embedder.dimension))
        return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)

    stand_in = Embedder(embedder.name, embedder.dimension, encode)
    found: list[Latency] = []
    with tempfile.TemporaryDirectory() as scratch, open_index(Path(scratch) / "index", "bench", stand_in) as index:
        have = 0
        for size in sorted(sizes):
            tell(f"indexing {size:,} conversations")
            copies = ((c, None) for c in _copies(different, have, size))
            index_conversations(index, stand_in, copies, done=lambda n: tell(f"{n:,} conversations indexed"))
            have = size
            found += _timed(index, embedder, asked, size, tell)
    return found


def _copies(different: Sequence[Conversation], start: int, end: int) -> Iterable[Conversation]:
    for number in range(start, end):
        yield replace(different[number % len(different)], id=f"copy-{number:07d}", previous_contact_id=None)


def _timed(
    index: Index, embedder: Embedder, asked: Sequence[str], size: int, tell: Callable[[str], Any]
) -> list[Latency]:
    finder = Finder(index, embedder)
    finder.words  # noqa: B018 (counted before any query is timed)
    found = []
    for name, filters in FILTERS.items():
        allowed = where(filters)
        share = len({row.rpartition("#")[0] for row in index.ids(allowed)}) / size
        for mode in MODES:
            tell(f"{size:,} conversations: {mode}, filters: {name}")
            finder.similar(asked[0], 5, allowed, mode)
            times = []
            for text in asked:
                start = time.perf_counter()
                finder.similar(text, 5, allowed, mode)
                times.append(1e3 * (time.perf_counter() - start))
            p50, p95 = np.quantile(times, [0.5, 0.95])
            found.append(Latency(size, index.count(), mode, name, share, float(p50), float(p95), len(times)))
    return found


@click.group()
def main() -> None:
    """Measure the search for similar conversations."""


@main.command()
@click.argument("data", type=click.Path(path_type=Path, file_okay=False))
@click.option("--label", default="issue", show_default=True, help="Conversations with the same value are relevant.")
@click.option("--embedder", "name", default="all-minilm-l6-v2", show_default=True)
@click.option("--limit", type=click.IntRange(min=10), default=4000, show_default=True, help="Conversations to index.")
@click.option("--queries", type=click.IntRange(min=2), default=500, show_default=True)
@click.option("--rerank", "model", help="Also measure this model's reranking; slow.")
def quality(data: Path, label: str, name: str, limit: int, queries: int, model: str | None) -> None:
    """Vectors, words and both fused, with 95% intervals (bootstrap over queries)."""
    with status("indexing") as tell:
        found = retrieval_quality(data, label, embedder(name), limit, queries, load(model) if model else None, tell)
    print(msgspec.json.encode(found).decode())


@main.command()
@click.option("--conversations", "sizes", type=click.IntRange(min=100), multiple=True, default=(5_000, 30_000))
@click.option("--embedder", "name", default="all-minilm-l6-v2", show_default=True)
@click.option("--queries", type=click.IntRange(min=2), default=100, show_default=True, help="Queries of each kind.")
def latency(sizes: tuple[int, ...], name: str, queries: int) -> None:
    """Milliseconds of queries, filtered and not, in indexes of simulated conversations."""
    warn_if_busy()
    with status("") as tell:
        found = latencies(sizes, embedder(name), queries, tell)
    for one in found:
        print(msgspec.json.encode(one).decode())


if __name__ == "__main__":
    main()
