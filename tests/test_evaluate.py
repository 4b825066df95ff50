"""Evaluation on a tiny model: constant, base and tuned beside each other, kept as it comes."""

import json
import shutil

import pytest

from mlx_cc.errors import UserError
from mlx_cc.evaluate.session import evaluate
from mlx_cc.metrics import Estimate


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    return shutil.copytree(trained, tmp_path_factory.mktemp("adapters") / "run")


@pytest.fixture(scope="module")
def report(run, prepared):
    return evaluate(str(run), prepared / "validation_chatml.jsonl", prepared / "train_chatml.jsonl", limit=3)


def test_every_read_task_has_its_measures_with_n_and_interval(report):
    assert set(report["tasks"]) == {"quality", "csat", "issue", "churn", "journey"}
    for found in report["tasks"].values():
        assert {"constant", "base", "model"} == set(found["measures"]["log loss"])
        estimate = next(iter(found["measures"].values()))["model"]
        assert isinstance(estimate, Estimate)
        assert estimate.n == found["n"] > 0


def test_the_overall_score_is_the_mean_log_loss_of_a_conversation(report):
    per_task = [found["measures"]["log loss"]["base"].value for found in report["tasks"].values()]
    assert report["overall"]["log loss"]["base"].value == pytest.approx(sum(per_task) / len(per_task), rel=1e-6)
    gap = report["overall"]["difference"]["base"]
    whole = report["overall"]["log loss"]
    assert gap.value == pytest.approx(whole["model"].value - whole["base"].value, rel=1e-6)


def test_labels_are_called_what_they_are(report):
    assert report["sources"]["quality"] == ["simulated"]


def test_a_second_run_reads_its_journal_and_says_the_same(report, run, prepared):
    journals = sorted((run / "evaluation").glob("answers-*.jsonl"))
    before = [j.read_bytes() for j in journals]
    cut = journals[0]
    cut.write_bytes(cut.read_bytes()[:-40])  # a crash in the middle of the last line
    again = evaluate(str(run), prepared / "validation_chatml.jsonl", prepared / "train_chatml.jsonl", limit=3)
    assert [
        sorted(map(json.loads, j.read_text().splitlines()), key=lambda r: r["conversation_id"]) for j in journals
    ] == [sorted(map(json.loads, b.decode().splitlines()), key=lambda r: r["conversation_id"]) for b in before]
    assert (
        again["tasks"]["quality"]["measures"]["MAE"]["model"] == report["tasks"]["quality"]["measures"]["MAE"]["model"]
    )


def test_conversations_the_model_was_trained_on_are_refused(trained, prepared):
    with pytest.raises(UserError, match="the model was trained on them"):
        evaluate(str(trained), prepared / "train_chatml.jsonl", None)
