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
        assert {"constant", "TF-IDF", "base", "model"} == set(found["measures"]["log loss"])
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
    for journal, whole in zip(journals, before, strict=True):
        kept = whole[: whole[:-1].rfind(b"\n") + 1]
        assert journal.read_bytes().startswith(kept)  # what was there is not computed again
        now, then = ([json.loads(line) for line in text.splitlines()] for text in (journal.read_bytes(), whole))
        assert [row["conversation_id"] for row in now] == [row["conversation_id"] for row in then]
        for task, (_, p) in now[-1]["answers"].items():  # computed alone now, among others before
            assert p == pytest.approx(then[-1]["answers"][task][1], rel=1e-3)
    for task, found in again["tasks"].items():
        loss = found["measures"]["log loss"]["model"].value
        assert loss == pytest.approx(report["tasks"][task]["measures"]["log loss"]["model"].value, rel=1e-4)


def test_conversations_the_model_was_trained_on_are_refused(trained, prepared):
    with pytest.raises(UserError, match="the model was trained on them"):
        evaluate(str(trained), prepared / "train_chatml.jsonl", None)


def test_a_journal_grows_in_batches_and_fills_in_the_tasks_it_lacks(trained, prepared, tmp_path, monkeypatch):
    from mlx_cc import analyst as analysts
    from mlx_cc.evaluate import predict as predictions
    from mlx_cc.files import read_conversations

    analyst = analysts.load(trained)
    conversations = list(read_conversations(prepared / "train_chatml.jsonl"))[:5]
    journal = tmp_path / "answers.jsonl"
    monkeypatch.setattr(predictions, "BATCH", 2)
    monkeypatch.setattr(predictions, "WINDOW", 1)
    stream = predictions.predict(analyst, conversations, ["csat"], 0, journal)
    next(stream)
    assert len(journal.read_text().splitlines()) == 2
    stream.close()  # stopped after its first window

    asked: list[tuple[list[str], list[str]]] = []
    answer_all = analyst.answer_all

    def watched(group, tasks):
        asked.append(([c.id for c in group], list(tasks)))
        return answer_all(group, tasks)

    monkeypatch.setattr(analyst, "answer_all", watched)
    first, second, *rest = [c.id for c in conversations]
    found = list(predictions.predict(analyst, conversations, ["csat", "churn"], 0, journal))
    assert asked == [([first, second], ["churn"]), (rest[:2], ["csat", "churn"]), (rest[2:], ["csat", "churn"])]
    assert [c.id for c, _ in found] == [first, second, *rest]
    assert all(set(answers) == {"csat", "churn"} for _, answers in found)
    assert len(journal.read_text().splitlines()) == 7
