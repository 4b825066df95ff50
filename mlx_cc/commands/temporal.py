"""`mlx_cc temporal`: add the 18 temporal features."""

from pathlib import Path

import click

from mlx_cc.folders import DataFolder


@click.command()
@click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE|FOLDER",
    help="Conversations or ChatML rows; of a folder, its {train,validation,test}_chatml.jsonl.",
)
@click.option(
    "--output",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE|FOLDER",
    help="Where the same kind of file goes; into a folder, as {train,validation,test}_temporal.jsonl.",
)
@click.option("--centre", "centre_file", type=click.Path(path_type=Path), help="The centre's settings (YAML).")
@click.option("--timezone", help="IANA zone of conversations that name none, for example America/Chicago.")
@click.option("--country", help="ISO 3166-1 country of the holiday calendar, for example US.")
@click.option("--subdivision", help="ISO 3166-2 subdivision, for example SCT.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    source: Path,
    target: Path,
    centre_file: Path | None,
    timezone: str | None,
    country: str | None,
    subdivision: str | None,
    as_json: bool,
) -> None:
    """Add local time, calendar, opening hours and queue wait to conversations.

    Local features need the site's time zone: the conversation's own, --timezone, or the centre's.
    Without one they stay empty rather than guessed.

    \b
    Examples:
      mlx_cc temporal --input data/train_chatml.jsonl --output data/train_temporal.jsonl
      mlx_cc temporal --input data --output data --timezone Europe/London --country GB --subdivision SCT
    """
    from collections import Counter
    from collections.abc import Iterator

    import msgspec
    from rich.table import Table

    from mlx_cc.centre import read_centre
    from mlx_cc.conversation import Conversation, Temporal
    from mlx_cc.files import count_conversations, is_chatml, lines, write_conversations
    from mlx_cc.redact import read_redacted
    from mlx_cc.temporal import TemporalFeatureEnhancer
    from mlx_cc.terminal import console, progress

    centre = read_centre(centre_file)
    enhancer = TemporalFeatureEnhancer(centre, timezone=timezone, country=country, subdivision=subdivision)
    count: Counter[Path] = Counter()
    present: Counter[str] = Counter()
    true: Counter[str] = Counter()

    def enhanced(path: Path) -> Iterator[Conversation]:
        read = progress(read_redacted(path, country or centre.country), path.name, count_conversations(path))
        for conversation in enhancer.transform(read):
            features = msgspec.structs.asdict(conversation.temporal) if conversation.temporal else {}
            present.update(name for name, value in features.items() if value is not None)
            true.update(name for name, value in features.items() if value is True)
            count[path] += 1
            yield conversation

    files = []
    for read, write in _files(source, target):
        first = next(lines(read), None)
        if first is not None and is_chatml(first[1]):
            from mlx_cc.export import write_chatml

            rows = write_chatml(write, enhanced(read), centre)
        else:
            rows = write_conversations(write, enhanced(read))
        files.append({"input": str(read), "output": str(write), "conversations": count[read], "rows": rows})

    total = count.total()
    names = Temporal.__struct_fields__
    summary = {
        "conversations": total,
        "files": files,
        "present": {name: present[name] / total if total else None for name in names},
        "true": {name: true[name] / present[name] if present[name] else None for name in names if name[:3] == "is_"},
    }
    if as_json:
        click.echo(msgspec.json.encode(summary))
        return
    table = Table("feature", "present", "true where present")
    for name in names:
        table.add_row(name, _percent(summary["present"][name]), _percent(summary["true"].get(name)))
    console().print(table)
    for file in files:
        click.echo(f"{file['output']}: {file['conversations']} conversations, {file['rows']} rows")
    if present["hour"] < total:
        click.echo(
            f"{total - present['hour']} of {total} conversations have no known local time. "
            "Pass --timezone if the site's zone is known.",
            err=True,
        )


def _files(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """The files to read, each with the one to write."""
    from mlx_cc.errors import UserError
    from mlx_cc.splits import SPLITS

    if not source.is_dir():
        if target.is_dir():
            raise UserError(f"--output {target} is a folder and --input a file. Name the file to write.")
        return [(source, target)]
    pairs = [(DataFolder(source).chatml(split), DataFolder(target).temporal(split)) for split in SPLITS]
    found = [(read, write) for read, write in pairs if read.exists()]
    if not found:
        wanted = ", ".join(read.name for read, _ in pairs)
        raise UserError(f"{source}: none of {wanted} is there. Run `mlx_cc prepare` first.")
    return found


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
