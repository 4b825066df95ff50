"""`mlx_cc rag`: index conversations, find similar ones."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import FOLDER, JSON, PATH
from mlx_cc.retrieve.entries import COLLECTION, FIELDS, MODES, PARTS, SEARCHED

if TYPE_CHECKING:
    from mlx_cc.retrieve.rag import ContactCenterRAG
    from mlx_cc.retrieve.search import Case


def index_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that name an index."""
    options = [
        click.option(
            "--index",
            "folder",
            type=FOLDER,
            default=Path("data/index"),
            show_default=True,
            help="Folder of the index.",
        ),
        click.option("--collection", default=COLLECTION, show_default=True, help="Chroma collection in the index."),
        click.option("--chroma-host", metavar="HOST:PORT", help="Chroma server to use instead of the folder."),
        click.option(
            "--embedder",
            help="all-minilm-l6-v2, a folder, st:NAME or trunk:MODEL.  [default: the index's own; new: the first]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(name="rag")
def command() -> None:
    """Index conversations in Chroma and find similar ones.

    \b
    Examples:
      mlx_cc models pull all-minilm-l6-v2
      mlx_cc rag index data
      mlx_cc rag query "charged twice for one order" --filter resolution_status=resolved --filter "csat_score>=4.5"
    """


def opened(folder: Path, collection: str, chroma_host: str | None, embedder: str | None) -> "ContactCenterRAG":
    """The index that the options name."""
    from mlx_cc.retrieve.rag import ContactCenterRAG

    return ContactCenterRAG(None if chroma_host else folder, collection, chroma_host=chroma_host, embedder=embedder)


@command.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PATH)
@index_options
@click.option("--rebuild", is_flag=True, help="Make a new index from PATH, for example with another embedder.")
@click.option("--prune", is_flag=True, help="Remove conversations that are not in PATH.")
@click.option("--prune-most", is_flag=True, help="Allow --prune or --rebuild to remove more than half of the index.")
@JSON
def index(
    paths: tuple[Path, ...],
    folder: Path,
    collection: str,
    chroma_host: str | None,
    embedder: str | None,
    rebuild: bool,
    prune: bool,
    prune_most: bool,
    as_json: bool,
) -> None:
    """Put conversations into an index, with or without labels.

    PATH is a file of records or ChatML rows, or a data folder: its splits, then the rest of its conversations.jsonl.
    Only new and changed conversations are written. Run the same command again to continue after a stop.

    \b
    Examples:
      mlx_cc rag index data
      mlx_cc rag index conversations.jsonl --index data/index --prune
      mlx_cc rag index data/train_chatml.jsonl --chroma-host localhost:8000
      mlx_cc rag index data --embedder st:intfloat/multilingual-e5-small --rebuild
    """
    import msgspec

    from mlx_cc.terminal import bars

    with bars() as shown, opened(folder, collection, chroma_host, embedder) as rag:
        bar = shown.add_task("reading", total=None)

        def show(done: int, total: int) -> None:
            shown.update(bar, description="indexing", completed=done, total=total)

        report = rag.index_files(paths, rebuild=rebuild, prune=prune, prune_most=prune_most, done=show)
        where = rag.finder.index.where
    if as_json:
        click.echo(msgspec.json.encode(report._asdict()).decode())
        return
    click.echo(
        f"{where}: {report.conversations:,} conversations read, {report.added:,} new, {report.changed:,} changed, "
        f"{report.removed:,} removed; {report.embedded:,} texts embedded"
    )


@command.command()
@click.argument("text", required=False)
@click.option("--file", type=PATH, help="Transcript to search with, instead of TEXT.")
@index_options
@click.option(
    "-n", "--results", type=click.IntRange(min=1), default=5, show_default=True, help="Conversations to find."
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    help="FIELD=VALUE, FIELD>=VALUE and so on, or a JSON object. Repeatable; all must hold.",
)
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default=MODES[0],
    show_default=True,
    help="Ranking: both, vectors or words.",
)
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Search only these entries. Repeatable.  [default: conversation and problem]",
)
@click.option("--rerank", "model", help="Language model that ranks the best 20 again (slow).")
@JSON
def query(
    text: str | None,
    file: Path | None,
    folder: Path,
    collection: str,
    chroma_host: str | None,
    embedder: str | None,
    results: int,
    filters: tuple[str, ...],
    mode: Any,
    parts: Any,
    model: str | None,
    as_json: bool,
) -> None:
    """Find similar conversations and count their outcomes.

    \b
    Examples:
      mlx_cc rag query "customer frustrated about a billing error" --filter "quality_score>=80"
      mlx_cc rag query --file call.txt --filter resolution_status=resolved --filter "csat_score>=4.5" -n 10
      mlx_cc rag query "charged twice" --rerank models/mistral-7b-contact-center
      mlx_cc rag query "refund" --filter '{"$or": [{"queue": "billing"}, {"issue": "refund_request"}]}' --json
    """
    import msgspec

    from mlx_cc.errors import UserError
    from mlx_cc.retrieve.filters import read
    from mlx_cc.retrieve.practices import extract_best_practices
    from mlx_cc.terminal import status

    if (text is None) == (file is None):
        raise UserError("nothing to search for, or two things. Give either TEXT or --file.")
    where, transcript = read(filters), _read(file) if file else text or ""
    with opened(folder, collection, chroma_host, embedder) as rag:
        if model and rag.finder:  # opens the index: a wrong one is refused before the model is loaded
            from mlx_cc.analyst import load

            rag.analyst = load(model)
        with status("reranking" if model else "searching"):
            cases = rag.retrieve_similar(
                transcript, results, where, mode=mode, parts=parts or SEARCHED, rerank=bool(model)
            )
    practices = extract_best_practices(cases)
    if as_json:
        click.echo(msgspec.json.encode({"cases": cases, "best_practices": practices}).decode())
        return
    for case in cases:
        click.echo(_in_words(case, bool(model)))
    _print_practices(practices)


