"""Talkdesk and Five9: reports of calls and contacts, in the spellings they come in."""

import json
from collections import Counter

import pytest

from mlx_cc.conversation import Label
from mlx_cc.ingest import five9, talkdesk
from mlx_cc.ingest.contacts import Contact
from mlx_cc.ingest.format import Reading, Reject
from mlx_cc.ingest.source import open_file

CALL = {
    "call_id": "66da",
    "callsid": "CAeb",
    "type": "inbound",
    "start_at": "2026-05-20T14:03:11Z",
    "talkdesk_phone_number": "+15550199",
    "contact_phone_number": "+15550100",
    "user_id": "u-1",
    "user_name": "Ann Lee",
    "handling_user_id": "u-2",
    "handling_user_name": "Bo Chen",
    "team_name": "Team GT",
    "ring_groups": "billing",
    "wait_time": 15,
    "hold_time": 35,
    "is_in_business_hours": True,
    "disposition_code": "Refund",
    "csat_score": 4,
}
LEGACY = {
    "call_id": "77",
    "callsid": "CA77",
    "start_time": "2024-03-05 09:30:00",
    "talkdesk_phone_number": "+15550199",
    "ring_groups": "billing",
    "user_id": "u-1",
    "wait_time": 0.0000694,
    "hold_time": "0.0013889",
    "in_business_hours?": "Yes",
    "csat_score": None,
}
LEGS = """Interaction ID,Contact ID,Contact Person Number,Direction,Started At,Wait Time,Hard Hold Time,Soft Hold Time,\
After Call Work Time,Handle Time,Inside Business Hours (Yes / No),Ring Groups,Handling Ring Groups,User Name,User ID,Team Name
i-1,k-1,+15550100,IN,2024-03-05T09:30:00Z,12,5,1,30,200,Yes,"care,billing",care,Ann Lee,u-1,Team A
i-2,k-3,+15550101,IN,2024-03-05T10:30:00Z,3,,,,,Yes,care,,,,
i-1,k-2,+15550100,IN,2024-03-05T09:35:00Z,8,0,0,10,100,Yes,billing,,Bo Chen,u-2,Team B
"""


def contacts(format, tmp_path, content, name, **options):
    """(contacts, reasons of the rejects, what was ignored)."""
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    file = open_file(path)
    assert format.CONTACTS.recognise(path, file.head)
    reading = Reading(**options)
    found = list(format.CONTACTS.read(file, reading))
    rejects = [str(each).removeprefix(str(path)) for each in found if isinstance(each, Reject)]
    return [each for each in found if isinstance(each, Contact)], rejects, reading.ignored


