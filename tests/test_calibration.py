"""Calibration: probabilities that mean what they say, values that are moved, answers that ask for a second look."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from mlx_cc.calibration import (
    Calibration,
    Change,
    TaskCalibration,
    calibrated,
    fit,
    read_calibration,
    tempered,
    threshold,
    weights_of,
    write_calibration,
)
from mlx_cc.centre import Centre
from mlx_cc.commands import analyze, calibrate, evaluate
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import read_json, write_conversations
from mlx_cc.tasks import all_tasks

CENTRE = Centre()
FITTED = TaskCalibration(
    temperature=2.0,
    threshold=0.5,
    accuracy=0.9,
    n=100,
    kept=0.5,
    data="validation.jsonl",
    log_loss=Change(2.0, 1.0),
    ece=Change(0.2, 0.1),
)


def class_rows(n: int, sharpened: float, seed: int = 0) -> list[tuple[dict[str, float], Any]]:
    """Labels drawn from distributions over the issue classes, and these distributions made too sure."""
    rng = np.random.default_rng(seed)
    texts = CENTRE.issue_classes
    p = tempered(rng.dirichlet(np.full(len(texts), 0.3), n), 1.0)
    labels = [texts[rng.choice(len(texts), p=row)] for row in p]
    return [
        (dict(zip(texts, row.tolist(), strict=True)), label)
        for row, label in zip(tempered(p, 1 / sharpened), labels, strict=True)
    ]


def score_rows(n: int, shift: float, noise: float = 4.0, seed: int = 0) -> list[tuple[dict[str, float], Any]]:
    """Churn labels, and distributions around a value that is `shift` too high."""
    rng = np.random.default_rng(seed)
    points = np.arange(0, 101, 5)
    labels = 5 * rng.integers(2, 15, n)
    rows = []
    for label in labels:
        near = np.exp(-0.5 * ((points - (label + shift + rng.normal(0, noise))) / 5) ** 2)
        rows.append((dict(zip(map(str, points), (near / near.sum()).tolist(), strict=True)), int(label)))
    return rows


# Fitting


def test_a_model_that_is_too_sure_gets_its_temperature_back():
    task = all_tasks()["issue"]
    found = fit(task, class_rows(1500, sharpened=2.0), CENTRE, 0.9, "validation.jsonl")
    assert found is not None
    assert found.temperature == pytest.approx(2.0, rel=0.15)
    assert found.log_loss.after < 0.9 * found.log_loss.before
    assert found.ece.after < 0.5 * found.ece.before
    assert found.mae is None
    assert found.n == 1500


def test_a_model_that_is_honest_is_left_nearly_as_it_is():
    found = fit(all_tasks()["issue"], class_rows(1500, sharpened=1.0), CENTRE, 0.9, "validation.jsonl")
    assert found is not None
    assert found.temperature == pytest.approx(1.0, rel=0.1)
    assert found.log_loss.after == pytest.approx(found.log_loss.before, rel=0.01)


def test_figures_are_of_rows_that_were_not_fitted_on():
    # Labels that have nothing to do with the values: a map fitted and measured on the same rows would improve.
    rows = score_rows(60, shift=0)
    labels = np.random.default_rng(1).permutation([label for _, label in rows])
    found = fit(
        all_tasks()["churn"], [(p, int(label)) for (p, _), label in zip(rows, labels, strict=True)], CENTRE, 0.9, "v"
    )
    assert found is not None
    middle = float(np.abs(labels - np.median(labels)).mean())
    assert found.mae is not None
    assert found.mae.after > 0.9 * middle


def test_scores_that_are_too_high_are_moved_down_and_stay_consistent():
    task = all_tasks()["churn"]
    found = fit(task, score_rows(300, shift=15), CENTRE, 0.9, "v")
    assert found is not None
    assert found.mae is not None
    assert found.mae.before > 13
    assert found.mae.after < 5
    x, y = zip(*found.knots, strict=True)
    assert list(x) == sorted(x)
    assert list(y) == sorted(y)
    fresh = score_rows(50, shift=15, seed=1)
    answers = [calibrated(task, p, CENTRE, found) for p, _ in fresh]
    assert np.mean([abs(a.value - label) for a, (_, label) in zip(answers, fresh, strict=True)]) < 5
    for answer in answers:
        assert answer.interval is not None
        assert answer.interval[0] <= answer.value <= answer.interval[1]


def test_few_rows_fit_a_temperature_but_no_map_and_fewer_nothing():
    task = all_tasks()["churn"]
    forty = fit(task, score_rows(40, shift=15), CENTRE, 0.9, "v")
    assert forty is not None
    assert forty.knots == ()
    assert fit(task, score_rows(29, shift=15), CENTRE, 0.9, "v") is None
    stranger = [(p, "no such class") for p, _ in class_rows(40, 1.0)]
    assert fit(all_tasks()["issue"], stranger, CENTRE, 0.9, "v") is None


# Thresholds


def test_the_threshold_is_the_lowest_confidence_that_keeps_the_accuracy():
    confidence = np.linspace(0.99, 0.5, 50)
    right = np.arange(50) < 18  # the surest 18 are right: 18 of 20 is 90%
    found = threshold(confidence, right, 0.9)
    assert found.confidence == confidence[19]
    assert found.kept == 20 / 50
    assert threshold(confidence, np.ones(50, bool), 0.9).kept == 1


def test_answers_of_one_confidence_are_kept_or_left_together():
    confidence = np.array([0.9] * 22 + [0.6] * 10)
    right = np.array([True] * 26 + [False] * 6)
    assert threshold(confidence, right, 0.9) == (0.9, 22 / 32)


def test_no_threshold_is_found_where_none_keeps_the_accuracy():
    confidence = np.linspace(0.9, 0.1, 40)
    right = np.arange(40) % 2 == 0
    right[:19] = True  # of so few, nothing is known
    assert threshold(confidence, right, 0.97) == (None, 0)
    answer = calibrated(all_tasks()["issue"], class_rows(1, 1.0)[0][0], CENTRE, None)
    assert replace(FITTED, threshold=None).doubts(answer)
    assert FITTED.doubts(answer._replace(confidence=0.499))
    assert not FITTED.doubts(answer._replace(confidence=0.5))


# Using


def test_without_a_calibration_an_answer_is_as_the_model_gives_it():
    task = all_tasks()["quality"]
    p = score_rows(1, 0)[0][0]
    assert task.read is not None
    assert calibrated(task, p, CENTRE, None) == task.read(p, CENTRE)
    same = calibrated(task, p, CENTRE, replace(FITTED, temperature=1.0))
    assert same.distribution == pytest.approx(p)


def test_the_effectiveness_band_follows_the_moved_score():
    task = all_tasks()["quality"]
    p = dict.fromkeys(task.answers(CENTRE), 0.0) | {"85": 0.5, "95": 0.5}  # type: ignore[misc]
    moved = replace(FITTED, temperature=1.0, knots=((0.0, 0.0), (90.0, 72.5), (100.0, 80.0)))
    assert calibrated(task, p, CENTRE, None).value == {"score": 90.0, "effectiveness": "excellent"}
    answer = calibrated(task, p, CENTRE, moved)
    assert answer.value == {"score": 72.5, "effectiveness": "fair"}
    assert answer.interval == (72.5, 95.0)


@pytest.mark.parametrize("name", ["adapters.safetensors", "model.safetensors"])
def test_a_calibration_of_other_weights_is_left_aside_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
):
    weights = tmp_path / name
    weights.write_bytes(b"one")
    assert read_calibration(tmp_path) is None
    kept = Calibration({"churn": FITTED}, weights_of(tmp_path))
    write_calibration(tmp_path, kept)
    weights.touch()  # the same weights at another time
    assert read_calibration(tmp_path) == kept
    assert not caplog.records
    weights.write_bytes(b"two")
    with caplog.at_level(logging.WARNING):
        assert read_calibration(tmp_path) is None
    assert [r.getMessage().count("\n") for r in caplog.records] == [0]
    assert "fitted for other weights" in caplog.text
    write_calibration(tmp_path, replace(kept, weights=None))
    assert read_calibration(tmp_path) == replace(kept, weights=None)


# mlx_cc calibrate


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def fault(result: Result) -> str:
    assert isinstance(result.exception, UserError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, sample_conversations: list[Conversation]) -> Path:
    """Sample conversations that the run was not prepared from."""
    path = tmp_path_factory.mktemp("others") / "others.jsonl"
    write_conversations(path, sample_conversations[24:56])
    return path


@pytest.fixture(scope="module")
def adapter(trained: Path, others: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run, calibrated for three tasks."""
    place = shutil.copytree(trained, tmp_path_factory.mktemp("adapters") / "run")
    done = run(calibrate.command, "--model", place, "--data", others, "--tasks", "issue,csat,churn")
    assert done.exit_code == 0, done.output
    for word in ("temperature", "log loss", "ECE", "MAE", "threshold", "kept", "issue", "csat", "churn", "32"):
        assert word in done.stdout
    return place


