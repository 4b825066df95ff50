"""Tables: conversations in rows, reports about contacts, scorecards; and the rows that are set aside."""

import gzip
from collections import Counter
from pathlib import Path

import pytest

from mlx_cc.conversation import Conversation, Label
from mlx_cc.errors import UserError
from mlx_cc.ingest import all_formats, choose, read_folder, scorecard, table
from mlx_cc.ingest.contacts_map import read_contact_map
from mlx_cc.ingest.format import Incoming, Reading, Reject
from mlx_cc.ingest.jsonl_map import read_map
from mlx_cc.ingest.shapes import rows
from mlx_cc.ingest.source import open_file

MAPS = Path(__file__).parent.parent / "configs" / "maps"

TURNS = '''conversation_id,speaker,text,start
c1,Agent,Thank you for calling.,0:00
c1,Customer,"My bill is wrong,

it says ""12""",0:06.5
c2,Rep,hello,0:00
'''


def read(tmp_path, text, name="calls.csv", format=table.FORMAT, known=True, **options):
    """(what was read, reasons of the rejects)."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    file = open_file(path)
    assert format.recognise(file.path, file.head) is known
    found = list(format.read(file, Reading(**options)))
    rejects = [str(reject).removeprefix(f"{path}") for reject in found if isinstance(reject, Reject)]
    assert not any("\n" in reject for reject in rejects)
    return [one for one in found if not isinstance(one, Reject)], rejects


def contacts(tmp_path, text, **options):
    return read(tmp_path, text, format=table.CONTACTS, **options)


# One row a turn


def test_a_row_a_turn(tmp_path):
    (one, two), rejects = read(tmp_path, TURNS)
    assert rejects == []
    assert (one.conversation.id, two.conversation.id) == ("c1", "c2")
    assert [(t.role, t.text, t.start_s) for t in one.conversation.turns] == [
        ("agent", "Thank you for calling.", 0),
        ("customer", 'My bill is wrong,\n\nit says "12"', 6.5),
    ]
    assert one.speakers == ()
    assert one.conversation.provenance.line == 2
    assert two.conversation.provenance.line == 6


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiters_byte_order_marks_and_line_ends(tmp_path, delimiter, encoding):
    text = "\r\n".join(
        delimiter.join(row) for row in [["Call ID", "Participant", "Utterance"], ["7", "caller", "Größe?"]]
    )
    (call,), rejects = read(tmp_path, text.encode(encoding))
    assert rejects == []
    assert (call.conversation.id, call.conversation.turns[0].text) == ("7", "Größe?")


@pytest.mark.parametrize(
    "names",
    [
        "conversation_id,role,text",
        "ContactId,ParticipantRole,Content",
        "Interaction ID,Speaker,Message",
        "CALL-ID,SENDER TYPE,Transcript",
        '"Chat ID","From","Body"',
    ],
)
def test_columns_are_known_in_any_case_and_spelling(tmp_path, names):
    (call,), _ = read(tmp_path, f"{names}\n1,agent,hi\n")
    assert (call.conversation.id, call.conversation.turns[0].role) == ("1", "agent")


def test_without_an_id_column_the_file_is_one_conversation(tmp_path):
    (call,), _ = read(tmp_path, "speaker\ttext\nAgent\thi\nCustomer\tyo\n", name="call-9.tsv")
    assert (call.conversation.id, len(call.conversation.turns)) == ("call-9", 2)


def test_a_column_id_alone_may_be_the_turns(tmp_path):
    with pytest.raises(UserError, match="the conversation's or the turn's"):
        read(tmp_path, "id,speaker,text\n1,Agent,hi\n2,Customer,yo\n")


@pytest.mark.parametrize(
    ("name", "cells", "starts"),
    [
        ("start", ["0", "2.5"], [0, 2.5]),
        ("start_ms", ["0", "2500"], [0, 2.5]),
        ("BeginOffset (ms)", ["0", "2500"], [0, 2.5]),
        ("timestamp", ["00:01:00", "0:01:02.5"], [60, 62.5]),
        ("time", ["14:05:12", "14:05:14"], [0, 2]),
        ("timestamp", ["2025-03-10T14:05:12Z", "2025-03-10T14:05:14.5+00:00"], [0, 2.5]),
        ("timestamp", ["2025-03-10 14:05:12", "2025-03-10 14:05:14"], [0, 2]),
        ("timestamp", ["1741615512", "1741615514"], [0, 2]),
        ("timestamp", ["1741615512000", "1741615514500"], [0, 2.5]),
        ("start", ["", "4"], [None, 4]),
        ("start", ["NaN", "-4"], [None, None]),
        ("start", ["inf", "soon"], [None, None]),
    ],
)
def test_times_of_turns(tmp_path, name, cells, starts):
    text = f"call_id,speaker,text,{name}\n1,agent,a,{cells[0]}\n1,customer,b,{cells[1]}\n"
    (call,), rejects = read(tmp_path, text, timezone="America/Chicago")
    assert rejects == []
    assert [turn.start_s for turn in call.conversation.turns] == starts
    started = call.conversation.started_at
    assert (started is not None) == (starts[0] == 0 and len(cells[0]) > 9)


def test_turns_are_put_in_order_of_their_start_and_an_end_before_the_start_is_dropped(tmp_path):
    text = "call_id,speaker,text,start,end\n1,agent,b,5,9\n1,customer,a,2,1\n"
    (call,), _ = read(tmp_path, text)
    assert [(turn.text, turn.start_s, turn.end_s) for turn in call.conversation.turns] == [("a", 2, None), ("b", 5, 9)]


def test_a_local_time_asks_for_the_zone(tmp_path):
    found, rejects = read(tmp_path, "call_id,speaker,text,time\n1,agent,a,2025-03-10 14:05:12\n")
    assert found == []
    assert "pass --timezone" in rejects[0]
    (call,), _ = read(tmp_path, "call_id,speaker,text,time (UTC)\n1,agent,a,2025-03-10 14:05:12\n")
    assert call.conversation.started_at.isoformat() == "2025-03-10T14:05:12+00:00"


def test_voices_that_are_no_roles_are_left_to_be_told_apart(tmp_path):
    text = "call_id,speaker,text\n1,Ann Lee,a\n1,SPEAKER_01,b\n1,bot,c\n"
    (call,), _ = read(tmp_path, text)
    assert [turn.role for turn in call.conversation.turns] == ["unknown", "unknown", "bot"]
    assert call.speakers == ("Ann Lee", "SPEAKER_01", None)
    assert call.names == ("Ann Lee",)
    (call,), _ = read(tmp_path, text, default_role="customer")
    assert [turn.role for turn in call.conversation.turns] == ["customer", "customer", "bot"]
    assert call.speakers == ()
    (call,) = read_folder([tmp_path], Reading("customer", roles={"Ann Lee": "agent"}), rejects=pytest.fail)
    assert [turn.role for turn in call.turns] == ["agent", "customer", "bot"]


def test_what_is_told_of_the_conversation_stands_in_any_of_its_rows(tmp_path):
    text = (
        "call_id,speaker,text,agent id,queue,csat,wait time,agent name,mood\n"
        "1,agent,a,a7,,,,Ann Lee,x\n1,customer,b,a7,Billing,,01:30,,\n1,agent,c,a8,Sales,5,,,\n"
    )
    ignored = Counter()
    (call,), _ = read(tmp_path, text, ignored=ignored)
    found = call.conversation
    assert (found.agents, found.queue, found.queue_wait_s, found.label("csat")) == (("a7", "a8"), "Billing", 90, 5)
    assert [turn.agent_id for turn in found.turns] == ["a7", None, "a8"]
    assert call.names == ("Ann Lee",)
    assert ignored == {"column mood": 1}


def test_rows_of_a_conversation_need_not_follow_each_other(tmp_path):
    text = "call_id,speaker,text\n1,agent,a\n2,agent,b\n1,customer,c\n2,customer,d\n"
    found, rejects = read(tmp_path, text)
    assert rejects == []
    assert {call.conversation.id: [t.text for t in call.conversation.turns] for call in found} == {
        "1": ["a", "c"],
        "2": ["b", "d"],
    }


def test_rows_that_come_when_their_conversation_is_long_over_are_rejected_once(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "HELD", 1500)
    lines = ["call_id,speaker,text", *(f"{n},agent,a" for n in range(20)), "3,agent,late", "3,agent,later"]
    found, rejects = read(tmp_path, "\n".join(lines))
    assert len(found) == 20
    assert rejects == [rejects[0]]
    assert ", line 22: a row of '3' comes long after its others. Sort the file" in rejects[0]


def test_a_column_that_is_the_same_throughout_is_no_conversation_id(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "HELD", 5000)
    found, rejects = read(tmp_path, "call_id,speaker,text\n" + "x,agent,a\n" * 100 + "y,agent,b\n")
    assert [call.conversation.id for call in found] == ["y"]
    assert rejects == [rejects[0]]
    assert "'x' has more rows than one conversation can have" in rejects[0]


# One row a conversation


def test_a_transcript_in_a_cell(tmp_path):
    text = (
        "Contact ID,Agent ID,Skill,Start Time,Transcript,CSAT,QA Score\n"
        '7,a1,Billing,2025-03-10T14:05:12Z,"Agent: hi\r\nCustomer: my bill,\r\nand more",4,85%\n'
        "8,,,,Agent: hi\\nCustomer: yo,,\n"
        '9,,,,"[{""role"": ""agent"", ""text"": ""hi""}]",n/a,\n'
    )
    found, rejects = read(tmp_path, text)
    assert rejects == []
    one, two, three = (call.conversation for call in found)
    assert [(turn.role, turn.text) for turn in one.turns] == [("agent", "hi"), ("customer", "my bill,\nand more")]
    assert (one.agents, one.queue, one.started_at.hour, one.provenance.line) == (("a1",), "Billing", 14, 2)
    assert one.labels == {
        "csat": Label(value=4, source="survey"),
        "quality": Label(value={"score": 85}, source="human_qa"),
    }
    assert [turn.role for turn in two.turns] == ["agent", "customer"]
    assert (len(three.turns), three.labels) == (1, {})


def test_a_transcript_that_cannot_be_read_is_one_reject(tmp_path):
    text = "call_id,transcript\n1,Boss: hi\n2,\n3,Agent: hi\n,Agent: hi\n"
    found, rejects = read(tmp_path, text)
    assert [call.conversation.id for call in found] == ["3"]
    assert [reject.partition(":")[0] for reject in rejects] == [", line 2", ", line 3", ", line 5"]


# Broken rows


def test_broken_rows_do_not_stop_the_rest(tmp_path):
    lines = [
        b"call_id,speaker,text",
        b"1,agent,good",
        b"2,agent,Gr\xf6\xdfe",
        b"3,agent,nu\0ll",
        b"4,agent,one,too many",
        b'5,agent,"quote "inside" it"',
        b"",
        b"6,agent",
        b"call_id,speaker,text",
        b"7,agent,good",
        b'8,agent,"never closed',
        b"9,agent,lost",
    ]
    found, rejects = read(tmp_path, b"\n".join(lines))
    assert [call.conversation.id for call in found] == ["1", "7"]
    assert [reject.partition(":")[0] for reject in rejects] == [f", line {n}" for n in (3, 4, 5, 6, 11, 8)]
    assert "is not UTF-8 (byte 0xf6" in rejects[0]
    assert "null bytes" in rejects[1]
    assert "has 4 cells, and the names are 3" in rejects[2]
    assert "a quote inside a quoted cell" in rejects[3]
    assert "is not closed up to line 12" in rejects[4]
    assert "no turn with text" in rejects[5]


def test_a_cell_and_a_line_above_the_limit_are_set_aside(tmp_path, monkeypatch):
    from mlx_cc.ingest import source

    monkeypatch.setattr(rows, "LONGEST_CELL", 1000)
    monkeypatch.setattr(source, "LONGEST_LINE", 5000)
    text = f"call_id,speaker,text\n1,agent,{'x' * 2000}\n2,agent,{'x' * 6000}\n3,agent,good\n"
    found, rejects = read(tmp_path, text)
    assert [call.conversation.id for call in found] == ["3"]
    assert "line 2: has a cell above" in rejects[0]
    assert "line 3: is too long for a row" in rejects[1]


def test_titles_above_the_names_and_a_sep_line(tmp_path):
    text = 'sep=;\n"Calls of ""March"""\n\nContact ID;Speaker;Text\n1;agent;hi\n'
    (call,), rejects = read(tmp_path, text)
    assert rejects == []
    assert call.conversation.id == "1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "Agent: speaker, text\nCustomer: hi, there\n"),
        ("a.txt", "Title\nspeaker,text\nAgent,hi\n"),
        ("a.vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\n<v Agent>speaker,text\n"),
        ("a.srt", "1\n00:00:00,000 --> 00:00:01,000\nspeaker | text\n"),
        ("a.json", '{"speaker": 1,\n"text": 2}'),
        ("a.csv", "a,b\n1,2\n"),
        ("a.csv", "speaker;a\ntext;b\n"),
    ],
)
def test_what_is_no_table_of_conversations_is_not_claimed(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert not table.recognise(tmp_path / name, text.encode())
    assert not table.recognise_contacts(tmp_path / name, text.encode())
    assert not scorecard.recognise(tmp_path / name, text.encode())


def test_recognition_needs_the_first_lines_only_wherever_they_are_cut():
    head = TURNS.encode()
    assert [table.recognise(Path("a.csv"), head[:cut]) for cut in (35, 36, 70, 100)] == [True] * 4


def test_a_packed_table_is_chosen_by_its_content(tmp_path):
    (tmp_path / "export.csv.gz").write_bytes(gzip.compress(TURNS.encode()))
    file = open_file(tmp_path / "export.csv.gz")
    assert choose(file).name == "table"
    assert all_formats()["table"].order == 70
    found = list(table.read(file, Reading()))
    assert all(isinstance(call, Incoming) and isinstance(call.conversation, Conversation) for call in found)


# Maps


def mapped(tmp_path, yaml):
    (tmp_path / "map.yaml").write_text(yaml)
    return read_map(tmp_path / "map.yaml")


def test_a_column_map_names_the_columns_of_turns(tmp_path):
    columns = mapped(
        tmp_path,
        "id: Case.No\nturn: {role: Wer, text: Was, start_s: 'Zeit [ms]'}\nagents: Kraft\nqueue: Gruppe\n"
        "values: {role: {MA: agent, KD: customer}}\nfixed: {channel: chat, language: de}\n"
        "labels:\n  csat: {path: Note, source: survey, scale: [0, 10]}\n"
        "  resolution: {path: Ok, source: survey, values: {j: resolved}}\n",
    )
    text = "Case.No;Wer;Was;Zeit [ms];Kraft;Gruppe;Note;Ok\n1;MA;Guten Tag;0;Ann Lee;Netz;7,5;j\n1;KD;Hallo;1500;;;;\n"
    (call,), rejects = read(tmp_path, text, known=False, columns=columns)
    assert rejects == []
    found = call.conversation
    assert [(turn.role, turn.start_s) for turn in found.turns] == [("agent", 0), ("customer", 1.5)]
    assert (found.agents, found.queue, found.channel, found.language) == (("Ann Lee",), "Netz", "chat", "de")
    assert found.labels["csat"] == Label(value=4, source="survey", scale=(0, 10), given=7.5)
    assert found.label("resolution") == "resolved"


def test_a_column_map_names_the_column_of_transcripts(tmp_path):
    columns = mapped(tmp_path, "id: key\nturns: talk\n")
    (call,), _ = read(tmp_path, "key,talk\n1,Agent: hi\n", known=False, columns=columns)
    assert call.conversation.turns[0].text == "hi"


def test_a_folder_is_read_with_a_map_whatever_the_file_is(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("key,talk\n1,Agent: hi\n")
    (folder / "b.jsonl").write_text('{"key": "2", "talk": "Agent: yo"}\n{"key": "3"}\n')
    rejects = []
    reading = Reading(columns=mapped(tmp_path, "id: key\nturns: talk\n"))
    found = list(read_folder([folder], reading, rejects=rejects.append))
    assert [(call.id, call.turns[0].text) for call in found] == [("1", "hi"), ("2", "yo")]
    assert [reject.line for reject in rejects] == [2]


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("{id: nr, turns: t, turn: {role: r, text: t}}", "has no column 'nr', nor any other of the map"),
        ("{id: call_id, turn: {role: wer}}", "has no column 'wer' .turn.role.. There are: call_id, speaker, text"),
        ("{id: call_id}", "no column 'turns', and none for turn.role"),
        ("{id: call_id, turn: {role: speaker}, queue: q}", "has no column 'q' .queue."),
        ("{id: call_id, turn: {role: speaker}, labels: {csat: {path: x}}}", "no column 'x' .labels.csat."),
    ],
)
def test_a_column_the_map_names_and_the_file_has_not_is_told(tmp_path, yaml, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, "call_id,speaker,text\n1,a,b\n", columns=mapped(tmp_path, yaml))


