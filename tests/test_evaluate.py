"""Evaluation on a tiny model: constant, base and tuned beside each other, kept as it comes."""

import json
import shutil

import pytest

from mlx_cc import analyst as analysts
from mlx_cc.analyst import Analyst
from mlx_cc.conversation import replace
from mlx_cc.errors import UserError
from mlx_cc.evaluate import predict
from mlx_cc.evaluate.run import evaluate
from mlx_cc.files import read_conversations, write_conversations
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
        assert [row["asked"] for row in now] == [row["asked"] for row in then]
        for task, answer in now[-1]["answers"].items():  # computed alone now, among others before
            assert answer["distribution"] == pytest.approx(then[-1]["answers"][task]["distribution"], rel=1e-3)
    for task, found in again["tasks"].items():
        loss = found["measures"]["log loss"]["model"].value
        assert loss == pytest.approx(report["tasks"][task]["measures"]["log loss"]["model"].value, rel=1e-4)


def shuffled(c):
    return replace(c, turns=c.turns[::-1])


def on_sunday(c):
    return replace(c, temporal=replace(c.temporal, hour=3, day_of_week="Sunday"))


def of_another_queue(c):
    return replace(c, queue="complaints")


def relabelled(c):
    return replace(c, labels={**c.labels, "csat": replace(c.labels["csat"], value=6 - c.label("csat"))})


@pytest.mark.parametrize(
    ("change", "asked_anew"), [(shuffled, True), (on_sunday, True), (of_another_queue, True), (relabelled, False)]
)
def test_the_same_id_with_something_else_is_never_answered_or_scored_from_the_journal(
    trained, prepared, tmp_path, monkeypatch, change, asked_anew
):
    some = [c for c in read_conversations(prepared / "validation_chatml.jsonl") if c.label("csat") not in (None, 3)][:2]
    data = tmp_path / "held_out.jsonl"
    asked = []
    answer_all = Analyst.answer_all
    monkeypatch.setattr(
        Analyst,
        "answer_all",
        lambda self, group, *more, **also: asked.extend(group) or answer_all(self, group, *more, **also),
    )

    def measured(conversations, folder):
        write_conversations(data, conversations)
        asked.clear()
        report = evaluate(str(trained), data, None, ["csat"], None, output=tmp_path / folder)
        return report["tasks"]["csat"]["measures"], len(asked)

    before, _ = measured(some, "journal")
    assert measured(some, "journal") == (before, 0)
    changed = [change(c) for c in some]
    again, count = measured(changed, "journal")
    assert count == (len(some) if asked_anew else 0)
    assert again != before
    fresh, _ = measured(changed, "fresh")
    assert again["log loss"]["model"].value == pytest.approx(fresh["log loss"]["model"].value, rel=1e-6)


def test_conversations_the_model_was_trained_on_are_refused(trained, prepared):
    with pytest.raises(UserError, match="the model was trained on them"):
        evaluate(str(trained), prepared / "train_chatml.jsonl", None)


def test_a_journal_grows_in_batches_and_goes_on_where_it_was_stopped(trained, prepared, tmp_path, monkeypatch):
    analyst = analysts.load(trained)
    conversations = list(read_conversations(prepared / "train_chatml.jsonl"))[:5]
    monkeypatch.setattr(predict, "BATCH", 2)
    monkeypatch.setattr(predict, "WINDOW", 1)
    asked: list[list[str]] = []
    answer_all = analyst.answer_all

    def watched(group, *more, **also):
        if len(asked) == 1:
            asked.append([])
            raise KeyboardInterrupt
        asked.append([c.id for c in group])
        return answer_all(group, *more, **also)

    monkeypatch.setattr(analyst, "answer_all", watched)
    with pytest.raises(KeyboardInterrupt):
        predict.predictions(analyst, conversations, ["csat"], tmp_path)
    (journal,) = tmp_path.glob("answers-*.jsonl")
    assert len(journal.read_text().splitlines()) == 2
    found, _ = predict.predictions(analyst, conversations, ["csat"], tmp_path)
    ids = [c.id for c in conversations]
    assert asked == [ids[:2], [], ids[2:4], ids[4:]]
    assert list(found) == ids and all(set(answers) == {"csat"} for answers in found.values())
