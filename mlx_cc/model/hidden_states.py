"""A text's vector from an LLM: the mean of its last hidden states."""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_cc.buckets import buckets
from mlx_cc.errors import UserError
from mlx_cc.model import machine
from mlx_cc.model.load import Loaded
from mlx_cc.model.tree import padded

MOST_TOKENS, LONGEST = 4096, 512
"""Tokens computed at once, and the most tokens of one text; set by hand."""


def encoder(loaded: Loaded) -> tuple[Callable[[Sequence[str]], np.ndarray], int]:
    """A function from texts to unit vectors, float32 (N, hidden), and the size of the hidden states.

    A text's vector is the mean of the states of its first 512 tokens, after the final norm.

    Raises:
        UserError: the model has no decoder under `model`.
    """
    if not hasattr(loaded.model, "model"):
        raise UserError(f"{loaded.name}: its hidden states can't be reached. Choose another embedder.")

    def encode(texts: Sequence[str]) -> np.ndarray:
        rows = [loaded.tokenizer.encode(text[: 16 * LONGEST] or " ")[:LONGEST] for text in texts]
        vectors: list[Any] = [None] * len(rows)
        with machine.wired_limit():
            for indices in buckets(range(len(rows)), lambda index: (len(rows[index]),), MOST_TOKENS, max_padding=1):
                states = loaded.model.model(padded([rows[index] for index in indices])).astype(mx.float32)
                for row, index in enumerate(indices):
                    mean = states[row, : len(rows[index])].mean(axis=0)
                    vectors[index] = np.array(mean / mx.linalg.norm(mean))
        return np.stack(vectors).astype(np.float32) if vectors else np.empty((0, size), np.float32)

    size = int(loaded.model.model(mx.array([[0]])).shape[-1])
    return encode, size
