"""What MLX compiles is what it computes uncompiled. Every other test runs without its compiler (conftest.py)."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import run_python, tiny_settings


def computed(model: Path, folder: Path) -> dict[str, np.ndarray]:
    """A training step, the CPU kernels with their gradients, and decoded tokens, on the tiny model."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    from mlx_cc.centre import Centre
    from mlx_cc.model import cpu_kernels
    from mlx_cc.model.decode import decode
    from mlx_cc.prompt import Branch, Tree
    from mlx_cc.train.loop import Trainer

    trainer = Trainer(tiny_settings(model, folder), folder, Centre())
    rng = np.random.default_rng(0)

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(rng.integers(5, 900, count).tolist())

    tree = Tree("random", tokens(40), tuple(Branch(str(n), tokens(8), tokens(3)) for n in range(2)))
    loss, gradients, *_ = trainer.gradients([[tree]])
    trainer.optimizer.update(trainer.model, gradients)
    trainer.model.eval()
    text = "".join(decode(trainer.model, trainer.tokenizer, list(tree.trunk), max_tokens=6))

    q, k, v = (mx.array(4 * rng.standard_normal((1, heads, 9, 16)), mx.float32) for heads in (4, 2, 2))
    kernels = {
        "attention": lambda x: cpu_kernels.attention(x, k, v, scale=0.25, mask="causal"),
        "swiglu": lambda x: cpu_kernels.swiglu(x, x * x),
    }
    arrays = {"loss": mx.array(loss), "gelu": cpu_kernels.gelu(q), **dict(tree_flatten(gradients))}
    arrays |= {name: kernel(q) for name, kernel in kernels.items()}
    arrays |= {f"{name}'s gradient": mx.grad(lambda x, f=f: f(x).sum())(q) for name, f in kernels.items()}
    return {"text": np.array(text), **{name: np.array(array) for name, array in arrays.items()}}


def test_a_training_step_kernels_and_decoding_are_the_same_compiled(
    tiny_model: Path, tmp_path: Path, pytestconfig: pytest.Config
):
    plain = computed(tiny_model, tmp_path)
    cache = pytestconfig.cache.mkdir("mlx")  # kernels that g++ compiled in an earlier run are there already
    child = run_python(__file__, tiny_model, tmp_path, env={**os.environ, "TMPDIR": str(cache)})
    assert child.returncode == 0, child.stderr
    assert list(cache.rglob("*.so")), "the child compiled nothing"
    with np.load(tmp_path / "compiled.npz") as found:
        compiled = dict(found)
    assert compiled.keys() == plain.keys() and compiled.pop("text") == plain.pop("text")
    for name, expected in plain.items():
        np.testing.assert_allclose(compiled[name], expected, 1e-4, 1e-5 * np.abs(expected).max(), err_msg=name)


if __name__ == "__main__":
    import mlx.core as mx

    mx.enable_compile()
    model, folder = map(Path, sys.argv[1:])
    np.savez(folder / "compiled.npz", **computed(model, folder))
