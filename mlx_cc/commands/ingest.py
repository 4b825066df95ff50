"""`mlx_cc ingest`: exports in, one conversations file out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlx_cc.conversation import Role


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="conversations.jsonl",
    show_default=True,
    help="The file to write; rejects.jsonl goes beside it.",
)
@click.option("--format", default="auto", show_default=True, help="Format of the files; auto decides by content.")
@click.option(
    "--map", "map_file", type=click.Path(path_type=Path), help="Column map (YAML) for JSON objects of another shape."
)
@click.option(
    "--default-role",
    type=click.Choice(["agent", "customer", "bot", "system", "unknown"]),
    help="Role of speakers with an unknown label.",
)
@click.option("--timezone", help="IANA zone of conversations that name none, for example America/Chicago.")
@click.option("--country", help="ISO 3166-1 country of conversations that name none, for example US.")
@click.option("--analyses", type=click.Path(path_type=Path), help="Folder or file of analyses, taken in as labels.")
@click.option(
    "--label-source",
    type=click.Choice(["human_qa", "survey", "platform", "teacher", "simulated"]),
    default="teacher",
    show_default=True,
    help="Source of analyses that name none.",
)
@click.option(
    "--centre",
    "centre_file",
    type=click.Path(path_type=Path),
    help="The centre's settings (YAML), to check issue and journey labels against.",
)
@click.option("--strict", is_flag=True, help="Stop at the first file or record that can't be read.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    out: Path,
    format: str,
    map_file: Path | None,
    default_role: str | None,
    timezone: str | None,
    country: str | None,
    analyses: Path | None,
    label_source: str,
    centre_file: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Read transcripts of any known format into one conversations file.

    What can't be read is set aside in rejects.jsonl with the reason; the exit status is then 3.

    \b
    Examples:
      mlx_cc ingest transcripts/ --analyses analyses/ --out conversations.jsonl
      mlx_cc ingest export.jsonl.gz --map configs/maps/star.yaml
      mlx_cc ingest calls/ --timezone America/Chicago --country US --default-role agent
    """
    import json
    from collections import Counter
    from functools import partial
    from typing import cast

    from mlx_cc.centre import read_centre
    from mlx_cc.files import write_conversations
    from mlx_cc.ingest.analyses import read_labelled, with_valid_labels
    from mlx_cc.ingest.format import Reading
    from mlx_cc.ingest.jsonl_map import read_map
    from mlx_cc.ingest.rejects import rejects_file
    from mlx_cc.ingest.source import input_files

    centre = read_centre(centre_file)
    # Class names are the centre's own: without its settings `prepare` checks them.
    unchecked = () if centre_file else ("issue", "journey")
    dropped: Counter[str] = Counter()
    labelled: Counter[str] = Counter()
    columns = read_map(map_file) if map_file else None
    rejected = out.with_name("rejects.jsonl")

    def counted(stream):
        for conversation in stream:
            conversation = with_valid_labels(conversation, centre, dropped, unchecked)
            labelled.update(conversation.labels.keys())
            yield conversation

    files = input_files(paths, [out, rejected, *([analyses] if analyses else [])])
    sizes = sum(path.stat().st_size for path in files)
    with rejects_file(rejected) as rejects, bars() as shown:
        bar = shown.add_task("reading", total=sizes)
        advance = partial(shown.advance, bar)
        reading = Reading(cast("Role | None", default_role), timezone, country, columns, advance=advance)
        stream = read_labelled(files, reading, rejects, format, analyses, label_source, strict)
        count = write_conversations(out, counted(stream))

    summary = {
        "conversations": count,
        "out": str(out),
        "rejected": rejects.count,
        "rejects_file": str(rejected) if rejects.count else None,
        "reject_reasons": dict(rejects.reasons.most_common()),
        "labels": dict(labelled),
        "labels_dropped": dict(dropped.most_common()),
        "keys_not_used": dict(reading.ignored.most_common()),
    }
    if as_json:
        click.echo(json.dumps(summary))
    else:
        click.echo(f"{out}: {count} conversations")
        if labelled:
            click.echo("  labels: " + ", ".join(f"{name} {n}" for name, n in labelled.items()))
        tell_what_was_left(rejects, rejected, dropped, reading.ignored)
    if rejects.count:
        ctx.exit(3)


def tell_what_was_left(rejects, rejected, dropped, ignored) -> None:
    """Say what was set aside and why, most frequent first."""
    if rejects.count:
        click.echo(f"  {rejects.count} rejected, in {rejected}; the first: {rejects.first}")
        for reason, n in rejects.reasons.most_common(5 if rejects.count > 1 else 0):
            click.echo(f"    {n} x {reason}")
    for reason, n in dropped.most_common(5):
        click.echo(f"  {n} x label dropped: {reason}")
    if len(dropped) > 5:
        click.echo(f"  {sum(dropped.values())} labels dropped in all")
    if ignored:
        click.echo("  keys not used: " + ", ".join(f"{key} ({n})" for key, n in ignored.most_common(8)))


def bars():
    """Progress bars with time remaining on stderr, gone at the end; none when stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)
