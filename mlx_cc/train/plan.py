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
from mlx_cc.train.batches import build_trees, find_data
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
"""Maximum number of conversations that are made into trees; counts are scaled up to all."""


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
    """Of the histogram's bins, one more than there are bins."""
    counts: list[int]


@dataclass(frozen=True)
class Counts:
    """Tokens of the train split. Totals are for an epoch of all conversations, scaled up from a sample."""

    conversations: int
    sampled: int
    rows_each: float
    """Answers per conversation, on average."""
    trunk: Spread
    branch: Spread
    """Question and answer."""
    row: Spread
    """Trunk and branch: what stock training computes for each answer, before padding."""
    shortened: float
    """Share of conversations that lose turns from their middle."""
    omitted_turns: float
    """Share of all turns that are lost."""
    trained_tokens: int
    """Of the answers: all that is learned from."""
    tree_tokens: int
    row_tokens: int
    stock_tokens: int
    """Of rows padded as mlx-lm pads."""

    @property
    def saved(self) -> float:
        """Share of the rows' tokens that trees save."""
        return 1 - self.tree_tokens / self.row_tokens


@dataclass(frozen=True)
class Hours:
    """A time and the range it is expected in."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> "Hours":
        """All three multiplied."""
        return Hours(self.low * factor, self.likely * factor, self.high * factor)


@dataclass(frozen=True)
class OnChip:
    """A run on an Apple chip, by roofline."""

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
    """Task, question as it stands before the answer, and the answer: the only tokens that are learned."""

    @property
    def text(self) -> str:
        """In one piece, answers in brackets, the trunk's middle left out."""
        whole = self.trunk
        if len(whole) > 900:
            whole = f"{whole[:500]}\n  [... {len(whole) - 800} characters not shown ...]\n{whole[-300:]}"
        return whole + "".join(f"\n--- {task}\n{prompt}⟦{answer}⟧" for task, prompt, answer in self.branches)


@dataclass(frozen=True)
class Plan:
    """Everything that is known before a run."""

    model: str
    parameters: int
    trained_parameters: int
    counts: Counts
    validation_conversations: int
    epochs: float
    steps: int
    """Each with `per_device_train_batch_size` conversations."""
    updates: int
    validations: int
    loss: str
    """`tree` or `rows`, as the run will compute it: a model that can't share a trunk is computed by rows."""
    machine: str
    machine_bytes: int
    memory: Memory
    """On this machine, for the step that takes the most."""
    stock_memory: Memory
    """Of mlx-lm's way on this machine with `per_device_train_batch_size` rows."""
    probe: Probe | None
    hours: Hours | None
    """On this machine, validations and the making of trees included; None without a probe."""
    stock_hours: Hours | None
    chips: list[OnChip]
    example: Marked


