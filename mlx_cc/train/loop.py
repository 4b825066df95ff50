"""The training loop: conversations in, an adapter out.

A run can be killed at any moment: what it resumes from (`mlx_cc.train.checkpoint`) is an update that was finished.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_map

from mlx_cc import reasoning
from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import write_json
from mlx_cc.model import machine
from mlx_cc.model.load import base_model, parameters
from mlx_cc.model.tree import checkpointed, shares_trunk
from mlx_cc.prompt import Encoder, Tree, groups
from mlx_cc.tasks import Task, pick
from mlx_cc.train.adapters import add_adapters
from mlx_cc.train.batches import Stream, build_trees
from mlx_cc.train.checkpoint import Checkpoint, Position
from mlx_cc.train.loss import Objective, rows_loss, tree_loss, weight_of
from mlx_cc.train.settings import Training, TrainSettings

AS_ROWS = "Each row is computed alone, as with `loss: rows` under training."
SPIKES = 3
"""Consecutive updates above the limit that stop a run. Set by hand: one or two can come from a hard conversation."""


class Stopped(Exception):
    """Somebody asked the run to stop; its state is saved."""


@dataclass
class Step:
    """What one optimizer update did; a line of metrics.jsonl."""

    update: int
    updates: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int
    tokens_per_s: float
    peak_memory_mb: float
    loss_by_task: dict[str, float]
    """Task -> mean loss, unweighted; the reasoning chain counts as a task."""
    validation_loss: float | None = None
    validation_by_task: dict[str, float] | None = None


class ByTask:
    """Collects the losses of branches by their task."""

    def __init__(self) -> None:
        self._losses: dict[str, list[float]] = {}

    def add(self, group: Sequence[Tree], losses: mx.array) -> None:
        """Args: losses: unweighted losses of the group's branches, in order."""
        tasks = (branch.task for tree in group for branch in tree.branches)
        for task, loss in zip(tasks, np.array(losses).tolist(), strict=True):
            self._losses.setdefault(task, []).append(loss)

    def means(self) -> dict[str, float]:
        return {task: float(np.mean(losses)) for task, losses in self._losses.items()}


@dataclass(frozen=True)
class Run:
    """A finished (or stopped) run."""

    folder: Path
    updates: int
    planned_updates: int
    """More than `updates` when the run stopped early."""
    first_validation: float
    best_validation: float
    best_update: int
    seconds: float
    tokens: int
    trainable: int
    parameters: int
    train_conversations: int
    shortened: int
    """Conversations that lost turns from the middle because they were over-long."""
    omitted_turns: int
    peak_memory_mb: float


def learning_rate(update: int, updates: int, training: Training) -> float:
    """The rate of an update (counted from 0): linear warm-up, then the chosen shape down to 0."""
    warmup = math.ceil(updates * training.warmup_ratio)
    if update < warmup:
        return training.learning_rate * (update + 1) / warmup
    if training.lr_scheduler_type == "constant":
        return training.learning_rate
    done = (update - warmup) / max(1, updates - warmup)
    return training.learning_rate * (
        (1 + math.cos(math.pi * done)) / 2 if training.lr_scheduler_type == "cosine" else 1 - done
    )


