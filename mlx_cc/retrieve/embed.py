"""Texts to vectors: an embedder is a name, a size and a function.

all-minilm-l6-v2    in MLX, the default; any folder of a BERT sentence encoder likewise
st:NAME             any model that sentence-transformers loads (the extra `[st]`)
trunk:MODEL         the last states of an LLM, such as the tuned one, averaged over the text
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlx_cc.errors import UserError

DEFAULT = "all-minilm-l6-v2"


@dataclass(frozen=True)
class Embedder:
    """One way to turn texts into vectors."""

    name: str
    """The name it was loaded by, `@`, and a hash of its weights. Vectors of different names can't be compared."""
    dimension: int
    encode: Callable[[Sequence[str]], np.ndarray]
    """Texts to unit vectors, float32 (N, dimension), in order."""


def embedder(wanted: str = DEFAULT) -> Embedder:
    """Load an embedder by its name.

    Raises:
        UserError: there is no such embedder on this machine, and how to get it.
    """
    kind, found, name = wanted.partition(":")
    if found and kind == "st":
        return _sentence_transformer(name)
    if found and kind == "trunk":
        return _trunk(name)
    from mlx_cc.model import minilm, pull

    encoder = minilm.load(wanted)
    return Embedder(_named(wanted, pull.resolve(wanted, pull_missing=False)), encoder.dimension, encoder.encode)


def same(one: str, other: str) -> bool:
    """Whether two names mean the same weights, whatever path or alias they were loaded by."""
    return one.rpartition("@")[2] == other.rpartition("@")[2] and one.partition(":")[1] == other.partition(":")[1]


def _named(wanted: str, folder: Path) -> str:
    """The name with a hash of the weights."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as weights:
            digest.update(hashlib.file_digest(weights, "sha256").digest())
    return f"{wanted}@{digest.hexdigest()[:12]}"


def _sentence_transformer(name: str) -> Embedder:
    try:
        from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]
    except ImportError as fault:
        raise UserError(
            f"st:{name}: sentence-transformers is not installed. `pip install 'mlx_cc[st]'`, or take {DEFAULT}."
        ) from fault
    try:
        model = SentenceTransformer(name)
    except Exception as fault:  # a missing model, no network, other weights: each has its own kind
        reason = " ".join(str(fault).split())[:160]
        raise UserError(f"st:{name}: sentence-transformers can't load it ({reason}). Check the name.") from fault
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode() + value.detach().cpu().contiguous().float().numpy().tobytes())

    def encode(texts: Sequence[str]) -> np.ndarray:
        return np.asarray(model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), np.float32)

    return Embedder(f"st:{name}@{digest.hexdigest()[:12]}", encode(["size"]).shape[1], encode)


def _trunk(name: str) -> Embedder:
    from mlx_cc.model import hidden_states
    from mlx_cc.model import load as disk

    encode, size = hidden_states.encoder(disk.load(name))
    return Embedder(f"trunk:{name}@{disk.hash_of_model(name)[:12]}", size, encode)