def test_a_calibration_is_kept_beside_the_adapter_and_applied(adapter: Path, trained: Path, others: Path):
    import mlx_cc

    kept = read_json(adapter / "calibration.json", Calibration)
    assert set(kept.tasks) == {"issue", "csat", "churn"}
    assert kept.weights == weights_of(trained)
    issue = kept.tasks["issue"]
    assert (issue.n, issue.data, issue.accuracy) == (32, "others.jsonl", 0.9)
    assert issue.log_loss.after < issue.log_loss.before  # a random model is far too sure

    conversation = mlx_cc.load(adapter).conversation("Agent: Hello.\nCustomer: My bill is wrong.")
    raw, said = (
        mlx_cc.load(trained).answer(conversation, ["issue"]),
        mlx_cc.load(adapter).answer(conversation, ["issue"]),
    )
    before = np.array(list(raw["issue"].distribution.values()))  # type: ignore[union-attr]
    after = np.array(list(said["issue"].distribution.values()))  # type: ignore[union-attr]
    assert after == pytest.approx(tempered(before, issue.temperature), abs=1e-6)


def test_tasks_that_are_named_are_fitted_again_and_others_stay(adapter: Path, others: Path, tmp_path: Path):
    place = shutil.copytree(adapter, tmp_path / "run")
    before = read_json(place / "calibration.json", Calibration)
    done = run(calibrate.command, "--model", place, "--data", others, "--tasks", "csat", "--accuracy", 0.01, "--json")
    assert done.exit_code == 0, done.output
    after = json.loads(done.stdout)["tasks"]
    assert after["csat"]["accuracy"] == 0.01
    assert after["csat"]["kept"] > 0
    assert after["issue"]["temperature"] == before.tasks["issue"].temperature


