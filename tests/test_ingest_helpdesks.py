"""Intercom, Zendesk Chat and Chatwoot: what was said to whom, and what was only noted."""

import json
from pathlib import Path

import pytest

from mlx_cc.conversation import Label
from mlx_cc.ingest import chatwoot, intercom, zendesk_chat
from mlx_cc.ingest.format import Incoming, Reading, Reject
from mlx_cc.ingest.shapes.html_text import html_text
from mlx_cc.ingest.source import open_file

SAMPLES = Path(__file__).parent.parent.parent / "shared" / "samples"
START = 1_700_000_000
"""2023-11-14T22:13:20Z."""


def read(format, tmp_path, tree, name="a.json"):
    """(incoming, reasons of the rejects)."""
    path = tmp_path / name
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree, indent=2), encoding="utf-8")
    file = open_file(path)
    assert format.FORMAT.recognise(path, file.head)
    found = list(format.FORMAT.read(file, Reading()))
    return [x for x in found if isinstance(x, Incoming)], [str(x) for x in found if isinstance(x, Reject)]


def only(format, tmp_path, tree):
    (found,), rejects = read(format, tmp_path, tree)
    assert rejects == []
    return found


def said(found):
    return [(turn.role, turn.text, turn.start_s) for turn in found.conversation.turns]


# HTML


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("plain &amp; simple", "plain & simple"),
        ("  two\nlines ", "two\nlines"),
        ("<p>Hi&nbsp;<b>there</b>,</p><p>it's 3&nbsp;&lt;&nbsp;4</p>", "Hi there,\nit's 3 < 4"),
        ("<div>a<br>b<br/>c</div>", "a\nb\nc"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<style>p {color: red}</style><p>seen</p><script>alert('no')</script>", "seen"),
        ("<p>cut off <b>here", "cut off here"),
        ("<!-- not said -->said", "said"),
        ("<![x y]><p>odd</p>", "odd"),
        ("<img src='x.png'>", ""),
    ],
)
def test_html_becomes_what_a_reader_sees(body, text):
    assert html_text(body) == text


# Intercom


def part(seconds, kind, author, body, **more):
    return {
        "type": "conversation_part",
        "part_type": kind,
        "created_at": START + seconds,
        "body": body,
        "author": author,
        **more,
    }


USER = {"type": "user", "id": "536e", "name": "Jane Roe"}
ADMIN = {"type": "admin", "id": 991, "name": "Ann Lee"}
INTERCOM = {
    "type": "conversation",
    "id": "147",
    "created_at": START,
    "source": {"type": "email", "subject": "Refund", "body": "<p>Where is <b>it</b>?</p>", "author": USER},
    "contacts": {"contacts": [{"id": "536e", "external_id": "cust-9"}]},
    "admin_assignee_id": 17,
    "team_assignee_id": 5,
    "conversation_rating": {"rating": 2, "remark": "slow", "created_at": START + 999},
    "conversation_parts": {
        "type": "conversation_part.list",
        "conversation_parts": [
            part(5, "comment", {"type": "bot", "id": "1", "name": "Fin"}, "<p>I am a bot.</p>"),
            part(60, "note", ADMIN, "<p>She is difficult.</p>"),
            part(70, "assignment", ADMIN, None),
            part(90, "comment", ADMIN, "<p>On its way.</p>"),
            part(80, "comment", {"type": "lead", "id": "x", "name": "Jane"}, "<p>Hello?</p>"),
            part(95, "conversation_rating_changed", USER, "<p>2</p>"),
            part(99, "close", ADMIN, "<p>Closing this.</p>"),
        ],
        "total_count": 7,
    },
}


