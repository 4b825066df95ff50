"""What a training run will take, before it starts: tokens, optimizer updates, memory and hours.

Tokens are counted on planted trees, memory is reckoned from the model's config.json (`mlx_cc.train.memory`), time is
measured on a few real steps of this machine (`probe`) and reckoned for Apple's chips (`mlx_cc.train.roofline`).
Nothing is written. "Stock" is mlx-lm's way: one row per answer, padded, the transcript computed again in each.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlx_cc.centre import Centre, read_centre
from mlx_cc.conversation import Conversation
from mlx_cc.files import read_json
from mlx_cc.prompt import Encoder, Tokenizer, Tree, groups, plant_tasks
from mlx_cc.tasks import pick
from mlx_cc.train.batches import find_split, labelled
from mlx_cc.train.memory import OURS, STOCK, Group, Memory, Shape, Target, group_of, memory, read_shape
from mlx_cc.train.memory import trained_parameters as count_trained
from mlx_cc.train.roofline import CHIPS, Chip, forward_operations, seconds, usable_bytes
from mlx_cc.train.settings import TrainSettings

SAMPLE = 2000
"""The most conversations that are planted; counts are scaled up to all."""
LONGEST = 16
"""Steps with the most tokens that are searched for the one that takes the most memory."""
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""(things, what is done with them, how many): the things, with progress shown."""


def untracked(things: Iterable[Any], doing: str, count: int) -> Iterable[Any]:
    """A `Track` that shows nothing."""
    return things


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
    edges: list[float]
    """Of the histogram's bins, one more than there are bins."""
    counts: list[int]


@dataclass(frozen=True)
class Counts:
    """Tokens of the train split. Totals are for one epoch of all conversations, scaled up where a sample was planted."""

    conversations: int
    planted: int
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
class Probe:
    """Real steps on this machine: seconds = per_step + per_token x tokens."""

    steps: int
    tokens: list[int]
    seconds: list[float]
    per_step: float
    per_token: float
    slower: tuple[float, float]
    """Measured over fitted seconds, at the 10th and 90th percentile of the steps."""
    forward_per_token: float
    """Seconds of a validation pass."""
    peak_bytes: int
    estimated_bytes: float
    """What `memory` says of the largest of these steps."""


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
    machine: str
    machine_bytes: int
    memory: Memory
    """On this machine, for the step that takes the most."""
    stock_memory: Memory
    """Of mlx-lm's way on this machine with `per_device_train_batch_size` rows."""
    probe: Probe | None
    hours: Hours | None
    """On this machine, validations and planting included; None without a probe."""
    stock_hours: Hours | None
    chips: list[OnChip]
    example: Marked


def plan(
    settings: TrainSettings, probe_steps: int = 10, track: Track = untracked, tell: Callable[[str], Any] = str
) -> Plan:
    """Plan the run that `train` would do with these settings.

    Args:
        probe_steps: real steps to time; 0 loads no weights.
        tell: hears what is being done.

    Raises:
        UserError: data or model can't be found or read, or the model is no dense decoder.
    """
    from mlx_cc.model import machine, pull
    from mlx_cc.train.loop import Trainer, updates_of

    training = settings.training
    folder = pull.resolve(settings.model.name, pull_missing=False)
    config = read_json(folder / "config.json", dict)
    shape = read_shape(config, str(folder / "config.json"))
    conversations, held_out, centre = _data(settings)
    order = np.random.default_rng(training.seed).permutation(len(conversations))
    sample = [conversations[place] for place in order[:SAMPLE]]
    tokenizer = _tokenizer(folder, config)
    started = time.perf_counter()
    trees = plant(track(sample, "counting tokens", len(sample)), settings, centre, tokenizer)
    plant_seconds = (time.perf_counter() - started) / len(trees)
    validation = plant(track(held_out, "counting validation", len(held_out)), settings, centre, tokenizer)
    turns = sum(len(conversation.turns) for conversation in sample)
    counts = count(trees, len(conversations), turns, settings.model.max_seq_length)

    target = this_target()
    worst = largest_step(trees, settings, shape, target)
    updates = updates_of(training, len(conversations))
    steps = math.ceil(len(conversations) * training.num_train_epochs / training.per_device_train_batch_size)
    validations = _validations(settings, updates, len(conversations))
    probed = hours = None
    if probe_steps:
        tell("loading the model")
        trainer = Trainer(settings, Path("adapters") / Path(training.output_dir).name, centre)
        probed = probe(trainer, trees, validation, probe_steps, shape, target, track)
        hours = _hours(probed, counts, settings, steps, validations, validation, plant_seconds)
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


