"""Similar conversations: nearest vectors and shared words, each ranked, the ranks fused.

Filters come first: both rankings see only what they allow. A conversation ranks as high as its best entry.
Ranks are fused by reciprocal rank: the sum of 1 / (60 + rank) over the rankings (Cormack, Clarke and Buettcher, 2009).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.retrieve.bm25 import Words
from mlx_cc.retrieve.embed import Embedder
from mlx_cc.retrieve.entries import (
    MODES,
    PARTS,
    SEARCHED,
    Metadata,
    Mode,
    Part,
    conversation_of,
    entry_id,
    part_of,
    problem,
)
from mlx_cc.retrieve.filters import Where, every, fields_of
from mlx_cc.retrieve.index import Index, Nearest

K = 60
"""The constant of reciprocal rank fusion, as in that paper."""
DEPTH = 50
"""Least number of entries of each ranking that are fused."""
FILTERS_KEPT = 8
"""Most filters whose allowed entries are remembered."""
LONGEST_QUERY = 20_000
"""Characters of a query that are read."""


@dataclass(frozen=True)
class Case:
    """A conversation that was found."""

    conversation_id: str
    score: float
    """Fused rank score, of which only the order has a meaning; after reranking, the model's probability of yes."""
    similarity: float | None
    """Cosine similarity of its nearest entry; None when only its words matched."""
    problem: str
    resolution: str
    text: str
    """The whole conversation, one line per turn."""
    metadata: Metadata
    """What it can be filtered by; a field it lacks is left out."""
    filtered_on: tuple[str, ...] = ()
    """Fields that the search was filtered on: of these the cases found say nothing new."""


class Finder:
    """An index, its embedder and its words."""

    def __init__(self, index: Index, embedder: Embedder, cache: Path | None = None):
        """Check that they fit.

        Args:
            index: open.
            embedder: the one that made the index.
            cache: folder for the word index; None counts the words again in each process.
        """
        index.check_embedder(embedder)
        self.index, self.embedder, self._cache = index, embedder, cache
        self._words: tuple[str, Words] | None = None
        self._asked: dict[str, list[str]] = {}

    def ranked(
        self,
        query: str,
        most: int,
        where: Where | None = None,
        mode: Mode = "hybrid",
        parts: Sequence[Part] = SEARCHED,
        but: Where | None = None,
    ) -> list[tuple[str, float, float | None]]:
        """(conversation id, score, cosine similarity) of the `most` best conversations, best first.

        Args:
            but: conversations to leave out. They are few: this is quicker than a filter that allows all others.
        """
        if mode not in MODES:
            raise UserError(f"no mode '{mode}'. Known: {', '.join(MODES)}.")
        depth = max(DEPTH, 4 * most) * len(parts)
        allowed = None if where is None else self._allowed(where, parts)
        gone = frozenset(self.index.ids(but)) if but else frozenset()
        rankings: list[list[str]] = []
        similarity: dict[str, float] = {}
        if mode != "words":
            found = self._nearest(query, depth, allowed, gone, parts)
            for name, cosine in zip(found.ids, found.similarities, strict=True):
                similarity.setdefault(conversation_of(name), cosine)
            rankings.append(list(similarity))
        if mode != "dense":
            best = self.words.best(query, depth, parts, allowed, gone)
            rankings.append(list(dict.fromkeys(map(conversation_of, best))))
        scores = fused(rankings)
        order = sorted(scores, key=lambda name: (-scores[name], -similarity.get(name, -1.0), name))
        return [(name, scores[name], similarity.get(name)) for name in order[:most]]

    def similar(
        self,
        query: str,
        most: int,
        where: Where | None = None,
        mode: Mode = "hybrid",
        parts: Sequence[Part] = SEARCHED,
        but: Where | None = None,
    ) -> list[Case]:
        """The `most` best conversations with their texts, best first; fewer where there are fewer. As `ranked`."""
        found = self.ranked(query, most, where, mode, parts, but)
        rows = self.index.rows([entry_id(name, part) for name, _, _ in found for part in PARTS])
        fields = tuple(sorted(fields_of(where)))
        return [case(name, score, cosine, rows, fields) for name, score, cosine in found]

    def _allowed(self, where: Where, parts: Sequence[Part]) -> list[str]:
        """Entries of `parts` that a filter allows; remembered where no other process can change the index."""
        key = f"{self.index.state} {sorted(parts)} {where}"
        if key not in self._asked:
            found = self.index.ids(_of(parts, where))
            if self._cache is None:
                return found
            if len(self._asked) == FILTERS_KEPT:
                del self._asked[next(iter(self._asked))]
            self._asked[key] = found
        return self._asked[key]

    def _nearest(
        self, query: str, depth: int, allowed: Sequence[str] | None, gone: Collection[str], parts: Sequence[Part]
    ) -> Nearest:
        """Entries of `parts`, nearest first. Without filters, asking for all parts and choosing here is quicker."""
        vector = self.embedder.encode([query])[0]
        most = depth * (len(PARTS) if allowed is None else 1) + len(gone)
        found = self.index.nearest(vector, most, allowed)
        kept = [place for place, name in enumerate(found.ids) if part_of(name) in parts and name not in gone][:depth]
        return Nearest([found.ids[place] for place in kept], [found.similarities[place] for place in kept])

    @property
    def words(self) -> Words:
        """The word index, made again when the index has changed."""
        state = self.index.state
        if self._words is None or self._words[0] != state:
            kept = Words.load(self._cache, state) if self._cache else None
            if kept is None:
                parts = self.index.all_rows("documents")
                kept = Words.of(pair for rows in parts for pair in zip(rows["ids"], rows["documents"], strict=True))
                if self._cache:
                    kept.save(self._cache, state)
            self._words = state, kept
        return self._words[1]