def plan(settings: TrainSettings, probe_steps: int = 10, tell: Callable[[str], Any] = str) -> Plan:
    """Plan the run that `train` would do with these settings.

    Args:
        probe_steps: real steps to time; 0 loads no weights.
        tell: hears what is being done.

    Raises:
        UserError: data or model can't be found or read, or the model is no dense decoder.
    """
    from mlx_cc.model import machine, pull
    from mlx_cc.model.load import load_tokenizer, unloaded
    from mlx_cc.model.tree import rotary_attentions, shares_trunk
    from mlx_cc.train.loop import AS_ROWS, Trainer, updates_of
    from mlx_cc.train.loss import tree_loss

    folder = pull.resolve(settings.model.name, pull_missing=False)
    file = ModelFolder(folder).config
    config = read_json(file, dict)
    shape = read_shape(config, str(file))
    conversations, held_out, centre = find_data(settings)
    trainer = None
    if probe_steps:
        tell("loading the model")
        trainer = Trainer(settings, Path("adapters") / Path(settings.training.output_dir).name, centre)
        shared = trainer.loss is tree_loss
    else:
        shared = settings.training.loss == "tree" and shares_trunk(unloaded(folder, config), AS_ROWS, rotary_attentions)
    training = msgspec.structs.replace(settings.training, loss="tree" if shared else "rows")
    settings = msgspec.structs.replace(settings, training=training)
    order = np.random.default_rng(training.seed).permutation(len(conversations))
    sample = [conversations[place] for place in order[:SAMPLE]]
    tokenizer = load_tokenizer(folder, config)
    started = time.perf_counter()
    encoder = Encoder(tokenizer)
    visits = range(len(sample))  # all parts of chains, as in an epoch
    trees = build_trees(progress(sample, "counting tokens", len(sample)), settings, centre, encoder, visits)
    build_seconds = (time.perf_counter() - started) / len(trees)
    validation = build_trees(progress(held_out, "counting validation", len(held_out)), settings, centre, encoder)
    turns = sum(len(conversation.turns) for conversation in sample)
    counts = count(trees, len(conversations), turns, settings.model.max_seq_length)

    target = this_target()
    worst = largest_step(trees, settings, shape, target)
    updates = updates_of(training, len(conversations))
    steps = math.ceil(len(conversations) * training.num_train_epochs / training.per_device_train_batch_size)
    validations = _validations(settings, updates, len(conversations))
    probed = hours = None
    if trainer:
        trainer.settings = settings
        probed = probe(trainer, trees, validation, probe_steps, shape, target)
        hours = _hours(probed, counts, settings, steps, validations, validation, build_seconds)
    computed = counts.tree_tokens if training.loss == "tree" else counts.row_tokens
    mac = Target(STOCK, is_cpu=False)
    on_mac = memory(shape, settings, mac, largest_step(trees, settings, shape, mac)).total
    works = _works(trees, validation, settings)
    this = machine.prepare()
    return Plan(
        model=settings.model.name,
        parameters=shape.parameters,
        trained_parameters=count_trained(shape, settings.lora),
        counts=counts,
        validation_conversations=len(held_out),
        epochs=training.num_train_epochs,
        steps=steps,
        updates=updates,
        validations=validations,
        loss=training.loss,
        machine=f"{this.name} ({this.backend})",
        machine_bytes=this.memory_bytes,
        memory=memory(shape, settings, target, worst),
        stock_memory=memory(shape, settings, target._replace(kernels=STOCK), [_stock_step(counts, settings)]),
        probe=probed,
        hours=hours,
        stock_hours=hours and hours.times(counts.stock_tokens / computed),
        chips=[_on_chip(chip, shape, settings, works, on_mac, counts, validations) for chip in CHIPS],
        example=marked(sorted(trees, key=lambda tree: tree.tokens)[len(trees) // 2], tokenizer),
    )


# Tokens


def count(trees: Sequence[Tree], conversations: int, turns: int, max_tokens: int) -> Counts:
    """Tokens of trees, scaled up to `conversations`; `turns` are those of their conversations."""
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


def _validations(settings: TrainSettings, updates: int, conversations: int) -> int:
    """Passes over the validation split, that before training included."""
    training = settings.training
    per_update = training.per_device_train_batch_size * training.gradient_accumulation_steps
    every = training.eval_steps or max(1, math.ceil(conversations / per_update))
    return 1 + math.ceil(updates / every)


def marked(tree: Tree, tokenizer: Tokenizer) -> Marked:
    """A tree in words."""
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


def _works(
    trees: Sequence[Tree], validation: Sequence[Tree], settings: TrainSettings
) -> tuple[list[Group], list[Group], list[Group], list[Group]]:
    """What is computed: train and validation conversations as this run does, then both as mlx-lm does."""
    longest = settings.model.max_seq_length

    def ours(found: Sequence[Tree]) -> list[Group]:
        return [group for tree in found for backward in backwards([tree], settings) for group in backward]

    def stock(found: Sequence[Tree]) -> list[Group]:
        lengths = [stock_length(len(row), longest) for tree in found for row in tree.rows]
        return [Group(1, length, 0, length) for length in lengths]

    return ours(trees), ours(validation), stock(trees), stock(validation)


def _on_chip(
    chip: Chip,
    shape: Shape,
    settings: TrainSettings,
    works: tuple[list[Group], list[Group], list[Group], list[Group]],
    needs: float,
    counts: Counts,
    validations: int,
) -> OnChip:
    """A run on a chip, where its GPU computes in 16 bit with MLX's own kernels."""
    epochs = settings.training.num_train_epochs * counts.conversations / counts.sampled

    def hours(train: list[Group], held_out: list[Group]) -> tuple[float, float]:
        high, low = (
            epochs * seconds(shape, settings, train, chip, rate)
            + validations * sum(forward_operations(shape, group) for group in held_out) / (chip.tflops[rate] * 1e12)
            for rate in (0, 1)
        )
        return low / 3600, high / 3600

    low, high = hours(*works[:2])
    tokens = settings.training.num_train_epochs * counts.tree_tokens / 3600
    return OnChip(
        chip=chip,
        tokens_per_s=(tokens / high, tokens / low),
        hours=(low, high),
        stock_hours=hours(*works[2:]),
        memory_bytes=needs,
        fits={size: needs <= usable_bytes(size) for size in chip.memory_gb},
    )