def test_an_id_that_a_spreadsheet_rounded_is_set_aside(tmp_path):
    found, rejects = read(tmp_path, "call_id,speaker,text\n4.50123E+11,agent,hi\n4.50123E11x,agent,hi\n")
    assert [call.conversation.id for call in found] == ["4.50123E11x"]
    assert "the id '4.50123E+11' was rounded by a spreadsheet" in rejects[0]


# Contacts

REPORT = """Contact ID,Master Contact ID,Agent Name,Agent ID,Team,Skill,Start Time,Speed of Answer,Hold Time,ACW Time,\
Handle Time,Disposition,CSAT,ANI,Media Type,Recording ID
100,100,Ann Lee,77,Blue,Billing,3/14/2025 2:05:12 PM,31,0:00:12,01:05,0:10:00,Resolved,5,+15551234567,Phone Call,r1
101,100,,,,,3/15/2025 9:00:00 AM,-,,,"1,200",N/A,9,,,
Total,,,,,,,31,,,,,,,,
,,,,,,3/15/2025 9:00:00 AM,5,,,,,,,,
102,,,,,,yesterday,,,,,,,,,
"""


def test_a_report_about_contacts(tmp_path):
    ignored = Counter()
    (one, two), rejects = contacts(tmp_path, REPORT, timezone="America/Chicago", ignored=ignored)
    assert (one.id, one.names, one.agents, one.team, one.queue) == ("100", ("Ann Lee",), ("77",), "Blue", "Billing")
    assert one.started_at.isoformat() == "2025-03-14T14:05:12-05:00"
    assert (one.queue_wait_s, one.hold_s, one.after_call_work_s, one.handle_time_s) == (31, 12, 65, 600)
    assert (one.disposition, one.customer_id, one.channel) == ("Resolved", "+15551234567", "voice")
    assert (one.keys, one.previous_contact_id) == (("r1",), None)
    assert one.labels == {"csat": Label(value=5, source="survey")}
    assert (two.previous_contact_id, two.queue_wait_s, two.disposition, two.handle_time_s) == ("100", None, None, 1200)
    assert [reject.partition(":")[0] for reject in rejects] == [", line 5", ", line 6"]
    assert "'yesterday' is not a time" in rejects[1]
    assert ignored == {"a row of totals": 1}


