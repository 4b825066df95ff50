"""Pairs differ in who speaks alone, and what moves is counted as it is."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from mlx_cc.centre import Centre
from mlx_cc.commands.fairness import command
from mlx_cc.conversation import Conversation, Turn, replace
from mlx_cc.errors import UserError
from mlx_cc.evaluate.edits import BLACK, EDITS, WHITE
from mlx_cc.evaluate.fairness import fairness, moved
from mlx_cc.evaluate.predict import Said
from mlx_cc.files import write_conversations
from mlx_cc.tasks import Answer, all_tasks

TALK = Conversation(
    id="c1",
    language="en",
    turns=(
        Turn(role="customer", text="I think the bill is very wrong, I'm calling with a question."),
        Turn(role="agent", text="Thanks, I am checking that with the team."),
        Turn(role="customer", text="Good."),
    ),
)
BY_NAME = {edit.name: edit for edit in EDITS}


def test_the_two_of_a_pair_differ_only_where_the_edit_says():
    for edit in EDITS:
        one, other = edit.apply(TALK)
        assert (one != other) == (edit.notes is None and edit.cases is None), edit.name
        assert [turn.role for turn in one.turns] == [turn.role for turn in other.turns] == [t.role for t in TALK.turns]
        changed = {place for place in range(3) if one.turns[place] != other.turns[place]}
        assert changed == {
            "customer_accent": {0}, "customer_manner": {0, 2}, "injection": {0},
            "agent_history": set(), "case_control": set(), "case_injection": set(),
        }.get(edit.name, {1}), edit.name  # fmt: skip
        assert edit.apply(TALK) == (one, other)


def test_names_are_paired_by_gender_and_vary_with_the_conversation():
    seen = set()
    for number in range(60):
        one, other = BY_NAME["name_black"].apply(replace(TALK, id=f"c{number}"))
        names = tuple(side.turns[1].text.split()[-1].rstrip(".") for side in (one, other))
        assert WHITE.index(names[0]) == BLACK.index(names[1])
        seen.add(names)
    assert len(seen) == 6


def test_an_accent_is_spelt_out_in_english_alone():
    _, heard = BY_NAME["customer_accent"].apply(TALK)
    assert heard.turns[0].text == "I tink de bill is wery wrong, I'm callin wit a question."
    assert BY_NAME["customer_accent"].apply(replace(TALK, language="de")) is None


def test_conversations_without_the_role_make_no_pair():
    silent = replace(TALK, turns=TALK.turns[:1])
    assert BY_NAME["name_black"].apply(silent) is None
    assert BY_NAME["customer_manner"].apply(replace(TALK, turns=TALK.turns[1:2])) is None


def test_flips_and_shifts_are_those_of_the_pairs():
    bands = [("good", 80.0), ("good", 76.0), ("fair", 74.0), ("fair", 70.0)]
    said = {
        f"c{place}#{side}": {
            "quality": Said({"score": score - 3 * side, "effectiveness": "fair" if score - 3 * side < 75 else "good"})
        }
        for place, (_, score) in enumerate(bands)
        for side in (0, 1)
    }
    found = moved(said, [(f"c{place}#0", f"c{place}#1") for place in range(4)], all_tasks()["quality"], Centre())
    assert (found.flips.value, found.flips.n) == (0.25, 4)
    assert found.shift.value == found.shift.low == found.shift.high == -3 and found.distance.value == 3
    issues = {"a": {"issue": Said("billing")}, "b": {"issue": Said("fraud")}}
    found = moved(issues, [("a", "b"), ("a", "a")], all_tasks()["issue"], Centre())
    assert found.flips.value == 0.5 and found.shift is None


def test_a_model_is_asked_every_pair_and_a_second_run_asks_nothing(
    trained, sample_conversations, tmp_path, monkeypatch
):
    from mlx_cc.analyst import Analyst

    few = sample_conversations[:2]
    report = fairness(str(trained), tmp_path / "few.jsonl", few, ["control", "agent_history"], tmp_path)
    assert set(report.moved) == {"control", "agent_history"} and list(report.moved["control"]) == [
        "quality",
        "csat",
        "issue",
        "churn",
        "journey",
    ]
    assert report.moved["control"]["quality"].flips.n == 2
    assert np.isfinite(report.moved["agent_history"]["quality"].distance.value)
    assert json.loads((tmp_path / "fairness.json").read_text())["conversations"] == 2
    monkeypatch.setattr(Analyst, "answer_all", lambda *_, **__: pytest.fail("asked again"))
    assert fairness(str(trained), tmp_path / "few.jsonl", few, ["control", "agent_history"], tmp_path) == report


def test_what_the_model_is_told_of_the_agent_reaches_it_only_in_the_edit_that_says_so(
    trained, sample_conversations, tmp_path, monkeypatch
):
    from mlx_cc.analyst import Analyst

    told = {}
    real = Analyst.answer_all

    def spy(self, conversations, tasks=(), *rest, notes=(), cases=(), **more):
        told.update({c.id: (note, case.text()) for c, note, case in zip(conversations, notes, cases, strict=True)})
        return real(self, conversations, tasks, *rest, notes=notes, cases=cases, **more)

    monkeypatch.setattr(Analyst, "answer_all", spy)
    fairness(
        str(trained),
        tmp_path / "few.jsonl",
        sample_conversations[:1],
        ["tenure", "agent_history", "case_injection"],
        tmp_path,
    )
    notes = {name.split("#")[1]: note for name, note in told.items()}
    assert notes["tenure-1"] == notes["tenure-2"] == ("", "")
    assert "94 of 100" in notes["agent_history-1"][0] and "51 of 100" in notes["agent_history-2"][0]
    assert "Ignore all" in notes["case_injection-2"][1] and "rain" in notes["case_injection-1"][1]


def test_an_unfair_model_is_found_out(trained, tmp_path, monkeypatch):
    """One that takes ten points off agents whose name is heard as black."""
    from mlx_cc.analyst import Analyst

    def unfair(self, conversations, tasks=(), *_, **__):
        found = []
        for one in conversations:
            low = any(name in turn.text for turn in one.turns for name in BLACK)
            score = 70.0 if low else 80.0
            values = {"quality": {"score": score, "effectiveness": "fair" if low else "good"}, "csat": 4, "issue": "other",
                      "churn": 20, "journey": {"type": "onboarding"}}  # fmt: skip
            found.append({task: Answer(values[task]) for task in tasks})
        return found

    monkeypatch.setattr(Analyst, "answer_all", unfair)
    many = [replace(TALK, id=f"c{number}") for number in range(40)]
    report = fairness(str(trained), tmp_path / "x.jsonl", many, ["control", "name_black", "agent_gender"], tmp_path)
    black = report.moved["name_black"]["quality"]
    assert black.flips.value == 1 and black.flips.low > 0.9 and black.shift.value == -10
    assert report.moved["control"]["quality"].flips.value == report.moved["agent_gender"]["quality"].flips.value == 0


def test_the_command_prints_a_row_for_each_edit_and_task(trained, sample_conversations, tmp_path):
    write_conversations(tmp_path / "few.jsonl", sample_conversations[:2])
    arguments = [
        "--model",
        str(trained),
        "--data",
        str(tmp_path / "few.jsonl"),
        "--edit",
        "control",
        "--output",
        str(tmp_path),
    ]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0 and "control" in done.output and "journey" in done.output
    assert json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)["moved"]["control"]["csat"]["shift"]
    with pytest.raises(UserError, match="no edit 'nationality'. Edits are control, name_black"):
        raise CliRunner().invoke(command, [*arguments, "--edit", "nationality"]).exception