@command.command()
@index_options
@JSON
def stats(folder: Path, collection: str, chroma_host: str | None, embedder: str | None, as_json: bool) -> None:
    """Show the size of an index and the fields it can be filtered by.

    \b
    Examples:
      mlx_cc rag stats
      mlx_cc rag stats --index data/index --json
    """
    import msgspec

    from mlx_cc.retrieve.check import stats as stats_of
    from mlx_cc.retrieve.index import open_index

    with open_index(chroma_host or folder, collection) as index:
        figures = stats_of(index)
        where = index.where
    if as_json:
        click.echo(msgspec.json.encode(figures).decode())
        return
    click.echo(f"{where}: {figures['conversations']:,} conversations, {figures['entries']:,} entries")
    click.echo(f"embedder {figures['embedder']}, vectors of {figures['dimension']} numbers")
    if figures["half_made"]:
        click.echo(f"a rebuild was stopped after {figures['half_made']:,} entries: --rebuild continues it")
    for name, field in figures["fields"].items():
        if values := field.get("values"):
            summary = ", ".join(f"{value} {count:,}" for value, count in values.items())
        elif "lowest" in field:
            summary = " to ".join(_number(name, field[end]) for end in ("lowest", "highest"))
        else:
            summary = f"{field['different']:,} different"
        click.echo(f"  {name}: {field['n']:,}; {summary}")


@command.command()
@index_options
@JSON
@click.pass_context
def check(
    ctx: click.Context, folder: Path, collection: str, chroma_host: str | None, embedder: str | None, as_json: bool
) -> None:
    """Read a whole index and check it. The exit status is 3 when it has a fault.

    \b
    Examples:
      mlx_cc rag check
      mlx_cc rag check --chroma-host localhost:8000
    """
    import msgspec

    from mlx_cc.retrieve.check import check_in_child

    checked = check_in_child(chroma_host or folder, collection)
    if as_json:
        click.echo(msgspec.json.encode(checked).decode())
    else:
        click.echo(f"{checked.where}: {checked.entries:,} entries, {'not whole' if checked.faults else 'whole'}")
        for fault in checked.faults:
            click.echo(f"  {fault}")
    if checked.faults:
        ctx.exit(3)


def _read(file: Path) -> str:
    from mlx_cc.errors import UserError

    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as fault:
        raise UserError(f"{file}: {(fault.strerror or str(fault)).lower()}. Check the path.") from fault


def _number(field: str, value: float) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d}" if FIELDS[field].kind == "time" else f"{value:g}"


def _in_words(case: "Case", reranked: bool) -> str:
    shown = ("issue", "resolution_status", "csat_score", "quality_score", "queue")
    fields = [f"{name} {case.metadata[name]}" for name in shown if name in case.metadata]
    score = case.score if reranked else case.similarity
    score = f"{score:.2f}" if score is not None else "words"
    problem = case.problem.replace("\n", " / ")
    return f"{score}  {case.conversation_id}  {', '.join(fields)}\n      {problem[:200]}"


def _print_practices(practices: dict[str, Any]) -> None:
    from mlx_cc.retrieve.practices import Share

    if not practices["n"]:
        click.echo("No conversation was found.")
    for name, share in practices["outcomes"].items():
        if isinstance(share, dict):
            click.echo(f"{name}: {Share(**share)}; labels: {', '.join(practices['label_sources'])}")
    if chosen_by := {"resolution_status", "csat_score", "quality_score"} & {*practices["filtered_on"]}:
        click.echo(f"Not counted, because --filter chose by it: {', '.join(sorted(chosen_by))}.")
