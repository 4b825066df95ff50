"""The tree: compute a trunk once and everything that grows on it in one pass, with any mlx-lm decoder
that has rotary positions and plain KV caches.

A decoder block asks its cache three things: the offset for RoPE, a mask, and `update_and_fetch`.
The two caches here answer as a trunk (remember the keys and values) and as its branches: any number of
them laid out flat in one row, no padding, where every token knows its position and its
ancestors. So the model's own code runs unchanged, the trunk's keys and values stay in the autograd
graph, and attention is split: trunk on itself, then branches on [trunk | branches].

Several trees are computed at once as rows of a batch. Shorter trunks and branches are padded on the
right: causal attention keeps the padding out of a trunk, the branches' mask out of everything else.

Shapes: N trees, T trunk tokens, S tokens of branches, Hkv key/value heads of D dimensions.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_map

from mlx_cc.errors import UserError, reason_of

PLAIN = mx.array | str | int | float | type(None)
"""Types of a layer's arguments that are not caches."""


class KeyValues(NamedTuple):
    """Keys and values of one layer, each (N, Hkv, T, D), keys already rotated."""

    keys: mx.array
    values: mx.array


class Prefix(NamedTuple):
    """Computed trunks: keys and values of every layer, and each trunk's length in tokens."""

    layers: tuple[KeyValues, ...]
    lengths: tuple[int, ...]

    def one(self, index: int, length: int | None = None) -> "Prefix":
        """One trunk alone, without padding; `length` keeps only its first tokens."""
        length = self.lengths[index] if length is None else length
        layers = (KeyValues(*(a[index : index + 1, :, :length] for a in layer)) for layer in self.layers)
        return Prefix(tuple(layers), (length,))


class TokenTree:
    """The branches of one trunk: token sequences that grow on it or on each other.

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
    """Replaces a cache's offset: a RoPE position for every token, int32 (N, S)."""

    at: mx.array


class PositionedRope(nn.Module):
    """A model's own RoPE that also understands `Positions`."""

    def __init__(self, rope: nn.Module) -> None:
        super().__init__()
        self.rope = rope

    def __call__(self, x: mx.array, offset: Any = 0) -> mx.array:
        """Rotate x (B, H, L, D) at the given offset; x (N, H, S, D) at `Positions`."""
        if not isinstance(offset, Positions):
            return self.rope(x, offset=offset)
        trees, heads, length, size = x.shape
        tokens = x.swapaxes(1, 2).reshape(trees * length, heads, 1, size)
        rotated = self.rope(tokens, offset=offset.at.reshape(-1))
        return rotated.reshape(trees, length, heads, size).swapaxes(1, 2)


class TrunkCache:
    """Lets a layer attend causally to a beginning computed before, (1, Hkv, T, D), and to its own tokens.

    Keeps the keys and values of both.
    """

    def __init__(self, before: KeyValues | None = None) -> None:
        self.before = before
        self.offset = before.keys.shape[2] if before else 0
        self.own: KeyValues | None = None

    def inputs(self) -> tuple[mx.array, ...]:
        return tuple(self.before or ())

    def fresh(self, *before: mx.array) -> "TrunkCache":
        return TrunkCache(KeyValues(*before) if before else None)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        if self.before:
            rows = len(keys)
            keys = mx.concatenate([mx.repeat(self.before.keys, rows, 0), keys], 2)
            values = mx.concatenate([mx.repeat(self.before.values, rows, 0), values], 2)
        self.own = KeyValues(keys, values)
        return keys, values

    def make_mask(self, length: int, return_array: bool = False, **_: Any) -> Any:
        return mx.tri(length, self.offset + length, self.offset, dtype=mx.bool_) if return_array else "causal"


class BranchCache:
    """Lets the branches' tokens attend to a prefix computed before and to their ancestors."""

    def __init__(self, prefix: KeyValues, offset: Positions, mask: mx.array) -> None:
        self.prefix, self.offset, self.mask = prefix, offset, mask
        self.own: KeyValues | None = None

    def inputs(self) -> tuple[mx.array, ...]:
        return tuple(self.prefix)

    def fresh(self, keys: mx.array, values: mx.array) -> "BranchCache":
        return BranchCache(KeyValues(keys, values), self.offset, self.mask)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.own = KeyValues(keys, values)
        return mx.concatenate([self.prefix.keys, keys], 2), mx.concatenate([self.prefix.values, values], 2)

    def make_mask(self, *_: Any, **__: Any) -> mx.array:
        return self.mask


