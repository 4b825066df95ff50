"""The data door: what is read, what is set aside and with which words."""

import gzip
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlx_cc import ingest
from mlx_cc.centre import Centre
from mlx_cc.commands.ingest import command
from mlx_cc.conversation import Conversation, Label, Turn
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations
from mlx_cc.ingest import read_folder
from mlx_cc.ingest.analyses import Analyses, labels_of, with_valid_labels
from mlx_cc.ingest.contacts_map import read_contact_map
from mlx_cc.ingest.format import Reading
from mlx_cc.ingest.jsonl_map import read_map

ROOT = Path(__file__).parent.parent
STAR = ROOT.parent / "shared" / "data" / "star.jsonl.gz"

TEXT = """---
id: call-1
channel: voice
agents: [agent_003]
started_at: 2025-03-10T14:05:12-05:00
timezone: America/Chicago
country: NO
queue_wait_s: 210
is_followup: false
---
[00:00] Agent: Thank you for calling.
[00:06] **Customer**: My bill is wrong.
And it was wrong last month: twice.
[01:02:03] Virtual assistant: Transferring.
"""


def read(*paths, **options):
    """(conversations, reasons of the rejects)."""
    rejects = []
    format = options.pop("format", "auto")
    found = list(read_folder(paths, Reading(**options), rejects=rejects.append, format=format))
    return found, [str(reject) for reject in rejects]


def read_text(tmp_path, text, name="a.txt", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, **options)


def test_front_matter_times_labels_and_continuation_lines(tmp_path):
    (call,), rejects = read_text(tmp_path, TEXT)
    assert rejects == []
    assert (call.id, call.agents, call.country, call.queue_wait_s, call.is_followup) == (
        "call-1",
        ("agent_003",),
        "NO",
        210,
        False,
    )
    assert call.started_at.isoformat() == "2025-03-10T14:05:12-05:00"
    assert [turn.role for turn in call.turns] == ["agent", "customer", "bot"]
    assert [turn.start_s for turn in call.turns] == [0, 6, 3723]
    assert call.turns[1].text == "My bill is wrong.\nAnd it was wrong last month: twice."
    assert call.provenance.format == "text"


@pytest.mark.parametrize(
    ("label", "role"),
    [("REP", "agent"), ("Advisor", "agent"), ("representative", "agent"), ("Agent 2", "agent"),
     ("Caller (Ann)", "customer"), ("Client", "customer"),
     ("MEMBER", "customer"), ("ivr", "bot"), ("System", "system")],
)  # fmt: skip
def test_speaker_labels_are_known_in_any_case(tmp_path, label, role):
    (call,), _ = read_text(tmp_path, f"{label}: hello\n")
    assert (call.id, call.turns[0].role, call.turns[0].text) == ("a", role, "hello")


def test_an_unknown_speaker_is_an_error_unless_a_default_role_is_given(tmp_path):
    text = "Agent: hi\nSupervisor: may I help?\n"
    found, rejects = read_text(tmp_path, text)
    assert found == []
    assert "line 2: unknown speaker 'Supervisor'" in rejects[0]
    assert "--default-role" in rejects[0]
    (call,), rejects = read_text(tmp_path, text, default_role="agent")
    assert [turn.text for turn in call.turns] == ["hi", "may I help?"]


def test_an_indented_line_continues_the_turn_whatever_it_starts_with(tmp_path):
    (call,), _ = read_text(tmp_path, "Agent: your order\n  Total: 12 dollars\n")
    assert call.turns[0].text == "your order\nTotal: 12 dollars"