def test_a_name_is_no_agents_id_unless_a_map_says_so(tmp_path):
    text = "contact id,agent,queue\n1,Ann Lee,q\n2,agent_07,q\n"
    (one, two), _ = contacts(tmp_path, text)
    assert (one.agents, one.names, two.agents, two.names) == ((), ("Ann Lee",), ("agent_07",), ())
    (tmp_path / "map.yaml").write_text("{id: contact id, agents: agent}")
    (one, two), _ = contacts(tmp_path, text, contact_columns=read_contact_map(tmp_path / "map.yaml"))
    assert (one.agents, one.names) == (("Ann Lee",), ("Ann Lee",))


def test_a_local_time_of_a_contact_asks_for_the_zone(tmp_path):
    found, rejects = contacts(tmp_path, "contact id,start time,queue\n1,2025-03-10 14:05,q\n")
    assert found == []
    assert "pass --timezone" in rejects[0]


def test_the_contact_map_that_is_shipped_reads_its_report(tmp_path):
    columns = read_contact_map(MAPS / "contacts_example.yaml")
    text = (
        "Vorgang;Aufnahme;Berater;Beginn;Wartezeit;Nachbearbeitung (min);Ergebnis;Umfrage;Kanal;Wiederanruf\n"
        "1;r9;Ann Lee;10.03.2025 14:05;0:31;1,5;R;8;Tel;ja\n2;;;31.12.2025 09:00;;;X;11;Chat;\n"
    )
    (one, two), rejects = contacts(tmp_path, text, known=False, contact_columns=columns, timezone="Europe/Berlin")
    assert rejects == []
    assert (one.keys, one.names, one.platform) == (("r9",), ("Ann Lee",), "phone_system")
    assert one.started_at.isoformat() == "2025-03-10T14:05:00+01:00"
    assert (one.queue_wait_s, one.after_call_work_s, one.disposition, one.channel) == (31, 90, "Resolved", "voice")
    assert one.is_followup is True
    assert one.labels == {"csat": Label(value=4.2, source="survey", scale=(0, 10), given=8)}
    assert (two.disposition, two.channel, two.labels) == ("X", "chat", {})


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("started: x", "no setting 'started'. Did you mean 'started_at'"),
        ("{fixed: {plattform: x}}", "fixed: no field 'plattform'"),
        ("{labels: {csat: {path: x, source: rumour}}}", "rumour"),
    ],
)
def test_a_contact_map_that_is_wrong_is_told(tmp_path, yaml, words):
    (tmp_path / "map.yaml").write_text(yaml)
    with pytest.raises(UserError, match=words):
        read_contact_map(tmp_path / "map.yaml")


