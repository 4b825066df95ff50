"""`mlx_cc fingerprint`: profile agents, group them, rank what to coach."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import CENTRE, JSON, PATH

if TYPE_CHECKING:
    from mlx_cc.agents.run import Fingerprints


@click.command()
@click.option(
    "--input",
    "source",
    type=PATH,
    required=True,
    metavar="FILE",
    help="Conversations or ChatML rows with labels; use the train split.",
)
@click.option(
    "--output-dir",
    "folder",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Folder for agent_profiles.json, agent_summary.json and agent_clusters.json.",
)
@click.option("--clusters", type=click.IntRange(min=1), default=5, show_default=True, help="Number of groups.")
@click.option(
    "--min-conversations",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Leave out an estimate from fewer contacts.",
)
@click.option(
    "--fcr",
    type=click.Choice(["auto", "flag", "survey", "repeat"]),
    default="auto",
    show_default=True,
    help="First-contact resolution: the resolution label (flag), that of surveys alone, or whether the customer comes "
    "back (repeat); auto: the label, where any contact has one.",
)
@click.option(
    "--repeat-days",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="With --fcr repeat: days in which another contact counts as coming back.",
)
@CENTRE
@JSON
def command(source: Path, folder: Path, as_json: bool, **settings: Any) -> None:
    """Profile every agent against the centre: metrics with intervals, strengths, weaknesses, coaching priorities.

    Each metric is given raw, adjusted for the agent's mix of queues, issues, waits and follow-ups, and shrunk toward
    the team mean; fewer contacts, stronger shrinkage.

    \b
    Examples:
      mlx_cc fingerprint --input data/train_temporal.jsonl --output-dir data/agent_profiles
      mlx_cc fingerprint --input data/train_chatml.jsonl --output-dir data/agent_profiles --clusters 10
      mlx_cc fingerprint --input conversations.jsonl --output-dir data/agent_profiles --fcr repeat --repeat-days 14
    """
    import msgspec

    from mlx_cc.agents.run import fingerprint

    done = fingerprint(source, folder, **settings)
    if as_json:
        click.echo(msgspec.json.encode(done.summary))
    else:
        _print(done, folder)


def _print(done: "Fingerprints", folder: Path) -> None:
    from rich.table import Table

    from mlx_cc.terminal import console

    out, summary = console(), done.summary
    shown = ("quality", "csat", "fcr", "quality_deviation")
    table = Table("group", "agents", *shown)
    for name, group in done.clusters["groups"].items():
        table.add_row(name, str(group["n"]), *(_number(group["means"].get(metric)) for metric in shown))
    out.print(table)
    table = Table("skill", "agents strong in it", "agents weak in it")
    for skill, strong in summary["strengths"].items():
        table.add_row(skill, str(strong), str(summary["weaknesses"][skill]))
    out.print(table)
    click.echo(
        f"{summary['agents']} agents, {summary['agents_with_enough_data']} with at least "
        f"{summary['min_conversations']} contacts; {summary['conversations']} conversations; "
        f"silhouette {_number(summary['silhouette'])}, stability {_number((summary['stability'] or {}).get('mean'))}; "
        f"{summary['changes']} changes over time"
    )
    for reason, count in summary["left_out"].items():
        click.echo(f"{count} conversations count for nobody: {reason}")
    click.echo(f"{folder}: agent_profiles.json, agent_summary.json, agent_clusters.json")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