def test_a_transcript_that_is_indented_throughout_still_has_its_turns(tmp_path):
    (call,), _ = read_text(tmp_path, "\n  Agent: hi\n  Customer: hello\n")
    assert len(call.turns) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello there\nAgent: hi\n", "line 1: no speaker"),
        ("[00:75] Agent: hi\n", "[00:75] is not a time"),
        ("---\nid: x\nAgent: hi\n", "never ends"),
        ("---\nid: [x\n---\nAgent: hi\n", "not YAML"),
        ("---\nchannel: pigeon\n---\nAgent: hi\n", "one of voice, chat, email"),
        ("---\nstarted_at: 2025-03-10 14:05\n---\nAgent: hi\n", "no time zone. Add its offset, or pass --timezone"),
        ("---\nstarted_at: last Monday\n---\nAgent: hi\n", "is not a time"),
        ("---\ntimezone: America/Chikago\n---\nAgent: hi\n", "no time zone 'America/Chikago'"),
        ("Agent:\nCustomer:\n", "no turn with text"),
        (b"Agent: caf\xe9\n", "not UTF-8 (byte 0xe9 at 10). Save it as UTF-8"),
        ("Agent: hi\0\n", "null bytes"),
        ("Agent: hi\n".encode("utf-16-le"), "null bytes"),
        (" \n", "empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_set_aside_with_where_what_and_the_way_out(tmp_path, text, words):
    found, rejects = read_text(tmp_path, text)
    assert found == []
    assert len(rejects) == 1
    assert rejects[0].startswith(str(tmp_path / "a.txt"))
    assert words in rejects[0]
    assert "\n" not in rejects[0]


def test_local_times_are_in_the_zone_given(tmp_path):
    (call,), _ = read_text(tmp_path, "---\nstarted_at: 2025-07-10 14:05\n---\nAgent: hi\n", timezone="America/Chicago")
    assert call.started_at.isoformat() == "2025-07-10T14:05:00-05:00"
    assert call.timezone == "America/Chicago"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood_in_every_format(tmp_path, encoding):
    record = '{"id": "j", "turns": [{"role": "agent", "text": "Größe"}]}\n'
    for name, text in (("a.txt", "Agent: Größe\n"), ("b.json", record), ("c.jsonl", record.replace('"j"', '"l"'))):
        (tmp_path / name).write_bytes(text.encode(encoding))
    found, rejects = read(tmp_path)
    assert rejects == []
    assert [call.turns[0].text for call in found] == ["Größe"] * 3


def test_json_objects_and_lists_with_any_of_the_known_keys(tmp_path):
    one = {"id": "one", "turns": [{"role": "agent", "text": "a", "start_s": 0.0, "end_s": 2}], "mood": "grim"}
    two = {
        "conversation_id": "two",
        "transcript": [{"speaker": "Caller", "utterance": "b"}, {"speaker": "rep", "content": "c"}],
    }
    three = {"conversation_id": 3, "transcript": "Agent: x\nCustomer: y"}
    (tmp_path / "one.json").write_text(json.dumps(one, indent=1))
    (tmp_path / "rest.json").write_text(json.dumps([two, three, {"id": "four"}, 5]))
    ignored = Counter()
    found, rejects = read(tmp_path, ignored=ignored)
    assert [call.id for call in found] == ["one", "two", "3"]
    assert [[(turn.role, turn.text) for turn in call.turns] for call in found[1:]] == [
        [("customer", "b"), ("agent", "c")],
        [("agent", "x"), ("customer", "y")],
    ]
    assert "item 3: has neither turns nor transcript" in rejects[0]
    assert "item 4: is not an object" in rejects[1]
    assert ignored == {"mood": 1}


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        ({"role": "boss", "text": "a"}, "turn 1: unknown speaker 'boss'"),
        ({"text": "a"}, "turn 1: unknown speaker None"),
        ({"role": "agent", "text": None}, "turn 1 text: expected `str`, got `null`"),
        ({"role": "agent", "text": "a", "start_s": 5, "end_s": 1}, "before it starts"),
        ({"role": "agent", "text": "a", "start_s": -5}, "turn 1 start_s"),
        ({"role": "agent", "text": "a\0"}, "turn 1 has null characters"),
        ("agent", "turn 1 is not an object"),
    ],
)
def test_a_bad_turn_is_named_by_its_number(tmp_path, turn, words):
    found, rejects = read_text(tmp_path, json.dumps({"id": "x", "turns": [turn]}), name="a.json")
    assert found == []
    assert words in rejects[0]


def test_bad_lines_of_a_jsonl_file_do_not_stop_the_rest(tmp_path):
    good = {"id": "a", "turns": [{"role": "agent", "text": "hi"}]}
    lines = [
        json.dumps(good),
        "{broken",
        "",
        "[1]",
        json.dumps({**good, "id": "b"}),
        json.dumps(good),
        '{"messages": []}',
    ]
    data = ("\n".join(lines) + "\n").encode() + b'{"id": "\xe9", "turns": []}\n{"id": "n\0"}\n'
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(data))
    found, rejects = read(tmp_path)
    assert [(call.id, call.provenance.line) for call in found] == [("a", 1), ("b", 5)]
    assert [reject.split(".gz, ")[1].split(":")[0] for reject in rejects] == [f"line {n}" for n in (2, 4, 6, 7, 8, 9)]
    assert "not JSON" in rejects[0]
    assert "the id 'a' was already read from" in rejects[2]
    assert "ChatML" in rejects[3]
    assert "not UTF-8" in rejects[4]