def _data(settings: TrainSettings) -> tuple[list[Conversation], list[Conversation], Centre]:
    """Train conversations, those validated on, and the centre they were prepared for."""
    tasks = pick(settings.training.tasks)
    folder = Path(settings.data.dir)
    paths = [find_split(folder, split, getattr(settings.data, split)) for split in ("train", "validation")]
    train, validation = (labelled(path, tasks) for path in paths)
    centre = paths[0].parent / "centre.yaml"
    held_out = sorted(validation, key=lambda c: c.id)[: settings.training.eval_conversations]
    return train, held_out, read_centre(centre if centre.exists() else None)


def _tokenizer(folder: Path, config: dict[str, Any]) -> Tokenizer:
    import logging

    logging.getLogger("transformers").setLevel(logging.ERROR)
    from mlx_lm.utils import load_tokenizer

    return load_tokenizer(folder, eos_token_ids=config.get("eos_token_id"))


def plant(
    conversations: Iterable[Conversation], settings: TrainSettings, centre: Centre, tokenizer: Tokenizer
) -> list[Tree]:
    """Conversations as the trees a run trains on."""
    tasks, encoder = pick(settings.training.tasks), Encoder(tokenizer)
    longest, soft = settings.model.max_seq_length, settings.training.objective == "soft"
    return [plant_tasks(c, tasks, centre, encoder, settings.prompt, longest, True, soft) for c in conversations]


# Tokens