def test_answers_below_the_threshold_are_marked(adapter: Path, tmp_path: Path):
    place = shutil.copytree(adapter, tmp_path / "run")
    kept = read_json(place / "calibration.json", Calibration)
    tasks = {name: replace(task, threshold=0.0) for name, task in kept.tasks.items()}
    write_calibration(place, replace(kept, tasks={**tasks, "issue": replace(tasks["issue"], threshold=1.01)}))
    call = tmp_path / "call.txt"
    call.write_text("Agent: Hello.\nCustomer: My bill is wrong.")
    found = json.loads(run(analyze.command, call, "--model", place, "--no-coaching", "--json").stdout)
    assert (found["needs_review"], found["review"]) == (True, ["issue"])
    shown = run(analyze.command, call, "--model", place, "--no-coaching")
    assert shown.stdout.count("review") == 1


def test_evaluation_applies_the_calibration_unless_told_not_to(adapter: Path, others: Path, tmp_path: Path):
    options = ["--model", adapter, "--data", others, "--base", "none", "--tasks", "issue", "--limit", 4, "--json"]
    reports = {}
    for name, more in {"applied": [], "not": ["--no-calibration"]}.items():
        done = run(evaluate.command, *options, "--output", tmp_path, *more)
        assert done.exit_code == 0, done.output
        reports[name] = json.loads(done.stdout)
    losses = {name: r["tasks"]["issue"]["measures"]["log loss"]["model"]["value"] for name, r in reports.items()}
    assert losses["applied"] < losses["not"]
    assert reports["applied"]["calibrated"] == ["churn", "csat", "issue"]
    assert reports["not"]["calibrated"] == []
    assert len(list(tmp_path.glob("answers-*.jsonl"))) == 2  # one's answers are never taken for the other's


def test_conversations_of_training_and_of_the_test_are_refused(
    trained: Path, prepared: Path, tmp_path: Path, sample_conversations: list[Conversation]
):
    assert "the model was trained on them" in fault(
        run(calibrate.command, "--model", trained, "--data", prepared / "train_chatml.jsonl")
    )
    assert "kept for the test" in fault(
        run(calibrate.command, "--model", trained, "--data", prepared / "test_chatml.jsonl")
    )
    assert not (trained / "calibration.json").exists()


def test_too_few_labels_and_other_faults_are_one_line(trained: Path, tiny_model: Path):
    assert "fewer than 30 labelled conversations a task (issue has" in fault(
        run(calibrate.command, "--model", trained, "--tasks", "issue")  # the run's own validation split
    )
    assert "decoded" in fault(run(calibrate.command, "--model", trained, "--tasks", "coaching"))
    assert "no folder" in fault(run(calibrate.command, "--model", "smollm2-135m"))
