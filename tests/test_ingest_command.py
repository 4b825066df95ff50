"""The ingest command: many files in, one redacted file out, by one process or several."""

import json
import re

import pytest
from click.testing import CliRunner
from conftest import run_python

from mlx_cc.centre import Centre
from mlx_cc.commands import analyze, prepare, temporal
from mlx_cc.commands.ingest import command
from mlx_cc.conversation import Conversation, Label, Provenance, Turn
from mlx_cc.errors import UserError
from mlx_cc.export import write_chatml
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.ingest import processes
from mlx_cc.ingest.format import Reading
from mlx_cc.redact import Redactor
from mlx_cc.redact.key import pseudonym_key, pseudonymous
from mlx_cc.retrieve import indexing
from mlx_cc.tasks import pick
from mlx_cc.train.batches import labelled

CARD = "4111 1111 1111 1111"


@pytest.fixture(autouse=True)
def own_key(monkeypatch):
    monkeypatch.setenv("MLX_CC_PSEUDONYM_KEY", "a key for these tests alone")


def ingest(*arguments):
    run = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert run.exception is None or isinstance(run.exception, SystemExit), run.output
    return run


def record(number, text="hello there", **fields):
    turns = [{"role": "customer", "text": text}, {"role": "agent", "text": "How can I help?"}]
    return json.dumps({"id": f"c{number}", "turns": turns, **fields})


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_personal_data_never_reaches_a_file(tmp_path):
    source = write(tmp_path / "calls.jsonl", [record(1, f"My card is {CARD}.", customer_id="+1 312 555 0184"), "{"])
    run = ingest(source, "--out", tmp_path / "out" / "c.jsonl", "--json")
    assert run.exit_code == 3
    assert json.loads(run.output)["redacted"] == {"CARD": 1}
    (found,) = read_conversations(tmp_path / "out" / "c.jsonl")
    assert found.turns[0].text == "My card is [CARD]."
    assert found.customer_id == pseudonymous("+1 312 555 0184", pseudonym_key())
    assert found.provenance is not None and found.provenance.redacted
    for path in (tmp_path / "out").iterdir():
        assert "4111" not in path.read_text() and "0184" not in path.read_text()


def test_personal_data_stays_only_with_two_flags(tmp_path):
    source = write(tmp_path / "calls.jsonl", [record(1, f"My card is {CARD}.")])
    out = tmp_path / "c.jsonl"
    refused = CliRunner().invoke(command, [str(source), "--out", str(out), "--no-redact"])
    assert "--keep-personal-data" in str(refused.exception) and not out.exists()
    run = ingest(source, "--out", out, "--no-redact", "--keep-personal-data")
    assert "NOT redacted" in run.output and CARD in out.read_text()