def test_a_zip_cut_short_keeps_what_came_before_and_says_so(tmp_path):
    import random

    rng = random.Random(0)
    lines = [
        json.dumps({"id": str(n), "turns": [{"role": "agent", "text": rng.randbytes(50).hex()}]}) for n in range(3000)
    ]
    whole = gzip.compress("\n".join(lines).encode())
    (tmp_path / "x.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    found, rejects = read(tmp_path)
    assert 100 < len(found) < 2900
    assert "can't be read to the end" in rejects[0]


def test_an_id_is_read_once_and_the_first_is_kept(tmp_path):
    for name, words in (("a.txt", "first"), ("b.txt", "second")):
        (tmp_path / name).write_text(f"---\nid: same\n---\nAgent: {words}\n")
    found, rejects = read(tmp_path)
    assert [call.turns[0].text for call in found] == ["first"]
    assert f"the id 'same' was already read from {tmp_path / 'a.txt'}" in rejects[0]


def test_unknown_files_are_set_aside_and_hidden_ones_left_alone(tmp_path):
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\0\0\0")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    (tmp_path / ".hidden").write_text("?")
    found, rejects = read(tmp_path)
    assert found == []
    assert len(rejects) == 2
    assert "notes.csv: is in no known format (" in rejects[0]
    assert "amazon_connect" in rejects[0] and ", json, " in rejects[0] and "Name one with --format" in rejects[0]


def test_no_files_and_no_such_path_are_errors(tmp_path):
    with pytest.raises(UserError, match="no files here"):
        read(tmp_path)
    with pytest.raises(UserError, match="no such file or folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("Agent: hi")
    with pytest.raises(UserError, match="no format 'genesis'"):
        read(tmp_path, format="genesis")


def test_a_format_is_added_by_adding_a_file(tmp_path, monkeypatch):
    formats = tmp_path / "formats"
    formats.mkdir()
    (formats / "shout.py").write_text(
        "from mlx_cc.conversation import Conversation, Turn\n"
        "from mlx_cc.ingest.format import Format\n"
        "def read(file, reading):\n"
        "    yield Conversation(id=file.stem, turns=(Turn(role='agent', text=file.text()[4:].strip()),))\n"
        "FORMAT = Format('shout', lambda path, head: head.startswith(b'!!!!'), read)\n"
    )
    monkeypatch.setattr(ingest, "__path__", [*ingest.__path__, str(formats)])
    ingest.all_formats.cache_clear()
    try:
        (call,), rejects = read_text(tmp_path, "!!!! HELLO\n")
        assert (call.turns[0].text, rejects) == ("HELLO", [])
        assert "shout" in ingest.all_formats()
        assert {"table", "jsonl", "json", "text"} == {
            name for name, kind in ingest.all_formats().items() if kind.order > 50
        }
    finally:
        ingest.all_formats.cache_clear()
        sys.modules.pop("mlx_cc.ingest.shout", None)


# Column maps

MAP = """
id: key
turns: body.talk
turn: {role: who.kind, text: says}
agents: labels.agent_id
started_at: start
queue_wait_s: wait
values: {role: {A: agent, B: customer}, channel: {phone: voice}}
channel: via
fixed: {platform: ours}
labels:
  issue: {path: labels.task, source: human_qa}
  quality: {path: labels.q, source: survey}
  resolution: {path: labels.ok, source: survey, values: {"true": resolved}}
"""


def test_a_column_map_reads_objects_of_any_shape(tmp_path):
    (tmp_path / "map.yaml").write_text(MAP)
    talk = [{"who": {"kind": "A"}, "says": "hi"}, {"who": {"kind": "B"}, "says": "bye"}]
    line = {
        "key": 7,
        "body": {"talk": talk},
        "start": 1589374306,
        "via": "phone",
        "labels": {"agent_id": "x", "task": "t", "q": "80", "ok": True},
    }
    bare = {"key": "8", "body": {"talk": talk}, "labels": {"ok": False, "task": None}}
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, [line, bare, {"key": "9"}])))
    columns = read_map(tmp_path / "map.yaml")
    (first, second), rejects = read(tmp_path / "x.jsonl", columns=columns)
    assert (first.id, first.agents, first.channel, first.platform) == ("7", ("x",), "voice", "ours")
    assert [turn.role for turn in first.turns] == ["agent", "customer"]
    assert first.started_at.isoformat() == "2020-05-13T12:51:46+00:00"
    assert first.labels["quality"] == Label(value={"score": 80}, source="survey")
    assert first.label("resolution") == "resolved"
    assert second.labels == {}
    assert second.started_at is None
    assert "line 3: has no turns at 'body.talk'. Correct the column map." in rejects[0]
    (tmp_path / "x.json").write_text(json.dumps([line], indent=1))
    assert [call.id for call in read(tmp_path / "x.json", columns=columns)[0]] == ["7"]


