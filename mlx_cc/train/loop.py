"""The training loop: trees in, an adapter out, with everything that a run leaves behind.

A run's folder holds the best adapter so far (`adapters.safetensors`), the state to continue from
(`checkpoint.safetensors`), the settings it resolved to, `metrics.jsonl`, `loss.png`, the ids it
learned from (`manifest.txt`) and `report.json`. Each file appears whole.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import msgspec
import numpy as np
import yaml
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import write_json, write_text, written_whole
from mlx_cc.model import machine
from mlx_cc.model.load import base_model, keep_beside, parameters
from mlx_cc.model.tree import checkpointed, make_tree
from mlx_cc.prompt import Encoder, Tree
from mlx_cc.tasks import Task, pick
from mlx_cc.train.batches import epoch_order, trees
from mlx_cc.train.loss import rows_loss, tree_loss, weight_of
from mlx_cc.train.settings import Lora, Training, TrainSettings

Loss = Callable[[nn.Module, Tree, Mapping[str, float]], tuple[mx.array, mx.array]]
LOSSES: dict[str, Loss] = {"tree": tree_loss, "rows": rows_loss}
ADAPTER, CHECKPOINT = "adapters.safetensors", "checkpoint.safetensors"


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
    validation_loss: float | None = None
    validation_by_task: dict[str, float] | None = None


@dataclass(frozen=True)
class Run:
    """A finished (or stopped) run."""

    folder: Path
    updates: int
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


def add_adapters(model: Any, lora: Lora) -> dict[str, Any]:
    """Freeze the model, add LoRA layers, and return the `adapter_config.json` entries that describe them.

    Raises:
        UserError: none of the target modules exists in the model.
    """
    from mlx_lm.tuner.utils import linear_to_lora_layers

    layers = len(model.layers) if lora.num_layers == -1 else min(lora.num_layers, len(model.layers))
    if not lora.enabled:
        model.freeze()
        for layer in model.layers[-layers:]:
            layer.unfreeze()
        return {"fine_tune_type": "full", "num_layers": layers}
    names = [name for name, _ in model.layers[-1].named_modules()]
    keys = [name for name in names if name.rsplit(".", 1)[-1] in lora.target_modules]
    if not keys:
        known = sorted({name.rsplit(".", 1)[-1] for name in names if name.endswith("proj")})
        raise UserError(
            f"lora.target_modules: the model has none of {', '.join(lora.target_modules)}. It has {', '.join(known)}."
        )
    model.freeze()
    config = {"rank": lora.r, "scale": lora.lora_alpha / lora.r, "dropout": lora.lora_dropout, "keys": keys}
    linear_to_lora_layers(model, layers, config, use_dora=lora.type == "dora")
    return {"fine_tune_type": lora.type, "num_layers": layers, "lora_parameters": config}


def save_arrays(path: Path, arrays: Mapping[str, mx.array], metadata: Mapping[str, str]) -> None:
    """Write arrays as one safetensors file, whole."""
    staged = path.with_name(path.name + ".arrays.safetensors")
    try:
        try:
            mx.save_safetensors(str(staged), dict(arrays), metadata=dict(metadata))
        except RuntimeError as fault:
            raise UserError(f"{path}: could not be written ({fault}); the last save is intact. Free space.") from fault
        with staged.open("rb") as source, written_whole(path) as file:
            while block := source.read(1 << 24):
                file.write(block)
    finally:
        staged.unlink(missing_ok=True)


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
            model, tokenizer, _ = base_model(settings.model.name)
            _set_precision(model, settings)
        self.model, self.tokenizer = model, tokenizer
        self.encoder = Encoder(tokenizer)
        mx.random.seed(training.seed)
        self.adapter_config = add_adapters(model, settings.lora)
        if training.loss == "tree":
            make_tree(model)
        self.loss = LOSSES[training.loss]
        self.optimizer = optim.AdamW(learning_rate=training.learning_rate, weight_decay=training.weight_decay)
        self.optimizer.init(model.trainable_parameters())
        self.update = 0
        self.best = (math.inf, -1)
        self.first = math.nan

    # State on disk

    def save(self, best: bool) -> None:
        """Write the state to continue from, and the adapter when it is the best so far."""
        weights = dict(tree_flatten(self.model.trainable_parameters()))
        state = {f"model.{k}": v for k, v in weights.items()}
        state |= {f"optimizer.{k}": v for k, v in tree_flatten(self.optimizer.state)}
        position = {"update": self.update, "best": self.best, "first": self.first}
        if best:
            save_arrays(self.folder / ADAPTER, weights, {"format": "mlx"})
        save_arrays(self.folder / CHECKPOINT, state, {"position": json.dumps(position)})

    def resume(self) -> None:
        """Continue from the folder's checkpoint.

        Raises:
            UserError: there is none, or it belongs to other settings.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            raise UserError(f"{path}: nothing to resume. Start without --resume.")
        loaded = mx.load(str(path), return_metadata=True)
        arrays, metadata = cast(tuple[dict[str, mx.array], dict[str, str]], loaded)
        here = {k: v.shape for k, v in dict(tree_flatten(self.model.trainable_parameters())).items()}
        there = {k[6:]: v.shape for k, v in arrays.items() if k.startswith("model.")}
        if here != there:
            raise UserError(
                f"{path}: was made with other model or LoRA settings. Resume with those, or choose another run."
            )
        self.model.update(tree_unflatten([(k[6:], v) for k, v in arrays.items() if k.startswith("model.")]))
        self.optimizer.state = tree_unflatten([(k[10:], v) for k, v in arrays.items() if k.startswith("optimizer.")])
        position = json.loads(metadata["position"])
        self.update, self.best, self.first = position["update"], tuple(position["best"]), position["first"]

    # Computing

    def plant(self, conversations: Sequence[Conversation]) -> list[Tree]:
        """Conversations as trees of this run's tasks, answers included."""
        prompt, longest = self.settings.prompt, self.settings.model.max_seq_length
        return list(trees(conversations, self.tasks, self.centre, self.encoder, prompt, longest))

    def gradients(self, batch: Sequence[Tree]) -> tuple[float, Any, int]:
        """Mean loss over all branches of the trees (weighted by task), its gradients, and tokens computed.

        Raises:
            UserError: a loss is not a number; names the conversations.
        """
        weights = self.settings.training.task_weights
        total = sum(weight_of(tree, weights) for tree in batch)
        grad = nn.value_and_grad(self.model, lambda tree: self.loss(self.model, tree, weights))
        summed, loss = None, 0.0
        for tree in batch:
            (value, _), found = grad(tree)
            summed = found if summed is None else tree_map(mx.add, summed, found)
            mx.eval(summed, value)
            loss += cast(float, value.item()) / total
            if not math.isfinite(loss):
                raise UserError(
                    f"{self.folder}: the loss of conversation {tree.conversation_id} is {value.item()} at update "
                    f"{self.update + 1}; stopped. The last good state is kept: lower learning_rate and use --resume, "
                    "or leave that conversation out."
                )
        return loss, tree_map(lambda g: g / total, summed), sum(tree.tokens for tree in batch)

    def validate(self, batch: Sequence[Tree]) -> tuple[float, dict[str, float]]:
        """Mean answer loss over branches (weighted), and per task, with dropout off."""
        weights = self.settings.training.task_weights
        machine.suit_threads()
        self.model.eval()
        total, count = 0.0, 0.0
        by_task: dict[str, list[float]] = {}
        for tree in batch:
            value, losses = self.loss(self.model, tree, weights)
            mx.eval(value, losses)
            total += cast(float, value.item())
            count += weight_of(tree, weights)
            flat, start = np.array(losses), 0
            for branch in tree.branches:
                by_task.setdefault(branch.task, []).append(float(flat[start : start + len(branch.answer)].mean()))
                start += len(branch.answer)
        self.model.train()
        return total / count, {task: float(np.mean(found)) for task, found in by_task.items()}

    def run(
        self,
        train: Sequence[Conversation],
        validation: Sequence[Conversation],
        on_step: Callable[[Step], None] = lambda step: None,
    ) -> Run:
        """Train to the end. `on_step` hears of every update; KeyboardInterrupt saves and goes on up."""
        training = self.settings.training
        self.folder.mkdir(parents=True, exist_ok=True)
        self._describe(train)
        held_out = self.plant(sorted(validation, key=lambda c: c.id)[: training.eval_conversations])
        per_update = training.per_device_train_batch_size * training.gradient_accumulation_steps
        updates = max(1, math.ceil(len(train) * training.num_train_epochs / per_update))
        per_epoch = max(1, math.ceil(len(train) / per_update))
        eval_steps = training.eval_steps or per_epoch
        save_steps = training.save_steps or eval_steps
        shortened: dict[str, int] = {}
        machine.reset_peak_memory()
        started = time.perf_counter()
        tokens = 0
        self.model.train()
        if self.update == 0:
            (self.folder / "metrics.jsonl").unlink(missing_ok=True)
            self.first = self.validate(held_out)[0]
        else:
            self._forget_after(self.update)
        log = (self.folder / "metrics.jsonl").open("a", encoding="utf-8")
        around = (
            checkpointed(self.model) if training.gradient_checkpointing and training.loss == "tree" else nullcontext()
        )
        try:
            with log, around, machine.wired_limit():
                while self.update < updates:
                    machine.suit_threads()
                    clock = time.perf_counter()
                    mx.random.seed(training.seed * 1_000_003 + self.update)
                    places = range(self.update * per_update, (self.update + 1) * per_update)
                    orders = {e: epoch_order(len(train), e, training.seed) for e in {p // len(train) for p in places}}
                    batch = self.plant([train[orders[p // len(train)][p % len(train)]] for p in places])
                    shortened |= {t.conversation_id: t.omitted_turns for t in batch if t.omitted_turns}
                    rate = learning_rate(self.update, updates, training)
                    loss, gradients, computed = self.gradients(batch)
                    gradients, clipped = optim.clip_grad_norm(gradients, training.max_grad_norm)
                    norm = cast(float, clipped.item())
                    if not math.isfinite(norm):
                        ids = ", ".join(tree.conversation_id for tree in batch)
                        raise UserError(
                            f"{self.folder}: the gradient is {norm} at update {self.update + 1} (conversations {ids}); "
                            "stopped. The last good state is kept: lower learning_rate and use --resume."
                        )
                    self.optimizer.learning_rate = rate
                    self.optimizer.update(self.model, gradients)
                    mx.eval(self.model.trainable_parameters(), self.optimizer.state)
                    self.update += 1
                    tokens += computed
                    step = Step(
                        update=self.update,
                        updates=updates,
                        epoch=self.update * per_update / len(train),
                        loss=loss,
                        learning_rate=rate,
                        gradient_norm=norm,
                        tokens=computed,
                        tokens_per_s=computed / (time.perf_counter() - clock),
                        peak_memory_mb=machine.peak_memory_bytes() / 1e6,
                    )
                    last = self.update == updates
                    if self.update % eval_steps == 0 or last:
                        step.validation_loss, step.validation_by_task = self.validate(held_out)
                        if not math.isfinite(step.validation_loss):
                            raise UserError(
                                f"{self.folder}: the validation loss is {step.validation_loss} at update "
                                f"{self.update}; stopped. The last good state is kept: lower learning_rate "
                                "and use --resume."
                            )
                        better = step.validation_loss < self.best[0]
                        if better:
                            self.best = (step.validation_loss, self.update)
                        self.save(best=better)
                    elif self.update % save_steps == 0:
                        self.save(best=False)
                    if self.update % training.logging_steps == 0 or step.validation_loss is not None:
                        log.write(json.dumps(step.__dict__) + "\n")
                        log.flush()
                    on_step(step)
        except KeyboardInterrupt:
            self.save(best=self.best[1] == -1)
            raise
        finally:
            self.model.eval()
        trainable, total = parameters(self.model)
        report = Run(
            folder=self.folder,
            updates=self.update,
            first_validation=self.first,
            best_validation=self.best[0],
            best_update=self.best[1],
            seconds=time.perf_counter() - started,
            tokens=tokens,
            trainable=trainable,
            parameters=total,
            train_conversations=len(train),
            shortened=len(shortened),
            omitted_turns=sum(shortened.values()),
            peak_memory_mb=machine.peak_memory_bytes() / 1e6,
        )
        write_json(self.folder / "report.json", {**report.__dict__, "folder": str(self.folder)})
        from mlx_cc.report.plots import loss_plot

        loss_plot(self.folder / "metrics.jsonl", self.folder / "loss.png", self.first)
        return report

    def _describe(self, train: Sequence[Conversation]) -> None:
        """Write what a later `load`, `fuse` or `erase` must know, before anything is trained."""
        settings = self.settings
        write_json(
            self.folder / "adapter_config.json",
            {"model": settings.model.name, **self.adapter_config, "max_seq_length": settings.model.max_seq_length},
        )
        write_text(self.folder / "settings.yaml", yaml.safe_dump(msgspec.to_builtins(settings), sort_keys=False))
        keep_beside(self.folder, self.centre, settings.prompt)
        write_text(self.folder / "manifest.txt", "".join(f"{c.id}\n" for c in train))

    def _forget_after(self, update: int) -> None:
        """Drop metric lines later than the state that is resumed."""
        path = self.folder / "metrics.jsonl"
        kept = (
            [line for line in path.read_text().splitlines() if json.loads(line)["update"] <= update]
            if path.exists()
            else []
        )
        write_text(path, "".join(line + "\n" for line in kept))


def _set_precision(model: Any, settings: TrainSettings) -> None:
    """Give the base weights the precision the settings ask for, where this machine can compute in it."""
    if machine.compute_dtype() == mx.float32:
        return
    if not (settings.training.fp16 or settings.training.bf16):
        model.set_dtype(mx.float32)
    if settings.model.quantization != "none":
        nn.quantize(model, group_size=64, bits=int(settings.model.quantization[0]))