def count(trees: Sequence[Tree], conversations: int, turns: int, max_tokens: int) -> Counts:
    """Tokens of planted trees, scaled up to `conversations`; `turns` are those of the planted ones."""
    scale = conversations / len(trees)
    branches = [branch for tree in trees for branch in tree.branches]
    rows = [len(row) for tree in trees for row in tree.rows]
    return Counts(
        conversations=conversations,
        planted=len(trees),
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


def stock_length(tokens: int, max_tokens: int) -> int:
    """Tokens of a row as mlx-lm pads it."""
    return min(1 + 32 * math.ceil(tokens / 32), max_tokens)


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


# Memory


def this_target() -> Target:
    """What this machine does with numbers."""
    import mlx.core as mx

    from mlx_cc.model import cpu_kernels, machine

    return Target(OURS if cpu_kernels.wanted() else STOCK, machine.compute_dtype() == mx.float32)


def largest_step(trees: Sequence[Tree], settings: TrainSettings, shape: Shape, target: Target) -> list[Group]:
    """The groups of one backward pass that take the most memory, of the steps with the most tokens."""
    found = [backward for step in steps_of(trees, settings)[-LONGEST:] for backward in _backwards(step, settings)]
    return max(found, key=lambda groups: memory(shape, settings, target, groups).total)


def steps_of(trees: Sequence[Tree], settings: TrainSettings) -> list[list[Tree]]:
    """Trees of close lengths, as many as a step computes, shortest first."""
    size = settings.training.per_device_train_batch_size
    ordered = sorted(trees, key=lambda tree: tree.tokens)
    return [ordered[max(0, end - size) : end] for end in range(len(ordered), 0, -size)][::-1]


def _backwards(step: Sequence[Tree], settings: TrainSettings) -> list[list[Group]]:
    """The groups of each backward pass of a step: one, or all rows of a conversation."""
    if settings.training.loss == "tree":
        return [[group_of(group)] for group in groups(step)]
    return [[Group(1, length, 0, length) for length in _row_lengths(tree)] for tree in step]


def _row_lengths(tree: Tree) -> list[int]:
    """Tokens of the rows that `rows_loss` computes."""
    answers = [(b, a) for b in tree.branches for a in (b.scale.answers if b.scale else (b.answer,))]
    return [len(tree.trunk) + len(branch.prompt) + len(answer) - 1 for branch, answer in answers]


def _stock_step(counts: Counts, settings: TrainSettings) -> Group:
    rows = settings.training.per_device_train_batch_size
    length = stock_length(int(counts.row.max), settings.model.max_seq_length)
    return Group(rows, length, 0, rows * length)


# Time


def probe(
    trainer: Any,
    trees: Sequence[Tree],
    validation: Sequence[Tree],
    count: int,
    shape: Shape,
    target: Target,
    track: Track = untracked,
) -> Probe:
    """Time the gradients of `count` steps from the shortest to the longest, after one to warm up; keeps nothing."""
    from mlx_cc.model import machine
    from mlx_cc.model.tree import checkpointed

    settings: TrainSettings = trainer.settings
    steps = steps_of(trees, settings)
    chosen = [steps[place] for place in np.linspace(0, len(steps) - 1, count).round().astype(int)]
    chosen = [chosen[place] for place in np.random.default_rng(0).permutation(count)]  # drifts of speed are no slope
    tokens, measured = [], []
    trainer.model.train()
    with checkpointed(trainer.model) if settings.training.gradient_checkpointing else nullcontext():
        with machine.wired_limit():
            trainer.gradients([steps[len(steps) // 2]])
            machine.reset_peak_memory()
            for step in track(chosen, "timing steps", count):
                machine.suit_threads()
                started = time.perf_counter()
                _, _, computed = trainer.gradients([step])
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
    found = [memory(shape, settings, target, b) for step in chosen for b in _backwards(step, settings)]
    standing = max(found, key=lambda m: m.total)
    return Probe(
        steps=count,
        tokens=tokens,
        seconds=measured,
        per_step=per_step,
        per_token=per_token,
        slower=(low, high),
        forward_per_token=forward,
        peak_bytes=peak,
        estimated_bytes=standing.total - standing.optimizer,
    )


def fit(tokens: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """(a, b) of seconds = a + b tokens, by least squares; a is 0 where that makes no sense of the points."""
    x, y = np.array(tokens, float), np.array(seconds)
    if len(set(tokens)) > 1:
        b, a = np.polyfit(x, y, 1).tolist()
        if a >= 0 and b > 0:
            return a, b
    return 0.0, float(y.sum() / x.sum())


def _hours(
    probed: Probe,
    counts: Counts,
    settings: TrainSettings,
    steps: int,
    validations: int,
    validation: Sequence[Tree],
    plant_seconds: float,
) -> Hours:
    epochs = settings.training.num_train_epochs
    train = probed.per_step * steps + probed.per_token * counts.tree_tokens * epochs
    held_out = validations * probed.forward_per_token * sum(tree.tokens for tree in validation)
    planting = plant_seconds * (counts.conversations * epochs + len(validation))
    low, high = (min(1.0, probed.slower[0]), max(1.0, probed.slower[1]))
    seconds = train + held_out
    return Hours(*((seconds * factor + planting) / 3600 for factor in (low, 1.0, high)))


def _works(
    trees: Sequence[Tree], validation: Sequence[Tree], settings: TrainSettings
) -> tuple[list[Group], list[Group], list[Group], list[Group]]:
    """What is computed: train and validation conversations as this run does, then both as mlx-lm does."""
    longest = settings.model.max_seq_length

    def ours(found: Sequence[Tree]) -> list[Group]:
        return [group for tree in found for backward in _backwards([tree], settings) for group in backward]

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
    epochs = settings.training.num_train_epochs * counts.conversations / counts.planted

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
