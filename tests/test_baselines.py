"""Baselines learn what is planted, from the train split alone, and their cached states are the model's."""

import os
import shutil
import warnings

import numpy as np
import pytest

from mlx_cc.analyst import Analyst
from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation, Label, Turn, replace
from mlx_cc.errors import UserError
from mlx_cc.evaluate import baselines
from mlx_cc.evaluate.compare import compare
from mlx_cc.evaluate.run import evaluate
from mlx_cc.evaluate.tables import table
from mlx_cc.model import load as disk
from mlx_cc.prompt import PromptSettings
from mlx_cc.tasks import pick

CENTRE = Centre()
WORDS = PromptSettings(facts=False)
TELLING = {"billing_error": "the invoice", "delivery_delay": "my parcel", "account_access": "the password"}


def said(number, *lines, **labels):
    turns = [Turn(role="agent", text="Good morning, how can I help you?")]
    for line in lines:
        turns += [Turn(role="customer", text=line), Turn(role="agent", text="Thank you, I will look into that.")]
    labels = {name: Label(value=value, source="simulated") for name, value in labels.items()}
    return Conversation(id=f"c{number}", turns=tuple(turns), labels=labels)


def contacts(count, start=0):
    """Contacts about three issues, each with its word, and a quality score that grows with the word sorry."""
    found = []
    for number in range(start, start + count):
        issue = list(TELLING)[number % 3]
        angry = number % 7
        found.append(
            said(
                number,
                f"Hello, I am calling about {TELLING[issue]} number {number}.",
                "That has taken a while. " + "I am sorry to say this is terrible. " * angry,
                issue=issue,
                quality={"score": 90 - 10 * angry},
                csat=5 - angry // 2,
                journey={"type": "usage_support", "contact_role": ("first_contact", "follow_up")[number % 2]},
                resolution="resolved" if angry < 3 else "unresolved",
            )
        )
    return found


def values(predictions, task):
    return [answers[task].value for answers in predictions.values()]


@pytest.fixture(scope="module")
def fitted():
    tasks = pick(["issue", "quality", "resolution"])
    held_out = contacts(30, start=60)
    return held_out, tasks, baselines.tfidf(contacts(60), held_out, tasks, CENTRE, WORDS)


def test_a_word_that_tells_the_issue_is_learned(fitted):
    held_out, _, found = fitted
    assert values(found.predictions, "issue") == [c.label("issue") for c in held_out]
    assert "60 train conversations" in found.notes["issue"]


def test_a_word_that_moves_a_score_is_learned_and_the_score_stays_in_its_range(fitted):
    held_out, tasks, found = fitted
    constant = baselines.constants(contacts(60), held_out, tasks, CENTRE)
    report = compare(held_out, tasks, {"constant": constant, "TF-IDF": found.predictions})
    measures = report["quality"]["measures"]
    assert measures["Spearman"]["TF-IDF"].value > 0.9
    assert report["quality"]["difference"]["constant"].high < 0
    assert report["quality"]["log_loss_difference"]["constant"].high < 0
    wild = [said("x", "That is terrible. " + "I am sorry to say this is terrible. " * 7000)]
    assert all(0 <= value["score"] <= 100 for value in values(found.predictions, "quality"))
    far = baselines.tfidf(contacts(60), wild, tasks[1:2], CENTRE, WORDS).predictions["cx"]["quality"]
    assert 0 <= far.value["score"] <= 100 and far.value["effectiveness"] in CENTRE.effectiveness
    assert far.gold_probability is None


def test_resolution_is_answered_with_the_probability_of_resolved(fitted):
    held_out, tasks, found = fitted
    assert all(0 < value < 1 for value in values(found.predictions, "resolution"))
    report = compare(held_out, tasks, {"TF-IDF": found.predictions})
    assert report["resolution"]["measures"]["AUC"]["TF-IDF"].value == 1.0


def test_probabilities_are_spread_over_all_allowed_answers():
    p = baselines._logistic(np.eye(4), np.array([0, 0, 2, 2]), np.eye(4), 1.0, answers=5)
    assert p.sum(1) == pytest.approx(np.ones(4))
    assert (p > 0).all()
    bell = baselines._bell(np.arange(1.0, 6.0), 3.2, 0.8)
    assert bell.sum() == pytest.approx(1)
    assert bell.argmax() == 2 and bell @ np.arange(1, 6) == pytest.approx(3.2, abs=0.02)


def test_a_class_that_only_the_held_out_split_has_is_improbable_and_no_fault():
    held_out = [said("new", "Somebody stole from the bank.", issue="fraud_report")]
    found = baselines.tfidf(contacts(30), held_out, pick(["issue"]), CENTRE, WORDS)
    answer = found.predictions["cnew"]["issue"]
    assert answer.value in TELLING
    assert 0 < answer.gold_probability < 0.1


