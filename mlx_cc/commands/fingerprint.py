"""`mlx_cc fingerprint`: profile agents, group them, rank what to coach."""

from pathlib import Path
from typing import Literal

import click

from mlx_cc.folders import AgentsFolder


@click.command()
@click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Conversations or ChatML rows with labels; use the train split.",
)
@click.option(
    "--output-dir",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Where agent_profiles.json, agent_summary.json and agent_clusters.json go.",
)
@click.option("--clusters", "n_clusters", type=click.IntRange(min=1), default=5, show_default=True, help="Groups.")
@click.option(
    "--min-conversations",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="An estimate that rests on fewer contacts is not given.",
)
@click.option(
    "--fcr",
    type=click.Choice(["auto", "flag", "survey", "repeat"]),
    default="auto",
    show_default=True,
    help="First-contact resolution by the resolution label, by those from surveys, or by the customer coming back; "
    "auto: the label, where any contact has one.",
)
@click.option(
    "--repeat-days", type=click.IntRange(min=1), default=7, show_default=True, help="With --fcr repeat: within so many."
)
@click.option("--centre", "centre_file", type=click.Path(path_type=Path), help="The centre's settings (YAML): skills.")
@click.option("--json", "as_json", is_flag=True, help="Print agent_summary.json instead of the table.")
def command(
    source: Path,
    folder: Path,
    n_clusters: int,
    min_conversations: int,
    fcr: Literal["auto", "flag", "survey", "repeat"],
    repeat_days: int,
    centre_file: Path | None,
    as_json: bool,
) -> None:
    """Profile every agent against the centre: metrics with intervals, strengths, weaknesses, coaching priorities.

    Each metric stands raw, adjusted for the agent's mix of queues, issues, waits and follow-ups, and shrunk toward
    the team's mean, the more the fewer the contacts.

    \b
    Examples:
      mlx_cc fingerprint --input data/train_temporal.jsonl --output-dir data/agent_profiles
      mlx_cc fingerprint --input data/train_chatml.jsonl --output-dir data/agent_profiles --clusters 10
      mlx_cc fingerprint --input conversations.jsonl --output-dir data/agent_profiles --fcr repeat --repeat-days 14
    """
    import msgspec
    from rich.table import Table

    from mlx_cc.agents.fingerprint import AgentFingerprinter
    from mlx_cc.centre import read_centre
    from mlx_cc.errors import UserError
    from mlx_cc.files import count_conversations, read_conversations, write_json
    from mlx_cc.terminal import console, progress

    fingerprinter = AgentFingerprinter(min_conversations, read_centre(centre_file).skills, fcr, repeat_days)
    profiles = fingerprinter.compute_agent_profiles(
        progress(read_conversations(source), source.name, count_conversations(source))
    )
    if not profiles:
        raise UserError(f"{source}: no conversation names its agent. Ingest with agent ids (`agents`) and try again.")
    clusters = fingerprinter.cluster_agents(profiles, n_clusters)
    groups = clusters["groups"]
    summary = {
        "input": str(source),
        **fingerprinter.summary(profiles),
        "groups": {name: group["n"] for name, group in groups.items()},
        "silhouette": clusters["silhouette"],
        "stability": clusters["stability"],
    }
    made = AgentsFolder(folder)
    write_json(made.profiles, profiles)
    write_json(made.clusters, clusters)
    write_json(made.summary, summary)
    if as_json:
        click.echo(msgspec.json.encode(summary))
        return

    out = console()
    shown = ("quality", "csat", "fcr", "quality_deviation")
    table = Table("group", "agents", *shown)
    for name, group in groups.items():
        table.add_row(name, str(group["n"]), *(_number(group["means"].get(metric)) for metric in shown))
    out.print(table)
    table = Table("skill", "agents strong in it", "agents weak in it")
    for skill, strong in summary["strengths"].items():
        table.add_row(skill, str(strong), str(summary["weaknesses"][skill]))
    out.print(table)
    out.print(
        f"{summary['agents']} agents, {summary['agents_with_enough_data']} with at least {min_conversations} contacts; "
        f"{summary['conversations']} conversations; silhouette {_number(clusters['silhouette'])}, "
        f"stability {_number((clusters['stability'] or {}).get('mean'))}; {summary['changes']} changes over time",
        soft_wrap=True,
    )
    for reason, count in summary["left_out"].items():
        out.print(f"{count} conversations count for nobody: {reason}", soft_wrap=True)
    out.print(f"{folder}: agent_profiles.json, agent_summary.json, agent_clusters.json", soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
