"""`mlx_cc analyze`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import ASKED, DEFAULT_ROLE, JSON, TIMEZONE

if TYPE_CHECKING:
    from mlx_cc.analyst import Analyst
    from mlx_cc.conversation import Conversation, Role
    from mlx_cc.ingest.format import Reading, Reject


@click.command(name="analyze")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@ASKED
@click.option("--reasoning", is_flag=True, help="Also write the chain that explains the answers (slow).")
@click.option("--no-coaching", is_flag=True, help="Leave out the coaching, which is decoded (faster).")
@TIMEZONE
@DEFAULT_ROLE
@JSON
@click.pass_context
def command(
    ctx: click.Context,
    file: Path,
    model: str | None,
    reasoning: bool,
    no_coaching: bool,
    timezone: str | None,
    default_role: "Role | None",
    as_json: bool,
) -> None:
    """Answer the six questions about every conversation of a file.

    FILE is a transcript (text or JSON), a file of conversation records, or - for standard input. A
    conversation that can't be read is named on stderr; the exit status is then 3. --json prints one object a line.

    \b
    Examples:
      mlx_cc analyze call.txt --model adapters/mistral-7b-contact-center
      mlx_cc analyze call.json --reasoning
      mlx_cc analyze conversations.jsonl --no-coaching --json > answers.jsonl
      pbpaste | mlx_cc analyze -
    """
    from itertools import chain

    from mlx_cc.ingest.format import Reading
    from mlx_cc.redact import Redactor
    from mlx_cc.terminal import progress

    rejects: list[Reject] = []
    conversations = read(file, Reading(default_role, timezone, redactor=Redactor()), rejects.append)
    first = next(conversations, None)
    if first is None:
        raise nothing_in(file, rejects)
    analyst = load_analyst(model)
    stream = chain([first], conversations)
    analyses = analyst.analyze_all(stream, include_reasoning=reasoning, coaching=not no_coaching)
    for analysis in progress(analyses, "analysing", how_many(file)):
        tell(analysis, as_json)
    for reject in rejects:
        click.echo(f"Not analysed: {reject}", err=True)
    if rejects:
        ctx.exit(3)


# What chat needs too


def read(file: Path, reading: "Reading", rejects: "Callable[[Reject], Any]") -> "Iterator[Conversation]":
    """The conversations of a file of any known format, ChatML rows included; of standard input for `-`.

    Raises:
        UserError: there is no such file, or a ChatML file is not as `prepare` wrote it.
    """
    import sys
    import tempfile

    from mlx_cc.files import is_chatml, lines, read_conversations
    from mlx_cc.ingest import finish, read_folder

    if str(file) == "-":
        with tempfile.TemporaryDirectory() as folder:
            spooled = Path(folder) / "stdin.txt"
            spooled.write_bytes(sys.stdin.buffer.read())
            yield from read_folder([spooled], reading, rejects=lambda reject: rejects(reject._replace(file="stdin")))
    elif file.suffix in (".jsonl", ".gz") and file.is_file() and is_chatml(next(lines(file), (0, b""))[1]):
        yield from (finish(conversation, reading) for conversation in read_conversations(file))
    else:
        yield from read_folder([file], reading, rejects=rejects)


def nothing_in(file: Path, rejects: "list[Reject]") -> Exception:
    """The fault of a file without a single conversation."""
    from mlx_cc.errors import UserError

    more = f" {len(rejects) - 1} more could not be read." if len(rejects) > 1 else ""
    return UserError(f"{rejects[0]}{more}" if rejects else f"{file}: has no conversation. Pass a transcript.")


def how_many(file: Path) -> int | None:
    """How many conversations a file of JSON lines holds, for the time remaining."""
    from mlx_cc.files import count_conversations

    return count_conversations(file) if ".jsonl" in file.suffixes else None


def load_analyst(model: str | None) -> "Analyst":
    """The named model; without a name, the only one that was tuned here.

    Raises:
        UserError: it is no model, or there is not exactly one to choose.
    """
    from mlx_cc.terminal import status

    with status("loading the model"):
        from mlx_cc.analyst import load
        from mlx_cc.folders import only_run

        chosen = model or str(only_run())
        analyst = load(chosen)
    if model is None:
        click.echo(f"Model: {chosen}", err=True)
    return analyst


def tell(analysis: dict[str, Any], as_json: bool) -> None:
    """Print an analysis: as a line of JSON, or as a table with what stands out and why."""
    import msgspec
    from rich.table import Table

    from mlx_cc.tasks import all_tasks
    from mlx_cc.terminal import console

    if as_json:
        click.echo(msgspec.json.encode(analysis).decode())
        return
    table = Table("task", "answer", "confidence", "80% of the probability", title=analysis["conversation_id"])
    for name, confidence in analysis["confidence"].items():
        interval = analysis["interval"].get(name)
        table.add_row(
            name,
            all_tasks()[name].show(analysis),
            f"{confidence:.0%}{', review' if name in analysis['review'] else ''}",
            f"{interval[0]:g}-{interval[1]:g}" if interval else "\n".join(analysis["likely"].get(name, ())),
        )
    console().print(table)
    for line in remarks(analysis):
        click.echo(line)


def remarks(analysis: dict[str, Any]) -> Iterator[str]:
    """Critical issues, coaching with the turn it is about, and the reasoning, line by line."""
    if analysis["critical_issues"]:
        yield f"Critical: {'; '.join(analysis['critical_issues'])}"
    for item in analysis["coaching"]:
        yield f"Coaching: {item['skill']}: {item['action']} -> {item['expected_outcome']}"
        yield f"  [T{item['turn']}] {' '.join(item['quote'].split())}"
    if chain := analysis.get("reasoning"):
        for part in ("thinking", "analysis", "insights"):
            yield f"\n{part.capitalize()}\n{chain[part]}"
        for turn, quote in chain["citations"].items():
            yield f"[{turn}] {' '.join(quote.split())}"
