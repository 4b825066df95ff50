"""What fingerprints find of what was planted in simulated agents, and what they take, by the command itself."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mlx_cc.bench.command import run
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations
from mlx_cc.folders import AgentsFolder, DataFolder
from mlx_cc.metrics import Estimate, difference, interval, spearman
from mlx_cc.simulate import Parameters, World, simulate


class Recovery(Struct):
    """How well one simulated centre was seen through; labels are simulated."""

    agents: int
    """With enough data; only they are compared."""
    conversations: int
    seed: int
    raw: Estimate
    """Spearman correlation of each agent's mean quality with planted skill; intervals over agents."""
    adjusted: Estimate
    shrunk: Estimate
    better: Estimate
    """Adjusted less raw, of the same agents."""
    rand_index: float
    """Adjusted Rand index of the groups with the planted ones; 1 is the same, 0 chance."""
    named: float
    """Share of agents whose group has the name of the planted one."""
    stability: float | None
    silhouette: float | None
    seconds: float
    """Of `mlx_cc fingerprint`, its start included."""
    memory_mb: float
    """Its peak resident memory."""


def recovery(agents: int, per_agent: float, seed: int) -> Recovery:
    """Simulate a centre, run `mlx_cc fingerprint` on it, and compare with what was planted.

    Raises:
        UserError: the command failed.
    """
    from sklearn.metrics import adjusted_rand_score

    world = World(Parameters(round(agents * per_agent), agents, seed))
    planted = world.truth()["agents"]
    with tempfile.TemporaryDirectory() as folder:
        source = DataFolder(Path(folder)).conversations
        count = write_conversations(source, simulate(world))
        seconds, peak = run(["fingerprint", "--input", str(source), "--output-dir", folder])
        profiles: dict[str, Any] = msgspec.json.decode((AgentsFolder(Path(folder)).profiles).read_bytes())
        clusters: dict[str, Any] = msgspec.json.decode((AgentsFolder(Path(folder)).clusters).read_bytes())
    seen = [agent for agent, profile in profiles.items() if profile["metrics"]["quality"]["value"] is not None]
    if len(seen) < 2:
        raise UserError(f"{per_agent:g} conversations an agent leave {len(seen)} with enough data; take more.")
    skill = [planted[agent]["skill"] for agent in seen]
    found = {
        key: [profiles[agent]["metrics"]["quality"][key] for agent in seen] for key in ("value", "adjusted", "shrunk")
    }
    groups = [(planted[agent]["group"], clusters["assignments"][agent]) for agent in seen]
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
