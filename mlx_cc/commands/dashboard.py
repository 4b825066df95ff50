"""`mlx_cc dashboard`."""

from pathlib import Path
from typing import Any

import click

from mlx_cc.commands.options import ANSWERS, CENTRE, FILE, JSON, LABELLED, PROFILES, TIMEZONE


@click.command()
@LABELLED
@click.option("--output", "page", type=FILE, default="dashboard.html", show_default=True, help="The page to write.")
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
def command(source: Path, page: Path, as_json: bool, **settings: Any) -> None:
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

    import msgspec

    from mlx_cc.report.run import dashboard

    began = time.perf_counter()
    done = dashboard(source, page, **settings)
    done["seconds"] = round(time.perf_counter() - began, 1)
    if as_json:
        click.echo(msgspec.json.encode(done))
        return
    click.echo(
        f"{page}: {done['conversations']:,} conversations, {done['agents']:,} agents, "
        f"{done['bytes'] / 1e6:.1f} MB, in {done['seconds']} s"
    )
    click.echo(f"  agent profiles: {done['profiles']}")
    if settings["answers"]:
        click.echo(f"  a model's answers to {done['answers']:,} of them")
    if done["answers_elsewhere"]:
        click.echo(f"  {done['answers_elsewhere']:,} answers are about conversations that are not in {source.name}")
