"""Genesys Cloud: who is behind `internal`, and what the conversation details know of a contact."""

import json
from pathlib import Path

import pytest

from mlx_cc.conversation import Label
from mlx_cc.ingest.format import Incoming, Reading, Reject
from mlx_cc.ingest.genesys_cloud import CONTACTS, FORMAT
from mlx_cc.ingest.source import open_file

SAMPLES = Path(__file__).parent.parent.parent / "shared" / "samples" / "genesys_cloud"
EPOCH = 1_700_000_000_000
"""Milliseconds; 2023-11-14T22:13:20Z."""


def opened(tmp_path, tree, name="a.json"):
    path = tmp_path / name
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree), encoding="utf-8")
    return open_file(path)


def phrase(start_s, text, side, length_s=1.0, **more):
    return {
        "text": text,
        "startTimeMs": EPOCH + start_s * 1000,
        "duration": {"milliseconds": length_s * 1000},
        "participantPurpose": side,
        **more,
    }


def person(purpose, start_s, end_s, **more):
    times = {"startTimeMs": EPOCH + start_s * 1000, "endTimeMs": EPOCH + end_s * 1000}
    return {"participantPurpose": purpose, "queueId": "q-1", **times, **more}


def transcript(phrases, people=None, **more):
    tree = {
        "conversationId": "c-1",
        "communicationId": "m-1",
        "mediaType": "call",
        "conversationStartTime": EPOCH,
        "startTime": EPOCH + 500,
        "transcripts": [{"language": "en-GB", "phrases": phrases, **more}],
    }
    return tree if people is None else {**tree, "participants": people}


def read(tmp_path, tree):
    file = opened(tmp_path, tree)
    assert FORMAT.recognise(file.path, file.head)
    return list(FORMAT.read(file, Reading()))


def only(tmp_path, tree) -> Incoming:
    (found,) = read(tmp_path, tree)
    assert isinstance(found, Incoming), found
    return found


CUSTOMER = person("customer", 0, 100, ani="tel:+15550100")


def test_a_transcript_becomes_a_conversation_with_times_from_its_start(tmp_path):
    people = [CUSTOMER, person("acd", 1, 4), person("agent", 4, 100, userId="u-1")]
    said = [
        phrase(10, "my bill is wrong", "external", decoratedText="My bill is wrong."),
        phrase(5, "hello", "internal", 1.25),
        phrase(20, "  ", "external"),
    ]
    found = only(tmp_path, transcript(said, people))
    call = found.conversation
    assert [(turn.role, turn.text, turn.start_s, turn.end_s) for turn in call.turns] == [
        ("agent", "hello", 5, 6.25),
        ("customer", "My bill is wrong.", 10, 11),
    ]
    assert (call.id, call.channel, call.language, call.platform) == ("c-1", "voice", "en-GB", "genesys_cloud")
    assert (call.agents, call.turns[0].agent_id, call.customer_id) == (("u-1",), "u-1", "+15550100")
    assert (call.queue, call.queue_wait_s) == ("q-1", 3)
    assert call.started_at.isoformat() == "2023-11-14T22:13:20+00:00"
    assert (found.keys, found.speakers) == (("m-1",), ())


def test_internal_is_whoever_was_on_the_line_then(tmp_path):
    people = [
        CUSTOMER,
        person("ivr", 0, 10),
        person("agent", 12, 30, userId="first"),
        person("agent", 30.2, 60, userId="second"),
        person("voicemail", 60, 100),
    ]
    times = (2, 15, 29.8, 40, 70)
    call = only(tmp_path, transcript([phrase(at, "words", "internal") for at in times], people)).conversation
    assert [(turn.role, turn.agent_id) for turn in call.turns] == [
        ("bot", None),
        ("agent", "first"),
        ("agent", "second"),
        ("agent", "second"),
        ("bot", None),
    ]
    assert call.agents == ("first", "second")


def test_internal_stays_unknown_where_the_participants_do_not_tell(tmp_path):
    people = [CUSTOMER, person("ivr", 0, 20), person("agent", 5, 60, userId="u")]
    said = [phrase(10, "both were there", "internal"), phrase(90, "nobody was there", "internal")]
    found = only(tmp_path, transcript([*said, phrase(30, "hm", "external")], people))
    assert [turn.role for turn in found.conversation.turns] == ["unknown", "customer", "unknown"]
    assert found.speakers == ("internal", None, "internal")
    alone = only(tmp_path, transcript([phrase(1, "words", "internal")], [CUSTOMER]))
    assert alone.conversation.turns[0].role == "unknown"


def test_without_participants_the_sides_are_taken_at_their_word_unless_the_sound_says_otherwise(tmp_path):
    said = [phrase(1, "all agents are busy", "internal"), phrase(9, "hello", "internal"), phrase(12, "hi", "external")]
    acoustics = [
        {"eventType": "acd", "startTimeMs": EPOCH, "durationMs": 6000, "participant": "internal"},
        {"eventType": "voice", "startTimeMs": EPOCH, "durationMs": 60000, "participant": "internal"},
    ]
    plain = only(tmp_path, transcript(said))
    assert [turn.role for turn in plain.conversation.turns] == ["agent", "agent", "customer"]
    heard = only(tmp_path, transcript(said, analytics={"acoustics": acoustics}))
    assert [turn.role for turn in heard.conversation.turns] == ["unknown", "agent", "customer"]