@pytest.mark.parametrize("program", [command, prepare.command])
def test_a_name_found_by_the_model_asked_for_stays_out_of_the_rejects_too(tmp_path, monkeypatch, program):
    def recognise(text, language):
        return [(found.start(), found.end(), "NAME") for found in re.finditer("zorblax", text)]

    monkeypatch.setattr("mlx_cc.redact.ner.presidio", lambda model: recognise)
    issue = {"issue": {"value": "billing_error", "source": "survey"}}
    source = write(tmp_path / "calls.jsonl", [record("-zorblax", "zorblax here", labels=issue)] * 2)
    out = ["--output-dir", tmp_path / "out"] if program is prepare.command else ["--out", tmp_path / "out" / "c.jsonl"]
    run = CliRunner().invoke(program, [str(argument) for argument in (source, *out, "--ner", "a_model")])
    assert run.exit_code == 3, run.output
    assert "'c-[NAME]' was already read" in (tmp_path / "out" / "rejects.jsonl").read_text()
    assert "zorblax here" not in "".join(path.read_text() for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("door", ["analyze", "rag", "train", "temporal"])
@pytest.mark.parametrize("chatml", [True, False])
def test_what_says_neither_that_it_is_redacted_nor_that_it_was_to_stay_is_redacted_by_all_that_read_it(
    tmp_path, door, chatml
):
    marks = {"bare": None, "kept": Provenance("x", personal_data_kept=True), "clean": Provenance("x", redacted=True)}
    label = {"csat": Label(value=5, source="survey")}
    turns = (Turn(role="customer", text=f"My card is {CARD}."), Turn(role="agent", text="Thank you."))
    conversations = [Conversation(id=name, turns=turns, labels=label, provenance=mark) for name, mark in marks.items()]
    file = tmp_path / "c.jsonl"
    write_chatml(file, conversations, Centre()) if chatml else write_conversations(file, conversations)
    if door == "temporal":
        run = CliRunner().invoke(temporal.command, ["--input", str(file), "--output", str(tmp_path / "t.jsonl")])
        found = list(read_conversations(tmp_path / "t.jsonl")) if run.exit_code == 0 else [run.output]
        assert (tmp_path / "t.jsonl").read_text().count("My card is [CARD].") == 1 + chatml
    elif door == "analyze":
        found = list(analyze.read(file, Reading(redactor=Redactor()), pytest.fail))
    elif door == "rag":
        found = [conversation for conversation, _ in indexing.read([indexing.Source(file, None)])]
    else:
        found = labelled(file, pick(["csat"]))
    said = {conversation.id: CARD in conversation.turns[0].text for conversation in found}
    assert said == {"bare": False, "kept": door != "analyze", "clean": True}


def test_what_was_redacted_before_is_left_alone(tmp_path):
    redacted = {"provenance": {"file": "x", "redacted": True}}
    source = write(tmp_path / "calls.jsonl", [record(1, f"My card is {CARD}.", **redacted)])
    ingest(source, "--out", tmp_path / "c.jsonl")
    (found,) = read_conversations(tmp_path / "c.jsonl")
    assert CARD in found.turns[0].text


def test_what_a_contact_record_adds_to_a_redacted_record_is_redacted_too(tmp_path):
    redacted = {"provenance": {"file": "x", "redacted": True}}
    source = write(tmp_path / "calls.jsonl", [record(0, "It was Maria Velasco who called.", **redacted)])
    contact = {"ContactId": "c0", "Channel": "VOICE", "InitiationTimestamp": "2025-03-10T14:05:12Z"}
    contact |= {"CustomerEndpoint": {"Address": "+13125550184", "Type": "TELEPHONE_NUMBER"}}
    report = write(tmp_path / "ctr.jsonl", [json.dumps(contact)])
    ingest(source, "--contacts", report, "--out", tmp_path / "c.jsonl")
    (found,) = read_conversations(tmp_path / "c.jsonl")
    assert found.customer_id == pseudonymous("+13125550184", pseudonym_key())
    assert found.turns[0].text == "It was Maria Velasco who called."


def test_a_reject_does_not_quote_what_it_hides(tmp_path):
    said = {"id": "a", "turns": [{"role": f"my card {CARD}", "text": "hi"}]}
    run = ingest(write(tmp_path / "a.jsonl", [json.dumps(said)]), "--out", tmp_path / "c.jsonl")
    assert run.exit_code == 3
    (reject,) = map(json.loads, (tmp_path / "rejects.jsonl").read_text().splitlines())
    assert "unknown speaker 'my card [CARD]'" in reject["reason"]
    assert "4111" not in run.output


def test_contact_records_are_joined_and_the_report_adds_up(tmp_path):
    source = write(tmp_path / "calls.jsonl", [record(n) for n in range(4)])
    contacts = tmp_path / "contacts.csv"
    contacts.write_text(
        "Contact ID,Start Time,Queue,Wait Time,Disposition,CSAT\n"
        "c0,2025-03-10T14:05:12Z,billing,75,resolved,5\n"
        "c1,2025-03-10T15:05:12Z,billing,0:02:00,callback,\n"
        "c9,2025-03-10T16:05:12Z,billing,3,resolved,4\n"
    )
    for workers in (1, 2):
        run = ingest(source, "--contacts", contacts, "--out", tmp_path / "c.jsonl", "--workers", workers, "--json")
        report = json.loads(run.output)["contacts"]
        assert (report["matched"], report["only_transcript"], report["only_contact"]) == (2, 2, 1)
        found = {c.id: c for c in read_conversations(tmp_path / "c.jsonl")}
        assert (found["c0"].queue_wait_s, found["c1"].queue_wait_s, found["c0"].disposition) == (75, 120, "resolved")
        assert found["c0"].label("csat") == 5
        assert found["c3"].flags == ("no_contact_record",)


def test_several_processes_give_what_one_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PART_BYTES", 4000)
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.jsonl", [record(n, f"My number is 312 555 0{n:03}.") for n in range(300)] + ["no json"])
    for number in range(40):
        (folder / f"t{number:02}.txt").write_text(f"Agent: hello\nCustomer: order {number} please\n")
    write(folder / "z.jsonl", [record(n) for n in range(290, 310)])
    outputs = []
    for workers in (1, 3):
        out = tmp_path / f"{workers}" / "c.jsonl"
        run = ingest(folder, "--out", out, "--workers", workers, "--country", "US", "--json")
        summary = json.loads(run.output)
        outputs.append((out.read_bytes(), (out.parent / "rejects.jsonl").read_bytes(), summary["redacted"]))
    assert outputs[0] == outputs[1]
    assert outputs[0][0].count(b"\n") == 350
    rejects = [json.loads(line) for line in outputs[0][1].splitlines()]
    assert [r["line"] for r in rejects if "JSON" in r["reason"]] == [301]
    assert sum("already read" in r["reason"] for r in rejects) == 10


def test_the_format_of_a_large_file_is_told_once_from_its_start(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PART_BYTES", 2000)
    subtitles = {"id": "s", "turns": [{"role": "agent", "text": "hi"}], "segments": [{"start": 0.0, "text": "x"}]}
    odd = [json.dumps({**subtitles, "id": f"s{n}"}) for n in range(100)]
    source = write(tmp_path / "a.jsonl", [*(record(n) for n in range(100)), *odd])
    parts = [part for part in processes.parts([source], "auto") if isinstance(part, processes.Part)]
    assert len(parts) > 3 and {part.format for part in parts} == {"jsonl"}
    assert b"".join(part.lines or b"" for part in parts) == source.read_bytes()


def test_roles_are_mapped_and_swapped(tmp_path):
    source = write(tmp_path / "a.jsonl", [record(1)])
    ingest(source, "--out", tmp_path / "c.jsonl", "--swap")
    (found,) = read_conversations(tmp_path / "c.jsonl")
    assert [turn.role for turn in found.turns] == ["agent", "customer"]
    refused = CliRunner().invoke(command, [str(source), "--role", "0=boss"])
    assert "LABEL=ROLE" in str(refused.exception)


def test_strict_stops_and_writes_nothing(tmp_path):
    source = write(tmp_path / "a.jsonl", [record(1), "{", record(2)])
    run = CliRunner().invoke(command, [str(source), "--out", str(tmp_path / "c.jsonl"), "--strict"])
    assert "line 2" in str(run.exception)
    assert not (tmp_path / "c.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "fault"), [(b"short", "has 5 characters"), (b"\xff" * 40, "is not text")], ids=["short", "binary"]
)
def test_a_damaged_key_is_an_error_and_the_environment_can_give_another(tmp_path, monkeypatch, content, fault):
    monkeypatch.delenv("MLX_CC_PSEUDONYM_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "mlx_cc").mkdir()
    (tmp_path / "mlx_cc" / "pseudonym.key").write_bytes(content)
    with pytest.raises(UserError, match=fault):
        pseudonym_key()
    monkeypatch.setenv("MLX_CC_PSEUDONYM_KEY", "k" * 16)
    assert pseudonym_key() == b"k" * 16


def test_a_key_is_made_once_and_kept_to_its_owner(tmp_path, monkeypatch):
    monkeypatch.delenv("MLX_CC_PSEUDONYM_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = pseudonym_key()
    path = tmp_path / "mlx_cc" / "pseudonym.key"
    assert pseudonym_key() == key and path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert pseudonymous("+44 20 7946 0018", key) == pseudonymous("+44 20 7946 0018", key) != "+44 20 7946 0018"
    assert pseudonymous("Jane Doe", key).startswith("c_") and pseudonymous("j@x.org", key).startswith("c_")
    assert pseudonymous("cust_000042", key) == "cust_000042"


def test_the_command_runs_in_a_process_of_its_own(tmp_path):
    source = write(tmp_path / "a.jsonl", [record(n) for n in range(3)])
    done = run_python("-m", "mlx_cc", "ingest", source, "--out", tmp_path / "c.jsonl", "--workers", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 conversations" in done.stdout
