"""The tree computes what separate rows compute: losses, gradients and answer probabilities."""

import platform
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import LLAMA, random_model

from mlx_cc.errors import UserError
from mlx_cc.prompt import Branch, Scale, Tree
from mlx_cc.train.loss import Objective

KINDS = {
    "llama": LLAMA,
    "mistral": {**LLAMA, "model_type": "mistral", "tie_word_embeddings": False, "num_key_value_heads": 4},
    "qwen2": {**LLAMA, "model_type": "qwen2"},
    "qwen3": {**LLAMA, "model_type": "qwen3", "head_dim": 16},
    "gemma": {**LLAMA, "model_type": "gemma", "head_dim": 16},
    "gemma2": {**LLAMA, "model_type": "gemma2", "head_dim": 16, "query_pre_attn_scalar": 16},
}
RAGGED = ((7, 3), (1, 1), (12, 5), (3, 9), (7, 2), (20, 1))
"""Tokens of question and answer of six branches."""
WEIGHTS = {"task-0": 2.0, "task-3": 0.5}
SCALE = Scale(((7, 8, 9), (7, 8, 10, 9), (7, 9), (11, 9), (12, 3, 9)), (1.0, 2.0, 3.0, 4.0, 5.0), 3.25)
SOFT = Objective(0.5, 0.5)


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    from mlx_cc.model.tree import make_tree

    found = random_model(KINDS[request.param])
    make_tree(found)
    return found


def random_tree(sizes: Any = RAGGED, trunk: int = 40, seed: int = 0, scale: Scale | None = None) -> Tree:
    rng = np.random.default_rng(seed)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.integers(0, LLAMA["vocab_size"], count).tolist())

    branches = tuple(Branch(f"task-{n}", tokens(asked), tokens(said)) for n, (asked, said) in enumerate(sizes))
    first = replace(branches[0], answer=SCALE.answers[2], scale=scale)
    return Tree("call", tokens(trunk), (first, *branches[1:]))


FORESTS = {
    "six": [random_tree()],
    "one": [random_tree(RAGGED[:1])],
    "one soft": [random_tree(RAGGED[:1], scale=SCALE)],
    "six soft": [random_tree(scale=SCALE)],
    "three conversations": [
        random_tree(trunk=40),
        random_tree(RAGGED[2:4], trunk=37, seed=1, scale=SCALE),
        random_tree(RAGGED[1:], trunk=42, seed=2),
    ],
    "three rows": [random_tree(RAGGED[n : n + 1], trunk=40 - n, seed=n) for n in range(3)],
}


def plain_loss(model: Any, trees: list[Tree]) -> Any:
    """Weighted sum of losses from the model's own forward pass over every row, written out."""
    import mlx.core as mx
    import mlx.nn as nn

    def log_probabilities(prompt: Any, answer: Any) -> Any:
        logits = model(mx.array([[*prompt, *answer[:-1]]]))[0, -len(answer) :]
        return -nn.losses.cross_entropy(logits, mx.array(answer))

    total = mx.array(0.0)
    for tree in trees:
        for branch in tree.branches:
            prompt = [*tree.trunk, *branch.prompt]
            if branch.scale is None:
                loss = -log_probabilities(prompt, branch.answer).mean()
            else:
                log = mx.stack([log_probabilities(prompt, answer).sum() for answer in branch.scale.answers])
                near = np.exp(-2 * (np.array(branch.scale.values) - branch.scale.label) ** 2)
                near /= near.sum()
                tokens = sum(p * len(answer) for p, answer in zip(near, branch.scale.answers, strict=True))
                expected = (mx.softmax(log) * mx.array([1.0, 2.0, 3.0, 4.0, 5.0])).sum()
                loss = -(mx.array(near, mx.float32) * log).sum() / float(tokens)
                loss = loss + 0.5 * (expected - branch.scale.label) ** 2
            total = total + WEIGHTS.get(branch.task, 1.0) * loss
    return total


def with_gradients(model: Any, compute: Any) -> tuple[float, dict[str, np.ndarray]]:
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    value, found = nn.value_and_grad(model, compute)()
    return value.item(), {name: np.array(gradient) for name, gradient in tree_flatten(found)}


def same_gradients(one: dict[str, np.ndarray], other: dict[str, np.ndarray], tolerance: float = 1e-4) -> bool:
    assert one.keys() == other.keys()
    error = {name: np.abs(one[name] - other[name]).max() / (np.abs(other[name]).max() + 1e-12) for name in one}
    assert max(error.values()) < tolerance, max(error.items(), key=lambda item: item[1])
    return True