def test_a_wrong_key_in_a_column_map_names_the_nearest_right_one(tmp_path):
    (tmp_path / "map.yaml").write_text("started: x\n")
    with pytest.raises(UserError, match="no setting 'started'. Did you mean 'started_at'?"):
        read_map(tmp_path / "map.yaml")
    (tmp_path / "map.yaml").write_text("labels: {issue: {path: a, source: rumour}}\n")
    with pytest.raises(UserError, match="rumour"):
        read_map(tmp_path / "map.yaml")


def test_labels_without_source_ask_for_a_map(tmp_path):
    line = json.dumps({"conversation_id": "a", "turns": [{"role": "agent", "text": "x"}], "labels": {"task": "t"}})
    _, rejects = read_text(tmp_path, line, name="a.jsonl")
    assert "--map" in rejects[0]


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "maps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_maps_are_valid(path):
    read_one = read_contact_map if path.stem.startswith("contacts") else read_map
    assert read_one(path).labels


@pytest.mark.skipif(not STAR.exists(), reason="the STAR dialogues are not beside this repository")
def test_the_star_map_reads_the_real_file():
    found, rejects = read(STAR, columns=read_map(ROOT / "configs" / "maps" / "star.yaml"))
    assert rejects == []
    assert len(found) == 4615
    assert len({call.label("issue") for call in found if "issue" in call.labels}) == 24
    assert sum("issue" in call.labels for call in found) == 3270
    assert all(call.agents and call.started_at for call in found)


# Analyses

ANALYSIS = {
    "conversation_id": "a",
    "quality_score": 85,
    "csat_score": "4",
    "primary_issue": "billing_error",
    "churn": 20,
    "journey_type": "billing_account",
    "contact_role": "first_contact",
    "resolution_status": "resolved",
    "empathy": 80,
    "coaching": [{"skill": "s", "action": "a", "expected_outcome": "e", "turn": 1}],
    "summary": "long",
}


def call(id="a", **labels):
    return Conversation(id=id, turns=(Turn(role="agent", text="hi"),), labels=labels)


def attached(tmp_path, conversations, **options):
    rejects, ignored = [], Counter()
    found = Analyses(tmp_path, rejects=rejects.append, ignored=ignored, **options)
    return list(found.attach(conversations)), [str(reject) for reject in rejects], ignored


def test_an_analysis_becomes_labels_with_a_source(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(ANALYSIS))
    (got,), rejects, ignored = attached(tmp_path, [call()])
    assert rejects == []
    assert got.label("quality") == {"score": 85}
    assert got.label("journey") == {"type": "billing_account", "contact_role": "first_contact"}
    assert [got.label(name) for name in ("csat", "issue", "churn", "resolution", "empathy")] == [
        4,
        "billing_error",
        20,
        "resolved",
        80,
    ]
    assert {label.source for label in got.labels.values()} == {"teacher"}
    assert ignored == {"analysis summary": 1}
    assert with_valid_labels(got, Centre(), Counter()) == got


