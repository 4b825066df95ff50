"""Turning texts into vectors: MiniLM in MLX, and others that run the same weights, where they are installed.

    python -m benchmarks.embed
    python -m benchmarks.embed --words 20 --words 150 --contender sentence-transformers

One unit of work is the vectors of a set of texts. All contenders get the same texts.
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from mlx_cc.bench.comparison import Contender, Done, chosen, compare, warn_if_busy
from mlx_cc.commands.bench import show
from mlx_cc.errors import UserError


class Job(Struct):
    """The texts and the model."""

    model: str
    texts: int
    words: int
    """Approximate words of a text."""


def texts_of(job: Job) -> list[str]:
    """Simulated talk, cut into texts of about so many words; every second one is half as long."""
    from mlx_cc.simulate import Parameters, World, simulate

    world = World(Parameters(conversations=50 + job.texts * job.words // 100, agents=20, seed=0))
    words = (word for c in simulate(world) for turn in c.turns for word in turn.text.split())
    sizes = (job.words if number % 2 else max(1, job.words // 2) for number in range(job.texts))
    return [" ".join(islice(words, size)) for size in sizes]


CHROMA_MODEL = Path.home() / ".cache/chroma/onnx_models/all-MiniLM-L6-v2/onnx"
"""Folder of the model of Chroma's default embedder. Chroma would download it; here it must be there already."""
CHROMA_FILES = (
    "model.onnx",
    "config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.txt",
)
"""The files that Chroma downloads if one is missing."""

# The contenders: each makes a function that turns texts into vectors


def ours(job: Job) -> Callable[[list[str]], Any]:
    """The embedder of an index."""
    from mlx_cc.model import minilm

    return minilm.load(job.model).encode


def sentence_transformers(job: Job) -> Callable[[list[str]], Any]:
    """Torch on the CPU, with as many threads as the others."""
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
    """Do units of work; the model is loaded before the first."""
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
    """What must be done before a contender can run here; empty when it can run."""
    if name == "sentence-transformers" and importlib.util.find_spec("sentence_transformers") is None:
        return "sentence_transformers is not installed here. `pip install 'mlx_cc[st]'`"
    if name == "chroma" and not all((CHROMA_MODEL / file).exists() for file in CHROMA_FILES):
        return f"{CHROMA_MODEL} is not here. `python -m benchmarks.export_chroma_embedder` makes it"
    return ""


CONTENDERS = tuple(contender for contender in ALL if not _lacks(contender.name))
"""Contenders that can run here."""


def refuse_absent(names: Sequence[str]) -> None:
    """Refuse contenders that can't run here.

    Raises:
        UserError: what to install.
    """
    for name in names:
        if lacks := _lacks(name):
            raise UserError(f"--contender {name}: {lacks}.")


@click.command()
@click.option("--model", default="all-minilm-l6-v2", show_default=True)
@click.option("--texts", type=click.IntRange(min=1), default=256, show_default=True, help="Texts of a round.")
@click.option("--words", type=click.IntRange(min=1), multiple=True, default=(100,), help="Words of a text. Repeatable.")
@click.option("--contender", "names", multiple=True, help="Compare only this one with the first. Repeatable.")
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Timed rounds.")
@click.option("--json", "as_json", is_flag=True)
def main(model: str, texts: int, words: tuple[int, ...], names: tuple[str, ...], runs: int, as_json: bool) -> None:
    """Compare embedders: texts/s and peak memory."""
    refuse_absent(names)
    contenders = chosen(CONTENDERS, names)
    warn_if_busy()
    for length in words:
        title = f"{texts} texts of about {length} words by {model}"
        found = compare("benchmarks.embed", contenders, Job(model, texts, length), runs, title, "texts/s", texts)
        show([found], as_json, None)


if __name__ == "__main__":
    main()