def together(model: Any, forest: str) -> list[Tree]:
    if model.one_tree_at_a_time and len(FORESTS[forest]) > 1:
        pytest.skip("this architecture computes one tree at a time")
    return FORESTS[forest]


@pytest.mark.parametrize("forest", FORESTS)
def test_loss_and_gradients_are_those_of_the_rows(model: Any, forest: str):
    from mlx_cc.train.loss import rows_loss, tree_loss

    trees = together(model, forest)
    plain, gradients = with_gradients(model, lambda: plain_loss(model, trees))
    for loss in (tree_loss, rows_loss):
        value, found = with_gradients(model, lambda loss=loss: loss(model, trees, WEIGHTS, SOFT)[0])
        assert value == pytest.approx(plain, rel=1e-5)
        assert same_gradients(found, gradients)


def test_branches_that_begin_alike_share_tokens_and_keep_their_gradients(model: Any):
    from mlx_cc.model.read import Trie
    from mlx_cc.train.loss import tree_loss

    one, other = random_tree(((6, 4), (6, 4))).branches
    alike = Branch("task-1", one.prompt, (*one.answer[:1], *other.answer[1:]))
    trees = [Tree("call", random_tree().trunk, (one, alike))]
    trie = Trie()
    for branch in trees[0].branches:
        trie.add(branch.prompt, [branch.answer])
    assert len(trie.tree.tokens) == 6 + len(one.answer) - 1 + len(alike.answer) - 2
    plain, gradients = with_gradients(model, lambda: plain_loss(model, trees))
    value, found = with_gradients(model, lambda: tree_loss(model, trees, WEIGHTS)[0])
    assert value == pytest.approx(plain, rel=1e-5)
    assert same_gradients(found, gradients)


def test_which_models_compute_several_trees_at_once(model: Any):
    assert model.one_tree_at_a_time == (model.args.model_type == "gemma2")


@pytest.mark.parametrize("passes", [2, 1, 3], ids=["tree", "row", "rows"])
def test_recomputed_activations_give_the_same_gradients(model: Any, passes: int, monkeypatch: pytest.MonkeyPatch):
    import mlx.core as mx

    from mlx_cc.model.tree import checkpointed
    from mlx_cc.train.loss import rows_loss, tree_loss

    trees = {2: FORESTS["six soft"], 1: FORESTS["one"], 3: [random_tree(RAGGED[:3])]}[passes]
    loss = rows_loss if passes == 3 else tree_loss
    kept, gradients = with_gradients(model, lambda: loss(model, trees, WEIGHTS)[0])
    call = type(model.layers[0]).__call__
    recomputed = []
    checkpoint = mx.checkpoint
    monkeypatch.setattr(mx, "checkpoint", lambda function: recomputed.append(function) or checkpoint(function))
    with checkpointed(model):
        recomputed.clear()
        value, found = with_gradients(model, lambda: loss(model, trees, WEIGHTS)[0])
    assert len(recomputed) == len(model.layers) * passes
    assert type(model.layers[0]).__call__ is call
    assert value == pytest.approx(kept, rel=1e-6)
    assert same_gradients(found, gradients, 1e-5)


def test_read_probabilities_are_those_of_scoring_every_answer_alone(model: Any):
    import mlx.core as mx

    from mlx_cc.model.read import read_answers
    from mlx_cc.model.tree import run_trunks

    trees = [random_tree(((5, 1), (9, 1), (5, 1)), trunk=40 - 7 * n, seed=n) for n in range(3)]
    trees = trees[:1] if model.one_tree_at_a_time else trees
    answers = [[(7, 8, 9), (7, 8, 10, 9), (7, 9), (11, 9)], [(1, 2), (3, 2), (1, 4, 2)], [(5,), (6,)]]
    prompts = [[branch.prompt for branch in tree.branches] for tree in trees]
    trunks = run_trunks(model, [tree.trunk for tree in trees])
    for tree, read in zip(trees, read_answers(model, trunks, prompts, answers), strict=True):
        for branch, allowed, found in zip(tree.branches, answers, read, strict=True):
            scores = []
            for answer in allowed:
                row = [*tree.trunk, *branch.prompt, *answer]
                logits = np.array(model(mx.array([row[:-1]]))[0, -len(answer) :], dtype=np.float64)
                log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
                scores.append(log[range(len(answer)), answer].sum())
            expected = np.exp(scores) / np.exp(scores).sum()
            assert found.sum() == pytest.approx(1)
            assert np.abs(found - expected).max() < 1e-4
            assert np.ptp(expected) > 1e-3  # the answers do differ