def test_intercom_source_comes_first_and_notes_are_no_turns(tmp_path):
    found = only(intercom, tmp_path, INTERCOM)
    call = found.conversation
    assert said(found) == [
        ("customer", "Refund\nWhere is it?", 0),
        ("bot", "I am a bot.", 5),
        ("customer", "Hello?", 80),
        ("agent", "On its way.", 90),
        ("agent", "Closing this.", 99),
    ]
    assert (call.id, call.channel, call.customer_id, call.team) == ("147", "email", "cust-9", "5")
    assert call.agents == ("991",)
    assert call.turns[3].agent_id == "991"
    assert call.labels == {"csat": Label(value=2, source="survey")}
    assert call.started_at.isoformat() == "2023-11-14T22:13:20+00:00"
    assert found.names == ("Jane Roe", "Ann Lee", "Jane")


def test_intercom_lists_lines_and_the_older_first_message(tmp_path):
    old = {**INTERCOM, "id": "148", "conversation_message": INTERCOM["source"], "user": {"id": 3}, "source": None}
    del old["contacts"]
    listed = {"type": "conversation.list", "conversations": [INTERCOM, old, {"id": "149", "source": {}}]}
    found, rejects = read(intercom, tmp_path, listed)
    assert [x.conversation.id for x in found] == ["147", "148"]
    assert (found[1].conversation.customer_id, len(found[1].conversation.turns)) == ("3", 5)
    assert "item 3: has no conversation_parts: a list leaves them out." in rejects[0]
    found, rejects = read(intercom, tmp_path, "\n".join(map(json.dumps, [INTERCOM, old])), "a.jsonl")
    assert [x.conversation.provenance.line for x in found] == [1, 2]


def test_intercom_messages_sent_without_an_admin_are_the_bots_and_strangers_stay_unknown(tmp_path):
    source = {"type": "conversation", "delivered_as": "automated", "body": "Need help?", "author": ADMIN}
    parts = {
        "conversation_parts": [
            part(3, "comment", {**ADMIN, "from_ai_agent": True}, "Try turning it off."),
            part(4, "comment", {"type": "alien", "name": "Zog"}, "Take me to your leader."),
        ]
    }
    tree = {**INTERCOM, "source": source, "conversation_parts": parts, "conversation_rating": {"rating": None}}
    found = only(intercom, tmp_path, tree)
    assert [turn.role for turn in found.conversation.turns] == ["bot", "bot", "unknown"]
    assert found.speakers == (None, None, "Zog")
    assert (found.conversation.channel, found.conversation.labels) == ("chat", {})
    assert found.conversation.agents == ("17",)


# Zendesk Chat


def event(seconds, kind, sender, **more):
    stamp = f"2024-05-01T10:{seconds // 60:02}:{seconds % 60:02}Z"
    return {"type": kind, "timestamp": stamp, "sender_type": sender, "name": f"{sender} name", **more}


CHAT = {
    "id": "2405.1",
    "type": "chat",
    "timestamp": "2024-05-01T10:00:00Z",
    "visitor": {"id": "1.12345", "name": "Visitor 72815", "email": "jane@x.example", "phone": ""},
    "session": {"country_code": "US"},
    "department_name": "Billing",
    "agent_ids": ["77"],
    "agent_names": ["Ann Lee"],
    "started_by": "visitor",
    "rating": "bad",
    "comment": "slow",
    "history": [
        event(0, "chat.memberjoin", "Visitor"),
        event(1, "chat.msg", "Visitor", msg="Hello?"),
        event(2, "chat.msg", "Trigger", msg="We will be with you."),
        event(65, "chat.memberjoin", "Agent", agent_id="77"),
        event(70, "chat.msg", "Agent", agent_id="77", msg="Hi, Ann here."),
        event(80, "chat.rating", "Visitor", new_rating="bad"),
    ],
}


def test_zendesk_chat_messages_are_turns_and_joining_is_not(tmp_path):
    found = only(zendesk_chat, tmp_path, CHAT)
    call = found.conversation
    assert said(found) == [
        ("customer", "Hello?", 1),
        ("bot", "We will be with you.", 2),
        ("agent", "Hi, Ann here.", 70),
    ]
    assert (call.queue, call.queue_wait_s, call.agents, call.customer_id) == ("Billing", 65, ("77",), "jane@x.example")
    assert call.labels == {"csat": Label(value=1, source="survey", scale=(0, 1), given=0)}
    assert found.names == ("Visitor name", "Agent name", "Ann Lee")
    assert call.country is None


