"""Sentence embeddings: the BERT encoder of all-MiniLM-L6-v2, in MLX.

Six transformer layers after Devlin et al. (2019), the mean of the last states over the tokens, and unit length: what
sentence-transformers computes for that model, without torch. Texts of close lengths are computed together.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_cc.buckets import buckets
from mlx_cc.folders import ModelFolder
from mlx_cc.model import cpu_kernels, machine, pull

MOST_TOKENS = 2048
"""Tokens computed at once, padding included. More is no faster on a CPU."""
LONGEST_TEXT = 20_000
"""Characters of a text that are tokenized, set by hand: ample for the 256 tokens that the encoder reads."""
NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
    "encoder.layer": "layers",
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}
"""Part of a weight's name in the file -> its name here; the longer ones stand before those they contain."""


class Layer(nn.Module):
    """Attention and feed-forward, each with its residual and normalised after it."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        size, epsilon = config["hidden_size"], config["layer_norm_eps"]
        self.heads = config["num_attention_heads"]
        self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
        self.attention_norm = nn.LayerNorm(size, eps=epsilon)
        self.up, self.down = (
            nn.Linear(size, config["intermediate_size"]),
            nn.Linear(config["intermediate_size"], size),
        )
        self.norm = nn.LayerNorm(size, eps=epsilon)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        batch, length, size = x.shape
        q, k, v = (
            part(x).reshape(batch, length, self.heads, -1).transpose(0, 2, 1, 3)
            for part in (self.query, self.key, self.value)
        )
        seen = mx.fast.scaled_dot_product_attention(q, k, v, scale=(size // self.heads) ** -0.5, mask=mask)
        x = self.attention_norm(x + self.out(seen.transpose(0, 2, 1, 3).reshape(batch, length, size)))
        return self.norm(x + self.down(cpu_kernels.gelu(self.up(x))))


class Encoder(nn.Module):
    """Token ids and their mask, both (B, L), to unit vectors (B, hidden)."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        size = config["hidden_size"]
        self.words = nn.Embedding(config["vocab_size"], size)
        self.positions = nn.Embedding(config["max_position_embeddings"], size)
        self.types = nn.Embedding(config["type_vocab_size"], size)
        self.norm = nn.LayerNorm(size, eps=config["layer_norm_eps"])
        self.layers = [Layer(config) for _ in range(config["num_hidden_layers"])]

    def __call__(self, ids: mx.array, mask: mx.array) -> mx.array:
        x = self.norm(self.words(ids) + self.positions(mx.arange(ids.shape[1])) + self.types(mx.array(0)))
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        states = mx.where(mask[..., None], x, 0.0).sum(axis=1)
        return states / mx.maximum(mx.linalg.norm(states, axis=-1, keepdims=True), 1e-12)


class MiniLM:
    """all-MiniLM-L6-v2, or another BERT sentence encoder with mean pooling, from its folder."""

    def __init__(self, folder: Path):
        """Load the weights and the tokenizer.

        Raises:
            UserError: the folder holds no such model.
        """
        from tokenizers import Tokenizer

        machine.prepare()
        with pull.loading(folder, "not a BERT sentence encoder", "Use all-minilm-l6-v2, or an st: embedder."):
            config = json.loads((ModelFolder(folder).config).read_text())
            longest = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
            self.tokenizer = Tokenizer.from_file(str(ModelFolder(folder).tokenizer))
            weights: Any = mx.load(str(ModelFolder(folder).weights))
            self.model = Encoder(config)
            kept = [(_named(name), value) for name, value in weights.items() if "pooler" not in name]
            self.model.load_weights([(n, v.astype(mx.float32)) for n, v in kept if "position_ids" not in n])
        self.model.eval()
        self.dimension = int(config["hidden_size"])
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(longest)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32 (N, dimension), in the texts' order."""
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for indices, ids, mask in self._batches(texts):
            vectors[indices] = np.array(self.model(mx.array(ids), mx.array(mask)))
        return vectors

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
        """Batches of texts of close lengths: indices of the texts, token ids (B, L), False at padding (B, L)."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch([text[:LONGEST_TEXT] for text in texts])]
        for indices in buckets(range(len(rows)), lambda index: (len(rows[index]),), MOST_TOKENS, max_padding=1):
            longest = len(rows[indices[-1]])
            ids = np.zeros((len(indices), longest), np.int32)
            for row, index in enumerate(indices):
                ids[row, : len(rows[index])] = rows[index]
            yield indices, ids, np.arange(longest) < np.array([[len(rows[index])] for index in indices])


def load(name_or_path: str | Path = "all-minilm-l6-v2") -> MiniLM:
    """The encoder of a model on this machine.

    Raises:
        UserError: it is not on this machine, or no BERT sentence encoder.
    """
    return MiniLM(pull.resolve(name_or_path, pull_missing=False))


def _named(name: str) -> str:
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    return name
