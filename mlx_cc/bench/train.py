"""Training on a conversation's branches: the tree, mlx-lm unchanged, and mlx-lm with corrections ("corrected rows").

One unit of work is one optimizer update over all branches of one conversation: LoRA r=16 on q, k, v and o of all
layers, AdamW, random tokens. An example is a branch; to mlx-lm it is a row. The rows run in mlx-lm's own `train`,
which compiles its step; here that is about a tenth faster than our loop on rows. The corrections:

    padding is neither added nor trained   mlx-lm pads rows to 1 + a multiple of 32 and trains a pad token per answer
    the LM head runs on answers only       mlx-lm computes logits, and a loss, for every token
    buffers are kept                       mlx-lm frees them after every step
    attention and SwiGLU                   those of the tree, so that only the tree makes the difference
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlx_cc.bench.comparison import Comparison, Contender, Done, Ratio, compare, times_as_fast
from mlx_cc.errors import UserError
from mlx_cc.prompt import Branch, Tree
from mlx_cc.train.settings import Lora, Training, TrainSettings

SETTINGS = TrainSettings(training=Training(learning_rate=1e-5), lora=Lora(lora_dropout=0.0))
NOWHERE = Path("bench")
"""Folder of a run that saves nothing."""


class Job(Struct):
    """The training data and the model."""

    model: str
    trunk: int
    """Tokens that the branches share."""
    branches: int = 6
    branch_tokens: int = 60
    """Tokens of each branch, answer included."""
    answer_tokens: int = 30
    """Tokens of each answer; only these are trained."""
    seed: int = 0
    max_seq_length: int = 2048
    """mlx-lm pads no further than this."""


class TrainComparison(Comparison):
    """A comparison of training, and the share of the possible saving that the tree reaches."""

    bound: float
    """Tokens of the rows over tokens of the tree, K(T + b) / (T + K b)."""
    bound_reached: Ratio | None
    """Speed-up over the fastest corrected rows as a share of the bound; None where these did not run."""


def train_speed(job: Job, contenders: Sequence[Contender], rounds: int) -> TrainComparison:
    """Compare contenders on a job.

    Raises:
        UserError: an answer is longer than its branch, or a contender can't do the job.
    """
    if not job.answer_tokens < job.branch_tokens:
        raise UserError(
            f"--answer-tokens {job.answer_tokens}: must be less than --branch-tokens {job.branch_tokens}, "
            "which the question shares."
        )
    row = job.trunk + job.branch_tokens
    job = msgspec.structs.replace(job, max_seq_length=max(job.max_seq_length, row))
    title = f"Training {job.model}: trunk {job.trunk} tokens, {job.branches} branches of {job.branch_tokens}"
    found = compare(__name__, contenders, job, rounds, title, "examples/s", job.branches)
    bound = job.branches * row / (job.trunk + job.branches * job.branch_tokens)
    corrected = [c for c in found.contenders if c.name in ("rows", "rows-1x")]
    reached = None
    if corrected:
        fastest = min(corrected, key=lambda c: c.median_s)
        ratio = times_as_fast(fastest.seconds, found.contenders[0].seconds)
        reached = Ratio(ratio.ratio / bound, ratio.low / bound, ratio.high / bound)
    return TrainComparison(**msgspec.structs.asdict(found), bound=bound, bound_reached=reached)


def tree_of(job: Job, vocabulary: int) -> Tree:
    """A conversation of random tokens."""
    import numpy as np

    rng = np.random.default_rng(job.seed)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.integers(vocabulary, size=count).tolist())

    trunk, question = tokens(job.trunk), job.branch_tokens - job.answer_tokens
    branches = (Branch(f"branch {n}", tokens(question), tokens(job.answer_tokens)) for n in range(job.branches))
    return Tree("random", trunk, tuple(branches))


# The contenders; each runs in its own process


def tree(job: Job, done: Done) -> None:
    """The training loop of `mlx_cc train`: one conversation an update."""
    import mlx.core as mx
    import mlx.optimizers as optim

    from mlx_cc.centre import read_centre
    from mlx_cc.model import machine
    from mlx_cc.model.load import base_model
    from mlx_cc.train.loop import Trainer

    model, tokenizer, _ = base_model(job.model)
    trainer = Trainer(SETTINGS, NOWHERE, read_centre(None), model, tokenizer)
    steps = [[tree_of(job, tokenizer.vocab_size)]]
    model.train()
    machine.reset_peak_memory()
    with machine.wired_limit():
        while True:
            started = time.perf_counter()
            loss, gradients, *_ = trainer.gradients(steps)
            gradients, _ = optim.clip_grad_norm(gradients, SETTINGS.training.max_grad_norm)
            trainer.optimizer.update(model, gradients)
            mx.eval(model.trainable_parameters(), trainer.optimizer.state)
            done(time.perf_counter() - started, loss)


def rows(job: Job, done: Done, batch: int = 0, corrected: bool = False) -> None:
    """`mlx_lm.tuner.trainer.train`; its report of each update waits until the next update is wanted.

    Args:
        batch: rows in a batch (0: all); the gradients of smaller batches are accumulated.
    """
    import mlx.optimizers as optim
    from mlx_lm.tuner.callbacks import TrainingCallback
    from mlx_lm.tuner.trainer import TrainingArgs, default_loss, train

    from mlx_cc.model import machine
    from mlx_cc.model.load import base_model
    from mlx_cc.train.loop import add_adapters

    batch = batch or job.branches
    accumulated = job.branches // batch

    class Report(TrainingCallback):
        def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
            done(accumulated / train_info["iterations_per_second"], train_info["train_loss"])

    model, tokenizer, _ = base_model(job.model)
    add_adapters(model, SETTINGS.lora)
    optimizer = optim.AdamW(learning_rate=SETTINGS.training.learning_rate, weight_decay=SETTINGS.training.weight_decay)
    optimizer.init(model.trainable_parameters())  # else mlx-lm compiles its step twice
    prompt = job.trunk + job.branch_tokens - job.answer_tokens
    forever = 10**9
    arguments = TrainingArgs(
        batch_size=batch,
        iters=forever,
        steps_per_report=accumulated,
        steps_per_save=forever + 1,
        max_seq_length=job.trunk + job.branch_tokens if corrected else job.max_seq_length,
        grad_accumulation_steps=accumulated,
        clear_cache_threshold=machine.prepare().memory_bytes if corrected else 0,
    )
    machine.reset_peak_memory()
    train(
        model,
        optimizer,
        [(row, prompt) for row in tree_of(job, tokenizer.vocab_size).rows],
        args=arguments,
        loss=partial(loss_of_answers, job.answer_tokens) if corrected else default_loss,
        training_callback=Report(),
    )


def loss_of_answers(answer_tokens: int, model: Any, batch: Any, _: Any) -> tuple[Any, Any]:
    """Mean cross entropy of the last tokens of each row, and their number; the LM head runs only on these."""
    import mlx.core as mx
    import mlx.nn as nn

    from mlx_cc.model.tree import lm_head

    targets = batch[:, -answer_tokens:]
    logits = lm_head(model, model.model(batch[:, :-1])[:, -answer_tokens:])
    return nn.losses.cross_entropy(logits.astype(mx.float32), targets, reduction="mean"), mx.array(targets.size)


CONTENDERS = (
    Contender("tree", "mlx_cc: the trunk once", "mlx_cc", tree),
    Contender("stock", "mlx-lm: all rows in a batch", "stock", rows),
    Contender("stock-1x", "mlx-lm: batches of one row, accumulated", "stock", partial(rows, batch=1)),
    Contender("rows", "mlx-lm, corrected: all rows in a batch", "mlx_cc", partial(rows, corrected=True)),
    Contender("rows-1x", "mlx-lm, corrected: one row at a time", "mlx_cc", partial(rows, batch=1, corrected=True)),
    Contender("tree-stock-kernels", "the tree on stock kernels", "stock", tree),
)