@pytest.mark.parametrize("rating", [None, "", "excellent"])
def test_a_zendesk_chat_without_rating_has_no_label(tmp_path, rating):
    assert only(zendesk_chat, tmp_path, {**CHAT, "rating": rating}).conversation.labels == {}
    assert only(zendesk_chat, tmp_path, {**CHAT, "rating": "good"}).conversation.label("csat") == 5


def test_zendesk_messages_left_offline_pages_and_ids(tmp_path):
    offline = {"id": 9, "type": "offline_msg", "timestamp": "2024-05-01T10:00:00Z", "message": "Call me", "visitor": {}}
    found = only(zendesk_chat, tmp_path, offline)
    assert said(found) == [("customer", "Call me", None)]
    assert (found.conversation.id, found.conversation.queue_wait_s) == ("9", None)
    for page in ({"chats": [CHAT, offline], "count": 2}, {"docs": {"1": CHAT, "2": offline}}, [CHAT, offline]):
        found, rejects = read(zendesk_chat, tmp_path, page)
        assert [x.conversation.id for x in found] == ["2405.1", "9"]
    _, rejects = read(zendesk_chat, tmp_path, [CHAT, {"id": "1", "type": "chat"}])
    assert "item 2: has no history" in rejects[0]


def test_zendesk_senders_are_told_by_nick_where_no_type_is(tmp_path):
    history = [
        {**event(1, "chat.msg", None, msg="a"), "nick": "visitor:x"},
        {**event(2, "chat.msg", None, msg="b"), "nick": "agent:77"},
        {**event(3, "chat.msg", None, msg="c"), "nick": "agent:trigger"},
        {**event(4, "chat.msg", None, msg="d"), "name": "Who"},
    ]
    found = only(zendesk_chat, tmp_path, {**CHAT, "history": history, "started_by": "agent"})
    assert [turn.role for turn in found.conversation.turns] == ["customer", "agent", "bot", "unknown"]
    assert found.speakers == (None, None, None, "Who")
    assert found.conversation.turns[1].agent_id == "77"


# Chatwoot


def message(seconds, kind, content, sender_type=None, **more):
    return {
        "id": seconds,
        "conversation_id": 12,
        "account_id": 1,
        "message_type": kind,
        "content_type": "text",
        "content": content,
        "private": False,
        "created_at": START + seconds,
        "sender_type": sender_type,
        **more,
    }


ANSWER = {"submitted_values": {"csat_survey_response": {"rating": 5, "feedback_message": "great"}}}
MESSAGES = [
    message(90, 3, "Please rate us", content_type="input_csat", content_attributes=ANSWER),
    message(0, 0, "Hello", "Contact", sender={"id": 4, "name": "Jane Roe", "email": "jane@x.example"}),
    message(2, 3, "We answer within a day."),
    message(10, 2, "Assigned to Ann by Bo"),
    message(20, 1, "She is difficult", "User", sender_id=8, private=True),
    message(30, 1, "Hi Jane", "User", sender_id=8, sender={"id": 8, "name": "Ann Lee", "type": "user"}),
    message(40, 1, "Beep", "AgentBot", sender_id=3, sender={"id": 3, "name": "Beeper"}),
    message(50, 1, "Sent by a rule", content_attributes={"automation_rule_id": 2}),
    message(60, 1, "Sent by somebody"),
    message(65, 1, "This message was deleted", "User", content_attributes={"deleted": True}),
    message(70, 0, None, "Contact"),
]
CHATWOOT = {
    "id": 12,
    "uuid": "0a1b",
    "inbox_id": 58,
    "created_at": START,
    "meta": {
        "channel": "Channel::WebWidget",
        "sender": {"id": 4, "name": "Jane Roe", "identifier": None, "phone_number": "+15550100"},
        "assignee": {"id": 8, "name": "Ann Lee", "available_name": "Ann"},
        "team": {"id": 1, "name": "care"},
    },
    "messages": MESSAGES,
}