class Trainer:
    """One run: the model, its optimizer, and where in the data it is."""

    def __init__(self, settings: TrainSettings, folder: Path, centre: Centre, model: Any = None, tokenizer: Any = None):
        training = settings.training
        self.settings, self.folder, self.centre = settings, folder, centre
        self.tasks: list[Task] = pick(training.tasks)
        unknown = set(training.task_weights) - {task.name for task in self.tasks}
        if unknown:
            raise UserError(f"training.task_weights: no task '{unknown.pop()}' in this run.")
        if model is None:
            model, tokenizer, _ = base_model(settings.model.name, settings.model.quantization)
            if machine.compute_dtype() != mx.float32 and not (training.fp16 or training.bf16):
                model.set_dtype(mx.float32)
        self.model, self.tokenizer = model, tokenizer
        self.encoder = Encoder(tokenizer)
        mx.random.seed(training.seed)
        self.checkpoint = Checkpoint(folder, settings, centre, add_adapters(model, settings.lora))
        self.loss = tree_loss if training.loss == "tree" and shares_trunk(model, AS_ROWS) else rows_loss
        self.weights = {**training.task_weights, reasoning.NAME: training.reasoning_weight}
        self.objective = Objective(training.soft_width, training.soft_error_weight)
        self.optimizer = optim.AdamW(learning_rate=training.learning_rate, weight_decay=training.weight_decay)
        self.optimizer.init(model.trainable_parameters())
        self.update = 0
        self.best = (math.inf, -1)
        self.first = math.nan
        self.stale = 0
        """Validations since the best."""
        self.spikes = 0
        """Consecutive updates with a loss over the limit; none of them is saved."""
        self.shortened: dict[str, int] = {}
        """Conversation id -> turns that it lost from its middle."""

    def save(self, best: bool) -> None:
        """Write the state to resume from, and the adapter when it is the best so far."""
        position = Position(self.update, self.best, self.first, self.stale)
        self.checkpoint.save(self.model, self.optimizer, position, best)

    def resume(self) -> None:
        """Continue from the folder's checkpoint.

        Raises:
            UserError: there is none, or it belongs to other settings.
        """
        self.update, self.best, self.first, self.stale = self.checkpoint.load(self.model, self.optimizer)

    # Computing

    def build_trees(self, conversations: Sequence[Conversation], visits: Sequence[int] | None = None) -> list[Tree]:
        """Make trees of this run's tasks, answers included; `visits` as in `batches.build_trees`."""
        return build_trees(conversations, self.settings, self.centre, self.encoder, visits)

    def gradients(
        self, steps: Sequence[Sequence[Tree]], stop: Callable[[], bool] = lambda: False
    ) -> tuple[float, Any, int, dict[str, float]]:
        """Mean loss over all branches of the steps' trees (weighted by task), its gradients, tokens computed, and the
        mean loss of each task.

        Raises:
            UserError: a loss is not a number; names the conversations.
            Stopped: `stop` returned True; nothing was changed.
        """
        weights = self.weights
        total = sum(weight_of(tree, weights) for step in steps for tree in step)
        grad = nn.value_and_grad(self.model, lambda group: self.loss(self.model, group, weights, self.objective))
        state = [self.model.state, mx.random.state]
        summed, loss = None, 0.0
        by_task = ByTask()
        for group in self._groups(steps):
            if stop():
                raise Stopped
            # Hardly two groups have the same shapes, so each is compiled anew: fusing saves more time than that takes
            (value, losses), of_group = mx.compile(partial(grad, group), inputs=state, outputs=state)()
            summed = of_group if summed is None else tree_map(mx.add, summed, of_group)
            mx.eval(summed, value, losses)
            loss += cast(float, value.item()) / total
            if not math.isfinite(loss):
                bad = not_finite(group, losses)
                raise UserError(
                    f"{self.folder}: the loss of conversation {', '.join(bad)} is {value.item()} at update "
                    f"{self.update + 1}; stopped. The last good state is kept: lower learning_rate and use --resume, "
                    "or leave that conversation out."
                )
            by_task.add(group, losses)
        tokens = sum(tree.tokens for step in steps for tree in step)
        return loss, tree_map(lambda g: g / total, summed), tokens, by_task.means()

    def _groups(self, steps: Sequence[Sequence[Tree]]) -> Iterator[list[Tree]]:
        one_at_a_time = self.loss is rows_loss or getattr(self.model, "one_tree_at_a_time", False)
        for step in steps:
            yield from groups(step, one_at_a_time)

    def validate(self, batch: Sequence[Tree]) -> tuple[float, dict[str, float]]:
        """Mean loss over branches (weighted), and per task, with dropout off."""
        weights = self.weights
        machine.suit_threads()
        self.model.eval()
        total, count = 0.0, 0.0
        by_task = ByTask()
        per_step = self.settings.training.per_device_train_batch_size
        ordered = sorted(batch, key=lambda tree: tree.tokens)
        steps = [ordered[start : start + per_step] for start in range(0, len(ordered), per_step)]
        for group in self._groups(steps):
            value, losses = self.loss(self.model, group, weights, self.objective)
            mx.eval(value, losses)
            total += cast(float, value.item())
            count += sum(weight_of(tree, weights) for tree in group)
            by_task.add(group, losses)
        self.model.train()
        return total / count, by_task.means()

    def run(
        self,
        train: Sequence[Conversation],
        validation: Sequence[Conversation],
        on_step: Callable[[Step], None] = lambda step: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Run:
        """Train to the end. `on_step` is called after every update, `stop` several times during one.

        Raises:
            UserError: losses or gradients are no numbers, or grow; names the conversations.
            Stopped: `stop` returned True; the state is saved.
        """
        training, files = self.settings.training, self.checkpoint.files
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint.describe([c.id for c in train], resumed=self.update > 0)
        self.checkpoint.forget_steps_after(self.update)
        held_out = self.build_trees(sorted(validation, key=lambda c: c.id)[: training.eval_conversations])
        machine.reset_peak_memory()
        started = time.perf_counter()
        self.model.train()
        if self.update == 0:
            self.first = self.validate(held_out)[0]
        stream = Stream(
            train,
            self.build_trees,
            training.per_device_train_batch_size,
            training.gradient_accumulation_steps,
            updates_of(training, len(train)),
            training.seed,
        )
        eval_steps = eval_steps_of(training, len(train))
        tokens, saved = 0, time.monotonic()
        checkpointing = checkpointed(self.model) if training.gradient_checkpointing else nullcontext()
        try:
            with files.metrics.open("a", encoding="utf-8") as log, checkpointing, machine.wired_limit():
                while self.update < stream.updates and not self._is_stale():
                    step = self._step(stream, stop)
                    tokens += step.tokens
                    last = self.update == stream.updates
                    due = self.update % (training.save_steps or eval_steps) == 0
                    due = due or time.monotonic() - saved > 60 * training.save_minutes
                    better = (self.update % eval_steps == 0 or last) and self._judge(step, held_out)
                    if (better or due or step.validation_loss is not None) and not self.spikes:
                        self.save(best=better)
                        saved = time.monotonic()
                    if self.update % training.logging_steps == 0 or step.validation_loss is not None:
                        log.write(json.dumps(step.__dict__) + "\n")
                        log.flush()
                    on_step(step)
        except Stopped:
            if not self.spikes:
                self.save(best=self.best[1] == -1)
            raise
        finally:
            self.model.eval()
        return self._report(stream, tokens, time.perf_counter() - started)

    def _step(self, stream: Stream, stop: Callable[[], bool]) -> Step:
        """Do the next update."""
        training = self.settings.training
        machine.suit_threads()
        started = time.perf_counter()
        mx.random.seed(training.seed * 1_000_003 + self.update)  # more than a run has updates: seeds stay apart
        steps = stream.update(self.update)
        batch = [tree for step in steps for tree in step]
        self.shortened |= {t.conversation_id: t.omitted_turns for t in batch if t.omitted_turns}
        rate = learning_rate(self.update, stream.updates, training)
        loss, gradients, tokens, by_task = self.gradients(steps, stop)
        gradients, clipped = optim.clip_grad_norm(gradients, training.max_grad_norm)
        norm = cast(float, clipped.item())
        self._count_spikes(loss, norm, batch)
        self.optimizer.learning_rate = rate
        self.optimizer.update(self.model, gradients)
        mx.eval(self.model.trainable_parameters(), self.optimizer.state)
        self.update += 1
        return Step(
            update=self.update,
            updates=stream.updates,
            epoch=self.update * conversations_per_update(training) / len(stream.conversations),
            loss=loss,
            learning_rate=rate,
            gradient_norm=norm,
            tokens=tokens,
            tokens_per_s=tokens / (time.perf_counter() - started),
            peak_memory_mb=machine.peak_memory_bytes() / 1e6,
            loss_by_task=by_task,
        )

    def _report(self, stream: Stream, tokens: int, seconds: float) -> Run:
        """Write what the run did, and the curves of its losses."""
        trainable, total = parameters(self.model)
        report = Run(
            folder=self.folder,
            updates=self.update,
            planned_updates=stream.updates,
            first_validation=self.first,
            best_validation=self.best[0],
            best_update=self.best[1],
            seconds=seconds,
            tokens=tokens,
            trainable=trainable,
            parameters=total,
            train_conversations=len(stream.conversations),
            shortened=len(self.shortened),
            omitted_turns=sum(self.shortened.values()),
            peak_memory_mb=machine.peak_memory_bytes() / 1e6,
        )
        files = self.checkpoint.files
        write_json(files.report, {**report.__dict__, "folder": str(self.folder)})
        from mlx_cc.report.plots import loss_plot

        loss_plot(files.metrics, files.loss, self.first)
        return report

    def _judge(self, step: Step, held_out: Sequence[Tree]) -> bool:
        """Validate and write the result into the step; returns whether it is the best so far."""
        step.validation_loss, step.validation_by_task = self.validate(held_out)
        if not math.isfinite(step.validation_loss):
            raise UserError(
                f"{self.folder}: the validation loss is {step.validation_loss} at update {self.update}; stopped. "
                "The last good state is kept: lower learning_rate and use --resume."
            )
        better = step.validation_loss < self.best[0]
        if better:
            self.best = (step.validation_loss, self.update)
        self.stale = 0 if better else self.stale + 1
        return better

    def _is_stale(self) -> bool:
        patience = self.settings.training.early_stopping_patience
        return bool(patience) and self.stale >= patience

    def _count_spikes(self, loss: float, norm: float, batch: Sequence[Tree]) -> None:
        """Count an update whose loss is over the limit.

        Raises:
            UserError: there were too many in a row, or the gradient is no number.
        """
        ids = ", ".join(tree.conversation_id for tree in batch)
        if not math.isfinite(norm):
            raise UserError(
                f"{self.folder}: the gradient is {norm} at update {self.update + 1} (conversations {ids}); "
                "stopped. The last good state is kept: lower learning_rate and use --resume."
            )
        limit = self.settings.training.spike_factor * self.first
        self.spikes = self.spikes + 1 if limit and loss > limit else 0
        if self.spikes == SPIKES:
            raise UserError(
                f"{self.folder}: the loss is {loss:.3g} at update {self.update + 1} (conversations {ids}) and was over "
                f"{limit:.3g}, {self.settings.training.spike_factor:g} times that before training, for {SPIKES} "
                "updates; stopped. The last good state is kept: lower learning_rate and use --resume."
            )


def conversations_per_update(training: Training) -> int:
    return training.per_device_train_batch_size * training.gradient_accumulation_steps


def updates_of(training: Training, conversations: int) -> int:
    """Number of optimizer updates of a run."""
    return max(1, math.ceil(conversations * training.num_train_epochs / conversations_per_update(training)))


def eval_steps_of(training: Training, conversations: int) -> int:
    """Number of updates between validations."""
    return training.eval_steps or max(1, math.ceil(conversations / conversations_per_update(training)))


def not_finite(group: Sequence[Tree], losses: mx.array) -> list[str]:
    """Ids of the conversations with a branch whose loss is no number."""
    owners = [tree.conversation_id for tree in group for _ in tree.branches]
    return list(dict.fromkeys(o for o, x in zip(owners, np.array(losses), strict=True) if not math.isfinite(x)))
