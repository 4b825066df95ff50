"""How much memory a training step takes, from a model's config.json and the run's settings, before anything is loaded.

A step's peak is what is always there (weights, adapters, their gradients and AdamW's two averages) and what
is kept for the backward pass when that begins. Per token of a llama block, in numbers (d hidden size, q and kv widths
of queries and keys, m width of the MLP):

    d + d          the block's input and the middle of its residual stream, for the two norms
    q + 2 kv       rotated queries, keys, values
    2 m            gate and up, for SwiGLU
    inputs         of each adapted projection, for its adapter's gradient

and for attention, which is not fused in training, the softmax of heads x T x T (trunk) and heads x S x (T + S)
(branches) scores. Layers below the lowest adapted one keep only the trunk's keys and values. `Kernels` holds what was
measured on top.

Shapes: T trunk tokens, S tokens of branches (nodes of the trie), N trees at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlx_cc.errors import UserError
from mlx_cc.prompt import Tree, groups
from mlx_cc.train.settings import Lora, TrainSettings

GRADIENT_COPIES = 2
"""The sum over an update's earlier groups, and the group being computed."""
LOGIT_COPIES = 4
"""Logits, their softmax, its gradient, and one intermediate."""
INPUT = {"q_proj": 0, "k_proj": 0, "v_proj": 0, "o_proj": 1, "gate_proj": 2, "up_proj": 2, "down_proj": 3}
"""Projection -> number of its input; those with the same number share one."""
LONGEST = 16
"""Steps with the most tokens that are searched for the one that takes the most memory; set by hand."""


class Kernels(NamedTuple):
    """What attention and SwiGLU hold besides the tensors named above; measured on SmolLM2-135M in float32."""

    trunk_temporaries: float
    """Temporary memory of one layer's backward pass, in score matrices of the trunk."""
    branch_temporaries: float
    """The same for branches, in score matrices of the branches."""
    swiglu: float
    """Intermediates of every layer's SwiGLU that MLX computes early, in MLP widths per token."""
    recomputed: float
    """Layers whose activations exist at once under gradient checkpointing."""
    unfused: float
    """Factor on the temporaries under gradient checkpointing, across which MLX fuses no operations."""


OURS = Kernels(trunk_temporaries=4.0, branch_temporaries=2.5, swiglu=0.0, recomputed=2.0, unfused=2.2)
"""`mlx_cc.model.cpu_kernels`, on x86 CPUs."""
STOCK = Kernels(trunk_temporaries=1.5, branch_temporaries=1.5, swiglu=2.5, recomputed=1.0, unfused=1.0)
"""MLX's own kernels."""


class Target(NamedTuple):
    """Kernels and number format of the machine that trains."""

    kernels: Kernels
    is_cpu: bool
    """Computes in float32 whatever the settings say, and fuses neither RoPE nor norms."""


