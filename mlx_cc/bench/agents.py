"""What fingerprints find of what was planted in simulated agents, and what they take, by the command itself."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations
from mlx_cc.metrics import Estimate, interval, spearman
from mlx_cc.simulate import Parameters, World, simulate

RESAMPLES = 1000


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
    """Its peak resident memory; the largest of the runs so far."""


def recovery(agents: int, per_agent: float, seed: int) -> Recovery:
    """Simulate a centre, run `mlx_cc fingerprint` on it, and compare with what was planted.

    Raises:
        UserError: the command failed.
    """
    from sklearn.metrics import adjusted_rand_score

    world = World(Parameters(round(agents * per_agent), agents, seed))
    planted = world.truth()["agents"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "conversations.jsonl"
        count = write_conversations(source, simulate(world))
        command = [sys.executable, "-m", "mlx_cc", "fingerprint", "--input", str(source), "--output-dir", folder]
        started = time.perf_counter()
        run = subprocess.run([*command, "--json"], capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
        seconds = time.perf_counter() - started
        if run.returncode:
            raise UserError(f"mlx_cc fingerprint ended with status {run.returncode}: {run.stderr.strip()[-300:]}")
        profiles: dict[str, Any] = msgspec.json.decode((Path(folder) / "agent_profiles.json").read_bytes())
        clusters: dict[str, Any] = msgspec.json.decode((Path(folder) / "agent_clusters.json").read_bytes())
    seen = [agent for agent, profile in profiles.items() if profile["metrics"]["quality"]["value"] is not None]
    if len(seen) < 2:
        raise UserError(f"{per_agent:g} conversations an agent leave {len(seen)} with enough data; take more.")
    skill = [planted[agent]["skill"] for agent in seen]
    found = {
        key: [profiles[agent]["metrics"]["quality"][key] for agent in seen] for key in ("value", "adjusted", "shrunk")
    }
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    groups = [(planted[agent]["group"], clusters["assignments"][agent]) for agent in seen]
    stability = clusters["stability"]
    return Recovery(
        agents=len(seen),
        conversations=count,
        seed=seed,
        raw=interval(spearman, skill, found["value"], resamples=RESAMPLES),
        adjusted=interval(spearman, skill, found["adjusted"], resamples=RESAMPLES),
        shrunk=interval(spearman, skill, found["shrunk"], resamples=RESAMPLES),
        better=_difference(skill, found["adjusted"], found["value"]),
        rand_index=round(float(adjusted_rand_score(*zip(*groups, strict=True))), 3),
        named=round(float(np.mean([one == other for one, other in groups])), 3),
        stability=None if stability is None else stability["mean"],
        silhouette=clusters["silhouette"],
        seconds=seconds,
        memory_mb=peak,
    )


def _difference(skill: list[float], one: list[float], other: list[float]) -> Estimate:
    """By how much `one` ranks agents better than `other`, with a bootstrap over agents."""
    pairs = list(zip(one, other, strict=True))

    def gain(truth, said) -> float:
        return spearman(truth, [a for a, _ in said]) - spearman(truth, [b for _, b in said])

    return interval(gain, skill, pairs, resamples=RESAMPLES)
