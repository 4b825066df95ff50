"""The six tasks: answers, parsers, faults, readings."""

import json

import pytest

from mlx_cc import reasoning
from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation, Turn
from mlx_cc.errors import UserError
from mlx_cc.tasks import all_tasks, likely, pick

CENTRE = Centre()
VALUES = {
    "quality": {"score": 83},
    "csat": 4,
    "issue": "billing_error",
    "churn": 12,
    "journey": {"type": "usage_support", "contact_role": "follow_up"},
    "coaching": [{"skill": "listening", "action": "Let her finish.", "expected_outcome": "Calm.", "turn": 2}],
}


def test_there_are_six_tasks_in_order():
    assert [task.name for task in pick([])] == list(VALUES)
    assert list(all_tasks()) == [*VALUES, "resolution"]


@pytest.mark.parametrize("name", VALUES)
def test_what_a_task_writes_it_parses_and_allows(name):
    task = all_tasks()[name]
    text = task.write(VALUES[name], CENTRE)
    assert task.fault(VALUES[name], CENTRE, 5) is None
    assert task.fault(task.parse(text, CENTRE), CENTRE, 5) is None
    assert task.write(task.parse(text, CENTRE), CENTRE) == text
    if task.answers:
        assert text in task.answers(CENTRE)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("quality", {"score": 140}, "140 is outside 0-100"),
        ("quality", 80, "has no score"),
        ("csat", 0, "outside 1-5"),
        ("csat", True, "not a number"),
        ("issue", "bilin", "not one of the centre's issue classes"),
        ("churn", "high", "not a number"),
        ("journey", {"type": "usage_support"}, "lacks type or contact_role"),
        ("coaching", [{"skill": "a", "action": "b", "expected_outcome": "c", "turn": 9}], "turn 9 does not exist"),
        ("coaching", [], "one to three"),
        ("resolution", "maybe", "not one of resolved, unresolved, partial"),
    ],
)
def test_a_label_that_cannot_be_is_named(name, value, fault):
    assert fault in str(all_tasks()[name].fault(value, CENTRE, 5))


@pytest.mark.parametrize("name", [n for n in VALUES if n != "coaching"])
def test_a_reading_of_certainty_is_that_answer(name):
    task = all_tasks()[name]
    text = task.write(VALUES[name], CENTRE)
    assert task.answers and task.read
    answer = task.read({a: float(a == text) for a in task.answers(CENTRE)}, CENTRE)
    assert task.write(answer.value, CENTRE) == text
    assert answer.confidence == pytest.approx(1)


def test_a_score_is_the_mean_with_the_shortest_80_percent_interval():
    read = all_tasks()["churn"].read
    assert read is not None
    answer = read({"0": 0.1, "10": 0.4, "20": 0.4, "90": 0.1}, CENTRE)
    assert answer.value == pytest.approx(21)
    assert answer.interval == (10, 20)


def test_the_likely_classes_are_the_fewest_that_hold_80_percent():
    assert likely({"a": 0.2, "b": 0.6, "c": 0.15, "d": 0.05}) == ["b", "a"]
    assert likely({"a": 0.1, "b": 0.9}) == ["b"]
    assert likely({"a": 0.4, "b": 0.35, "c": 0.25}) == ["a", "b", "c"]


def test_an_unknown_task_is_named_with_the_known_ones():
    with pytest.raises(UserError, match="no task 'mood'. Known tasks: quality, csat"):
        pick(["mood"])


def test_the_reasoning_chain_has_its_structure_and_only_real_citations():
    conversation = Conversation(id="c", turns=(Turn(role="agent", text="Hi"), Turn(role="customer", text="Bye")))
    text = "<thinking>\nStep 1 [T2]\n</thinking>\n\n<analysis>\na\n</analysis>\n\n<insights>\ni [T9]\n</insights>"
    chain = reasoning.parse(text, "m")
    assert (chain.thinking, chain.analysis, chain.insights) == ("Step 1 [T2]", "a", "i [T9]")
    assert reasoning.citations(text, conversation) == {"T2": "Bye"}
    with pytest.raises(ValueError, match="lacks one of"):
        reasoning.parse("<thinking>", "m")
    assert len(reasoning.STEPS) == 5
    assert all(len(points) == 4 for points in reasoning.STEPS.values())


def test_the_coaching_schema_is_json_and_bounds_the_turn():
    schema = all_tasks()["coaching"].schema
    assert schema is not None
    assert json.loads(json.dumps(schema(7, 0)))["items"]["properties"]["turn"]["maximum"] == 7