@dataclass(frozen=True)
class Shape:
    """A decoder's sizes."""

    layers: int
    hidden: int
    queries: int
    """Width of all query heads together."""
    keys: int
    """Width of all key heads together; values are as wide."""
    heads: int
    mlp: int
    vocabulary: int
    tied: bool
    """Whether the LM head is the embedding."""
    stored: str
    """Floating dtype of the weights on disk."""
    bits: int
    """Bits of a weight that is stored quantised; 0 where none is."""

    def projections(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of a block's seven projections."""
        return {
            "q_proj": (self.hidden, self.queries),
            "k_proj": (self.hidden, self.keys),
            "v_proj": (self.hidden, self.keys),
            "o_proj": (self.queries, self.hidden),
            "gate_proj": (self.hidden, self.mlp),
            "up_proj": (self.hidden, self.mlp),
            "down_proj": (self.mlp, self.hidden),
        }

    @property
    def block(self) -> int:
        """Parameters of one block."""
        return sum(i * o for i, o in self.projections().values()) + 2 * self.hidden

    @property
    def parameters(self) -> int:
        """Parameters of the whole model."""
        return self.layers * self.block + self.vocabulary * self.hidden * (1 if self.tied else 2) + self.hidden


def read_shape(config: Mapping[str, Any], where: str) -> Shape:
    """The sizes in a config.json.

    Raises:
        UserError: the model is not a dense decoder such as Llama.
    """
    config = {**config, **config.get("text_config", {})}
    experts = next((key for key in config if "num" in key and "experts" in key and config[key]), None)
    needed = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    lacks = next((key for key in needed if key not in config), None)
    if experts or lacks:
        fault = f"has {experts}" if experts else f"has no {lacks}"
        raise UserError(f"{where}: {fault}; plan supports dense decoders such as Llama, Mistral and Qwen. Choose one.")
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    rounded = config.get("quantization") or config.get("quantization_config") or {}
    return Shape(
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        queries=heads * size,
        keys=(config.get("num_key_value_heads") or heads) * size,
        heads=heads,
        mlp=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        tied=config.get("tie_word_embeddings", False),
        stored=config.get("torch_dtype") or config.get("dtype") or "bfloat16",
        bits=rounded.get("bits", 0),
    )


class Group(NamedTuple):
    """Trees that are computed at once, padded to the longest; a row is a trunk without branches."""

    trees: int
    trunk: int
    branches: int
    nodes: int
    """Number of states whose logits are learned from, in all trees together."""
    head: int = 0
    """Number of further states that the LM head computes, as `rows_loss` does for whole rows."""

    @property
    def tokens(self) -> int:
        """Tokens computed, padding included."""
        return self.trees * (self.trunk + self.branches)


def group_of(trees: Sequence[Tree]) -> Group:
    """The sizes of trees as `tree_loss` computes them."""
    if all(tree.is_row for tree in trees):
        longest = max(len(tree.rows[0]) for tree in trees) - 1
        return Group(len(trees), longest, 0, sum(len(tree.branches[0].answer) for tree in trees))
    branches = [branches_of(tree) for tree in trees]
    return Group(
        len(trees),
        max(len(t.trunk) for t in trees),
        max(size for size, _ in branches),
        sum(nodes for _, nodes in branches),
    )


def branches_of(tree: Tree) -> tuple[int, int]:
    """(tokens computed, states the LM head computes) of a tree's branches."""
    from mlx_cc.model.read import Trie

    trie = Trie()
    for branch in tree.branches:
        trie.add(branch.prompt, branch.scale.answers if branch.scale else [branch.answer])
    return len(trie.tree.tokens), len(set(trie.nodes))


@dataclass(frozen=True)
class Memory:
    """Bytes at a step's peak."""

    weights: float
    adapters: float
    """Trained parameters that are not the model's own weights."""
    optimizer: float
    gradients: float
    activations: float
    """Activations kept for the backward pass, without those below."""
    attention: float
    """Attention scores of all adapted layers, kept for the backward pass."""
    keys_values: float
    """Keys and values of the trunk in all layers, and their gradients."""
    temporaries: float
    """Temporary memory of one layer's backward pass; with checkpointing, of the layers that are recomputed."""
    logits: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return sum(self.__dict__.values())


def trained_parameters(shape: Shape, lora: Lora) -> int:
    """Number of trained parameters."""
    layers = adapted_layers(shape, lora)
    if not lora.enabled:
        return layers * shape.block
    adapted = [size for name, size in shape.projections().items() if name in lora.target_modules]
    each = sum(lora.r * (i + o) + (o if lora.type == "dora" else 0) for i, o in adapted)
    return layers * each


def adapted_layers(shape: Shape, lora: Lora) -> int:
    """Number of layers that gradients pass through."""
    return shape.layers if lora.num_layers == -1 else min(lora.num_layers, shape.layers)


def bytes_of_weight(shape: Shape, settings: TrainSettings, is_cpu: bool) -> float:
    """Bytes of a weight, with its share of the scales when it is quantised."""
    bits = shape.bits or {"none": 0, "4bit": 4, "8bit": 8}[settings.model.quantization]
    if is_cpu or not bits:
        return bytes_of_activation(shape, settings, is_cpu)
    return bits / 8 + 4 / 64


def bytes_of_activation(shape: Shape, settings: TrainSettings, is_cpu: bool) -> int:
    """Bytes of a computed number."""
    wide = not (settings.training.fp16 or settings.training.bf16) or (shape.stored == "float32" and not shape.bits)
    return 4 if is_cpu or wide else 2


def memory(shape: Shape, settings: TrainSettings, target: Target, groups: Sequence[Group]) -> Memory:
    """The peak of a step that takes these groups through one backward pass (several only when loss is `rows`)."""
    lora, kernels = settings.lora, target.kernels
    number = bytes_of_activation(shape, settings, target.is_cpu)
    trained = trained_parameters(shape, lora)
    each = 4 if lora.enabled else number
    above = adapted_layers(shape, lora)
    per_token = _kept_per_token(shape, lora, number, target)
    checkpointing = settings.training.gradient_checkpointing

    activations = attention = keys_values = temporaries = logits = 0.0
    for group in groups:
        n, t, s = group.trees, group.trunk, group.branches
        trunk_layers = above - 1 if s else above  # of the last layer's trunk only keys and values are computed
        trunk_scores = n * shape.heads * t * t * number
        branch_scores = n * shape.heads * s * (t + s) * number
        kv = 2 * shape.keys * number * n
        layer = per_token * n * (t + s) + trunk_scores + branch_scores + kv * (t + s) * bool(s)
        temporary = kernels.trunk_temporaries * trunk_scores + kernels.branch_temporaries * branch_scores
        temporary *= kernels.unfused if checkpointing else 1
        temporary = max(temporary, 4 * shape.mlp * number * group.tokens, 2 * group.head * shape.vocabulary * number)
        if checkpointing:
            kept = shape.hidden * number * n + kv
            activations += kept * (t * trunk_layers + s * above)
            temporary += kernels.recomputed * layer
        else:
            activations += per_token * n * (t * trunk_layers + s * above) + n * t * t * above
            attention += trunk_scores * trunk_layers + branch_scores * above
        if s:
            keys_values += kv * (t * (shape.layers - above) + (t * above if checkpointing else (t + s) * above))
        temporaries = max(temporaries, temporary)
        logits += (LOGIT_COPIES * group.nodes * 4 + group.head * number) * shape.vocabulary
    return Memory(
        weights=shape.parameters * bytes_of_weight(shape, settings, target.is_cpu),
        adapters=trained * each if lora.enabled else 0.0,
        optimizer=2.0 * trained * each,
        gradients=float(GRADIENT_COPIES * trained * each),
        activations=activations,
        attention=attention,
        keys_values=keys_values,
        temporaries=temporaries,
        logits=logits,
    )


def _kept_per_token(shape: Shape, lora: Lora, number: int, target: Target) -> float:
    """Bytes that one adapted layer keeps of a token for the backward pass, attention scores apart."""
    kept = (2 * shape.hidden + shape.queries + 2 * shape.keys + (2 + target.kernels.swiglu) * shape.mlp) * number
    if target.is_cpu:
        kept += 2 * 4 * shape.queries / shape.heads  # cosines and sines of queries and keys
    if not lora.enabled:  # inputs of all projections
        return kept + (2 * shape.hidden + shape.queries + shape.mlp) * number
    shared: dict[int, int] = {}
    for name, (inputs, outputs) in shape.projections().items():
        if name not in lora.target_modules:
            continue
        kept += lora.r * 4 + (outputs * 4 if lora.type == "dora" else 0)
        if lora.lora_dropout:
            kept += inputs * (number + 4)  # the mask, and what is left as float32
        elif number != 4:
            kept += inputs * 4  # each adapter's own float32 copy
        else:
            shared[INPUT[name]] = inputs
    return kept + sum(shared.values()) * number


# Steps


def this_target() -> Target:
    """The target for training on this machine."""
    import mlx.core as mx

    from mlx_cc.model import cpu_kernels, machine

    return Target(OURS if cpu_kernels.wanted() else STOCK, machine.compute_dtype() == mx.float32)


def largest_step(trees: Sequence[Tree], settings: TrainSettings, shape: Shape, target: Target) -> list[Group]:
    """The groups of one backward pass that take the most memory, of the steps with the most tokens."""
    passes = [backward for step in steps_of(trees, settings)[-LONGEST:] for backward in backwards(step, settings)]
    return max(passes, key=lambda groups: memory(shape, settings, target, groups).total)


def steps_of(trees: Sequence[Tree], settings: TrainSettings) -> list[list[Tree]]:
    """Trees of close lengths, as many as a step computes, shortest first."""
    size = settings.training.per_device_train_batch_size
    ordered = sorted(trees, key=lambda tree: tree.tokens)
    return [ordered[max(0, end - size) : end] for end in range(len(ordered), 0, -size)][::-1]


def backwards(step: Sequence[Tree], settings: TrainSettings) -> list[list[Group]]:
    """The groups of each backward pass of a step: one, or all rows of a conversation."""
    if settings.training.loss == "tree":
        return [[group_of(group)] for group in groups(step)]
    return [_rows_of(tree) for tree in step]


def _rows_of(tree: Tree) -> list[Group]:
    """The rows that `rows_loss` computes one by one."""
    answers = [(b, a) for b in tree.branches for a in (b.scale.answers if b.scale else (b.answer,))]
    lengths = [len(tree.trunk) + len(branch.prompt) + len(answer) - 1 for branch, answer in answers]
    return [Group(1, n, 0, len(answer), n - len(answer)) for n, (_, answer) in zip(lengths, answers, strict=True)]


def stock_length(tokens: int, max_tokens: int) -> int:
    """Tokens of a row as mlx-lm pads it."""
    return min(1 + 32 * math.ceil(tokens / 32), max_tokens)
