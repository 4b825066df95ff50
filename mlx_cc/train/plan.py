"""What a training run will take, before it starts: tokens, optimizer updates, memory and hours.

Tokens are counted on token trees. Memory is estimated from the model's config.json (`mlx_cc.train.memory`). Time is
measured on a few real steps of this machine (`probe`) and estimated for Apple's chips (`mlx_cc.train.roofline`).
Nothing is written. "Stock" is mlx-lm's way: one row per answer, padded, the transcript computed again in each.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mlx_cc.files import read_json
from mlx_cc.folders import ModelFolder
from mlx_cc.prompt import Encoder, Tokenizer, Tree
from mlx_cc.terminal import progress
from mlx_cc.train.batches import Data, build_trees, find_data
from mlx_cc.train.memory import (
    STOCK,
    Group,
    Memory,
    Shape,
    Target,
    backwards,
    largest_step,
    memory,
    read_shape,
    stock_length,
    this_target,
)
from mlx_cc.train.memory import trained_parameters as count_trained
from mlx_cc.train.probe import Probe, probe
from mlx_cc.train.roofline import CHIPS, Chip, forward_operations, seconds, usable_bytes
from mlx_cc.train.settings import TrainSettings

SAMPLE = 2000
"""Maximum number of conversations that are made into trees; counts are scaled up to all. Set by hand."""


@dataclass(frozen=True)
class Spread:
    """How a length in tokens is distributed."""

    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    max: float
    mean: float
    edges: list[int]
    """Edges of the histogram's bins, one more than there are bins."""
    counts: list[int]
    """Lengths in each bin."""


@dataclass(frozen=True)
class Counts:
    """Tokens of the train split. Totals are for an epoch of all conversations, scaled up from a sample."""

    conversations: int
    sampled: int
    rows_each: float
    """Mean number of answers per conversation."""
    trunk: Spread
    branch: Spread
    """A branch is a question and its answer."""
    row: Spread
    """A row is trunk and branch: what stock training computes for each answer, before padding."""
    shortened: float
    """Share of conversations that lose turns from their middle."""
    omitted_turns: float
    """Share of all turns that are lost."""
    trained_tokens: int
    """Tokens of the answers: no others are learned."""
    tree_tokens: int
    row_tokens: int
    stock_tokens: int
    """Tokens of rows padded as mlx-lm pads."""

    @property
    def saved(self) -> float:
        """Share of the rows' tokens that trees do not compute."""
        return 1 - self.tree_tokens / self.row_tokens


@dataclass(frozen=True)
class Hours:
    """A time and the range it is expected in."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> "Hours":
        """All three hours, multiplied."""
        return Hours(self.low * factor, self.likely * factor, self.high * factor)


@dataclass(frozen=True)
class OnChip:
    """A run on an Apple chip, as `mlx_cc.train.roofline` estimates it; ranges are (low, high)."""

    chip: Chip
    tokens_per_s: tuple[float, float]
    hours: tuple[float, float]
    stock_hours: tuple[float, float]
    memory_bytes: float
    fits: dict[int, bool]
    """Memory in GB -> whether the run fits."""


@dataclass(frozen=True)
class Marked:
    """A conversation as the model is trained on it."""

    conversation: str
    trunk: str
    branches: list[tuple[str, str, str]]
    """(task, question, answer) of each; only the answer's tokens are learned."""

    @property
    def text(self) -> str:
        """The conversation in one text: answers in brackets, the middle of a long trunk left out."""
        whole = self.trunk
        if len(whole) > 900:
            whole = f"{whole[:500]}\n  [... {len(whole) - 800} characters not shown ...]\n{whole[-300:]}"
        return whole + "".join(f"\n--- {task}\n{prompt}⟦{answer}⟧" for task, prompt, answer in self.branches)


@dataclass(frozen=True)
class Plan:
    """What can be said about a run before it starts."""

    model: str
    parameters: int
    trained_parameters: int
    counts: Counts
    validation_conversations: int
    epochs: float
    steps: int
    """Number of steps, each with `per_device_train_batch_size` conversations."""
    updates: int
    validations: int
    loss: str
    """`tree`, or `rows` when that was chosen or the model can't share a trunk."""
    machine: str
    machine_bytes: int
    memory: Memory
    """Memory on this machine, for the step that takes the most."""
    stock_memory: Memory
    """The same if mlx-lm trained with `per_device_train_batch_size` rows at once."""
    probe: Probe | None
    hours: Hours | None
    """Time on this machine, with validations and the building of trees; None without a probe."""
    stock_hours: Hours | None
    chips: list[OnChip]
    example: Marked