def test_chatwoot_leaves_out_notes_activities_and_the_survey(tmp_path):
    found = only(chatwoot, tmp_path, CHATWOOT)
    call = found.conversation
    assert said(found) == [
        ("customer", "Hello", 0),
        ("bot", "We answer within a day.", 2),
        ("agent", "Hi Jane", 30),
        ("bot", "Beep", 40),
        ("bot", "Sent by a rule", 50),
        ("unknown", "Sent by somebody", 60),
    ]
    assert found.speakers == (None, None, None, None, None, "outgoing")
    assert (call.id, call.channel, call.team, call.queue) == ("12", "chat", "care", "58")
    assert (call.agents, call.customer_id) == (("8",), "+15550100")
    assert call.labels == {"csat": Label(value=5, source="survey")}
    assert (found.keys, found.names) == (("0a1b",), ("Jane Roe", "Ann Lee", "Ann"))


def test_chatwoot_pages_of_messages_and_lists_of_conversations(tmp_path):
    page = {"meta": {"contact": {"id": 4, "email": "jane@x.example"}}, "payload": MESSAGES}
    found = only(chatwoot, tmp_path, page)
    assert (found.conversation.id, found.conversation.customer_id) == ("12", "jane@x.example")
    assert len(found.conversation.turns) == 6
    other = {**CHATWOOT, "id": 13}
    for tree in (
        {"data": {"meta": {}, "payload": [CHATWOOT, other]}},
        {"payload": [CHATWOOT, other]},
        [CHATWOOT, other],
    ):
        found, rejects = read(chatwoot, tmp_path, tree)
        assert ([x.conversation.id for x in found], rejects) == (["12", "13"], [])


def test_chatwoot_types_may_be_words_and_times_text(tmp_path):
    words = {0: "incoming", 1: "outgoing", 2: "activity", 3: "template"}
    messages = [
        {**each, "message_type": words[each["message_type"]], "created_at": f"2024-05-01T10:00:{each['id'] // 2:02}Z"}
        for each in MESSAGES
    ]
    tree = {**CHATWOOT, "created_at": None, "meta": None, "channel": "Channel::Email", "messages": messages}
    found = only(chatwoot, tmp_path, tree)
    assert [turn.start_s for turn in found.conversation.turns] == [0, 1, 15, 20, 25, 30]
    assert (found.conversation.channel, found.conversation.customer_id) == ("email", "jane@x.example")


def test_a_chatwoot_survey_answer_alone_is_set_aside_with_the_way_out(tmp_path):
    found, rejects = read(chatwoot, tmp_path, {"message": ANSWER})
    assert found == []
    assert "is an answer to the survey alone, without conversation. Export the conversation" in rejects[0]
    if (SAMPLES / "chatwoot").exists():
        file = open_file(SAMPLES / "chatwoot" / "csat_submit_payload.json")
        assert chatwoot.FORMAT.recognise(file.path, file.head)
        (reject,) = chatwoot.FORMAT.read(file, Reading())
        assert "without conversation" in str(reject)


# All three


@pytest.mark.parametrize(
    ("format", "tree"), [(intercom, INTERCOM), (zendesk_chat, CHAT), (chatwoot, CHATWOOT)], ids=lambda x: x.__class__.__name__
)  # fmt: skip
def test_each_helpdesk_is_known_from_the_others_and_nothing_odd_breaks_its_reader(tmp_path, format, tree):
    head = json.dumps(tree).encode()
    assert [x for x in (intercom, zendesk_chat, chatwoot) if x.FORMAT.recognise(tmp_path / "a.json", head)] == [format]
    odd = (None, True, -1, 1e300, "", "nan", [], {}, [None], {"a": None}, "9" * 600, [[]])
    for key in tree:
        for value in odd:
            path = tmp_path / "odd.json"
            path.write_text(json.dumps({**tree, key: value}))
            for found in format.FORMAT.read(open_file(path), Reading()):
                assert isinstance(found, Incoming | Reject)
