"""The pipeline on the real SmolLM2-135M: prepare, train, evaluate, fuse, analyse, as commands."""

import json
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_python

from mlx_cc.errors import UserError
from mlx_cc.prompt import Branch, Tree

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def smollm2() -> str:
    from mlx_cc.model.pull import resolve

    try:
        resolve("smollm2-135m")
    except UserError as fault:
        pytest.skip(f"SmolLM2-135M can't be had here: {fault}")
    return "smollm2-135m"


def run(folder: Path, *arguments: str) -> str:
    result = run_python("-m", "mlx_cc", *arguments, cwd=folder)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def plain_loss(model: Any, tree: Tree) -> Any:
    """Mean answer losses of the rows at once, padded on the right, as the model itself computes them."""
    import mlx.core as mx
    import mlx.nn as nn

    longest = max(len(row) for row in tree.rows)
    logits = model(mx.array([row + [0] * (longest - len(row)) for row in tree.rows]))
    losses = []
    for place, (branch, row) in enumerate(zip(tree.branches, tree.rows, strict=True)):
        at = slice(len(row) - len(branch.answer) - 1, len(row) - 1)
        losses.append(nn.losses.cross_entropy(logits[place, at], mx.array(branch.answer)).mean())
    return mx.stack(losses).sum()


@pytest.mark.own_process
def test_its_loss_and_gradients_on_the_tree_are_those_of_rows(smollm2: str):
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten

    from mlx_cc.model.load import base_model
    from mlx_cc.model.tree import checkpointed, make_tree
    from mlx_cc.train.adapters import add_adapters
    from mlx_cc.train.loss import tree_loss
    from mlx_cc.train.settings import Lora

    model, _, _ = base_model(smollm2)
    add_adapters(model, Lora(r=16, lora_dropout=0.0))
    model.apply_to_modules(
        lambda _, m: setattr(m, "lora_b", mx.random.normal(m.lora_b.shape) * 0.01) if "lora_b" in m else None
    )
    make_tree(model)
    rng = np.random.default_rng(0)
    text = iter(rng.integers(1000, 40_000, 1000).tolist())
    sizes = ((12, 3), (1, 1), (20, 5), (3, 9), (12, 2), (25, 1))
    branches = [Branch(str(n), tuple(islice(text, a)), tuple(islice(text, b))) for n, (a, b) in enumerate(sizes)]
    trunk = tuple(islice(text, 60))
    for tree in (Tree("six", trunk, tuple(branches)), Tree("one", trunk, tuple(branches[:1]))):
        plain, expected = nn.value_and_grad(model, lambda tree: plain_loss(model, tree))(tree)
        mx.eval(plain, expected)
        for around in (nullcontext(), checkpointed(model)):
            with around:
                value, found = nn.value_and_grad(model, lambda tree: tree_loss(model, [tree], {})[0])(tree)
                mx.eval(value, found)
            assert value.item() == pytest.approx(plain.item(), rel=1e-5)
            squares, difference = 0.0, 0.0
            for (_, one), (_, other) in zip(tree_flatten(found), tree_flatten(expected), strict=True):
                squares += float((other**2).sum().item())
                difference += float(((one - other) ** 2).sum().item())
            assert (difference / squares) ** 0.5 < 1e-4


@pytest.mark.own_process
def test_texts_written_together_are_those_it_decodes_alone(smollm2: str):
    from mlx_cc.model.decode import Grammars, decode
    from mlx_cc.model.load import base_model
    from mlx_cc.model.writer import Job, Writer

    model, tokenizer, _ = base_model(smollm2)
    said = (
        "Agent: How can I help? Customer: I was charged twice this month.",
        "Agent: How can I help? Customer: My parcel never came, and nobody answers. Agent: I am sorry. I will send it again today.",
        "Agent: How can I help? Customer: Thank you, all is well now, you fixed it.",
    )
    short = 'start: "Reason: " /[a-z ]{5,12}/ "."\n'
    long = 'start: "- " /[A-Za-z ]{3,12}/ "\\n- " /[A-Za-z ]{3,30}/ "\\n"\n'
    pairs = ((said[0], None), (said[0], short), (said[1], long), (said[2], short))
    asked = [
        Job(n, tuple(tokenizer.encode(text)), tuple(tokenizer.encode("\nWhy? " * (n + 1))), rule, 10)
        for n, (text, rule) in enumerate(pairs)
    ]
    found = {one.key: one.text for one in Writer(model, tokenizer, batch_size=3).write(asked)}
    grammars = Grammars(tokenizer)
    for job in asked:
        constraint = grammars.constraint(job.grammar) if job.grammar else None
        row = [*job.trunk, *job.prompt]
        assert found[job.key] == "".join(decode(model, tokenizer, row, constraint=constraint, max_tokens=10))
    assert len(set(found.values())) == 4


def test_from_transcripts_to_a_fused_model_that_answers(smollm2, tmp_path):
    sample = ROOT / "data" / "sample"
    run(
        tmp_path, "prepare", "--transcripts-dir", f"{sample}/transcripts", "--analyses-dir", f"{sample}/analyses",
        "--output-dir", "data",
    )  # fmt: skip
    run(
        tmp_path, "train", "--config", f"{ROOT}/configs/smollm2_135m_cpu.yaml", "--max-seq-length", "320", "--num-train-epochs",
        "0.12", "--num-layers", "4", "--eval-conversations", "2", "--run", "e2e", "--output-dir", "models/e2e",
    )  # fmt: skip
    metrics = [json.loads(line) for line in (tmp_path / "adapters/e2e/metrics.jsonl").read_text().splitlines()]
    training = json.loads((tmp_path / "adapters/e2e/report.json").read_text())
    assert metrics[-1]["validation_loss"] < training["first_validation"], "five updates already teach the answers' form"

    report = json.loads(run(tmp_path, "evaluate", "--model", "adapters/e2e", "--limit", "2", "--json"))
    assert report["overall"]["log loss"]["model"]["n"] == report["conversations"] == 2
    assert set(report["tasks"]["quality"]["measures"]["MAE"]) == {"constant", "TF-IDF", "base", "model"}

    run(tmp_path, "fuse", "adapters/e2e", "--rows", "1")
    call = tmp_path / "call.txt"
    call.write_text(
        "Agent: Northwind Home, how can I help?\nCustomer: You charged me twice this month and I am leaving.\n"
    )
    analysis = json.loads(run(tmp_path, "analyze", str(call), "--model", "models/e2e", "--no-coaching", "--json"))
    assert 0 <= analysis["quality_score"] <= 100
    assert analysis["issue"] in analysis["root_cause"]
