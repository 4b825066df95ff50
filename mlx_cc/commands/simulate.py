"""`mlx_cc simulate`: conversations with known ground truth."""

from datetime import datetime
from pathlib import Path

import click


@click.command()
@click.option("--conversations", type=click.IntRange(min=1), default=1000, show_default=True, help="How many.")
@click.option("--agents", type=click.IntRange(min=1), default=50, show_default=True, help="How many agents take them.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed gives the same file."
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The conversations file to write."
)
@click.option(
    "--truth",
    "truth_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what was planted here (JSON): skill and group by agent, difficulty by queue.",
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
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    conversations: int,
    agents: int,
    seed: int,
    out: Path,
    truth_file: Path | None,
    turns: float,
    start: datetime,
    months: int,
    as_json: bool,
) -> None:
    """Make simulated conversations whose outcomes follow from planted skill, queues and waits.

    Every label has the source `simulated`. They are for trying things out and for checking that an
    analysis finds what was planted; they say nothing about a real centre.

    \b
    Examples:
      mlx_cc simulate --out data/simulated.jsonl
      mlx_cc simulate --conversations 5397 --agents 1007 --out data/simulated.jsonl --truth data/truth.json
      mlx_cc simulate --conversations 200 --agents 8 --seed 7 --turns 30 --out small.jsonl
    """
    import time
    from collections import Counter

    import msgspec

    from mlx_cc.files import write_conversations, write_json
    from mlx_cc.simulate import Parameters, World, simulate
    from mlx_cc.terminal import progress

    began = time.perf_counter()
    world = World(Parameters(conversations, agents, seed, turns, start.date(), months))
    stream = simulate(world)
    if conversations > 2000:
        stream = progress(stream, "simulating", conversations)
    resolutions: Counter[str] = Counter()
    sums: Counter[str] = Counter()

    def counted():
        for conversation in stream:
            resolutions[conversation.label("resolution")] += 1
            sums["turns"] += len(conversation.turns)
            sums["quality"] += conversation.label("quality")["score"]
            sums["csat"] += conversation.label("csat")
            sums["followups"] += bool(conversation.is_followup)
            yield conversation

    count = write_conversations(out, counted())
    if truth_file:
        write_json(truth_file, world.truth())
    summary = {
        "conversations": count,
        "agents": agents,
        "seed": seed,
        "out": str(out),
        "truth": None if truth_file is None else str(truth_file),
        "mean_turns": round(sums["turns"] / count, 2),
        "mean_quality": round(sums["quality"] / count, 1),
        "mean_csat": round(sums["csat"] / count, 2),
        "followups": sums["followups"],
        "resolution": dict(resolutions.most_common()),
        "seconds": round(time.perf_counter() - began, 1),
    }
    if as_json:
        click.echo(msgspec.json.encode(summary))
        return
    click.echo(f"{out}: {count} simulated conversations of {agents} agents, seed {seed}, in {summary['seconds']} s")
    click.echo(
        f"  means: {summary['mean_turns']} turns, quality {summary['mean_quality']} of 100, "
        f"CSAT {summary['mean_csat']} of 5; {summary['followups']} follow-ups"
    )
    click.echo("  resolution: " + ", ".join(f"{name} {n}" for name, n in resolutions.most_common()))
    if truth_file:
        click.echo(f"{truth_file}: what was planted")
