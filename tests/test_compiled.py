"""What MLX compiles is what it computes uncompiled. Every other test runs without its compiler (conftest.py)."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import run_python, tiny_settings

from mlx_cc.files import locked


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


@pytest.fixture(scope="module")
def compiled(
    tiny_model: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> dict[str, np.ndarray]:
    """What a process computes in which MLX compiles, and the memory that `plan` estimates and measures there."""
    folder = tmp_path_factory.mktemp("compiled")
    cache = pytestconfig.cache.mkdir("mlx")  # kernels that g++ compiled in an earlier run are there already
    with locked(cache, lambda: None):
        child = run_python(__file__, tiny_model, prepared, folder, env={**os.environ, "TMPDIR": str(cache)})
    assert child.returncode == 0, child.stderr
    assert list(cache.rglob("*.so")), "the process compiled nothing"
    with np.load(folder / "compiled.npz") as found:
        return dict(found)


def test_a_training_step_kernels_and_decoding_are_the_same_compiled(
    compiled: dict[str, np.ndarray], tiny_model: Path, tmp_path: Path
):
    plain = computed(tiny_model, tmp_path)
    assert compiled["text"] == plain.pop("text")
    for name, expected in plain.items():
        np.testing.assert_allclose(compiled[name], expected, 1e-4, 1e-5 * np.abs(expected).max(), err_msg=name)


def test_estimated_memory_is_near_what_a_compiled_step_takes(compiled: dict[str, np.ndarray]):
    estimated, peak = compiled["memory"]
    assert estimated == pytest.approx(peak, rel=0.3)


if __name__ == "__main__":
    import mlx.core as mx

    from mlx_cc.train.plan import plan

    mx.enable_compile()
    model, data, folder = map(Path, sys.argv[1:])
    arrays = computed(model, folder)
    probe = plan(tiny_settings(model, data), probe_steps=2).probe
    assert probe
    np.savez(folder / "compiled.npz", memory=np.array([probe.estimated_bytes, probe.peak_bytes]), **arrays)
