"""Fingerprints of simulated agents compared with the agents' true skill and group, with the cost of the command.

python -m benchmarks.agents
python -m benchmarks.agents --agents 1007 --per-agent 5.36 --seeds 1
"""

import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.command_cost import run
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations
from mlx_cc.folders import AgentsFolder, DataFolder
from mlx_cc.metrics import Estimate, difference, interval, spearman
from mlx_cc.simulate import Parameters, World, simulate


class Recovery(Struct):
    """How well the fingerprints of one simulated centre agree with the truth; labels are simulated."""

    agents: int
    """Agents with enough data; only these are compared."""
    conversations: int
    seed: int
    raw: Estimate
    """Spearman correlation of mean quality with true skill; intervals over agents."""
    adjusted: Estimate
    shrunk: Estimate
    better: Estimate
    """Adjusted minus raw, for the same agents."""
    rand_index: float
    """Adjusted Rand index of the groups with the true ones; 1 is the same, 0 is chance."""
    named: float
    """Share of agents whose group has the name of the true one."""
    stability: float | None
    silhouette: float | None
    seconds: float
    """Seconds of `mlx_cc fingerprint`, start included."""
    memory_mb: float
    """Its peak resident memory."""


def recovery(agents: int, per_agent: float, seed: int) -> Recovery:
    """Simulate a centre, run `mlx_cc fingerprint` on it, and compare the result with the truth.

    Raises:
        UserError: the command failed.
    """
    from sklearn.metrics import adjusted_rand_score

    world = World(Parameters(round(agents * per_agent), agents, seed))
    truth = world.truth()["agents"]
    with tempfile.TemporaryDirectory() as folder:
        source = DataFolder(Path(folder)).conversations
        count = write_conversations(source, simulate(world))
        seconds, peak = run(["fingerprint", "--input", str(source), "--output-dir", folder])
        profiles: dict[str, Any] = msgspec.json.decode((AgentsFolder(Path(folder)).profiles).read_bytes())
        clusters: dict[str, Any] = msgspec.json.decode((AgentsFolder(Path(folder)).clusters).read_bytes())
    seen = [agent for agent, profile in profiles.items() if profile["metrics"]["quality"]["value"] is not None]
    if len(seen) < 2:
        raise UserError(f"{per_agent:g} conversations an agent leave {len(seen)} with enough data; take more.")
    skill = [truth[agent]["skill"] for agent in seen]
    found = {
        key: [profiles[agent]["metrics"]["quality"][key] for agent in seen] for key in ("value", "adjusted", "shrunk")
    }
    groups = [(truth[agent]["group"], clusters["assignments"][agent]) for agent in seen]
    stability = clusters["stability"]
    return Recovery(
        agents=len(seen),
        conversations=count,
        seed=seed,
        raw=interval(spearman, skill, found["value"]),
        adjusted=interval(spearman, skill, found["adjusted"]),
        shrunk=interval(spearman, skill, found["shrunk"]),
        better=difference(spearman, skill, found["adjusted"], found["value"]),
        rand_index=round(float(adjusted_rand_score(*zip(*groups, strict=True))), 3),
        named=round(float(np.mean([one == other for one, other in groups])), 3),
        stability=None if stability is None else stability["mean"],
        silhouette=clusters["silhouette"],
        seconds=seconds,
        memory_mb=peak,
    )


@click.command()
@click.option("--agents", type=click.IntRange(min=2), default=200, show_default=True)
@click.option("--per-agent", type=click.FloatRange(min=1), default=30, show_default=True, help="Conversations of each.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Simulated centres.")
def main(agents: int, per_agent: float, seeds: int) -> None:
    """Run `mlx_cc fingerprint` on simulated centres in which better agents get more contacts of the hard queues."""
    for seed in range(seeds):
        print(msgspec.json.encode(recovery(agents, per_agent, seed)).decode())


if __name__ == "__main__":
    main()
