"""The pipeline on the real SmolLM2-135M: prepare, train, evaluate, fuse, analyse, as commands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_cc.errors import UserError

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
    result = subprocess.run(
        [sys.executable, "-m", "mlx_cc", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


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
    assert set(report["tasks"]["quality"]["measures"]["MAE"]) == {"constant", "base", "model"}

    run(tmp_path, "fuse", "adapters/e2e", "--rows", "1")
    call = tmp_path / "call.txt"
    call.write_text(
        "Agent: Northwind Home, how can I help?\nCustomer: You charged me twice this month and I am leaving.\n"
    )
    analysis = json.loads(run(tmp_path, "analyze", str(call), "--model", "models/e2e", "--no-coaching", "--json"))
    assert 0 <= analysis["quality_score"] <= 100
    assert analysis["issue"] in analysis["root_cause"]
