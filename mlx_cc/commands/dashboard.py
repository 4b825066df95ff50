"""`mlx_cc dashboard`."""

from pathlib import Path

import click

# Options that `table` has too

INPUT = click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Conversations (or ChatML rows), with labels where there are any.",
)
PROFILES = click.option(
    "--profiles",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder that `mlx_cc fingerprint` wrote; without it the agents of FILE are profiled here.",
)
ANSWERS = click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A model's answers: the lines that `mlx_cc analyze --json` prints. Keys may be missing.",
)
TIMEZONE = click.option("--timezone", help="IANA zone of conversations that name none, for example America/Chicago.")
CENTRE = click.option(
    "--centre", type=click.Path(path_type=Path, dir_okay=False), help="Settings of the centre (YAML)."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")


@click.command()
@INPUT
@click.option(
    "--output",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    default="dashboard.html",
    show_default=True,
    help="The page to write.",
)
@PROFILES
@ANSWERS
@click.option("--title", default="Contact centre quality", show_default=True, help="Heading of the page.")
@TIMEZONE
@CENTRE
@click.option(
    "--texts",
    type=click.IntRange(min=0),
    metavar="N",
    help="Keep the transcripts of the latest N conversations only; 0 keeps none. All by default.",
)
@JSON
def command(
    source: Path,
    page: Path,
    profiles: Path | None,
    answers: Path | None,
    title: str,
    timezone: str | None,
    centre: Path | None,
    texts: int | None,
    as_json: bool,
) -> None:
    """Write the page a quality lead opens in the morning: one HTML file that needs no network.

    Figures come from labels and say who gave them; where --answers is given, the page can show the model's instead.
    The page holds the transcripts of FILE: keep it where the transcripts may be. Make it again after `mlx_cc erase`.

    \b
    Examples:
      mlx_cc dashboard --input data/conversations.jsonl --output dashboard.html
      mlx_cc dashboard --input c.jsonl --profiles data/agent_profiles --answers answers.jsonl
      mlx_cc dashboard --input c.jsonl --texts 2000 --title "Support, Dayton"
    """
    import time
    from datetime import datetime

    import msgspec

    from mlx_cc.answers import read_answers
    from mlx_cc.centre import read_centre
    from mlx_cc.errors import UserError
    from mlx_cc.files import count_conversations, write_text
    from mlx_cc.redact import read_redacted
    from mlx_cc.report.dashboard import build
    from mlx_cc.report.dashboard_page import page_of
    from mlx_cc.report.facts import facts_of, followed, profile_agents, read_agents
    from mlx_cc.temporal import TemporalFeatureEnhancer
    from mlx_cc.terminal import progress, status

    began = time.perf_counter()
    settings = read_centre(centre)
    enhancer = TemporalFeatureEnhancer(settings, timezone=timezone)
    found = read_agents(profiles) if profiles else None
    said = read_answers(answers) if answers else {}
    stream = progress(read_redacted(source), f"reading {source.name}", count_conversations(source))
    conversations = list(stream)
    if not conversations:
        raise UserError(f"{source}: has no conversation. Pass a file that `mlx_cc ingest` or `mlx_cc prepare` wrote.")
    with status("profiling agents, packing transcripts"):
        dashboard = build(
            facts_of(conversations, followed(conversations), enhancer),
            found or profile_agents(conversations, settings.skills),
            said,
            skills=settings.skills,
            title=title,
            source=source.name,
            now=datetime.now().astimezone(),
            texts=texts,
        )
        text = page_of(dashboard)
    write_text(page, text)
    meta = dashboard.meta
    summary = {
        "output": str(page),
        "bytes": len(text.encode()),
        "conversations": len(conversations),
        "transcripts": meta["texts"],
        "agents": len(dashboard.agents["profiles"]),
        "profiles": meta["profiles"],
        "answers": meta["answers"],
        "answers_elsewhere": meta["answers_elsewhere"],
        "seconds": round(time.perf_counter() - began, 1),
    }
    if as_json:
        click.echo(msgspec.json.encode(summary))
        return
    click.echo(
        f"{page}: {len(conversations):,} conversations, {summary['agents']:,} agents, "
        f"{summary['bytes'] / 1e6:.1f} MB, in {summary['seconds']} s"
    )
    click.echo(f"  agent profiles: {meta['profiles']}")
    if answers:
        click.echo(f"  a model's answers to {meta['answers']:,} of them")
    if meta["answers_elsewhere"]:
        click.echo(f"  {meta['answers_elsewhere']:,} answers are about conversations that are not in {source.name}")