def csv_of(*rows, delimiter=","):
    lines = [delimiter.join(rows[0]), *(delimiter.join(f'"{value}"' for value in row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (CALL, "a.json"),
        ([CALL], "a.json"),
        ({"total": 1, "type": "calls", "entries": [CALL]}, "a.json"),
        (json.dumps(CALL) + "\n", "a.jsonl"),
        (csv_of(CALL), "a.csv"),
        (csv_of(CALL, delimiter=";"), "a.csv"),
    ],
)
def test_the_calls_report_tells_times_in_utc_and_seconds(tmp_path, content, name):
    (call,), rejects, _ = contacts(talkdesk, tmp_path, content, name)
    assert rejects == []
    assert (call.id, call.keys, call.channel, call.platform) == ("66da", ("CAeb",), "voice", "talkdesk")
    assert call.started_at.isoformat() == "2026-05-20T14:03:11+00:00"
    assert (call.queue_wait_s, call.hold_s, call.after_call_work_s) == (15, 35, None)
    assert (call.agents, call.names) == (("u-2",), ("Ann Lee", "Bo Chen"))
    assert (call.team, call.queue, call.disposition) == ("Team GT", "billing", "Refund")
    assert call.customer_id == "+15550100"
    assert call.labels == {"csat": Label(value=4, source="survey")}


@pytest.mark.parametrize(("content", "name"), [([LEGACY], "a.json"), (csv_of({**LEGACY, "csat_score": ""}), "a.csv")])
def test_the_legacy_report_counts_in_days_and_local_time(tmp_path, content, name):
    (call,), rejects, _ = contacts(talkdesk, tmp_path, content, name, timezone="America/Chicago")
    assert rejects == []
    assert (call.queue_wait_s, call.hold_s) == (6, 120)
    assert call.started_at.isoformat() == "2024-03-05T09:30:00-06:00"
    assert call.labels == {}
    found, rejects, _ = contacts(talkdesk, tmp_path, content, name)
    assert found == []
    assert "has no time zone. Add its offset, or pass --timezone." in rejects[0]


def test_what_is_no_duration_or_score_is_left_out_and_counted(tmp_path):
    legacy = {**LEGACY, "wait_time": 35}
    call = {**CALL, "hold_time": "soon", "wait_time": -3, "csat_score": 9}
    found, rejects, ignored = contacts(talkdesk, tmp_path, [legacy, call], "a.json", timezone="UTC")
    assert rejects == []
    assert [(each.queue_wait_s, each.hold_s) for each in found] == [(None, 120), (None, None)]
    assert ignored == Counter(
        {"wait_time (not a duration)": 2, "hold_time (not a duration)": 1, "csat_score (not 1-5)": 1}
    )


def test_the_legs_of_an_interaction_are_one_contact(tmp_path):
    (first, second), rejects, _ = contacts(talkdesk, tmp_path, LEGS, "contacts.csv")
    assert rejects == []
    assert (first.id, first.keys, first.agents) == ("i-1", ("k-1", "k-2"), ("u-1", "u-2"))
    assert first.names == ("Ann Lee", "Bo Chen")
    assert (first.queue_wait_s, first.hold_s, first.after_call_work_s, first.handle_time_s) == (20, 6, 40, 300)
    assert first.started_at.isoformat() == "2024-03-05T09:30:00+00:00"
    assert (first.team, first.queue, first.customer_id) == ("Team B", "billing", "+15550100")
    assert (second.id, second.queue_wait_s, second.hold_s, second.agents) == ("i-2", 3, None, ())


def test_legs_in_any_order_make_the_same_contact(tmp_path):
    head, *rows = LEGS.splitlines()
    (other, _), _, _ = contacts(talkdesk, tmp_path, "\n".join([head, *reversed(rows)]), "b.csv")
    assert (other.started_at.hour, other.queue, other.team, other.agents) == (9, "billing", "Team B", ("u-1", "u-2"))


def test_a_row_without_id_or_with_too_many_cells_is_set_aside(tmp_path):
    head, first, *_ = LEGS.splitlines()
    text = "\n".join([head, first, first.replace("i-1", ""), first + ",x,y"])
    found, rejects, _ = contacts(talkdesk, tmp_path, text, "a.csv")
    assert [each.id for each in found] == ["i-1"]
    assert ", line 3: has no call_id or interaction id." in rejects[0]
    assert ", line 4: has 18 cells" in rejects[1]


# Five9

LOG = """CALL ID,TIMESTAMP,CAMPAIGN,CALL TYPE,AGENT,AGENT NAME,DISPOSITION,ANI,CUSTOMER NAME,DNIS,CALL TIME,\
QUEUE WAIT TIME,TALK TIME,HOLD TIME,AFTER CALL WORK TIME,SKILL,ABANDONED
24381,"Thu, 27 Oct 2016 14:51:34",Care,Inbound,ann@x.example,Ann Lee,Refund,5550100,Jane Roe,5550199,00:05:03,\
00:01:10,00:03:00,00:00:45,00:00:30,Billing,
24382,"Thu, 27 Oct 2016 15:00:00",Care,Autodial,[None],,No Disposition,5550199,"Roe, Jane",5550101,00:00:03,\
,00:00:00,00:00:00,01:00:00,[Deleted],
24383,yesterday,Care,Inbound,[None],,Refund,5550100,,5550199,00:00:03,x,,,,,
,,,,,,,,,,,,,,,,
,"Thu, 27 Oct 2016 15:00:00",Care,Inbound,,,,,,,,,,,,,
"""


def test_the_call_log_tells_wait_hold_and_after_call_work(tmp_path):
    (first, second), rejects, _ = contacts(five9, tmp_path, LOG, "log.csv", timezone="America/Los_Angeles")
    assert (first.id, first.agents, first.names) == ("24381", ("ann@x.example",), ("Ann Lee", "Jane Roe"))
    assert first.started_at.isoformat() == "2016-10-27T14:51:34-07:00"
    assert (first.queue_wait_s, first.hold_s, first.after_call_work_s) == (70, 45, 30)
    assert (first.queue, first.disposition, first.customer_id) == ("Billing", "Refund", "5550100")
    assert (second.agents, second.queue_wait_s, second.after_call_work_s) == ((), None, 3600)
    assert (second.queue, second.disposition, second.customer_id) == ("Care", None, "5550101")
    assert "line 4: started_at: 'yesterday' is not a time" in rejects[0]
    assert "line 6: has no CALL ID." in rejects[1]
    assert len(rejects) == 2


def test_the_call_log_needs_the_domains_zone(tmp_path):
    found, rejects, _ = contacts(five9, tmp_path, LOG, "log.csv")
    assert found == []
    assert "pass --timezone" in rejects[0]


def test_a_call_log_as_json_and_with_date_and_time_apart(tmp_path):
    rows = [
        {"CALL ID": 7, "TIMESTAMP": "Thu, 27 Oct 2016 14:51:34", "CAMPAIGN": "Care", "DNIS": 1, "DISPOSITION": "Sale"},
        {"CALL ID": 8, "DATE": "2016/10/27", "TIME": "14:51:34", "CAMPAIGN": "Care", "CALL TYPE": "3rd party transfer"},
    ]
    (first, second), rejects, _ = contacts(five9, tmp_path, rows, "log.json", timezone="UTC")
    assert rejects == []
    assert (first.id, first.disposition, first.customer_id) == ("7", "Sale", None)
    assert first.started_at == second.started_at


def test_reports_of_one_platform_are_not_taken_for_the_others(tmp_path):
    for format, other, text in ((talkdesk, five9, LEGS), (five9, talkdesk, LOG)):
        assert format.CONTACTS.recognise(tmp_path / "a.csv", text.encode())
        assert not other.CONTACTS.recognise(tmp_path / "a.csv", text.encode())
    for text in (b"call_id,agent,wait_time\n1,2,3\n", b'{"call_id": 1, "turns": []}', b"Agent: your call id is 7\n"):
        assert not talkdesk.CONTACTS.recognise(tmp_path / "a", text)
        assert not five9.CONTACTS.recognise(tmp_path / "a", text)
