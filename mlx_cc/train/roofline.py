"""How long a run takes on Apple's chips, by roofline: operations / rate or bytes / bandwidth, whichever is longer.

Estimated from a few published measurements, not measured here: each chip has a low and a high rate. Adapters leave the
model's weights frozen, so a token costs 2 operations a parameter forward, 2 backward above the lowest adapted layer,
and 2 more there under gradient checkpointing; gradients of frozen weights are never computed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mlx_cc.train.memory import Group, Shape, adapted_layers, bytes_of_weight, trained_parameters
from mlx_cc.train.settings import TrainSettings


@dataclass(frozen=True)
class Chip:
    """An Apple chip with all its GPU cores."""

    name: str
    gpu_cores: int
    tflops: tuple[float, float]
    """16-bit matrix products as MLX sustains them: low and high, 1e12 operations a second."""
    bandwidth_gb_s: float
    memory_gb: tuple[int, ...]
    """Memory sizes that it is sold with."""


# M4 Max: 14 is what MLX does in a prefill (Qwen3-4B bf16, 2048 tokens, 1781 tokens/s, mlx-lm's BENCHMARKS.md), 10 what
# published LoRA runs come to. M4 and M4 Pro have the same cores, a quarter and half as many; 2.8 was measured on an M4.
# M3 Ultra: twice an M3 Max, whose prefill of Llama-2-7B in 16 bit is 761 tokens/s against some 920 on an M4 Max
# (llama.cpp). Bandwidths and memory sizes are Apple's.
CHIPS = (
    Chip("M4", 10, (2.5, 3.5), 120, (16, 24, 32)),
    Chip("M4 Pro", 20, (5.0, 7.0), 273, (24, 48, 64)),
    Chip("M4 Max", 40, (10.0, 14.0), 546, (48, 64, 128)),
    Chip("M3 Ultra", 80, (16.0, 23.0), 819, (96, 256, 512)),
)


def usable_bytes(memory_gb: float) -> float:
    """What macOS lets a GPU keep resident: two thirds of a small memory, three quarters from 36 GB on."""
    return memory_gb * 2**30 * (2 / 3 if memory_gb < 36 else 3 / 4)


def forward_operations(shape: Shape, group: Group, layers: int | None = None) -> float:
    """Operations of one forward pass through the last `layers` layers (None: all) and the LM head."""
    layers = shape.layers if layers is None else layers
    n, t, s = group.trees, group.trunk, group.branches
    trunk_layers = layers - 1 if s else layers  # of the last layer's trunk only keys and values are computed
    products = 2 * shape.block * n * (t * trunk_layers + s * layers)
    products += 4 * shape.hidden * shape.keys * n * t * bool(s)
    attention = 4 * shape.queries * n * (t * t * trunk_layers + s * (t + s) * layers)
    return products + attention + 2 * shape.hidden * shape.vocabulary * (group.nodes + group.head)


def operations(shape: Shape, settings: TrainSettings, group: Group) -> float:
    """Operations of a training step on a group: forward, backward, and what checkpointing computes again."""
    above = adapted_layers(shape, settings.lora)
    again = forward_operations(shape, group, above)
    n, t, s = group.trees, group.trunk, group.branches
    attention = 4 * shape.queries * n * (t * t * (above - bool(s)) + s * (t + s) * above)
    of_weights = 2 * trained_parameters(shape, settings.lora) * group.tokens
    adapters = 3 * of_weights if settings.lora.enabled else of_weights
    recomputed = again if settings.training.gradient_checkpointing else 0.0
    return forward_operations(shape, group) + again + attention + adapters + recomputed


def seconds(shape: Shape, settings: TrainSettings, groups: Iterable[Group], chip: Chip, rate: int) -> float:
    """Time of training steps on groups, at the chip's low (0) or high (1) rate."""
    weights = shape.parameters * bytes_of_weight(shape, settings, is_cpu=False)
    share = adapted_layers(shape, settings.lora) / shape.layers
    reads = weights * (1 + share * (2 if settings.training.gradient_checkpointing else 1))
    least = reads / (chip.bandwidth_gb_s * 1e9)
    return sum(max(operations(shape, settings, g) / (chip.tflops[rate] * 1e12), least) for g in groups)
