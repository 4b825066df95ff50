"""Turning texts into vectors: MiniLM in MLX, and others that run the same weights where they are installed.

One unit of work is a set of texts, all of whose vectors are computed. All contenders get the same texts.
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

from msgspec import Struct

from mlx_cc.bench.contest import Contender, Contest, Done, contest
from mlx_cc.errors import UserError


class Job(Struct):
    """What is embedded."""

    model: str
    texts: int
    words: int
    """Of a text, about."""


class EmbeddingSpeed(Struct):
    """A contest of embedding."""

    job: Job
    contest: Contest


def embedding_speed(job: Job, contenders: Sequence[Contender], rounds: int) -> EmbeddingSpeed:
    """Measure contenders on a job.

    Raises:
        UserError: a contender can't do the job.
    """
    return EmbeddingSpeed(job, contest("embed", contenders, job, job.texts, rounds, f"embedding, {job.words} words"))


def texts_of(job: Job) -> list[str]:
    """Simulated talk, cut into texts of about so many words; every second one is half as long."""
    from mlx_cc.simulate import Parameters, World, simulate

    world = World(Parameters(conversations=50 + job.texts * job.words // 100, agents=20, seed=0))
    words = (word for c in simulate(world) for turn in c.turns for word in turn.text.split())
    sizes = (job.words if number % 2 else max(1, job.words // 2) for number in range(job.texts))
    return [" ".join(islice(words, size)) for size in sizes]


# The contenders: each makes a function from texts to vectors


def ours(job: Job) -> Callable[[list[str]], Any]:
    """As an index is made."""
    from mlx_cc.model import minilm

    return minilm.load(job.model).encode


def sentence_transformers(job: Job) -> Callable[[list[str]], Any]:
    """On torch, on the processor, in as many threads as the others."""
    import os

    import torch  # type: ignore[import-not-found]
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    from mlx_cc.model import pull

    torch.set_num_threads(int(os.environ.get("OPENBLAS_NUM_THREADS", "1")))
    model = SentenceTransformer(str(pull.resolve(job.model)), device="cpu")
    return partial(model.encode, normalize_embeddings=True, show_progress_bar=False)


def work(make: Callable[[Job], Callable[[list[str]], Any]], job: Job, done: Done) -> None:
    """Units of work, the model loaded before the first."""
    encode, texts = make(job), texts_of(job)
    while True:
        start = time.perf_counter()
        encode(texts)
        done(time.perf_counter() - start)


ALL = (
    Contender("mlx_cc", "MiniLM in MLX", "mlx_cc", partial(work, ours)),
    Contender("stock", "the same, MLX's kernels", "stock", partial(work, ours)),
    Contender("sentence-transformers", "torch", "stock", partial(work, sentence_transformers)),
)
NEEDS = {"sentence-transformers": "sentence_transformers"}
CONTENDERS = tuple(c for c in ALL if c.name not in NEEDS or importlib.util.find_spec(NEEDS[c.name]) is not None)
"""Those that can run here."""


def refuse_absent(names: Sequence[str]) -> None:
    """Say what to install for a contender that can't run here.

    Raises:
        UserError: one of the named can't.
    """
    here = {contender.name for contender in CONTENDERS}
    for name in names:
        if name in NEEDS and name not in here:
            raise UserError(f"--contender {name}: {NEEDS[name]} is not installed here. `pip install 'mlx_cc[st]'`.")
