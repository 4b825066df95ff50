"""`mlx_cc bench`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from msgspec import Struct

    from mlx_cc.bench.contest import Contest

MODEL = click.option("--model", default="smollm2-135m", show_default=True, help="Model to measure with.")
ROUNDS = click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Timed rounds.")
CONTENDER = click.option(
    "--contender", "names", multiple=True, help="Measure this one beside the first; repeatable. Else all."
)


def trunks_option(default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`--trunk`, with this length where none is named."""
    return click.option(
        "--trunk",
        "trunks",
        type=click.IntRange(min=8),
        multiple=True,
        default=(default,),
        show_default=True,
        help="Tokens of a conversation, about; repeatable.",
    )


JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON: an array with an object for each trunk.")
OUTPUT = click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write that JSON here too.")


@click.group(name="bench")
def command() -> None:
    """Measure speed on this machine."""


@command.command()
@click.option("--conversations", type=click.IntRange(min=10), default=200_000, show_default=True, help="How many.")
@click.option("--turns", type=click.IntRange(min=1), default=20, show_default=True, help="Turns in each.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def records(conversations: int, turns: int, as_json: bool) -> None:
    """Read, validate and write back conversation records.

    \b
    Examples:
      mlx_cc bench records
      mlx_cc bench records --conversations 20000 --json
    """
    import json

    from mlx_cc.bench.records import record_speed

    found = record_speed(conversations, turns)
    if as_json:
        click.echo(json.dumps(found._asdict()))
        return
    click.echo(
        f"{found.conversations:,} conversations of {found.turns} turns ({found.bytes_each:,.0f} bytes each): "
        f"{found.conversations_per_s:,.0f} conversations/s; peak memory {found.memory_first_tenth_mb:,.1f} MB after a "
        f"tenth, {found.memory_mb:,.1f} MB at the end"
    )


@command.command()
@click.option("--conversations", type=click.IntRange(min=10), default=20_000, show_default=True, help="How many.")
@click.option("--turns", type=click.IntRange(min=4), default=20, show_default=True, help="Turns in each, about.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
@click.option("--no-redact", is_flag=True, help="Leave personal data in, to see what redaction costs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ingest(conversations: int, turns: int, workers: int | None, no_redact: bool, as_json: bool) -> None:
    """Run `mlx_cc ingest` on simulated conversations: read, redact, check and write.

    \b
    Examples:
      mlx_cc bench ingest
      mlx_cc bench ingest --conversations 200000
      mlx_cc bench ingest --workers 1 --no-redact --json
    """
    import msgspec

    from mlx_cc.bench.ingest import ingest_speed
    from mlx_cc.cores import cores

    found = ingest_speed(conversations, turns, workers or cores(), not no_redact)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    click.echo(
        f"{found.conversations:,} conversations of {found.turns_each:.1f} turns ({found.bytes_each:,.0f} bytes each) "
        f"by {found.workers} processes in {found.seconds:,.1f} s: {found.conversations_per_s:,.0f} conversations/s; "
        f"peak memory of the largest process {found.memory_mb:,.0f} MB"
    )


@command.command()
@click.option("--conversations", type=click.IntRange(min=100), default=20_000, show_default=True, help="How many.")
@click.option("--turns", type=click.IntRange(min=4), default=20, show_default=True, help="Turns in each, about.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, an object for each command.")
def stages(conversations: int, turns: int, as_json: bool) -> None:
    """Run `mlx_cc prepare`, `temporal` and `fingerprint` on simulated records.

    \b
    Examples:
      mlx_cc bench stages
      mlx_cc bench stages --conversations 200000
    """
    import msgspec

    from mlx_cc.bench.ingest import stage_speed

    found = stage_speed(conversations, turns)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for one in found:
        click.echo(
            f"{one.stage}: {one.conversations:,} conversations in {one.seconds:,.1f} s, {one.conversations_per_s:,.0f} "
            f"conversations/s; peak memory of the largest process {one.memory_mb:,.0f} MB"
        )


@command.command()
@click.option("--agents", type=click.IntRange(min=2), default=200, show_default=True, help="How many.")
@click.option(
    "--per-agent", type=click.FloatRange(min=1), default=30, show_default=True, help="Conversations of each, about."
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Simulated centres.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, an object for each centre.")
def agents(agents: int, per_agent: float, seeds: int, as_json: bool) -> None:
    """Run `mlx_cc fingerprint` on simulated centres and compare with the skills and groups planted in them.

    In these centres better agents are given more of the hard queues, so raw means are unfair to them.

    \b
    Examples:
      mlx_cc bench agents
      mlx_cc bench agents --agents 1007 --per-agent 5.36 --seeds 1
    """
    import msgspec

    from mlx_cc.bench.agents import recovery

    found = [recovery(agents, per_agent, seed) for seed in range(seeds)]
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for one in found:
        raw, fair, better = (f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in (one.raw, one.adjusted, one.better))
        click.echo(
            f"seed {one.seed}: {one.conversations:,} conversations, {one.agents} agents compared, "
            f"in {one.seconds:.1f} s, {one.memory_mb:,.0f} MB\n"
            f"  Spearman with planted skill: raw quality {raw}, adjusted {fair}, better by {better}\n"
            f"  groups: adjusted Rand index {one.rand_index:.2f}, {one.named:.0%} bear the planted name; stability "
            f"{one.stability}, silhouette {one.silhouette}"
        )


@command.command()
@MODEL
@trunks_option(1000)
@click.option("--branches", type=click.IntRange(min=2), default=6, show_default=True, help="Questions asked of it.")
@click.option(
    "--branch-tokens", type=click.IntRange(min=2), default=60, show_default=True, help="Of each, with answer."
)
@click.option("--answer-tokens", type=click.IntRange(min=1), default=30, show_default=True, help="Of each answer.")
@CONTENDER
@ROUNDS
@JSON
@OUTPUT
def train(
    model: str,
    trunks: tuple[int, ...],
    branches: int,
    branch_tokens: int,
    answer_tokens: int,
    names: tuple[str, ...],
    runs: int,
    as_json: bool,
    output: Path | None,
) -> None:
    """Training side by side with unmodified mlx-lm: examples/s and peak memory of an update.

    Each contender trains LoRA r=16 on q, k, v and o of all layers in a process of its own, in turns with the
    others: the tree, mlx-lm with all rows in a batch and with one row at a time, rows with mlx-lm's defects
    mended, and the tree on MLX's own kernels. Long: minutes for the default trunk on a CPU.

    \b
    Examples:
      mlx_cc bench train --trunk 300 --runs 3
      mlx_cc bench train --trunk 300 --trunk 1000 --trunk 2000 --output train.json
      mlx_cc bench train --contender stock --contender stock-1x --json
    """
    from mlx_cc.bench.contest import chosen, warn_if_busy
    from mlx_cc.bench.train import CONTENDERS, Job, train_speed

    contenders = chosen(CONTENDERS, names)
    warn_if_busy()
    jobs = [Job(model, trunk, branches, branch_tokens, answer_tokens) for trunk in trunks]
    found = [train_speed(job, contenders, runs) for job in jobs]
    _keep(found, as_json, output)
    if as_json:
        return
    for one in found:
        _show(
            one.contest,
            f"Training {model}: trunk {one.job.trunk} tokens, {branches} branches of {branch_tokens}",
            "examples/s",
        )
        if one.bound_reached is not None:
            share = one.bound_reached
            click.echo(
                f"Over the faster mended rows: {share.ratio:.2f} [{share.low:.2f}, {share.high:.2f}] of the "
                f"{one.bound:.2f}x that computing the trunk once can save.\n"
            )


@command.command()
@MODEL
@trunks_option(1000)
@click.option("--coaching-tokens", type=click.IntRange(min=1), default=40, show_default=True, help="Decoded by each.")
@CONTENDER
@ROUNDS
@JSON
@OUTPUT
def analyze(
    model: str,
    trunks: tuple[int, ...],
    coaching_tokens: int,
    names: tuple[str, ...],
    runs: int,
    as_json: bool,
    output: Path | None,
) -> None:
    """Six answers about a conversation side by side with unmodified mlx-lm: conversations/s and peak memory.

    The contenders, each in a process of its own and in turns: the tree, six mlx_lm.generate calls,
    mlx_lm.batch_generate, both with the conversation cached once, and the tree on MLX's own kernels.

    \b
    Examples:
      mlx_cc bench analyze
      mlx_cc bench analyze --model adapters/mistral-7b-contact-center --trunk 2000 --runs 3
      mlx_cc bench analyze --contender generate --json
    """
    from mlx_cc.bench.analyze import CONTENDERS, Job, analysis_speed
    from mlx_cc.bench.contest import chosen, warn_if_busy

    contenders = chosen(CONTENDERS, names)
    warn_if_busy()
    found = [analysis_speed(Job(model, trunk, coaching_tokens), contenders, runs) for trunk in trunks]
    _keep(found, as_json, output)
    if as_json:
        return
    for one in found:
        _show(one.contest, f"Six answers of {model}: about {one.job.trunk} tokens", "conversations/s")


@command.command()
@MODEL
@trunks_option(600)
@click.option("--tokens", type=click.IntRange(min=1), default=200, show_default=True, help="Decoded of each text.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=16, show_default=True, help="Texts, all decoded at once."
)
@click.option(
    "--questions", type=click.IntRange(min=1), default=1, show_default=True, help="Texts about each conversation."
)
@CONTENDER
@ROUNDS
@JSON
@OUTPUT
def generate(
    model: str,
    trunks: tuple[int, ...],
    tokens: int,
    batch_size: int,
    questions: int,
    names: tuple[str, ...],
    runs: int,
    as_json: bool,
    output: Path | None,
) -> None:
    """Writing reasoning chains side by side with unmodified mlx-lm: decoded tokens/s and peak memory.

    Each text has exactly --tokens tokens; with --questions several share a conversation. The contenders, each in a
    process of its own and in turns: mlx_cc's writer, the same under the grammar of a chain, a loop of mlx_lm.generate
    (it does two of the texts, and its seconds are scaled to all of them), mlx_lm.batch_generate, and the writer on
    MLX's own kernels. Long: minutes for each round on a CPU.

    \b
    Examples:
      mlx_cc bench generate --runs 2
      mlx_cc bench generate --trunk 2000 --batch-size 32 --contender batch
      mlx_cc bench generate --questions 4 --contender batch
      mlx_cc bench generate --contender loop --json
    """
    from mlx_cc.bench.contest import chosen, warn_if_busy
    from mlx_cc.bench.generate import CONTENDERS, Job, writing_speed
    from mlx_cc.errors import UserError

    if batch_size % questions:
        raise UserError(f"--questions {questions}: must divide --batch-size {batch_size}.")
    contenders = chosen(CONTENDERS, names)
    warn_if_busy()
    found = [writing_speed(Job(model, trunk, tokens, batch_size, questions), contenders, runs) for trunk in trunks]
    _keep(found, as_json, output)
    if as_json:
        return
    for one in found:
        title = f"{batch_size} texts of {tokens} tokens by {model}: conversations of about {one.job.trunk} tokens"
        _show(one.contest, title, "tokens/s")


@command.command()
@click.option("--model", default="all-minilm-l6-v2", show_default=True, help="Sentence encoder to measure with.")
@click.option("--texts", type=click.IntRange(min=1), default=256, show_default=True, help="Embedded in a round.")
@click.option(
    "--words", "lengths", type=click.IntRange(min=1), multiple=True, default=(100,), help="Of a text; repeatable."
)
@CONTENDER
@ROUNDS
@JSON
@OUTPUT
def embed(
    model: str,
    texts: int,
    lengths: tuple[int, ...],
    names: tuple[str, ...],
    runs: int,
    as_json: bool,
    output: Path | None,
) -> None:
    """Texts to vectors: MiniLM in MLX beside itself on MLX's own kernels, sentence-transformers where it is installed,
    and Chroma's default embedder where its model is there.

    \b
    Examples:
      mlx_cc bench embed
      mlx_cc bench embed --words 20 --words 150 --contender sentence-transformers
    """
    from mlx_cc.bench.contest import chosen, warn_if_busy
    from mlx_cc.bench.embed import CONTENDERS, Job, embedding_speed, refuse_absent

    refuse_absent(names)
    contenders = chosen(CONTENDERS, names)
    warn_if_busy()
    found = [embedding_speed(Job(model, texts, words), contenders, runs) for words in lengths]
    _keep(found, as_json, output)
    if as_json:
        return
    for one in found:
        _show(one.contest, f"{texts} texts of about {one.job.words} words by {model}", "texts/s")


@command.command()
@click.argument("data", type=click.Path(path_type=Path, file_okay=False))
@click.option("--label", default="issue", show_default=True, help="Conversations that share its value are relevant.")
@click.option("--embedder", "wanted", default="all-minilm-l6-v2", show_default=True, help="As `mlx_cc rag` takes it.")
@click.option("--limit", type=click.IntRange(min=10), default=4000, show_default=True, help="Indexed, at most.")
@click.option("--queries", type=click.IntRange(min=2), default=500, show_default=True, help="Looked for, at most.")
@click.option("--rerank", "model", help="Measure this model's reranking too: slow.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def retrieve(data: Path, label: str, wanted: str, limit: int, queries: int, model: str | None, as_json: bool) -> None:
    """How well similar conversations are found: those of the test split among those of the train split.

    DATA is a folder that `prepare` wrote. A found conversation is relevant when it has the same label; the query is
    what the customer said first. Vectors, words and both fused, with 95% intervals (bootstrap over queries).

    \b
    Examples:
      mlx_cc bench retrieve data
      mlx_cc bench retrieve data/star --limit 3000 --queries 400 --json
      mlx_cc bench retrieve data/star --queries 50 --rerank models/mistral-7b-contact-center
    """
    import msgspec
    from rich.table import Table

    from mlx_cc.analyst import load
    from mlx_cc.bench.retrieve import retrieval_quality
    from mlx_cc.retrieve.embed import embedder
    from mlx_cc.terminal import console, status

    with status("indexing") as tell:
        found = retrieval_quality(
            data,
            label,
            embedder(wanted),
            limit,
            queries,
            load(model) if model else None,
            tell,
        )
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    table = Table(
        title=f"{found.queries:,} of {found.data} among {found.indexed:,}; {found.classes} values of {label}",
        caption="In brackets: 95% intervals.",
        box=None,
    )
    for name in ("ranking", "recall@5", "precision@5", "MRR@10", "nDCG@10", "hybrid minus it"):
        table.add_column(name)
    for mode, quality in found.modes.items():
        measured = [quality.recall_at_5, quality.precision_at_5, quality.mrr, quality.ndcg_at_10]
        if mode in found.difference:
            measured.append(found.difference[mode])
        table.add_row(mode, *(f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in measured))
    console().print(table)


@command.command()
@click.option(
    "--conversations",
    "sizes",
    type=click.IntRange(min=100),
    multiple=True,
    default=(5_000, 30_000),
    show_default=True,
    help="In the index; repeatable.",
)
@click.option("--embedder", "wanted", default="all-minilm-l6-v2", show_default=True, help="As `mlx_cc rag` takes it.")
@click.option("--queries", type=click.IntRange(min=2), default=100, show_default=True, help="Of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def search(sizes: tuple[int, ...], wanted: str, queries: int, as_json: bool) -> None:
    """How long it takes to find similar conversations, filtered and not, in indexes of simulated conversations.

    \b
    Examples:
      mlx_cc bench search
      mlx_cc bench search --conversations 200000 --queries 20 --json
    """
    import msgspec
    from rich.table import Table

    from mlx_cc.bench.contest import warn_if_busy
    from mlx_cc.bench.retrieve import latencies
    from mlx_cc.retrieve.embed import embedder
    from mlx_cc.terminal import console, status

    warn_if_busy()
    with status("") as tell:
        found = latencies(sizes, embedder(wanted), queries, tell)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    table = Table(caption=f"Milliseconds, the query's embedding included; {found[0].queries} queries each.", box=None)
    for name in ("conversations", "entries", "ranking", "filters", "allowed", "p50", "p95"):
        table.add_column(name, justify="left" if name in ("ranking", "filters") else "right")
    for one in found:
        cells = f"{one.conversations:,}", f"{one.entries:,}", one.mode, one.filters, f"{one.allowed:.0%}"
        table.add_row(*cells, f"{one.p50_ms:.1f}", f"{one.p95_ms:.1f}")
    console().print(table)


def _keep(found: "Sequence[Struct]", as_json: bool, output: Path | None) -> None:
    import msgspec

    from mlx_cc.files import write_json

    if output:
        write_json(output, found)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())


def _show(found: "Contest", title: str, unit: str) -> None:
    from mlx_cc.bench.contest import table
    from mlx_cc.terminal import console

    console().print(table(found, title, unit))
