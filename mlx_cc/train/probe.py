"""Time a few real steps to estimate how long a run takes on this machine. What they learn is not kept."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlx_cc.prompt import Tree
from mlx_cc.terminal import progress
from mlx_cc.train.memory import Shape, Target, backwards, memory, steps_of
from mlx_cc.train.settings import TrainSettings


@dataclass(frozen=True)
class Probe:
    """Real steps on this machine: seconds = per_step + per_token x tokens."""

    steps: int
    tokens: list[int]
    seconds: list[float]
    per_step: float
    per_token: float
    slower: tuple[float, float]
    """Ratio of measured to fitted seconds, 10th and 90th percentile of the steps."""
    forward_per_token: float
    """Seconds per token of a validation pass."""
    peak_bytes: int
    estimated_bytes: float
    """What `memory` estimates for the largest of these steps, without the optimizer."""


def probe(
    trainer: Any,
    trees: Sequence[Tree],
    validation: Sequence[Tree],
    count: int,
    shape: Shape,
    target: Target,
) -> Probe:
    """Time the gradients of `count` steps, from the shortest to the longest, after one to warm up."""
    from mlx_cc.model import machine
    from mlx_cc.model.tree import checkpointed

    settings: TrainSettings = trainer.settings
    steps = steps_of(trees, settings)
    chosen = [steps[index] for index in np.linspace(0, len(steps) - 1, count).round().astype(int)]
    chosen = [
        chosen[index] for index in np.random.default_rng(0).permutation(count)
    ]  # shuffled: a drift in speed is no slope
    tokens, measured = [], []
    trainer.model.train()
    checkpointing = checkpointed(trainer.model) if settings.training.gradient_checkpointing else nullcontext()
    with checkpointing, machine.wired_limit():
        trainer.gradients([steps[len(steps) // 2]])
        machine.reset_peak_memory()
        for step in progress(chosen, "timing steps", count):
            machine.suit_threads()
            started = time.perf_counter()
            _, _, computed, _ = trainer.gradients([step])
            measured.append(time.perf_counter() - started)
            tokens.append(computed)
        peak = machine.peak_memory_bytes()
    few = sorted(validation, key=lambda tree: tree.tokens)[:: math.ceil(len(validation) / 6)]
    started = time.perf_counter()
    trainer.validate(few)
    forward = (time.perf_counter() - started) / sum(tree.tokens for tree in few)
    per_step, per_token = fit(tokens, measured)
    ratios = np.array(measured) / (per_step + per_token * np.array(tokens))
    low, high = np.percentile(ratios, (10, 90)).tolist()
    estimates = [memory(shape, settings, target, b) for step in chosen for b in backwards(step, settings)]
    largest = max(estimates, key=lambda m: m.total)
    return Probe(
        steps=count,
        tokens=tokens,
        seconds=measured,
        per_step=per_step,
        per_token=per_token,
        slower=(low, high),
        forward_per_token=forward,
        peak_bytes=peak,
        estimated_bytes=largest.total - largest.optimizer,
    )


def fit(tokens: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """(a, b) of seconds = a + b tokens, by least squares; a is 0 where the fit has a < 0 or b <= 0."""
    x, y = np.array(tokens, float), np.array(seconds)
    if len(set(tokens)) > 1:
        b, a = np.polyfit(x, y, 1).tolist()
        if a >= 0 and b > 0:
            return a, b
    return 0.0, float(y.sum() / x.sum())
