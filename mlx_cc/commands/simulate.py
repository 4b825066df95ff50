"""`mlx_cc simulate`: conversations with known ground truth."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import FILE, JSON

if TYPE_CHECKING:
    from mlx_cc.conversation import Conversation


@click.command()
@click.option(
    "--conversations", type=click.IntRange(min=1), default=1000, show_default=True, help="Number of conversations."
)
@click.option("--agents", type=click.IntRange(min=1), default=50, show_default=True, help="Number of agents.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed gives the same file."
)
@click.option("--out", type=FILE, required=True, help="The conversations file to write.")
@click.option(
    "--truth",
    type=FILE,
    help="File (JSON) for the planted effects: skill and group by agent, difficulty by queue.",
)
@click.option(
    "--turns", type=click.FloatRange(min=4, max=400), default=14, show_default=True, help="Mean number of turns."
)
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default="2025-01-01",
    show_default=True,
    help="First day (UTC), YYYY-MM-DD.",
)
@click.option(
    "--months", type=click.IntRange(min=1, max=120), default=6, show_default=True, help="Length of the period."
)
@JSON
def command(
    conversations: int,
    agents: int,
    seed: int,
    out: Path,
    truth: Path | None,
    turns: float,
    start: datetime,
    months: int,
    as_json: bool,
) -> None:
    """Make simulated conversations whose outcomes follow from planted skills, queues and waits.

    Every label has the source `simulated`. Use them to try things out and to check that an analysis finds the
    planted effects; they tell nothing about a real centre.

    \b
    Examples:
      mlx_cc simulate --out data/simulated.jsonl
      mlx_cc simulate --conversations 5397 --agents 1007 --out data/simulated.jsonl --truth data/truth.json
      mlx_cc simulate --conversations 200 --agents 8 --seed 7 --turns 30 --out small.jsonl
    """
    import time

    import msgspec

    from mlx_cc.files import write_conversations, write_json
    from mlx_cc.simulate import Parameters, World, simulate
    from mlx_cc.terminal import progress

    began = time.perf_counter()
    world = World(Parameters(conversations, agents, seed, turns, start.date(), months))
    sums, resolutions = Counter[str](), Counter[str]()
    stream = progress(simulate(world), "simulating", conversations)
    count = write_conversations(out, _counted(stream, sums, resolutions))
    if truth:
        write_json(truth, world.truth())
    summary = {
        "conversations": count,
        "agents": agents,
        "seed": seed,
        "out": str(out),
        "truth": None if truth is None else str(truth),
        **{f"mean_{name}": round(sums[name] / count, 2 - (name == "quality")) for name in ("turns", "quality", "csat")},
        "followups": sums["followups"],
        "resolution": dict(resolutions.most_common()),
        "seconds": round(time.perf_counter() - began, 1),
    }
    if as_json:
        click.echo(msgspec.json.encode(summary))
    else:
        _print(summary)


def _counted(
    stream: Iterator["Conversation"], sums: Counter[str], resolutions: Counter[str]
) -> Iterator["Conversation"]:
    for conversation in stream:
        resolutions[conversation.label("resolution")] += 1
        sums["turns"] += len(conversation.turns)
        sums["quality"] += conversation.label("quality")["score"]
        sums["csat"] += conversation.label("csat")
        sums["followups"] += bool(conversation.is_followup)
        yield conversation


def _print(summary: dict[str, Any]) -> None:
    click.echo(
        f"{summary['out']}: {summary['conversations']} simulated conversations of {summary['agents']} agents, "
        f"seed {summary['seed']}, in {summary['seconds']} s\n"
        f"  means: {summary['mean_turns']} turns, quality {summary['mean_quality']} of 100, "
        f"CSAT {summary['mean_csat']} of 5; {summary['followups']} follow-ups\n"
        "  resolution: " + ", ".join(f"{name} {n}" for name, n in summary["resolution"].items())
    )
    if summary["truth"]:
        click.echo(f"{summary['truth']}: the planted effects")
