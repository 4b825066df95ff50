"""`mlx_cc table`."""

from pathlib import Path

import click

from mlx_cc.commands.dashboard import ANSWERS, CENTRE, INPUT, JSON, PROFILES, TIMEZONE


@click.command()
@INPUT
@click.option(
    "--output-dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="tables",
    show_default=True,
    metavar="DIR",
    help="Where conversations.* and agents.* go.",
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
def command(
    source: Path,
    folder: Path,
    profiles: Path | None,
    answers: Path | None,
    formats: tuple[str, ...],
    timezone: str | None,
    centre: Path | None,
    as_json: bool,
) -> None:
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

    from mlx_cc.answers import read_answers
    from mlx_cc.centre import read_centre
    from mlx_cc.errors import UserError
    from mlx_cc.files import count_conversations, read_conversations
    from mlx_cc.report.facts import facts_of, followed, profile_agents, read_agents
    from mlx_cc.report.tables import (
        Columns,
        agent_columns,
        agent_rows,
        conversation_rows,
        write_csv,
        write_parquet,
    )
    from mlx_cc.temporal import TemporalFeatureEnhancer
    from mlx_cc.terminal import progress

    settings = read_centre(centre)
    enhancer = TemporalFeatureEnhancer(settings, timezone=timezone)
    found = read_agents(profiles) if profiles else None
    said = read_answers(answers) if answers else {}
    total = count_conversations(source)

    def read(what: str):
        return progress(read_conversations(source), what, total)

    columns = Columns()
    came_back = followed(columns.learn(read("finding labels")))
    if not columns.conversations:
        raise UserError(f"{source}: has no conversation. Pass a file that `mlx_cc ingest` or `mlx_cc prepare` wrote.")
    found = found or profile_agents(read("profiling agents"), settings.skills)
    shape = columns.of_conversations(bool(said))
    writers = {"csv": write_csv, "parquet": write_parquet}
    written = {}
    for name in dict.fromkeys(formats):
        rows = conversation_rows(facts_of(read(f"writing {name}"), came_back, enhancer), said)
        path = folder / f"conversations.{name}"
        written[str(path)] = writers[name](path, shape, rows)
        path = folder / f"agents.{name}"
        written[str(path)] = writers[name](path, agent_columns(found), agent_rows(found))
    if as_json:
        click.echo(msgspec.json.encode({"files": written, "profiles": found.origin, "answers": len(said)}))
        return
    for path, count in written.items():
        click.echo(f"{path}: {count:,} rows")
    click.echo(f"  agent profiles: {found.origin}")
