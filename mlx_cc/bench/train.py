"""Training a conversation's branches: the tree, mlx-lm as it is, and mlx-lm's rows with its defects mended.

One unit of work is one optimizer update over all branches of one conversation: LoRA r=16 on q, k, v and o of all
layers, AdamW, tokens from a seed. An example is a branch, which is a row to mlx-lm. The rows run in mlx-lm's own
`train`, which compiles its step; here that is about a tenth faster than our loop on rows. What is mended of them:

    no padding, and none trained     mlx-lm pads rows to 1 + a multiple of 32 and trains a pad token behind each answer
    LM head on answers only          mlx-lm computes logits, and a loss, of every token
    buffers are kept                 mlx-lm gives free ones back after every step
    attention and SwiGLU             those of the tree, so that what is left between the two is the tree
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlx_cc.bench.contest import Contender, Contest, Done, Ratio, contest, times_as_fast
from mlx_cc.errors import UserError
from mlx_cc.prompt import Branch, Tree
from mlx_cc.train.settings import Lora, Training, TrainSettings

SETTINGS = TrainSettings(training=Training(learning_rate=1e-5), lora=Lora(lora_dropout=0.0))
NOWHERE = Path("bench")
"""The folder of a run that saves nothing."""


class Job(Struct):
    """What is trained on."""

    model: str
    trunk: int
    """Tokens the branches share."""
    branches: int = 6
    branch_tokens: int = 60
    """Of each branch, answer included."""
    answer_tokens: int = 30
    """Of each branch that are trained."""
    seed: int = 0
    max_seq_length: int = 2048
    """mlx-lm's setting: it pads no further."""


class TrainSpeed(Struct):
    """A contest of training, and how near the tree comes to what sharing the trunk can save."""

    job: Job
    contest: Contest
    bound: float
    """Tokens of the rows over tokens of the tree, K(T + b) / (T + K b)."""
    bound_reached: Ratio | None
    """Speed-up over the fastest mended rows as a share of the bound; None where they did not run."""


def train_speed(job: Job, contenders: Sequence[Contender], rounds: int) -> TrainSpeed:
    """Measure contenders on a job.

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
    found = contest("train", contenders, job, job.branches, rounds, f"training, trunk {job.trunk}")
    bound = job.branches * row / (job.trunk + job.branches * job.branch_tokens)
    mended = [e for e in found.entries if e.name in ("rows", "rows-1x")]
    reached = None
    if mended:
        fastest = min(mended, key=lambda e: e.median_s)
        ratio = times_as_fast(fastest.seconds, found.entries[0].seconds)
        reached = Ratio(ratio.ratio / bound, ratio.low / bound, ratio.high / bound)
    return TrainSpeed(job, found, bound, reached)


def tree_of(job: Job, vocabulary: int) -> Tree:
    """A conversation of random tokens."""
    import numpy as np

    rng = np.random.default_rng(job.seed)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.integers(vocabulary, size=count).tolist())

    trunk, asked = tokens(job.trunk), job.branch_tokens - job.answer_tokens
    branches = (Branch(f"branch {n}", tokens(asked), tokens(job.answer_tokens)) for n in range(job.branches))
    return Tree("random", trunk, tuple(branches))


# The contenders, each in its own process


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


def rows(job: Job, done: Done, batch: int = 0, mended: bool = False) -> None:
    """`mlx_lm.tuner.trainer.train`, which waits in its report of each update until the next one is wanted.

    Args:
        batch: rows in a batch; fewer than the branches (0: all) are accumulated.
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
    asked = job.trunk + job.branch_tokens - job.answer_tokens
    forever = 10**9
    arguments = TrainingArgs(
        batch_size=batch,
        iters=forever,
        steps_per_report=accumulated,
        steps_per_save=forever + 1,
        max_seq_length=job.trunk + job.branch_tokens if mended else job.max_seq_length,
        grad_accumulation_steps=accumulated,
        clear_cache_threshold=machine.prepare().memory_bytes if mended else 0,
    )
    machine.reset_peak_memory()
    train(
        model,
        optimizer,
        [(row, asked) for row in tree_of(job, tokenizer.vocab_size).rows],
        args=arguments,
        loss=partial(loss_of_answers, job.answer_tokens) if mended else default_loss,
        training_callback=Report(),
    )


def loss_of_answers(answer_tokens: int, model: Any, batch: Any, _: Any) -> tuple[Any, Any]:
    """Mean cross entropy of the last tokens of each row, and their number; the LM head runs on these alone."""
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
    Contender("rows", "mlx-lm, mended: all rows in a batch", "mlx_cc", partial(rows, mended=True)),
    Contender("rows-1x", "mlx-lm, mended: one row at a time", "mlx_cc", partial(rows, batch=1, mended=True)),
    Contender("tree-stock-kernels", "the tree on stock kernels", "stock", tree),
)