def run_trunks(model: Any, trunks: Sequence[Sequence[int]], beginning: Prefix | None = None) -> Prefix:
    """Keys and values of trunks. The LM head is not run: MLX is lazy.

    Args:
        beginning: one trunk, shorter than all of these, that all of them begin with; it is not computed again.
    """
    computed = beginning.lengths[0] if beginning else 0
    caches = [TrunkCache(layer) for layer in beginning.layers] if beginning else [TrunkCache() for _ in model.layers]
    model.model(padded([trunk[computed:] for trunk in trunks]), cache=caches)
    return Prefix(tuple(_own(cache) for cache in caches), tuple(map(len, trunks)))


def run_rows(model: Any, rows: Sequence[Sequence[int]]) -> mx.array:
    """The last hidden states (N, T, hidden), after the final norm, of trunks that nothing grows on."""
    return model.model(padded(rows), cache=[TrunkCache() for _ in model.layers])


def run_branches(model: Any, trees: Sequence[TokenTree], prefix: Prefix) -> mx.array:
    """The last hidden states (N, S, hidden), after the final norm, of all tokens of each trunk's branches."""
    trunk = prefix.layers[0].keys.shape[2]
    most = max(len(tree.tokens) for tree in trees)
    positions = np.zeros((len(trees), most), np.int32)
    mask = np.zeros((len(trees), 1, most, trunk + most), dtype=bool)
    mask[:, :, range(most), range(trunk, trunk + most)] = True  # padding sees itself: no row of the softmax is empty
    for row, (tree, length) in enumerate(zip(trees, prefix.lengths, strict=True)):
        depth, sees = tree.layout()
        positions[row, : len(depth)] = depth + length
        mask[row, 0, : len(depth), :length] = True
        mask[row, 0, : len(depth), trunk : trunk + len(depth)] = sees
    shared = mx.array(mask)
    caches = [BranchCache(layer, Positions(mx.array(positions)), shared) for layer in prefix.layers]
    return model.model(padded([tree.tokens for tree in trees]), cache=caches)


def padded(rows: Sequence[Sequence[int]]) -> mx.array:
    """Token ids as int32 (N, the longest row), zeros behind the shorter ones."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    return mx.array(ids)


def _own(cache: TrunkCache | BranchCache) -> KeyValues:
    assert cache.own is not None, "the model's attention did not use its cache"
    return cache.own


def lm_head(model: Any, hidden: mx.array) -> mx.array:
    """Hidden states (..., hidden) to logits (..., V), as the model itself does it."""
    head = model.lm_head if hasattr(model, "lm_head") else model.model.embed_tokens.as_linear
    logits = head(hidden)
    cap = getattr(getattr(model, "args", None), "final_logit_softcapping", None)
    return mx.tanh(logits / cap) * cap if cap else logits


TOLERANCE = 5e-2
"""Largest relative difference of a tree's logits from a row's. Set by hand: above the rounding of 16-bit weights."""
NO_TREE = "so it can't share a trunk. Set `loss: rows` under training."


def rotary_attentions(model: Any) -> list[Any]:
    """The attention of every layer of a model whose parts can be computed as a tree; nothing is computed.

    Raises:
        UserError: it has other parts.
    """
    from mlx_lm.models.cache import KVCache, make_prompt_cache

    name = model_type(model)
    if not hasattr(model, "model") or not hasattr(model, "layers"):
        raise UserError(f"model type '{name}' has no decoder under `model.model`, {NO_TREE}")
    foreign = {type(c).__name__ for c in make_prompt_cache(model) if type(c) is not KVCache}
    if foreign:
        raise UserError(f"model type '{name}' uses {', '.join(sorted(foreign))}, {NO_TREE}")
    attentions: list[Any] = [getattr(layer, "self_attn", None) for layer in model.layers]
    if not all(hasattr(attention, "rope") for attention in attentions):
        raise UserError(f"model type '{name}' has no rotary positions in some layers, {NO_TREE}")
    return attentions


def make_tree(model: Any) -> None:
    """Prepare a model to be computed as a tree; doing it twice does no harm.

    Looks at the caches the model makes for itself (plain KV caches only, no sliding window or
    state space), lets its RoPE understand `Positions`, and compares small trees with the plain
    forward pass: one alone, then two at once. A model that fails only the second keeps
    `one_tree_at_a_time`.

    Raises:
        UserError: this model can't be computed as a tree; says why. The model is unchanged.
    """
    name, attentions = model_type(model), rotary_attentions(model)
    ropes = [attention.rope for attention in attentions]
    try:
        for attention, rope in zip(attentions, ropes, strict=True):
            attention.rope = rope if isinstance(rope, PositionedRope) else PositionedRope(rope)
        error = _tree_error(model, [[1, 2, 3, 4, 5]])
        if not error < TOLERANCE:
            raise UserError(f"model type '{name}' gives other logits as a tree (relative error {error:.1e}), {NO_TREE}")
    except Exception as fault:  # a decoder's own code raises whatever it likes
        for attention, rope in zip(attentions, ropes, strict=True):
            attention.rope = rope
        if isinstance(fault, UserError):
            raise
        raise UserError(f"model type '{name}' does not compute as a tree ({reason_of(fault)}), {NO_TREE}") from fault
    try:
        model.one_tree_at_a_time = not _tree_error(model, [[1, 2, 3, 4, 5], [7, 6, 5, 4, 3, 2]]) < TOLERANCE
    except Exception:  # shapes that don't go together
        model.one_tree_at_a_time = True


def model_type(model: Any) -> str:
    """The architecture's name in a model's config."""
    return getattr(getattr(model, "args", None), "model_type", type(model).__name__)


def shares_trunk(model: Any, otherwise: str, check: Callable[[Any], Any] = make_tree) -> bool:
    """Whether a model can be computed as a tree; if not, logs why and what happens `otherwise`.

    Args:
        check: raises UserError for a model that can't: `make_tree`, or a check that computes nothing.
    """
    try:
        check(model)
    except UserError as fault:
        why = str(fault).removesuffix(" Set `loss: rows` under training.")
        logging.getLogger(__name__).warning("%s %s", why, otherwise)
        return False
    return True


def _tree_error(model: Any, rows: Sequence[Sequence[int]]) -> float:
    """The largest difference between a row's last two logits as a tree and as a plain row, relative to them."""
    trees, nodes = [], []
    for row in rows:
        tree = TokenTree()
        tree.grow([row[-2], 6])
        nodes.append(tree.grow(row[-2:]))
        trees.append(tree)
    hidden = run_branches(model, trees, run_trunks(model, [row[:-2] for row in rows]))
    errors = []
    for index, row in enumerate(rows):
        grown = lm_head(model, hidden[index][mx.array(nodes[index])])
        plain = model(mx.array([row]))[0, -2:]
        errors.append(mx.abs(grown - plain).max() / mx.maximum(mx.abs(plain).max(), 1e-6))
    return cast(float, mx.stack(errors).max().item())