def test_analyses_match_by_id_or_else_by_file_name_and_strays_are_reported(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps({"csat": 2}))
    (tmp_path / "list.json").write_text(
        json.dumps([{"id": "a", "csat": 1, "source": "survey"}, {"id": "stray"}, {"csat": 1}])
    )
    (tmp_path / "more.jsonl").write_text(
        '{"id": "c", "csat": 5}\n{"id": "a", "csat": 5}\nnot json\n{"id": "d", "source": "me"}\n'
    )
    found, rejects, _ = attached(tmp_path, [call("a"), call("b"), call("c"), call("d")], label_source="platform")
    assert [(c.label("csat"), c.labels["csat"].source) for c in found[:3]] == [
        (1, "survey"),
        (2, "platform"),
        (5, "platform"),
    ]
    assert found[3].labels == {}
    text = "\n".join(rejects)
    assert len(rejects) == 5
    assert "line 3: analysis has no conversation_id" in text
    assert "line 2: analysis for 'a' was already read from" in text
    assert "line 3: analysis is not JSON" in text
    assert "source 'me' is not one of human_qa" in text
    assert "analysis of 'stray' has no transcript" in text


def test_a_better_source_keeps_its_label(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"csat": 1, "churn": 9}))
    known = call(csat=Label(value=5, source="survey"), churn=Label(value=50, source="simulated"))
    (got,), _, _ = attached(tmp_path, [known])
    assert (got.label("csat"), got.label("churn")) == (5, 9)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("quality_score", 140, "quality: 140 is outside 0-100"),
        ("quality_score", "high", "quality: 'high' is not a number"),
        ("csat_score", 0, "csat: 0 is outside 1-5"),
        ("issue", "gossip", "issue: 'gossip' is not one of the centre's issue classes"),
        ("churn_risk", True, "churn: True is not a number"),
        ("journey_type", "usage_support", "journey: {'type': 'usage_support'} lacks type or contact_role"),
        ("resolution_status", "maybe", "resolution: 'maybe' is not one of resolved, unresolved, partial"),
        ("empathy", 101, "empathy: 101 is outside 0-100"),
        (
            "coaching",
            [{"skill": "s", "action": "a", "expected_outcome": "e", "turn": 9}],
            "coaching: turn 9 does not exist",
        ),
    ],
)
def test_a_value_that_is_not_allowed_drops_that_label_only_and_is_counted(key, value, reason):
    labels = {"communication": Label(value=50, source="teacher"), **labels_of({key: value}, "teacher")}
    dropped = Counter()
    got = with_valid_labels(call(**labels), Centre(), dropped)
    assert list(got.labels) == ["communication"]
    assert dropped == {reason: 1}


# The command


def test_the_command_writes_conversations_and_rejects_and_exits_3(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.txt").write_text("Agent: hi\n")
    (folder / "bad.txt").write_text("Boss: hi\n")
    out = tmp_path / "out" / "c.jsonl"
    done = CliRunner().invoke(command, [str(folder), "--out", str(out)])
    assert done.exit_code == 3
    assert "1 conversations" in done.output
    assert "bad.txt: line 1: unknown speaker" in done.output
    assert [c.id for c in read_conversations(out)] == ["good"]
    reject = json.loads((out.parent / "rejects.jsonl").read_text())
    assert set(reject) == {"file", "line", "reason"}
    assert reject["file"] == str(folder / "bad.txt")

    (folder / "bad.txt").unlink()
    done = CliRunner().invoke(command, [str(folder), "--out", str(out), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.output)["conversations"] == 1
    assert not (out.parent / "rejects.jsonl").exists()


def test_strict_stops_at_the_first_reject_and_writes_nothing(tmp_path):
    (tmp_path / "bad.txt").write_text("Boss: hi\n")
    (tmp_path / "good.txt").write_text("Agent: hi\n")
    out = tmp_path / "out" / "c.jsonl"
    done = CliRunner().invoke(command, [str(tmp_path), "--out", str(out), "--strict"])
    assert isinstance(done.exception, UserError)
    assert "bad.txt" in str(done.exception)
    assert not out.exists()


def test_ingest_of_a_folder_into_itself_can_be_repeated(tmp_path):
    (tmp_path / "a.txt").write_text("Agent: hi\n")
    (tmp_path / "analyses").mkdir()
    (tmp_path / "analyses" / "a.json").write_text(json.dumps({"quality": 140, "csat": 3}))
    arguments = [str(tmp_path), "--out", str(tmp_path / "c.jsonl"), "--analyses", str(tmp_path / "analyses")]
    outputs = []
    for _ in range(2):
        done = CliRunner().invoke(command, arguments)
        assert done.exit_code == 0
        assert "1 x label dropped: quality: 140 is outside 0-100" in done.output
        outputs.append((tmp_path / "c.jsonl").read_bytes())
    assert outputs[0] == outputs[1]
    assert next(read_conversations(tmp_path / "c.jsonl")).label("csat") == 3