def test_a_column_the_contact_map_names_and_the_report_has_not_is_told(tmp_path):
    (tmp_path / "map.yaml").write_text("{id: nr, queue: q, names: [who]}")
    columns = read_contact_map(tmp_path / "map.yaml")
    with pytest.raises(UserError, match="has no column 'who' .names.. There are: nr, q"):
        contacts(tmp_path, "nr,q\n1,2\n", known=False, contact_columns=columns)
    with pytest.raises(UserError, match="has no column 'nr', nor any other"):
        contacts(tmp_path, "a,b\n1,2\n", known=False, contact_columns=columns)


def test_the_order_of_day_and_month_is_learned_from_the_file_or_the_country(tmp_path):
    text = "contact id,start time,queue\n1,3/4/2025 14:05,q\n2,{}/2025 14:05,q\n"
    options = {"timezone": "UTC"}
    assert [c.started_at.month for c in contacts(tmp_path, text.format("3/28"), **options)[0]] == [3, 3]
    assert [c.started_at.month for c in contacts(tmp_path, text.format("28/3"), **options)[0]] == [4, 3]
    assert len(contacts(tmp_path, text.format("5/4"), **options)[1]) == 2
    for country, month in (("US", 3), ("FR", 4)):
        found, _ = contacts(tmp_path, text.format("5/4"), country=country, **options)
        assert found[0].started_at.month == month
