"""Attention, SwiGLU and GELU for x86 CPUs, where MLX computes `exp` one number at a time.

There softmax takes longer than attention's matrix products, and SwiGLU a quarter of a forward pass.
Here exp is a polynomial that MLX compiles into one vectorised loop: exp(x) = (exp(x / 64))^64 with a
Taylor series of degree 6, relative error below 1e-6 for x > -10 and below 1e-4 where exp(x) is under
1e-30. Softmax runs 3x, SwiGLU 5x faster (docs/performance.md); Metal, CUDA and ARM keep MLX's own.

`MLX_CC_KERNELS=stock` switches them off.
"""

import os
import platform
import sys
from typing import Any

import mlx.core as mx
import mlx.nn as nn


def wanted() -> bool:
    """Whether these kernels are faster on this machine, and not switched off."""
    x86 = platform.machine() in ("x86_64", "AMD64")
    return x86 and mx.default_device() == mx.cpu and os.environ.get("MLX_CC_KERNELS") != "stock"


def use_fast_attention() -> None:
    """Replace MLX's attention by `attention` where that is faster."""
    if wanted():
        mx.fast.scaled_dot_product_attention = attention


def use_fast_swiglu() -> None:
    """Replace mlx-lm's SwiGLU by `swiglu` where that is faster, in the model files loaded before and after."""
    if not wanted():
        return
    from mlx_lm.models import activations

    stock, activations.swiglu = activations.swiglu, swiglu
    for name, module in list(sys.modules.items()):
        if name.startswith("mlx_lm.models.") and getattr(module, "swiglu", None) is stock:
            module.swiglu = swiglu  # type: ignore[attr-defined]


def _exp(x: mx.array) -> mx.array:
    """exp(x) for x in [-87, 87], where it is a normal float32."""
    y = x * (1 / 64)
    series = 1 + y * (1 + y * (1 / 2 + y * (1 / 6 + y * (1 / 24 + y * (1 / 120 + y * (1 / 720))))))
    for _ in range(6):
        series = series * series
    return series


@mx.compile
def _powers(scores: mx.array, mask: mx.array, most: mx.array) -> mx.array:
    """exp(scores - most), 0 where the mask is False."""
    return mx.where(mask, _exp(mx.clip(scores - most, -87.0, 0.0)), 0.0)


def _sigmoid(x: mx.array) -> mx.array:
    return 1 / (1 + _exp(mx.clip(-x, -87.0, 87.0)))


@mx.custom_function
def swiglu(gate: mx.array, x: mx.array) -> mx.array:
    """silu(gate) * x, as `mlx_lm.models.activations.swiglu`."""
    return _stock_swiglu(gate, x) if gate.dtype != mx.float32 else _swiglu(gate, x)


@mx.compile
def _swiglu(gate: mx.array, x: mx.array) -> mx.array:
    return gate * _sigmoid(gate) * x


@mx.compile
def _stock_swiglu(gate: mx.array, x: mx.array) -> mx.array:
    return gate * mx.sigmoid(gate) * x


@swiglu.vjp
@mx.compile
def _swiglu_vjp(primals: tuple[mx.array, mx.array], cotangent: mx.array, _: mx.array) -> tuple[mx.array, mx.array]:
    gate, x = primals
    sigmoid = _sigmoid(gate)
    silu = gate * sigmoid
    return cotangent * x * (sigmoid + silu * (1 - sigmoid)), cotangent * silu


def gelu(x: mx.array) -> mx.array:
    """GELU as `mlx.nn.gelu`, to within 1e-6 and without a gradient on x86.

    The error function is formula 7.1.28 of Abramowitz and Stegun (1964), a rational one with an error below 3e-7.
    """
    return _gelu(x) if wanted() and x.dtype == mx.float32 else nn.gelu(x)


@mx.compile
def _gelu(x: mx.array) -> mx.array:
    size = mx.abs(x)
    z = size * 0.5**0.5
    series = z * (0.0092705272 + z * (0.0001520143 + z * (0.0002765672 + z * 0.0000430638)))
    series = 1 + z * (0.0705230784 + z * (0.0422820123 + series))
    for _ in range(4):
        series = series * series  # beyond float32's range it is infinite, and the error function 1
    return 0.5 * (x + size * (1 - 1 / series))


@mx.custom_function
def softmax(scores: mx.array, mask: mx.array) -> mx.array:
    """Softmax over the last axis where the mask is True, 0 elsewhere; float32. The mask has no gradient.

    One operation, so that a backward pass keeps its result and none of the steps to it.
    """
    most = mx.where(mask, scores, -1e30).max(axis=-1, keepdims=True)
    powers = _powers(scores, mask, most)
    return powers / powers.sum(axis=-1, keepdims=True)


@softmax.vjp
def _softmax_vjp(
    primals: tuple[mx.array, mx.array], cotangent: mx.array, output: mx.array
) -> tuple[mx.array, mx.array]:
    weighted = cotangent * output
    return weighted - output * weighted.sum(axis=-1, keepdims=True), mx.zeros_like(primals[1])


def attention(
    q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None, sinks: Any = None, **_: Any
) -> mx.array:
    """Attention, with the signature and result of `mx.fast.scaled_dot_product_attention`.

    q (B, H, L, D), k and v (B, Hkv, M, D), mask "causal", boolean or additive, broadcastable to
    (B, H, L, M).
    """
    if q.dtype != mx.float32 or sinks is not None:
        return _stock(q, k, v, scale=scale, mask=mask, sinks=sinks)
    batch, heads, length, size = q.shape
    groups = k.shape[1]
    q = (q * scale).reshape(batch, groups, heads // groups * length, size)  # query heads of a group are one product
    scores = (q @ k.swapaxes(-1, -2)).reshape(batch, heads, length, k.shape[2])
    if isinstance(mask, str):
        mask = mx.tri(length, k.shape[2], k.shape[2] - length, dtype=mx.bool_) if length > 1 else None
    if mask is not None and mask.dtype != mx.bool_:
        scores, mask = scores + mask, None
    weights: Any = softmax(scores, mx.array(True) if mask is None else mask)
    weights = weights.reshape(batch, groups, heads // groups * length, -1)
    return (weights @ v).reshape(batch, heads, length, size)


_stock = mx.fast.scaled_dot_product_attention