@contextmanager
def checkpointed(model: Any) -> Iterator[None]:
    """Recompute each layer in the backward pass instead of keeping its activations.

    Keys and values are outputs of the checkpointed function, so the branches can depend on the
    trunk's. Rows without a cache are recomputed likewise, whatever arguments their layers take.
    The layers' classes are patched only inside the block.

    Raises:
        UserError: the model's layers can't be recomputed; says why.
    """
    plain = {layer_class: layer_class.__call__ for layer_class in {type(layer) for layer in model.layers}}
    for layer_class, call in plain.items():
        layer_class.__call__ = _recomputed(call)
    try:
        _check_gradient(model)
        yield
    finally:
        for layer_class, call in plain.items():
            layer_class.__call__ = call


def _check_gradient(model: Any) -> None:
    parameters = model.trainable_parameters()
    try:
        loss, gradients = nn.value_and_grad(model, lambda: model(mx.array([[1, 2, 3]])).sum())()
        mx.eval(loss, gradients)
    except Exception as fault:  # layers of other people's models take and give whatever they like
        raise UserError(
            f"gradient_checkpointing: model type '{model_type(model)}' can't be recomputed layer by layer "
            f"({reason_of(fault)}). Set `gradient_checkpointing: false` under training."
        ) from fault
    finally:
        model.update(parameters)


def _recomputed(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's `__call__` that computes its activations again in the backward pass."""

    def call(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
        caches = [leaf for _, leaf in tree_flatten((args, kwargs)) if not isinstance(leaf, PLAIN)]
        if not caches:

            def row(parameters: Any, *args: Any, **kwargs: Any) -> Any:
                layer.update(parameters)
                return plain(layer, *args, **kwargs)

            return mx.checkpoint(row)(layer.trainable_parameters(), *args, **kwargs)
        cache = caches[0]
        if len(caches) > 1 or not isinstance(cache, TrunkCache | BranchCache):
            return plain(layer, *args, **kwargs)

        def inner(parameters: Any, prefix: Any, args: Any, kwargs: Any) -> tuple[Any, mx.array, mx.array]:
            layer.update(parameters)
            inside = cache.fresh(*prefix)
            args, kwargs = tree_map(lambda leaf: inside if leaf is cache else leaf, (args, kwargs))
            out = plain(layer, *args, **kwargs)
            own = _own(inside)
            return out, own.keys, own.values

        out, keys, values = mx.checkpoint(inner)(layer.trainable_parameters(), cache.inputs(), args, kwargs)
        cache.own = KeyValues(keys, values)
        return out

    return call
