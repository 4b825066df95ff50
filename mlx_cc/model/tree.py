"""The tree: compute a trunk once and everything that grows on it in one pass, with any mlx-lm decoder
that has rotary positions and plain KV caches.

A decoder block asks its cache three things: the offset for RoPE, a mask, and `update_and_fetch`.
The two caches here answer as a trunk (remember the keys and values) and as a crown: any number of
branches laid out flat in one row, no padding, where every token knows its position and its
ancestors. So the model's own code runs unchanged, the trunk's keys and values stay in the autograd
graph, and attention is split: trunk on itself, then crown on [trunk | crown].

Shapes: T trunk tokens, S crown tokens, Hkv key/value heads of D dimensions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_cc.errors import UserError


class KeyValues(NamedTuple):
    """Keys and values of one layer, each (1, Hkv, L, D), keys already rotated."""

    keys: mx.array
    values: mx.array


Prefix = Sequence[KeyValues]
"""Keys and values of every layer."""


class Crown:
    """Token sequences that grow on a trunk or on each other.

    `grow` adds a sequence behind a parent node and returns the nodes of its tokens; a token that
    is already there behind the same parent is not added again, so sequences share beginnings.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self._children: dict[tuple[int, int], int] = {}

    def grow(self, tokens: Sequence[int], parent: int = -1) -> list[int]:
        """Nodes of `tokens`, the first behind node `parent` (-1: the trunk)."""
        nodes = []
        for token in tokens:
            node = self._children.get((parent, token))
            if node is None:
                node = len(self.tokens)
                self._children[parent, token] = node
                self.tokens.append(token)
                self.parents.append(parent)
            nodes.append(node)
            parent = node
        return nodes

    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        """Depth of each node below the trunk, int32 (S,), and which nodes each one sees, bool (S, S)."""
        size = len(self.tokens)
        depth = np.zeros(size, np.int32)
        sees = np.eye(size, dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                depth[node] = depth[parent] + 1
                sees[node] |= sees[parent]
        return depth, sees


class Positions(NamedTuple):
    """Takes the place of a cache's offset: a RoPE position for every token, int32 (S,)."""

    at: mx.array


class PositionedRope(nn.Module):
    """A model's own RoPE that also understands `Positions`."""

    def __init__(self, rope: nn.Module) -> None:
        super().__init__()
        self.rope = rope

    def __call__(self, x: mx.array, offset: Any = 0) -> mx.array:
        """Rotate x (B, H, L, D) at the given offset; x (1, H, S, D) at `Positions`."""
        if isinstance(offset, Positions):
            return self.rope(x.swapaxes(0, 2), offset=offset.at).swapaxes(0, 2)
        return self.rope(x, offset=offset)


class TrunkCache:
    """Lets a layer attend causally to its own tokens and keeps their keys and values."""

    offset = 0

    def __init__(self) -> None:
        self.own: KeyValues | None = None

    def inputs(self) -> tuple[mx.array, ...]:
        return ()

    def fresh(self) -> "TrunkCache":
        return TrunkCache()

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.own = KeyValues(keys, values)
        return keys, values

    def make_mask(self, *_: Any, **__: Any) -> str:
        return "causal"


class CrownCache:
    """Lets the crown's tokens attend to a prefix computed before and to their ancestors."""

    def __init__(self, prefix: KeyValues, offset: Positions, mask: mx.array) -> None:
        self.prefix, self.offset, self.mask = prefix, offset, mask
        self.own: KeyValues | None = None

    def inputs(self) -> tuple[mx.array, ...]:
        return tuple(self.prefix)

    def fresh(self, keys: mx.array, values: mx.array) -> "CrownCache":
        return CrownCache(KeyValues(keys, values), self.offset, self.mask)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.own = KeyValues(keys, values)
        return mx.concatenate([self.prefix.keys, keys], 2), mx.concatenate([self.prefix.values, values], 2)

    def make_mask(self, *_: Any, **__: Any) -> mx.array:
        return self.mask


def run_trunk(model: Any, tokens: Sequence[int]) -> Prefix:
    """Keys and values of a trunk. The LM head is not run: MLX is lazy."""
    caches = [TrunkCache() for _ in model.layers]
    model.model(mx.array([tokens], dtype=mx.int32), cache=caches)
    return [_own(cache) for cache in caches]


def run_row(model: Any, tokens: Sequence[int]) -> mx.array:
    """The last hidden states (L, hidden), after the final norm, of a trunk that nothing grows on."""
    return model.model(mx.array([tokens], dtype=mx.int32), cache=[TrunkCache() for _ in model.layers])[0]


def run_crown(model: Any, crown: Crown, prefix: Prefix) -> mx.array:
    """The last hidden states (S, hidden), after the final norm, of all tokens of a crown on its trunk."""
    depth, sees = crown.layout()
    trunk = prefix[0].keys.shape[2]
    mask = mx.array(np.concatenate([np.ones((len(sees), trunk), dtype=bool), sees], axis=1))
    positions = Positions(mx.array(depth + trunk))
    caches = [CrownCache(layer, positions, mask) for layer in prefix]
    return model.model(mx.array([crown.tokens], dtype=mx.int32), cache=caches)[0]


def _own(cache: TrunkCache | CrownCache) -> KeyValues:
    assert cache.own is not None, "the model's attention did not use its cache"
    return cache.own


def lm_head(model: Any, hidden: mx.array) -> mx.array:
    """Hidden states (..., hidden) to logits (..., V), as the model itself does it."""
    head = model.lm_head if hasattr(model, "lm_head") else model.model.embed_tokens.as_linear
    logits = head(hidden)
    cap = getattr(getattr(model, "args", None), "final_logit_softcapping", None)
    return mx.tanh(logits / cap) * cap if cap else logits


def make_tree(model: Any) -> None:
    """Prepare a model to be computed as a tree; doing it twice does no harm.

    Looks at the caches the model makes for itself (plain KV caches only, no sliding window or
    state space), lets its RoPE understand `Positions`, and compares a small tree with the plain
    forward pass.

    Raises:
        UserError: this model can't be computed as a tree, and why.
    """
    from mlx_lm.models.cache import KVCache, make_prompt_cache

    kind = getattr(getattr(model, "args", None), "model_type", type(model).__name__)
    way_out = "Set `loss: rows` under training."
    if not hasattr(model, "model") or not hasattr(model, "layers"):
        raise UserError(f"model type '{kind}' has no decoder under `model.model`, so it can't share a trunk. {way_out}")
    foreign = {type(c).__name__ for c in make_prompt_cache(model) if type(c) is not KVCache}
    if foreign:
        raise UserError(f"model type '{kind}' uses {', '.join(sorted(foreign))}, so it can't share a trunk. {way_out}")
    for layer in model.layers:
        attention: Any = getattr(layer, "self_attn", None)
        if not hasattr(attention, "rope"):
            raise UserError(f"model type '{kind}' has no rotary positions, so it can't share a trunk. {way_out}")
        if not isinstance(attention.rope, PositionedRope):
            attention.rope = PositionedRope(attention.rope)
    tokens = [1, 2, 3, 4, 5]
    crown = Crown()
    crown.grow([4, 6])
    nodes = crown.grow([4, 5])
    grown = lm_head(model, run_crown(model, crown, run_trunk(model, tokens[:3]))[mx.array(nodes)])
    plain = model(mx.array([tokens]))[0, 3:]
    error = cast(float, (mx.abs(grown - plain).max() / mx.maximum(mx.abs(plain).max(), 1e-6)).item())
    if not error < 5e-2:
        raise UserError(f"model type '{kind}' gives other logits as a tree (relative error {error:.1e}). {way_out}")


@contextmanager
def checkpointed(model: Any) -> Iterator[None]:
    """Recompute each layer in the backward pass instead of keeping its activations.

    Keys and values are outputs of the checkpointed function, so the crown can depend on the
    trunk's. The layer class is patched only inside the block.
    """
    kind = type(model.layers[0])
    plain: Callable[..., mx.array] = kind.__call__

    def call(layer: nn.Module, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        if not isinstance(cache, TrunkCache | CrownCache):
            return plain(layer, x, mask, cache)

        def inner(parameters: Any, x: mx.array, *prefix: mx.array) -> tuple[mx.array, mx.array, mx.array]:
            layer.update(parameters)
            inside = cache.fresh(*prefix)
            out = plain(layer, x, mask, inside)
            own = _own(inside)
            return out, own.keys, own.values

        out, keys, values = mx.checkpoint(inner)(layer.trainable_parameters(), x, *cache.inputs())
        cache.own = KeyValues(keys, values)
        return out

    kind.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        kind.__call__ = plain  # type: ignore[method-assign]
