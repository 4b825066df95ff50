"""Tables: what a spreadsheet or a data frame reads back is what the records say, and no cell computes."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlx_cc.cli import main_group
from mlx_cc.conversation import Conversation, Label, Turn, replace
from mlx_cc.files import write_conversations
from mlx_cc.report.tables import TEMPORAL, harmless
from mlx_cc.simulate import Parameters, World, simulate
from mlx_cc.temporal import TemporalFeatureEnhancer

FORMULAS = ['=HYPERLINK("http://x","y")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1"]


def tables(folder: Path, conversations: list[Conversation], *options: str) -> Path:
    source = folder / "c.jsonl"
    write_conversations(source, conversations)
    run = CliRunner().invoke(
        main_group, ["table", "--input", str(source), "--output-dir", str(folder / "tables"), *options]
    )
    assert run.exit_code == 0, run.output
    return folder / "tables"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_parquet(path: Path) -> list[dict]:
    io = pytest.importorskip("arro3.io", reason="arro3 is not installed (the parquet extra)")
    table = io.read_parquet(path).read_all()
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    return list(simulate(World(Parameters(80, 5, seed=2))))


def test_a_conversation_s_row_has_its_labels_their_sources_and_its_time(conversations, tmp_path):
    rows = read_csv(tables(tmp_path, conversations) / "conversations.csv")
    assert [row["conversation_id"] for row in rows] == [c.id for c in conversations]
    timed = next(TemporalFeatureEnhancer().transform(conversations[:1]))
    first, label = rows[0], conversations[0].label
    assert (first["label_quality"], first["label_quality_source"]) == (str(label("quality")["score"]), "simulated")
    assert (first["label_journey_type"], first["label_issue"]) == (label("journey")["type"], label("issue"))
    assert json.loads(first["label_coaching"]) == label("coaching")
    assert len(TEMPORAL) == 18 and set(TEMPORAL) <= set(first)
    assert (first["hour"], first["timestamp"]) == (str(timed.temporal.hour), timed.temporal.timestamp)
    assert first["is_weekend"] in ("true", "false")
    assert not any(turn.text in str(first) for turn in conversations[0].turns)


def test_an_agent_s_row_has_each_metric_with_n_and_interval(conversations, tmp_path):
    folder = tmp_path / "profiles"
    write_conversations(tmp_path / "c.jsonl", conversations)
    CliRunner().invoke(main_group, ["fingerprint", "--input", str(tmp_path / "c.jsonl"), "--output-dir", str(folder)])
    profiles = json.loads((folder / "agent_profiles.json").read_text())
    rows = {
        row["agent_id"]: row
        for row in read_csv(tables(tmp_path, conversations, "--profiles", str(folder)) / "agents.csv")
    }
    assert set(rows) == set(profiles)
    for agent, profile in profiles.items():
        metric = profile["metrics"]["quality"]
        shown = [rows[agent][f"quality{part}"] for part in ("", "_n", "_low", "_high", "_shrunk")]
        assert [float(cell) for cell in shown] == [metric[key] for key in ("value", "n", "low", "high", "shrunk")]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_compute_is_made_harmless(conversations, tmp_path, text):
    hostile = replace(
        conversations[0],
        id=f"{text}a",
        team=text,
        agents=(text,),
        labels={"issue": Label(value=text, source="human_qa")},
    )
    folder = tables(tmp_path, [hostile])
    for name in ("conversations.csv", "agents.csv"):
        for row in read_csv(folder / name):
            assert [cell for cell in row.values() if cell and cell.lstrip(" ")[0] in "=+-@\t\r\n"] == []
    assert read_csv(folder / "conversations.csv")[0]["team"] == f"'{text}"


def test_numbers_stay_numbers_even_below_zero(tmp_path):
    turn = (Turn(role="agent", text="Hi"),)
    labels = [{"gap": Label(value=-2.5, source="human_qa")}, {"gap": Label(value=4, source="human_qa")}]
    found = [Conversation(id=f"c{n}", turns=turn, labels=label) for n, label in enumerate(labels)]
    assert [float(row["label_gap"]) for row in read_csv(tables(tmp_path, found) / "conversations.csv")] == [-2.5, 4]
    assert harmless("-") == "'-" and harmless("a-b") == "a-b"


def test_a_model_s_answers_stand_beside_the_labels(conversations, tmp_path):
    said = {
        "conversation_id": conversations[3].id,
        "quality_score": 61.5,
        "confidence": {"quality": 0.7},
        "interval": {"quality": [50, 70]},
        "needs_review": True,
        "model": "m",
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(said))
    rows = read_csv(tables(tmp_path, conversations, "--answers", str(tmp_path / "a.jsonl")) / "conversations.csv")
    answered = [
        rows[3][f"answer_{name}"]
        for name in ("quality", "quality_confidence", "quality_low", "quality_high", "needs_review", "model")
    ]
    assert answered == ["61.5", "0.7", "50.0", "70.0", "true", "m"]
    assert rows[4]["answer_quality"] == ""


def test_parquet_says_what_csv_says_with_types(conversations, tmp_path):
    folder = tables(tmp_path, conversations, "--format", "csv", "--format", "parquet")
    for name in ("conversations", "agents"):
        plain, typed = read_csv(folder / f"{name}.csv"), read_parquet(folder / f"{name}.parquet")
        assert [list(row) for row in plain] == [list(row) for row in typed]
        for one, other in zip(plain, typed, strict=True):
            for column, value in other.items():
                if isinstance(value, bool):
                    assert one[column] == str(value).lower()
                elif isinstance(value, int | float):
                    assert float(one[column]) == value
                else:
                    assert one[column] == (value or "")
    assert {type(row["hour"]) for row in typed if "hour" in row} <= {int}


def test_erase_finds_a_conversation_in_both_formats(conversations, tmp_path):
    pytest.importorskip("arro3.io", reason="arro3 is not installed (the parquet extra)")
    from mlx_cc import erase

    folder = tables(tmp_path, conversations, "--format", "csv", "--format", "parquet")
    target = erase.resolve([tmp_path], [conversations[7].id], [])
    found = {left.path.name for left in erase.search([folder], target)}
    assert found == {"conversations.csv", "conversations.parquet"}


def test_labels_of_mixed_kinds_become_text(tmp_path):
    turn = (Turn(role="agent", text="Hi"),)
    values = [3, "three", True, {"a": [1]}, None]
    found = [
        Conversation(id=f"c{n}", turns=turn, labels={"x": Label(value=value, source="human_qa")})
        for n, value in enumerate(values)
    ]
    rows = read_csv(tables(tmp_path, found, "--format", "csv", "--format", "parquet") / "conversations.csv")
    assert [row["label_x"] for row in rows] == ["3", "three", "true", '{"a":[1]}', ""]
    typed = read_parquet(tmp_path / "tables" / "conversations.parquet")
    assert [row["label_x"] for row in typed] == ["3", "three", "True", '{"a":[1]}', None]


def test_a_file_without_conversations_is_the_user_s_fault(tmp_path):
    (tmp_path / "c.jsonl").write_text("")
    from mlx_cc.errors import UserError

    with pytest.raises(UserError, match="has no conversation"):
        main_group.main(
            ["table", "--input", str(tmp_path / "c.jsonl"), "--output-dir", str(tmp_path)], standalone_mode=False
        )
    assert not (tmp_path / "conversations.csv").exists()