def test_where_train_has_one_answer_only_the_constant_answers_and_a_note_says_so():
    train = [replace(c, labels={**c.labels, "csat": Label(value=4, source="survey")}) for c in contacts(20)]
    train = [replace(c, labels={**c.labels, "issue": train[0].labels["issue"]}) for c in train]
    tasks = pick(["issue", "csat"])
    found = baselines.tfidf(train, contacts(4, start=60), tasks, CENTRE, WORDS)
    assert values(found.predictions, "issue") == ["billing_error"] * 4
    assert values(found.predictions, "csat") == [4.0] * 4
    assert found.notes == dict.fromkeys(("issue", "csat"), "the constant answer: one answer only in the train split")
    few = baselines.tfidf(contacts(6), contacts(4, start=60), tasks, CENTRE, WORDS)
    assert few.notes["csat"] == "the constant answer: 6 labels in the train split"


def test_labels_of_held_out_conversations_move_nothing(fitted):
    held_out, tasks, found = fitted
    wrong = {"issue": "other", "quality": {"score": 0}, "resolution": "partial"}
    poisoned = [
        replace(c, labels={name: Label(value=value, source="survey") for name, value in wrong.items()})
        for c in held_out
    ]
    again = baselines.tfidf(contacts(60), poisoned, tasks, CENTRE, WORDS)
    for task in tasks:
        assert values(again.predictions, task.name) == values(found.predictions, task.name)


def test_only_the_turns_the_model_is_shown_are_counted():
    early = PromptSettings(facts=False, customer_turns=1)
    train = [replace(c, turns=(*c.turns[:1], *c.turns[3:4], *c.turns[1:3])) for c in contacts(30)]
    found = baselines.tfidf(train, train, pick(["issue"]), CENTRE, early)
    right = [value == c.label("issue") for value, c in zip(values(found.predictions, "issue"), train, strict=True)]
    assert np.mean(right) < 0.7  # the telling word is in the customer's second turn now


def test_fitting_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        baselines.tfidf(contacts(20), contacts(3), pick(["issue", "journey"]), CENTRE, WORDS)


def test_a_baseline_that_can_t_answer_a_task_has_no_part_in_it(fitted):
    held_out, _, found = fitted
    constant = baselines.constants(contacts(60), held_out, pick(["csat"]), CENTRE)
    report = compare(held_out, pick(["csat"]), {"TF-IDF": found.predictions, "constant": constant}, contacts(60))
    assert set(report["csat"]["measures"]["MAE"]) == {"constant"}
    assert "macro-F1 (3 classes)" in report["csat"]["measures"]


# The frozen model


@pytest.fixture(scope="module")
def analyst(tiny_model):
    return Analyst(disk.load(str(tiny_model)))


def test_states_are_the_same_batched_and_one_by_one(analyst, sample_conversations):
    some = sample_conversations[:6]
    whole = baselines.states(analyst, some)
    assert whole.shape == (6, 2, 64)
    for c, pair in zip(some, whole, strict=True):
        assert baselines.states(analyst, [c])[0] == pytest.approx(pair, abs=1e-4)
    assert np.abs(whole[0] - whole[1]).max() > 1e-2


def test_kept_states_are_used_again_and_refused_when_the_model_has_changed(tiny_model, sample_conversations, tmp_path):
    some = sample_conversations[:3]
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    analyst = Analyst(disk.load(folder))
    first = baselines.kept_states(analyst, some, tmp_path)
    (kept,) = tmp_path.glob("states-*.npy")
    np.save(kept, first + 1)
    assert baselines.kept_states(analyst, some, tmp_path) == pytest.approx(first + 1)
    assert baselines.kept_states(analyst, some[:2], tmp_path) == pytest.approx(first[:2], abs=1e-4)
    with (folder / "model.safetensors").open("r+b") as weights:
        weights.seek(-4, os.SEEK_END)
        weights.write(b"next")
    assert baselines.kept_states(analyst, some, tmp_path) == pytest.approx(first)


def test_a_head_on_frozen_states_learns_from_as_many_conversations_as_allowed(analyst, tmp_path):
    train, held_out = contacts(40), contacts(9, start=60)
    found = baselines.frozen(analyst, train, held_out, pick(["issue"]), tmp_path, limit=24)
    right = [value == c.label("issue") for value, c in zip(values(found.predictions, "issue"), held_out, strict=True)]
    assert np.mean(right) > 0.6
    assert "24 train conversations" in found.notes["issue"]


def test_an_evaluation_puts_the_baselines_before_the_models(trained, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("mlx_cc.evaluate.compare.RESAMPLES", 20)
    files = prepared / "validation_chatml.jsonl", prepared / "train_chatml.jsonl"
    names = ["constant", "tfidf", "frozen"]
    report = evaluate(
        str(trained), *files, ["issue", "csat"], None, limit=2, output=tmp_path, baselines=names, limit_train=12
    )
    assert list(report["tasks"]["csat"]["measures"]["MAE"]) == ["constant", "TF-IDF", "frozen LM", "model"]
    assert set(report["baselines"]["frozen LM"]) == {"issue", "csat"}
    assert [column.header for column in table(report).columns][3:] == ["constant", "TF-IDF", "frozen LM", "model"]


def test_a_baseline_nobody_knows_is_refused(trained, prepared):
    with pytest.raises(UserError, match="no baseline 'bert'. Known: constant, tfidf, frozen"):
        evaluate(str(trained), prepared / "validation_chatml.jsonl", None, baselines=["bert"])