def _of(parts: Sequence[Part], where: Where | None) -> Where | None:
    return where if len(parts) == len(PARTS) else every([where, {"part": {"$in": list(parts)}}])


def fused(rankings: Iterable[Sequence[str]], k: int = K) -> dict[str, float]:
    """Reciprocal rank fusion: id -> sum of 1 / (k + rank), ranks counted from 1."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, 1):
            scores[name] = scores.get(name, 0.0) + 1 / (k + rank)
    return scores


def case(
    name: str,
    score: float,
    cosine: float | None,
    rows: Mapping[str, tuple[str, Metadata]],
    filtered_on: tuple[str, ...],
) -> Case:
    """A case from its rows."""
    texts = {part: rows.get(entry_id(name, part), ("", {})) for part in PARTS}
    about = next((known for _, known in texts.values() if known), {})
    kept = {key: value for key, value in about.items() if key not in ("part", "hash", "text_hash")}
    problem, resolution, text = (texts[part][0] for part in ("problem", "resolution", "conversation"))
    return Case(name, score, cosine, problem, resolution, text, kept, filtered_on)


def query_of(asked: str | Conversation) -> str:
    """The text to search for: a sentence as it is; for a conversation or a transcript, what the customer said first.

    Raises:
        UserError: it is empty.
    """
    if isinstance(asked, Conversation):
        return problem(asked)[:LONGEST_QUERY]
    text = asked.strip()
    if not text:
        raise UserError("the query is empty. Say what to look for.")
    said = transcript(text) if "\n" in text else None
    return (problem(said) if said else text)[:LONGEST_QUERY]


def transcript(text: str) -> Conversation | None:
    """A text whose lines name the speaker, as a conversation; None when they don't."""
    from mlx_cc.ingest.text import parse

    try:
        found = parse(text, "query")
    except UserError:
        return None
    return found if {"customer", "agent"} <= {turn.role for turn in found.turns} else None


def its_own(conversation: Conversation, thread: str) -> Where:
    """A conversation itself, its customer's contacts, and its chain, whose first contact is `thread`."""
    chain = sorted({thread, conversation.id, conversation.previous_contact_id or conversation.id})
    clauses: list[Where] = [{"conversation_id": {"$in": chain}}, {"thread": {"$in": chain}}]
    if conversation.customer_id:
        clauses.append({"customer_id": {"$eq": conversation.customer_id}})
    return {"$or": clauses}
