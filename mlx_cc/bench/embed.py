"""Turning texts into vectors: MiniLM in MLX, and others that run the same weights where they are installed.

One unit of work is a set of texts, all of whose vectors are computed. All contenders get the same texts.
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
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


CHROMA_MODEL = Path.home() / ".cache/chroma/onnx_models/all-MiniLM-L6-v2/onnx"
"""Where Chroma keeps the model of its default embedder. It would download it; here it has to be there."""
CHROMA_FILES = (
    "model.onnx",
    "config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.txt",
)
"""All that it downloads unless it is there."""

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


def chroma(job: Job) -> Callable[[list[str]], Any]:
    """Chroma's default embedder: all-MiniLM-L6-v2, every text padded to 256 tokens, in ONNX Runtime's own threads."""
    from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2

    return ONNXMiniLM_L6_V2(["CPUExecutionProvider"])


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
    Contender("chroma", "Chroma's default, ONNX Runtime", "stock", partial(work, chroma)),
)


def _lacks(name: str) -> str:
    """What has to be done before a contender can run here; nothing where it can."""
    if name == "sentence-transformers" and importlib.util.find_spec("sentence_transformers") is None:
        return "sentence_transformers is not installed here. `pip install 'mlx_cc[st]'`"
    if name == "chroma" and not all((CHROMA_MODEL / file).exists() for file in CHROMA_FILES):
        return f"{CHROMA_MODEL} is not here. scripts/export_chroma_embedder.py makes it"
    return ""


CONTENDERS = tuple(contender for contender in ALL if not _lacks(contender.name))
"""Those that can run here."""


def refuse_absent(names: Sequence[str]) -> None:
    """Say what to install for a contender that can't run here.

    Raises:
        UserError: one of the named can't.
    """
    for name in names:
        if lacks := _lacks(name):
            raise UserError(f"--contender {name}: {lacks}.")