def test_an_outside_party_beside_the_customer_is_not_taken_for_him(tmp_path):
    people = [person("customer", 0, 40), person("agent", 0, 90, userId="u"), person("external", 41, 90)]
    said = [phrase(5, "it hurts", "external"), phrase(50, "clinic here", "external"), phrase(80, "fine", "elsewhere")]
    found = only(tmp_path, transcript(said, people))
    assert [turn.role for turn in found.conversation.turns] == ["customer", "unknown", "unknown"]
    assert found.speakers == (None, "external", "elsewhere")
    dialled = [person("user", 0, 90, userId="u"), person("external", 0, 90, initialDirection="outbound", dnis="tel:+1")]
    found = only(tmp_path, transcript([phrase(5, "yes?", "external"), phrase(7, "hello", "internal")], dialled))
    assert [turn.role for turn in found.conversation.turns] == ["customer", "agent"]
    assert found.conversation.customer_id == "+1"


def test_every_part_of_a_transcript_is_read_and_absurd_times_are_dropped(tmp_path):
    tree = transcript([phrase(30, "later", "external"), phrase(-5, "too early", "external")])
    tree["transcripts"].append({"phrases": [phrase(2, "hola", "internal", -3)], "language": "es"})
    call = only(tmp_path, tree).conversation
    assert [(turn.text, turn.start_s, turn.end_s) for turn in call.turns] == [
        ("later", 30, 31),
        ("too early", None, None),
        ("hola", 2, None),
    ]


def test_lists_and_lines_of_transcripts_keep_the_good_ones(tmp_path):
    good = transcript([phrase(1, "hi", "external")])
    bad = [{**good, "conversationId": None}, {**good, "transcripts": []}, {**good, "transcripts": "x"}]
    found = read(tmp_path, [good, *bad, 7])
    assert isinstance(found[0], Incoming)
    assert [reject.reason.split(". ")[0] for reject in found[1:]] == [
        "item 2: has no conversationId.",
        "item 3: has no phrases: nothing was transcribed",
        "item 4: transcripts: expected `array | null`, got `str`",
        "item 5: is not a JSON object",
    ]
    found = read(tmp_path, "\n".join(map(json.dumps, [good, bad[0]])))
    assert isinstance(found[0], Incoming)
    assert found[0].conversation.provenance.line == 1
    assert found[1].line == 2


# Conversation details


def segment(kind, start, end, **more):
    return {
        "segmentType": kind,
        "segmentStart": f"2024-05-01T10:{start}Z",
        **({"segmentEnd": f"2024-05-01T10:{end}Z"} if end else {}),
        "queueId": "q-1",
        **more,
    }


def session(*segments, **more):
    return {"sessionId": "s-1", "mediaType": "voice", "direction": "inbound", "segments": list(segments), **more}


DETAILS = {
    "conversationId": "c-1",
    "conversationStart": "2024-05-01T10:00:00.250Z",
    "participants": [
        {
            "purpose": "customer",
            "participantName": "Jane Roe",
            "sessions": [session(segment("interact", "00:00", "10:00"), ani="tel:+15550100")],
        },
        {
            "purpose": "acd",
            "participantName": "Billing",
            "sessions": [
                session(segment("delay", "00:30", "00:30.500"), segment("interact", "00:30.500", "01:40.500"))
            ],
        },
        {"purpose": "agent", "userId": "busy", "sessions": [session(segment("alert", "01:00", "01:20"))]},
        {
            "purpose": "agent",
            "userId": "u-1",
            "participantName": "Agent",
            "sessions": [
                session(
                    segment("interact", "02:00", "04:00"),
                    segment("hold", "04:00", "04:45"),
                    segment("interact", "04:45", "06:00"),
                    segment("wrapup", "06:00", "06:30", wrapUpCode="refund", wrapUpNote="Jane was angry"),
                )
            ],
        },
    ],
}


def contacts(tmp_path, tree, name="a.json"):
    file = opened(tmp_path, tree, name)
    assert CONTACTS.recognise(file.path, file.head)
    return list(CONTACTS.read(file, Reading()))


@pytest.mark.parametrize(
    "tree", [DETAILS, [DETAILS], {"totalHits": 1, "conversations": [DETAILS]}, json.dumps(DETAILS) + "\n"]
)
def test_details_tell_wait_hold_after_call_work_and_who_handled(tmp_path, tree):
    (contact,) = contacts(tmp_path, tree)
    assert (contact.id, contact.keys, contact.channel) == ("c-1", ("s-1",), "voice")
    assert contact.queue_wait_s == 70.5
    assert contact.hold_s == 45
    assert contact.after_call_work_s == 30
    assert contact.handle_time_s == 120 + 45 + 75 + 30
    assert (contact.disposition, contact.agents, contact.queue) == ("refund", ("u-1",), "Billing")
    assert (contact.customer_id, contact.names) == ("+15550100", ("Jane Roe",))
    assert contact.started_at.isoformat() == "2024-05-01T10:00:00.250000+00:00"


