"""`mlx_cc table`."""

from pathlib import Path
from typing import Any

import click

from mlx_cc.commands.options import ANSWERS, CENTRE, FOLDER, JSON, LABELLED, PROFILES, TIMEZONE


@click.command()
@LABELLED
@click.option(
    "--output-dir",
    "folder",
    type=FOLDER,
    default="tables",
    show_default=True,
    metavar="DIR",
    help="Folder for conversations.* and agents.*.",
)
@PROFILES
@ANSWERS
@click.option(
    "--format",
    "formats",
    type=click.Choice(["csv", "parquet"]),
    multiple=True,
    default=["csv"],
    show_default=True,
    help="Repeat it for both. Parquet needs `pip install 'mlx_cc[parquet]'`.",
)
@TIMEZONE
@CENTRE
@JSON
def command(source: Path, folder: Path, as_json: bool, **settings: Any) -> None:
    """Write tables for spreadsheets and data frames: a row a conversation and a row an agent.

    Conversations come with labels and who gave them, temporal features, and a model's answers where --answers is
    given; agents with each metric, its n and its 95% interval. Transcripts are left out. In CSV a text that a
    spreadsheet would compute (=, +, -, @, tab or line break in front) gets an apostrophe; numbers stay numbers.

    \b
    Examples:
      mlx_cc table --input data/conversations.jsonl --output-dir tables
      mlx_cc table --input c.jsonl --profiles data/agent_profiles --answers answers.jsonl
      mlx_cc table --input c.jsonl --format csv --format parquet
    """
    import msgspec

    from mlx_cc.report.run import table

    done = table(source, folder, **settings)
    if as_json:
        click.echo(msgspec.json.encode(done))
        return
    for path, count in done["files"].items():
        click.echo(f"{path}: {count:,} rows")
    click.echo(f"  agent profiles: {done['profiles']}")
