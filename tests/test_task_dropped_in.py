"""A task is one file: it is read from analyses, trained, answered, calibrated and shown, and no other file knows it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, complaints, go, missing, opened
from click.testing import CliRunner
from conftest import tiny_settings

from mlx_cc import tasks
from mlx_cc.answers import read_answers
from mlx_cc.cli import main_group
from mlx_cc.files import lines, read_conversations

EFFORT = '''
"""How much effort the customer had to make, 1-5."""

from mlx_cc.tasks import Bound, Scale, scored

ORDER = 8
TASK = scored(
    "effort",
    Scale(1, 5, better=-1, concern=Bound("at least", 1.5)),
    words="customer effort",
    keys=("effort_score", "ces"),
    question=lambda centre: "How much effort did the customer have to make, from 1 to 5? Answer with the number.",
)
'''


def run(*arguments: object) -> str:
    done = CliRunner().invoke(main_group, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def effort(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`effort.py` in a folder of tasks, while the tests of this module run."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "effort.py").write_text(EFFORT)
    tasks.__path__.append(str(folder))
    tasks.all_tasks.cache_clear()
    yield
    tasks.__path__.remove(str(folder))
    sys.modules.pop("mlx_cc.tasks.effort", None)
    tasks.all_tasks.cache_clear()


@pytest.fixture(scope="module")
def data(effort: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prepare` writes from 90 transcripts whose analyses say the effort under one of two keys, and the score."""
    folder = tmp_path_factory.mktemp("dropped-in")
    for name in ("transcripts", "analyses"):
        (folder / name).mkdir()
    for n in range(90):
        turns = "---\nstarted_at: 2025-03-10T14:05:12Z\n---\nAgent: Hello.\n" + "Customer: I called before.\n" * (
            n % 5 + 1
        )
        (folder / "transcripts" / f"c{n}.txt").write_text(turns)
        found = {"conversation_id": f"c{n}", ("ces", "effort_score")[n % 2]: f"{n % 5 + 1}", "csat_score": 5 - n % 5}
        (folder / "analyses" / f"c{n}.json").write_text(json.dumps(found))
    said = run(
        "prepare", "--transcripts-dir", folder / "transcripts", "--analyses-dir", folder / "analyses",
        "--output-dir", folder / "data", "--shares", 0.3, 0.6, "--json",
    )  # fmt: skip
    assert "effort" in said
    return folder / "data"


@pytest.fixture(scope="module")
def model(data: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two updates on the two-layer model, calibrated."""
    from mlx_cc.train.session import train

    folder = tmp_path_factory.mktemp("adapters") / "effort"
    settings = tiny_settings(tiny_model, data, per_device_train_batch_size=8)
    train(settings, folder)
    run(
        "calibrate",
        "--model",
        folder,
        "--tasks",
        "effort",
        "--data",
        data / "validation_chatml.jsonl",
        "--accuracy",
        0.2,
    )
    return folder


@pytest.fixture(scope="module")
def answers(data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    path.write_text(run("analyze", data / "test_chatml.jsonl", "--model", model, "--no-coaching", "--json"))
    return path


def test_its_label_is_read_from_an_analysis_and_becomes_rows(data: Path):
    efforts = {c.id: c.label("effort") for c in read_conversations(data / "conversations.jsonl")}
    assert efforts == {f"c{n}": n % 5 + 1 for n in range(90)}
    statistics = json.loads((data / "statistics.json").read_text())
    assert statistics["rows"]["total"] == 180 and statistics["label_sources"]["effort"] == {"teacher": 90}
    assert set(statistics["baselines"]["effort"]["metrics"]) == {"MAE", "within 0.5", "Spearman", "bias"}


def test_a_model_learns_it_and_is_calibrated_for_it(model: Path):
    from mlx_cc.calibration import read_calibration

    calibration = read_calibration(model)
    assert calibration and calibration.tasks["effort"].n >= 30


def test_the_analyst_answers_it_beside_the_others(answers: Path, model: Path, data: Path):
    row: dict[str, Any] = json.loads(next(line for _, line in lines(answers)))
    assert 1 <= row["effort_score"] <= 5 and row["interval"]["effort"] and 0 < row["confidence"]["effort"] <= 1
    assert any(text.startswith("customer effort ") for text in row["critical_issues"])
    found = read_answers(answers)[row["conversation_id"]]
    assert found.by_task["effort"].value == row["effort_score"]
    assert f"{row['effort_score']:.0f}/5" in run(
        "analyze", data / "test_chatml.jsonl", "--model", model, "--no-coaching"
    )


def test_it_is_measured_and_its_answers_compared_under_edits(data: Path, model: Path, tmp_path: Path):
    report = run(
        "evaluate", "--model", model, "--data", data / "test_chatml.jsonl", "--train", data / "train_chatml.jsonl",
        "--base", "none", "--baselines", "constant", "--output", tmp_path, "--json",
    )  # fmt: skip
    assert "within 0.5" in json.loads(report)["tasks"]["effort"]["measures"]
    some = ["--data", data / "test_chatml.jsonl", "--limit", 2, "--edit", "control", "--output", tmp_path, "--json"]
    assert json.loads(run("fairness", "--model", model, *some))["moved"]["control"]["effort"]["shift"]


def test_it_has_its_columns_in_the_table(data: Path, answers: Path, tmp_path: Path):
    run("table", "--input", data / "conversations.jsonl", "--answers", answers, "--output-dir", tmp_path)
    head = (tmp_path / "conversations.csv").read_text().splitlines()[0].split(",")
    wanted = ["label_effort", "answer_effort", "answer_effort_low", "answer_effort_high", "answer_effort_confidence"]
    assert set(wanted) <= set(head)


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_it_is_on_the_dashboard_with_its_words_label_and_answer(data: Path, answers: Path, tmp_path: Path):
    page = tmp_path / "dashboard.html"
    run("dashboard", "--input", data / "conversations.jsonl", "--answers", answers, "--output", page)
    with chromium() as browser:
        opened(browser, page)
        assert "Customer effort" in browser.find_element("id", "tile-effort").text
        assert "customer effort at least 1.5" in browser.find_element("css selector", ".first").text
        assert "Customer effort" in go(browser, "#/conversations").find_element("css selector", "table.list").text
        name = next(iter(read_answers(answers)))
        beside = go(browser, f"#/conversation/{name}").find_element("css selector", ".beside").text
        assert beside.count("Customer effort") == 2
        assert complaints(browser) == []