def test_the_newest_released_evaluation_and_survey_are_labels_with_their_source(tmp_path):
    scored = {
        "evaluations": [
            {"oTotalScore": 71, "eventTime": "2024-05-02T10:00:00.000Z", "released": True},
            {"oTotalScore": 84.5, "eventTime": "2024-05-03T10:00:00.000Z", "released": True},
            {"oTotalScore": 10, "eventTime": "2024-05-04T10:00:00.000Z", "released": False},
            {"oTotalScore": 20, "eventTime": "2024-05-04T10:00:00.000Z", "calibrationId": "k-1"},
            {"oTotalScore": 30, "eventTime": "2024-05-04T10:00:00.000Z", "deleted": True},
            {"oTotalScore": 400, "eventTime": "2024-05-05T10:00:00.000Z", "released": True},
        ],
        "surveys": [
            {"surveyStatus": "Finished", "oSurveyTotalScore": 75, "surveyCompletedDate": "2024-05-02T10:00:00Z"},
            {},
        ],
    }
    (contact,) = contacts(tmp_path, {**DETAILS, **scored})
    assert contact.labels["quality"] == Label(value={"score": 84.5}, source="human_qa")
    assert contact.labels["csat"] == Label(value=4.0, source="survey", scale=(0, 100), given=75)
    (contact,) = contacts(tmp_path, {**DETAILS, "surveys": [{"surveyStatus": "Sent"}]})
    assert contact.labels == {}


def test_a_contact_nobody_answered_has_a_wait_and_no_agent(tmp_path):
    (contact,) = contacts(tmp_path, {**DETAILS, "participants": DETAILS["participants"][:3]})
    assert contact.queue_wait_s == 70.5
    assert (contact.agents, contact.hold_s, contact.after_call_work_s, contact.handle_time_s) == ((), None, None, None)


def test_a_segment_that_has_not_ended_leaves_its_sum_unknown(tmp_path):
    agent = {"purpose": "agent", "userId": "u", "sessions": [session(segment("interact", "02:00", None))]}
    (contact,) = contacts(tmp_path, {**DETAILS, "participants": [agent]})
    assert (contact.agents, contact.handle_time_s, contact.hold_s) == (("u",), None, 0)


@pytest.mark.parametrize(
    ("media", "channel"),
    [
        ({"mediaType": "callback"}, "voice"),
        ({"mediaType": "email"}, "email"),
        ({"mediaType": "message"}, "chat"),
        ({"mediaType": "message", "messageType": "whatsapp"}, "social"),
        ({"mediaType": "message", "messageType": "sms"}, "sms"),
        ({"mediaType": "cobrowse"}, "unknown"),
    ],
)
def test_the_media_of_a_session_is_the_channel(tmp_path, media, channel):
    customer = {"purpose": "customer", "externalContactId": "x-9", "sessions": [session(**media, ani="tel:+1")]}
    customer["sessions"][0]["segments"] = [segment("interact", "00:00", "01:00")]
    (contact,) = contacts(tmp_path, {**DETAILS, "participants": [customer]})
    assert (contact.channel, contact.customer_id) == (channel, "x-9")


def test_the_metadata_of_a_recording_knows_when_it_started(tmp_path):
    metadata = {
        "conversationId": "c-1",
        "recordingId": "r-1",
        "startTime": "2024-05-01T10:00:00.000+0000",
        "durationMs": 60000,
    }
    (contact,) = contacts(tmp_path, metadata, "r-1.opus_metadata.json")
    assert (contact.id, contact.keys) == ("r-1", ("c-1",))
    assert contact.started_at.isoformat() == "2024-05-01T10:00:00+00:00"
    (reject,) = contacts(tmp_path, {"conversationId": "c-1"}, "r-1.opus_call_metadata.json")
    assert "has no participants" in reject.reason


@pytest.mark.skipif(not SAMPLES.exists(), reason="the platforms' sample files are not beside this repository")
def test_the_real_files_are_read():
    file = open_file(SAMPLES / "genesys_transcript.json")
    assert FORMAT.recognise(file.path, file.head)
    assert not CONTACTS.recognise(file.path, file.head)
    (found,) = FORMAT.read(file, Reading())
    assert isinstance(found, Incoming)
    assert [turn.role for turn in found.conversation.turns] == ["customer", "customer", "agent", "customer"]
    assert found.conversation.queue_wait_s == 0.379
    file = open_file(SAMPLES / "conversation_details.json")
    assert CONTACTS.recognise(file.path, file.head)
    assert not FORMAT.recognise(file.path, file.head)
    found = list(CONTACTS.read(file, Reading()))
    assert len(found) == 8
    assert not any(isinstance(contact, Reject) for contact in found)
    last = found[-1]
    assert (last.queue, last.queue_wait_s, last.after_call_work_s) == ("JATest Queue", 4.349, 39)