def plan(settings: TrainSettings, probe_steps: int = 10, tell: Callable[[str], Any] = str) -> Plan:
    """Plan the run that `train` would do with these settings.

    Args:
        probe_steps: real steps to time; 0 loads no weights.
        tell: called with what is being done.

    Raises:
        UserError: data or model can't be found or read, or the model is no dense decoder.
    """
    from mlx_cc.model import load, machine, pull
    from mlx_cc.train.loop import Trainer, eval_steps_of, updates_of

    folder = pull.resolve(settings.model.name, pull_missing=False)
    config = read_json(ModelFolder(folder).config, dict)
    shape = read_shape(config, str(ModelFolder(folder).config))
    data = find_data(settings)
    trainer = None
    if probe_steps:
        tell("loading the model")
        trainer = Trainer(settings, Path("adapters") / Path(settings.training.output_dir).name, data.centre)
    settings = _as_computed(settings, trainer, folder, config)
    training, conversations = settings.training, len(data.train)
    encoder = Encoder(load.load_tokenizer(folder, config))
    trees, turns, build_seconds = _sampled_trees(data, settings, encoder)
    held_out = progress(data.validation, "counting validation", len(data.validation))
    validation = build_trees(held_out, settings, data.centre, encoder)
    counts = count(trees, conversations, turns, settings.model.max_seq_length)
    target = this_target()
    updates = updates_of(training, conversations)
    steps = math.ceil(conversations * training.num_train_epochs / training.per_device_train_batch_size)
    validations = 1 + math.ceil(updates / eval_steps_of(training, conversations))  # one before training
    probed = hours = None
    if trainer:
        trainer.settings = settings
        probed = probe(trainer, trees, validation, probe_steps, shape, target)
        hours = _hours(probed, counts, settings, steps, validations, validation, build_seconds)
    computed = counts.tree_tokens if training.loss == "tree" else counts.row_tokens
    this = machine.prepare()
    return Plan(
        model=settings.model.name,
        parameters=shape.parameters,
        trained_parameters=count_trained(shape, settings.lora),
        counts=counts,
        validation_conversations=len(data.validation),
        epochs=training.num_train_epochs,
        steps=steps,
        updates=updates,
        validations=validations,
        loss=training.loss,
        machine=f"{this.name} ({this.backend})",
        machine_bytes=this.memory_bytes,
        memory=memory(shape, settings, target, largest_step(trees, settings, shape, target)),
        stock_memory=memory(shape, settings, target._replace(kernels=STOCK), [_stock_step(counts, settings)]),
        probe=probed,
        hours=hours,
        stock_hours=hours and hours.times(counts.stock_tokens / computed),
        chips=_on_chips(shape, settings, trees, validation, counts, validations),
        example=marked(sorted(trees, key=lambda tree: tree.tokens)[len(trees) // 2], encoder.tokenizer),
    )


def _as_computed(settings: TrainSettings, trainer: Any, folder: Path, config: dict[str, Any]) -> TrainSettings:
    """The settings, with the loss that the run will compute: `rows` where the model can't share a trunk."""
    from mlx_cc.model.load import unloaded
    from mlx_cc.model.tree import rotary_attentions, shares_trunk
    from mlx_cc.train.loop import AS_ROWS
    from mlx_cc.train.loss import tree_loss

    if trainer:
        shared = trainer.loss is tree_loss
    else:
        shared = settings.training.loss == "tree" and shares_trunk(unloaded(folder, config), AS_ROWS, rotary_attentions)
    training = msgspec.structs.replace(settings.training, loss="tree" if shared else "rows")
    return msgspec.structs.replace(settings, training=training)


# Tokens


def _sampled_trees(data: Data, settings: TrainSettings, encoder: Encoder) -> tuple[list[Tree], int, float]:
    """Trees of a sample of the train split, the turns of its conversations, and seconds to build a tree."""
    order = np.random.default_rng(settings.training.seed).permutation(len(data.train))
    sample = [data.train[index] for index in order[:SAMPLE]]
    started = time.perf_counter()
    visits = range(len(sample))  # all parts of chains, as in an epoch
    trees = build_trees(progress(sample, "counting tokens", len(sample)), settings, data.centre, encoder, visits)
    seconds = (time.perf_counter() - started) / len(trees)
    return trees, sum(len(conversation.turns) for conversation in sample), seconds


def count(trees: Sequence[Tree], conversations: int, turns: int, max_tokens: int) -> Counts:
    """Count the tokens of trees and scale them up to `conversations`; `turns` is the number of turns in the trees."""
    scale = conversations / len(trees)
    branches = [branch for tree in trees for branch in tree.branches]
    rows = [len(row) for tree in trees for row in tree.rows]
    return Counts(
        conversations=conversations,
        sampled=len(trees),
        rows_each=len(branches) / len(trees),
        trunk=spread([len(tree.trunk) for tree in trees]),
        branch=spread([len(branch.prompt) + len(branch.answer) for branch in branches]),
        row=spread(rows),
        shortened=sum(tree.omitted_turns > 0 for tree in trees) / len(trees),
        omitted_turns=sum(tree.omitted_turns for tree in trees) / max(1, turns),
        trained_tokens=round(scale * sum(len(branch.answer) for branch in branches)),
        tree_tokens=round(scale * sum(tree.tokens for tree in trees)),
        row_tokens=round(scale * sum(rows)),
        stock_tokens=round(scale * sum(stock_length(row, max_tokens) for row in rows)),
    )


def spread(lengths: Sequence[int]) -> Spread:
    """Percentiles and a histogram with at most twelve bins of a round width."""
    low, high = min(lengths), max(lengths)
    widths = (5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000)
    width = next((w for w in widths if high // w - low // w < 12), widths[-1])
    edges = np.arange(low // width, high // width + 2) * width
    counts, _ = np.histogram(lengths, edges)
    percentiles = np.percentile(lengths, (5, 25, 50, 75, 95, 100)).tolist()
    return Spread(*percentiles, mean=float(np.mean(lengths)), edges=edges.tolist(), counts=counts.tolist())


def marked(tree: Tree, tokenizer: Tokenizer) -> Marked:
    """Decode a tree into text."""
    branches = [
        (branch.task, tokenizer.decode(list(branch.prompt)), tokenizer.decode(list(branch.answer)))
        for branch in tree.branches
    ]
    return Marked(tree.conversation_id, tokenizer.decode(list(tree.trunk)), branches)


# Memory and time


def _stock_step(counts: Counts, settings: TrainSettings) -> Group:
    rows = settings.training.per_device_train_batch_size
    length = stock_length(int(counts.row.max), settings.model.max_seq_length)
    return Group(rows, length, 0, rows * length)


def _hours(
    probed: Probe,
    counts: Counts,
    settings: TrainSettings,
    steps: int,
    validations: int,
    validation: Sequence[Tree],
    build_seconds: float,
) -> Hours:
    epochs = settings.training.num_train_epochs
    train = probed.per_step * steps + probed.per_token * counts.tree_tokens * epochs
    held_out = validations * probed.forward_per_token * sum(tree.tokens for tree in validation)
    building = build_seconds * (counts.conversations * epochs + len(validation))
    low, high = (min(1.0, probed.slower[0]), max(1.0, probed.slower[1]))
    seconds = train + held_out
    return Hours(*((seconds * factor + building) / 3600 for factor in (low, 1.0, high)))


def _on_chips(
    shape: Shape,
    settings: TrainSettings,
    trees: Sequence[Tree],
    validation: Sequence[Tree],
    counts: Counts,
    validations: int,
) -> list[OnChip]:
    """The run on Apple's chips, whose GPUs compute in 16 bit with MLX's own kernels."""
    mac, longest = Target(STOCK, is_cpu=False), settings.model.max_seq_length
    memory_bytes = memory(shape, settings, mac, largest_step(trees, settings, shape, mac)).total
    epochs = settings.training.num_train_epochs * counts.conversations / counts.sampled
    tokens = settings.training.num_train_epochs * counts.tree_tokens / 3600

    def ours(trees: Sequence[Tree]) -> list[Group]:
        return [group for tree in trees for backward in backwards([tree], settings) for group in backward]

    def stock(trees: Sequence[Tree]) -> list[Group]:
        lengths = [stock_length(len(row), longest) for tree in trees for row in tree.rows]
        return [Group(1, length, 0, length) for length in lengths]

    def hours(chip: Chip, train: list[Group], held_out: list[Group]) -> tuple[float, float]:
        high, low = (
            epochs * seconds(shape, settings, train, chip, rate)
            + validations * sum(forward_operations(shape, group) for group in held_out) / (chip.tflops[rate] * 1e12)
            for rate in (0, 1)
        )
        return low / 3600, high / 3600

    def on_chip(chip: Chip) -> OnChip:
        low, high = hours(chip, *as_trees)
        return OnChip(
            chip=chip,
            tokens_per_s=(tokens / high, tokens / low),
            hours=(low, high),
            stock_hours=hours(chip, *as_rows),
            memory_bytes=memory_bytes,
            fits={size: memory_bytes <= usable_bytes(size) for size in chip.memory_gb},
        )

    as_trees, as_rows = (ours(trees), ours(validation)), (stock(trees), stock(validation))
    return [on_chip(chip) for chip in CHIPS]