def test_a_token_tree_holds_a_shared_beginning_once():
    from mlx_cc.model.tree import TokenTree

    tree = TokenTree()
    first = tree.grow([5, 6, 7])
    second = tree.grow([5, 6, 8])
    third = tree.grow([8], parent=first[-1])
    assert (first, second, third) == ([0, 1, 2], [0, 1, 3], [4])
    depth, sees = tree.layout()
    assert depth.tolist() == [0, 1, 2, 2, 3]
    assert sees[3].tolist() == [True, True, False, True, False]
    assert sees[4].tolist() == [True, True, True, False, True]


HALF = {"head_dim": 16, "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}
SCALED = {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": 32, "type": "default"}
MAMBA = {"mamba_d_conv": 4, "mamba_d_head": 16, "mamba_d_ssm": 64, "mamba_d_state": 16, "mamba_n_groups": 1}
OTHERS: dict[str, dict[str, Any]] = {
    "llama": {**LLAMA, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
    "ministral3": {**LLAMA, "head_dim": 16, "rope_parameters": {**SCALED, "rope_theta": 1e4, "rope_type": "default"}},
    "afm7": {"vocab_size": 1000, "hidden_dim": 64, "num_layers": 3, "num_kv_reuse_layers": 1, "num_heads": 4}
    | {"num_kv_heads": 2},
    "gemma4_text": {**LLAMA, **HALF, "num_kv_shared_layers": 1, "num_hidden_layers": 2, "global_head_dim": 16}
    | {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 1000, "layer_types": ["full_attention"] * 2},
    "falcon_h1": {**LLAMA, **MAMBA, "head_dim": 16, "mamba_n_heads": 4, "mlp_multipliers": [1.0, 1.0]}
    | {"mamba_chunk_size": 16, "ssm_multipliers": [1.0] * 5, "mamba_rms_norm": False, "mamba_use_mlp": True},
    "lfm2": {**LLAMA, "norm_eps": 1e-5, "conv_bias": False, "conv_L_cache": 3, "block_dim": 64, "block_ff_dim": 128}
    | {"block_multiple_of": 32, "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": True}
    | {"full_attn_idxs": [0]},
}
"""Decoders that can't be computed as a tree; each fails, and calls its layers, in its own way."""


@pytest.mark.parametrize("kind", OTHERS)
def test_a_model_that_is_no_tree_learns_from_rows_and_is_reported_in_one_line(
    kind: str, caplog: pytest.LogCaptureFixture
):
    from mlx_cc.model.tree import PositionedRope, shares_trunk
    from mlx_cc.train.loss import rows_loss

    model = random_model({**OTHERS[kind], "model_type": kind})
    assert not shares_trunk(model, "Rows are computed.")
    (warning,) = caplog.messages
    assert f"'{kind}'" in warning and warning.endswith("so it can't share a trunk. Rows are computed.")
    assert not [name for name, module in model.named_modules() if isinstance(module, PositionedRope)]
    trees = [random_tree(RAGGED[:2])]
    assert rows_loss(model, trees, WEIGHTS)[0].item() == pytest.approx(plain_loss(model, trees).item(), rel=1e-5)


@pytest.mark.parametrize("kind", OTHERS)
def test_layers_of_any_signature_are_recomputed(kind: str):
    import mlx.core as mx

    from mlx_cc.model.tree import checkpointed

    model = random_model({**OTHERS[kind], "model_type": kind})
    ids = mx.array([random_tree().trunk])
    kept, gradients = with_gradients(model, lambda: model(ids).square().mean())
    with checkpointed(model):
        value, found = with_gradients(model, lambda: model(ids).square().mean())
    assert value == pytest.approx(kept, rel=1e-6)
    assert same_gradients(found, gradients, 1e-5)


def test_targets_of_adapters_are_looked_for_in_all_layers(caplog: pytest.LogCaptureFixture):
    from mlx.utils import tree_flatten

    from mlx_cc.train.adapters import add_adapters
    from mlx_cc.train.settings import Lora

    model = random_model({**OTHERS["lfm2"], "model_type": "lfm2"})  # its last layer is a convolution
    config = add_adapters(model, Lora(r=4, target_modules=("q_proj", "in_proj", "w1", "gate_proj")))
    adapted = [name.rpartition(".lora")[0] for name, _ in tree_flatten(model.trainable_parameters())]
    assert {name.partition("layers.")[2] for name in adapted} == {
        "0.self_attn.q_proj", "0.feed_forward.w1", "1.conv.in_proj", "1.feed_forward.w1"
    }  # fmt: skip
    assert len(config["lora_parameters"]["keys"]) == 3
    (said,) = caplog.messages
    assert "of 2 adapted layers, q_proj is in 1, in_proj is in 1, gate_proj is in 0. They also have k_proj" in said


def test_layers_that_cannot_be_recomputed_are_refused_in_one_line(model: Any, monkeypatch: pytest.MonkeyPatch):
    import mlx.core as mx

    from mlx_cc.model.tree import checkpointed

    monkeypatch.setattr(mx, "checkpoint", lambda function: lambda *inputs: [][0])
    with pytest.raises(UserError, match="Set `gradient_checkpointing: false`"), checkpointed(model):
        pass
    assert "_recomputed" not in type(model.layers[0]).__call__.__qualname__


def test_a_model_with_a_sliding_window_is_refused_in_one_line():
    from mlx_cc.model.tree import make_tree

    layers = ["sliding_attention", "full_attention"]
    model = random_model({**LLAMA, "layer_types": layers, "sliding_window": 16})
    with pytest.raises(UserError, match="uses RotatingKVCache, so it can't share a trunk. Set `loss: rows`") as raised:
        make_tree(model)
    assert "\n" not in str(raised.value)


def test_models_that_cannot_share_a_trunk_learn_from_rows():
    from mlx_cc.model.tree import make_tree
    from mlx_cc.train.loss import rows_loss

    scaled = {"logits_scaling": 4.0, "attention_multiplier": 0.25, "embedding_multiplier": 2.0}
    more = {"residual_multiplier": 0.5, "attention_bias": False, "mlp_bias": False}
    model = random_model({**LLAMA, **scaled, **more, "model_type": "granite"})
    with pytest.raises(UserError, match="gives other logits as a tree"):
        make_tree(model)
    trees = [random_tree()]
    assert rows_loss(model, trees, WEIGHTS)[0].item() == pytest.approx(plain_loss(model, trees).item(), rel=1e-5)


def test_preparing_a_model_twice_does_no_harm(model: Any):
    from mlx_cc.model.tree import PositionedRope, make_tree

    make_tree(model)
    assert not isinstance(model.layers[0].self_attn.rope.rope, PositionedRope)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="only x86 CPUs use it")
@pytest.mark.parametrize("mask", ["causal", "boolean", "additive", "none"])
def test_the_attention_for_x86_is_the_stock_one_with_its_gradients(mask: str):
    import mlx.core as mx

    from mlx_cc.model import cpu_kernels

    rng = np.random.default_rng(0)
    q, k, v, weight = (
        mx.array(rng.normal(size=(2, heads, length, 16)), dtype=mx.float32)
        for heads, length in ((4, 9), (2, 13), (2, 13), (4, 9))
    )
    seen = mx.array(rng.random((9, 13)) < 0.7) | (mx.arange(13) == 0)
    chosen = {"causal": "causal", "boolean": seen, "additive": mx.where(seen, 0.5, -1e9), "none": None}[mask]

    def compute(attention: Any) -> Any:
        def summed(q: Any, k: Any, v: Any) -> Any:
            return (attention(q, k, v, scale=0.25, mask=chosen) * weight).sum()

        out = attention(q, k, v, scale=0.25, mask=chosen)
        return [np.array(x) for x in (out, *mx.grad(summed, argnums=(0, 1, 2))(q, k, v))]

    for found, expected in zip(compute(cpu_kernels.attention), compute(cpu_kernels._stock), strict=True):
        assert np.abs(found - expected).max() < 1e-5


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="only x86 CPUs use it")
def test_the_swiglu_for_x86_is_the_stock_one_with_its_gradients():
    import mlx.core as mx
    import mlx.nn as nn

    from mlx_cc.model import cpu_kernels

    rng = np.random.default_rng(0)
    gate, x = mx.array(rng.normal(size=(40, 33)) * 20, mx.float32), mx.array(rng.normal(size=(40, 33)), mx.float32)

    def compute(swiglu: Any) -> Any:
        return [np.array(a) for a in (swiglu(gate, x), *mx.grad(lambda a, b: swiglu(a, b).sum(), (0, 1))(gate, x))]

    stock = compute(lambda gate, x: nn.silu(gate) * x)
    for found, expected in zip(compute(cpu_kernels.swiglu), stock, strict=True):
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
