"""Amazon Connect, its evaluations, Post-Call Analytics and Live Call Analytics: what is read, and what is not guessed."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from ingest_files import format_of, one, read, sample, written

from mlx_cc.ingest import amazon_connect, aws_lca, aws_pca, connect_evaluation
from mlx_cc.ingest.contacts import Contacts
from mlx_cc.ingest.format import Incoming, Reading, Reject
from mlx_cc.ingest.source import open_file

CONTACT = "2f3a0c1e-9b1d-4a57-8a54-0a7d7f3f1c22"


# Contact Lens, voice


VOICE = {
    "Version": "1.1.0",
    "Channel": "VOICE",
    "ContentMetadata": {"Output": "Redacted"},
    "CustomerMetadata": {"ContactId": CONTACT},
    "JobStatus": "COMPLETED",
    "LanguageCode": "en-US",
    "Participants": [
        {"ParticipantId": "8b1f", "ParticipantRole": "AGENT"},
        {"ParticipantId": "CUSTOMER", "ParticipantRole": "CUSTOMER"},
    ],
    "Transcript": [
        {"ParticipantId": "8b1f", "Content": "How can I help?", "BeginOffsetMillis": 2540, "EndOffsetMillis": 2975},
        {"ParticipantId": "CUSTOMER", "Content": "I am [PII].", "BeginOffsetMillis": 5000, "EndOffsetMillis": 6100},
        {"ParticipantId": "CUSTOMER", "Content": "Yes hello", "BeginOffsetMillis": 2580, "EndOffsetMillis": 3095},
        {"ParticipantId": "CUSTOMER", "Content": "", "BeginOffsetMillis": 7000, "EndOffsetMillis": 7100},
    ],
}


def test_a_voice_transcript_has_roles_by_participant_and_turns_by_start(tmp_path):
    found = one(path := written(tmp_path, VOICE), amazon_connect.FORMAT)
    call = found.conversation
    assert format_of(path) == "amazon_connect"
    assert (call.id, call.platform, call.channel, call.language) == (CONTACT, "amazon_connect", "voice", "en-US")
    assert [(turn.role, turn.text, turn.start_s, turn.end_s) for turn in call.turns] == [
        ("agent", "How can I help?", 2.54, 2.975),
        ("customer", "Yes hello", 2.58, 3.095),
        ("customer", "I am [PII].", 5.0, 6.1),
    ]
    assert call.started_at is None
    assert found.speakers == ()


@pytest.mark.parametrize("colon", [":", "_", "-", "%3A"])
@pytest.mark.parametrize("redacted", ["", "_redacted"])
def test_contact_and_start_come_from_the_name_when_nothing_else_says_and_the_start_is_flagged(
    tmp_path, colon, redacted
):
    bare = {key: value for key, value in VOICE.items() if key != "CustomerMetadata"}
    name = f"{CONTACT}_analysis{redacted}_2020-02-04T21:14:16Z.json".replace(":", colon)
    call = one(written(tmp_path, bare, name), amazon_connect.FORMAT).conversation
    assert call.id == CONTACT
    assert call.started_at == datetime(2020, 2, 4, 21, 14, 16, tzinfo=UTC)
    assert call.flags == ("started_at_from_file_name",)


def test_a_participant_who_is_not_listed_is_an_unknown_voice(tmp_path):
    said = {"ParticipantId": "c0ffee", "Content": "It's Sam from the bank.", "BeginOffsetMillis": 9000}
    literal = {"ParticipantId": "AGENT", "Content": "Thanks.", "BeginOffsetMillis": 9500}
    found = one(
        written(tmp_path, {**VOICE, "Transcript": [*VOICE["Transcript"], said, literal]}), amazon_connect.FORMAT
    )
    assert [turn.role for turn in found.conversation.turns] == ["agent", "customer", "customer", "unknown", "agent"]
    assert found.speakers[3] == "c0ffee"


@pytest.mark.parametrize(
    ("begin", "end", "times"),
    [("1500", "2500", (1.5, 2.5)), (-1, 500, (None, 0.5)), (2000, 1000, (2.0, None)), (True, None, (None, None)),
     ("soon", 1e300, (None, None)), ([], {}, (None, None))],
)  # fmt: skip
def test_times_that_cannot_be_are_left_out_of_the_turn(tmp_path, begin, end, times):
    entry = {**VOICE["Transcript"][0], "BeginOffsetMillis": begin, "EndOffsetMillis": end}
    call = one(written(tmp_path, {**VOICE, "Transcript": [entry]}), amazon_connect.FORMAT).conversation
    assert (call.turns[0].start_s, call.turns[0].end_s) == times


def test_json_that_is_not_sound_is_placed_by_line_and_column(tmp_path):
    text = json.dumps(VOICE, indent=2)
    _, rejects = read(written(tmp_path, text + "\n}"), amazon_connect.FORMAT)
    assert f"trailing characters at line {text.count(chr(10)) + 2}, column 1" in rejects[0]
    commented = text.replace('"Channel"', '// the channel\n  "Channel"')
    _, rejects = read(written(tmp_path, commented), amazon_connect.FORMAT)
    assert "at line 3, column 3" in rejects[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Transcript": None}, "has no Transcript"),
        ({"Transcript": []}, "no turn with text"),
        ({"Transcript": [7]}, "Transcript[0]: expected `object`, got `int`"),
        ({"Transcript": [{"Content": 7}]}, "Transcript[0].Content: expected `str | null`"),
        ({"Participants": "both"}, "Participants: expected"),
        ({"CustomerMetadata": {"ContactId": ["a"]}}, "CustomerMetadata.ContactId: expected"),
    ],
)
def test_a_wrong_type_is_named_by_its_place(tmp_path, change, words):
    found, rejects = read(written(tmp_path, {**VOICE, **change}), amazon_connect.FORMAT)
    assert found == []
    assert words in rejects[0]
    assert "\n" not in rejects[0]


def test_the_published_voice_transcript_is_read():
    path = sample("amazon_connect/google_devkit_aws_transcript.json")
    call = one(path, amazon_connect.FORMAT).conversation
    assert format_of(path) == "amazon_connect"
    assert len(call.turns) == 10
    assert {turn.role for turn in call.turns} == {"agent", "customer"}
    assert call.turns[1].text.startswith("Just hello.")


# Contact Lens, chat


def event(kind, role, second, name):
    return {
        "AbsoluteTime": f"2024-05-06T10:00:{second:02d}.500Z",
        "ContentType": f"application/vnd.amazonaws.connect.event.{kind}",
        "Type": "EVENT",
        "ParticipantId": role.lower(),
        "ParticipantRole": role,
        "DisplayName": name,
    }


def message(text, role, second, kind="text/plain", name=None):
    return {
        "AbsoluteTime": f"2024-05-06T10:00:{second:02d}.500Z",
        "Content": text,
        "ContentType": kind,
        "Type": "MESSAGE",
        "ParticipantId": role.lower(),
        "ParticipantRole": role,
        "DisplayName": name or role.title(),
    }


MENU = {
    "templateType": "ListPicker",
    "data": {"content": {"title": "What is it about?", "elements": [{"title": "Billing"}, {"title": "Repairs"}]}},
}
CHAT = {
    "Version": "CHAT-2022-11-30",
    "Channel": "CHAT",
    "LanguageCode": "en-GB",
    "CustomerMetadata": {"ContactId": CONTACT},
    "Participants": [
        {"ParticipantId": "customer", "ParticipantRole": "CUSTOMER", "DisplayName": "Ana Ruiz"},
        {"ParticipantId": "agent", "ParticipantRole": "AGENT", "DisplayName": "Tom"},
    ],
    "Transcript": [
        event("participant.joined", "CUSTOMER", 2, "Ana Ruiz"),
        message("Welcome.", "SYSTEM", 0, name="SYSTEM_MESSAGE"),
        message(
            json.dumps(MENU), "SYSTEM", 3, "application/vnd.amazonaws.connect.message.interactive; charset=utf-8", "BOT"
        ),
        message("**Billing**, please", "CUSTOMER", 9, "text/markdown"),
        event("participant.joined", "AGENT", 32, "Tom"),
        message("<p>Hi, I&#39;m Tom.<br>How are you?</p>", "AGENT", 35, "text/html"),
        {**message("photo.png", "CUSTOMER", 40), "Type": "ATTACHMENT"},
        message("?", "CUSTOMER", 41, "application/x-unheard-of"),
        event("participant.left", "AGENT", 50, "Tom"),
        {"AbsoluteTime": "2024-05-06T10:00:51.500Z", "ContentType": "application/vnd.amazonaws.connect.event.chat.ended"}
        | {"Type": "EVENT"},
    ],
}  # fmt: skip


def test_a_chat_has_its_messages_as_turns_and_nothing_else(tmp_path):
    ignored = Counter()
    found = one(path := written(tmp_path, CHAT), amazon_connect.FORMAT, ignored=ignored)
    chat = found.conversation
    assert format_of(path) == "amazon_connect"
    assert [(turn.role, turn.text, turn.start_s) for turn in chat.turns] == [
        ("system", "Welcome.", 0),
        ("bot", "What is it about?\nBilling\nRepairs", 3),
        ("customer", "**Billing**, please", 9),
        ("agent", "Hi, I'm Tom.\nHow are you?", 35),
    ]
    assert chat.started_at == datetime(2024, 5, 6, 10, 0, 0, 500_000, tzinfo=UTC)
    assert chat.queue_wait_s == 30
    assert chat.flags == ()
    assert found.names == ("Ana Ruiz", "Tom")
    assert ignored == {"Transcript[].Content (application/x-unheard-of)": 1}


def test_a_plain_chat_transcript_without_analysis_is_read_too(tmp_path):
    plain = {"Version": "2019-08-26", "ContactId": "plain", "Participants": [], "Transcript": CHAT["Transcript"]}
    chat = one(path := written(tmp_path, plain), amazon_connect.FORMAT).conversation
    assert format_of(path) == "amazon_connect"
    assert (chat.id, chat.channel, len(chat.turns)) == ("plain", "chat", 4)


# Contact Lens, real time


def segment(id, text, role, begin):
    return {
        "Transcript": {
            "Id": id,
            "ParticipantId": role,
            "ParticipantRole": role,
            "Content": text,
            "BeginOffsetMillis": begin,
            "EndOffsetMillis": begin + 900,
        }
    }


def test_messages_of_the_real_time_stream_are_gathered_by_contact(tmp_path):
    head = {"Version": "1.0.0", "Channel": "VOICE", "LanguageCode": "en-US"}
    lines = [
        {**head, "ContactId": "a", "EventType": "STARTED"},
        {**head, "ContactId": "b", "EventType": "SEGMENTS", "Segments": [segment("1", "Hallo", "AGENT", 0)]},
        {
            **head,
            "ContactId": "a",
            "EventType": "SEGMENTS",
            "Segments": [
                {"Utterance": {"Id": "u", "ParticipantRole": "AGENT", "PartialContent": "Good"}},
                {"Categories": {"MatchedCategories": ["x"]}},
                segment("2", "My card is lost.", "CUSTOMER", 1500),
            ],
        },
        {
            **head,
            "ContactId": "a",
            "EventType": "SEGMENTS",
            "Segments": [segment("2", "My card is lost.", "CUSTOMER", 1500), segment("1", "Good day.", "AGENT", 200)],
        },
    ]
    path = written(tmp_path, "\n".join(map(json.dumps, lines)), "stream.jsonl")
    assert format_of(path) == "amazon_connect"
    (a, b), rejects = read(path, amazon_connect.FORMAT)
    assert rejects == []
    assert [(turn.role, turn.text) for turn in a.conversation.turns] == [
        ("agent", "Good day."),
        ("customer", "My card is lost."),
    ]
    assert (a.conversation.id, b.conversation.id) == ("a", "b")


def test_segments_from_the_api_take_the_contact_from_the_files_name(tmp_path):
    absolute = {"Time": {"AbsoluteTime": "2024-05-06T10:00:05Z"}, "ParticipantId": "p", "ParticipantRole": "CUSTOMER"}
    tree = {
        "Channel": "CHAT",
        "Status": "COMPLETED",
        "Segments": [
            {"Transcript": {**absolute, "Id": "1", "Content": "Hi", "ContentType": "text/plain"}},
            {"Event": {**absolute, "Id": "2", "EventType": "application/vnd.amazonaws.connect.event.chat.ended"}},
        ],
    }
    path = written(tmp_path, tree, "contact-9.json")
    chat = one(path, amazon_connect.FORMAT).conversation
    assert format_of(path) == "amazon_connect"
    assert (chat.id, chat.channel, [turn.text for turn in chat.turns]) == ("contact-9", "chat", ["Hi"])


# Contact records


RECORD = {
    "AWSContactTraceRecordFormatVersion": "2017-03-10",
    "ContactId": CONTACT,
    "InitialContactId": None,
    "PreviousContactId": None,
    "Channel": "VOICE",
    "InitiationMethod": "INBOUND",
    "InitiationTimestamp": "2024-05-06T10:00:00Z",
    "LastUpdateTimestamp": "2024-05-06T11:30:00Z",
    "Agent": {
        "ARN": "arn:aws:connect:eu-west-1:1:instance/i/agent/286bcec0",
        "Username": "tmiller",
        "AgentInteractionDuration": 240,
        "CustomerHoldDuration": 30,
        "AfterContactWorkDuration": 45,
        "HierarchyGroups": {"Level1": {"GroupName": "Europe"}, "Level2": {"GroupName": "Billing team"}, "Level3": None},
    },
    "Queue": {"Name": "Billing", "Duration": 75},
    "CustomerEndpoint": {"Address": "+441632960961", "Type": "TELEPHONE_NUMBER"},
    "Attributes": {"CSAT_score": "4", "language": "en"},
}


def test_a_contact_record_has_agent_queue_wait_work_and_survey(tmp_path):
    path = written(tmp_path, RECORD)
    contact = one(path, amazon_connect.CONTACTS)
    head = open_file(path).head
    assert amazon_connect.CONTACTS.recognise(path, head)
    assert not amazon_connect.FORMAT.recognise(path, head)
    assert (contact.id, contact.platform, contact.channel) == (CONTACT, "amazon_connect", "voice")
    assert (contact.agents, contact.team, contact.queue) == (("tmiller",), "Billing team", "Billing")
    assert (contact.queue_wait_s, contact.hold_s, contact.after_call_work_s, contact.handle_time_s) == (75, 30, 45, 315)
    assert contact.started_at == datetime(2024, 5, 6, 10, tzinfo=UTC)
    assert contact.updated_at == datetime(2024, 5, 6, 11, 30, tzinfo=UTC)
    assert contact.customer_id == "+441632960961"
    assert (contact.labels["csat"].value, contact.labels["csat"].source) == (4, "survey")
    assert contact.previous_contact_id is None


@pytest.mark.parametrize(
    ("before", "initial", "previous"),
    [("p", "i", "p"), (None, "i", "i"), (None, CONTACT, None), (None, None, None)],
)
def test_the_chain_of_contacts_names_the_one_before(tmp_path, before, initial, previous):
    chained = {**RECORD, "PreviousContactId": before, "InitialContactId": initial}
    assert one(written(tmp_path, chained), amazon_connect.CONTACTS).previous_contact_id == previous


@pytest.mark.parametrize(
    ("attributes", "value", "scale"),
    [
        ({"csat": "5"}, 5, None),
        ({"surveyCsatRating": 2}, 2, None),
        ({"csat": "4/5"}, 4, None),
        ({"csat": "10/10"}, 5, (1, 10)),
        ({"csat": "7", "csat_scale": "1-7"}, 5, (1, 7)),
        ({"csat": "5", "csat_scale": "0-10"}, 3, (0, 10)),
        ({"csat": "9"}, None, None),
        ({"csat": "great"}, None, None),
        ({"csat_offered": "1"}, None, None),
        (None, None, None),
    ],
)
def test_csat_among_the_attributes_is_on_1_to_5_unless_they_say_otherwise(tmp_path, attributes, value, scale):
    contact = one(written(tmp_path, {**RECORD, "Attributes": attributes}), amazon_connect.CONTACTS)
    label = contact.labels.get("csat")
    assert (label.value if label else None) == value
    assert (label.scale if label else None) == scale


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([RECORD, {**RECORD, "ContactId": "2"}]),
        json.dumps(RECORD) + "\n" + json.dumps({**RECORD, "ContactId": "2"}),
        json.dumps(RECORD) + json.dumps({**RECORD, "ContactId": "2"}),
        json.dumps(RECORD, indent=1) + json.dumps({**RECORD, "ContactId": "2"}, indent=1) + "\n",
    ],
    ids=["list", "lines", "run together", "pretty, run together"],
)
def test_records_come_as_a_list_as_lines_or_run_together(tmp_path, text):
    path = written(tmp_path, text, "delivery-2024-05-06")
    assert amazon_connect.CONTACTS.recognise(path, open_file(path).head)
    contacts, rejects = read(path, amazon_connect.CONTACTS)
    assert rejects == []
    assert [contact.id for contact in contacts] == [CONTACT, "2"]


def test_a_bad_record_sets_aside_that_record_alone(tmp_path):
    bad = [{**RECORD, "ContactId": None}, {**RECORD, "Agent": "tmiller"}, {**RECORD, "InitiationTimestamp": "noon"}, 5]
    path = written(tmp_path, "\n".join(map(json.dumps, [*bad, RECORD])) + '\n{"ContactId": "cut', "records.jsonl")
    found = list(amazon_connect.CONTACTS.read(open_file(path), Reading()))
    assert [item.id for item in found if not isinstance(item, Reject)] == [CONTACT]
    assert [item.line for item in found if isinstance(item, Reject)] == [1, 2, 3, 4, 6]
    assert "InitiationTimestamp: 'noon' is not a time" in found[2].reason


def test_a_record_without_agent_or_queue_says_nothing_of_them(tmp_path):
    contact = one(written(tmp_path, {**RECORD, "Agent": None, "Queue": None}), amazon_connect.CONTACTS)
    assert (contact.agents, contact.queue, contact.queue_wait_s, contact.handle_time_s) == ((), None, None, None)


# Evaluation forms


EVALUATION = {
    "schemaVersion": "3.5",
    "evaluationId": "e1",
    "metadata": {
        "contactId": CONTACT,
        "agentId": "286bcec0",
        "evaluationDefinitionTitle": "Compliance",
        "evaluator": "jane",
        "evaluationStartTimestamp": "2024-05-07T17:57:08.649Z",
        "evaluationSubmitTimestamp": "2024-05-07T17:59:29.052Z",
        "score": {"percentage": 85},
        "evaluationSource": "ASSISTED_BY_AUTOMATION",
    },
    "sections": [],
    "questions": [{"answer": {"metadata": {"notApplicable": True}}, "score": {"notApplicable": True}}],
}


def evaluation(**metadata):
    return {**EVALUATION, "metadata": {**EVALUATION["metadata"], **metadata}}


def test_an_evaluation_is_a_human_label_of_its_contact(tmp_path):
    path = written(tmp_path, EVALUATION)
    contact = one(path, connect_evaluation.CONTACTS)
    assert connect_evaluation.CONTACTS.recognise(path, open_file(path).head)
    assert not amazon_connect.CONTACTS.recognise(path, open_file(path).head)
    assert (contact.id, contact.agents) == (CONTACT, ("286bcec0",))
    assert contact.updated_at == datetime(2024, 5, 7, 17, 59, 29, 52_000, tzinfo=UTC)
    assert (contact.labels["quality"].value, contact.labels["quality"].source) == ({"score": 85}, "human_qa")


@pytest.mark.parametrize(
    ("metadata", "score", "source"),
    [
        ({"score": {"percentage": 60, "automaticFail": True}}, 0, "human_qa"),
        ({"score": {"automaticFail": True}}, 0, "human_qa"),
        ({"score": {"percentage": 0, "notApplicable": True}}, None, None),
        ({"score": {"percentage": "92.5"}}, 92.5, "human_qa"),
        ({"score": None}, None, None),
        ({"autoEvaluated": True}, 85, "platform"),
        ({"evaluationSource": "AUTOMATED"}, 85, "platform"),
    ],
)
def test_automatic_fail_not_applicable_and_automation_are_respected(tmp_path, metadata, score, source):
    contact = one(written(tmp_path, evaluation(**metadata)), connect_evaluation.CONTACTS)
    label = contact.labels.get("quality")
    assert (label.value["score"] if label else None) == score
    assert (label.source if label else None) == source


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (evaluation(score={"percentage": 250}), "250 percent"),
        (evaluation(contactId=None), "metadata.contactId"),
        (evaluation(evaluatedParticipantRole="SYSTEM"), "evaluates the SYSTEM"),
        ({**EVALUATION, "metadata": []}, "metadata: expected `object`"),
    ],
)
def test_an_evaluation_that_cannot_count_is_set_aside(tmp_path, tree, words):
    found, rejects = read(written(tmp_path, tree), connect_evaluation.CONTACTS)
    assert found == []
    assert words in rejects[0]


def test_an_evaluated_contact_keeps_the_agent_its_contact_record_names(tmp_path):
    written(tmp_path, RECORD, "record.json")
    written(tmp_path, EVALUATION, "evaluation.json")
    rejects = []
    contacts = Contacts([tmp_path], Reading(), rejects=rejects.append)
    joined = contacts.join(one(written(tmp_path, VOICE, "call.json"), amazon_connect.FORMAT)).conversation
    assert rejects == []
    assert (joined.agents, joined.queue_wait_s) == (("tmiller",), 75)
    assert {name: label.source for name, label in joined.labels.items()} == {"csat": "survey", "quality": "human_qa"}


# Post-Call Analytics


PCA = {
    "ConversationAnalytics": {
        "GUID": "None",
        "Agent": "None",
        "ConversationTime": "2024-07-03 14:05:12.5",
        "ConversationLocation": "America/New_York",
        "ProcessTime": "2024-07-03 20:00:00",
        "LanguageCode": "en-US",
        "Duration": "28.67",
        "SpeakerLabels": [
            {"Speaker": "spk_0", "DisplayText": "Customer"},
            {"Speaker": "spk_1", "DisplayText": "Agent"},
            {"Speaker": "spk_2", "DisplayText": "Unknown_2"},
        ],
    },
    "SpeechSegments": [
        {
            "SegmentStartTime": 3.2,
            "SegmentEndTime": 4,
            "SegmentSpeaker": "spk_1",
            "OriginalText": "One moment",
            "BaseSentimentScores": [],
        },
        {"SegmentStartTime": "0.04", "SegmentEndTime": 1.5, "SegmentSpeaker": "spk_0", "DisplayText": "Hello."},
        {"SegmentStartTime": 5.0, "SegmentEndTime": 6, "SegmentSpeaker": "spk_0", "DisplayText": "Sure."},
    ],
}


def pca(**analytics):
    return {**PCA, "ConversationAnalytics": {**PCA["ConversationAnalytics"], **analytics}}


def test_a_post_call_analysis_is_in_its_own_zone_and_none_is_nothing(tmp_path):
    found = one(path := written(tmp_path, PCA, "call 7.wav.json"), aws_pca.FORMAT)
    call = found.conversation
    assert format_of(path) == "aws_pca"
    assert (call.id, call.agents, call.timezone) == ("call 7", (), "America/New_York")
    assert call.started_at.isoformat() == "2024-07-03T14:05:12.500000-04:00"
    assert [(turn.role, turn.text, turn.start_s) for turn in call.turns] == [
        ("customer", "Hello.", 0.04),
        ("agent", "One moment", 3.2),
        ("customer", "Sure.", 5.0),
    ]
    assert found.speakers == ()


def test_the_files_name_says_who_and_when_where_the_file_does_not(tmp_path):
    name = "Acme_GUID_102_AGENT_akim_CUST_55_DT_2024-03-22T12-23-49.wav.json"
    tree = pca(ConversationTime="2024-07-03 20:00:00.2")
    call = one(written(tmp_path, tree, name), aws_pca.FORMAT).conversation
    assert (call.id, call.agents, call.customer_id) == ("102", ("akim",), "55")
    assert call.started_at.isoformat() == "2024-03-22T12:23:49-04:00"
    assert call.flags == ("started_at_from_file_name",)


def test_the_time_of_processing_is_never_the_start(tmp_path):
    call = one(written(tmp_path, pca(ProcessTime="2024-07-03 14:05:12.5")), aws_pca.FORMAT).conversation
    assert call.started_at is None


def test_a_speaker_without_a_role_keeps_its_label(tmp_path):
    extra = {"SegmentStartTime": 7, "SegmentEndTime": 8, "SegmentSpeaker": "spk_2", "DisplayText": "Hold on."}
    found = one(written(tmp_path, {**PCA, "SpeechSegments": [*PCA["SpeechSegments"], extra]}), aws_pca.FORMAT)
    assert found.conversation.turns[3].role == "unknown"
    assert found.speakers[3] == "Unknown_2"


def test_a_call_from_a_telephony_platform_has_its_queue_agents_and_id(tmp_path):
    telephony = {"Genesys": {"conversationId": "g-1", "queueIds": ["q-1", "q-2"]}}
    found = one(written(tmp_path, pca(GUID="p-1", Agents=["a", "b"], Telephony=telephony)), aws_pca.FORMAT)
    assert (found.conversation.id, found.conversation.agents, found.conversation.queue) == ("p-1", ("a", "b"), "q-1")
    assert "g-1" in found.keys


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (pca(ConversationLocation="Mars/Olympus"), "no time zone 'Mars/Olympus'"),
        (pca(ConversationLocation=None), "has no time zone. Add its offset, or pass --timezone"),
        (pca(ConversationTime="yesterday"), "ConversationTime: 'yesterday' is not a time"),
        ({**PCA, "SpeechSegments": {}}, "SpeechSegments: expected `array`"),
        ({**PCA, "ConversationAnalytics": None}, "ConversationAnalytics: expected `object`"),
    ],
)
def test_an_analysis_that_cannot_be_read_says_why(tmp_path, tree, words):
    found, rejects = read(written(tmp_path, tree), aws_pca.FORMAT)
    assert found == []
    assert words in rejects[0]


def test_the_published_post_call_analysis_is_read_without_a_start_it_does_not_know():
    path = sample("aws_pca/testfile.json")
    call = one(path, aws_pca.FORMAT).conversation
    assert format_of(path) == "aws_pca"
    assert (call.id, call.agents, call.timezone, call.started_at) == ("testfile", (), "America/New_York", None)
    assert len(call.turns) == 12
    assert [turn.start_s for turn in call.turns] == sorted(turn.start_s for turn in call.turns)


# Live Call Analytics


def live(call, text, channel, start, id, partial=False, **more):
    return {
        "EventType": "ADD_TRANSCRIPT_SEGMENT",
        "CallId": call,
        "Channel": channel,
        "SegmentId": id,
        "StartTime": str(start),
        "EndTime": str(start + 1),
        "Transcript": text,
        "IsPartial": partial,
        "CreatedAt": f"2024-05-06T10:00:{int(start) + 1:02d}Z",
        **more,
    }


EVENTS = [
    {"EventType": "START", "CallId": "c1", "CustomerPhoneNumber": "+14155550100", "CreatedAt": "2024-05-06T10:00:00Z"},
    live("c1", "My bill", "CALLER", 5, "s2", True),
    live("c2", "Hello", "AGENT", 2, "t1"),
    live("c1", "My bill is wrong.", "CALLER", 5, "s2"),
    live("c1", "My bill is wr", "CALLER", 5, "s2", "true"),
    live("c1", "How can I help?", "AGENT", 1, "s1", "false"),
    live("c1", "Offer a refund.", "AGENT_ASSISTANT", 6, "s3"),
    live("c1", "0.7", "AGENT_VOICETONE", 6, "s4"),
    live("c1", "And then", "CALLER", 9, "s5", True),
    {"EventType": "UPDATE_AGENT", "CallId": "c1", "AgentId": "akim", "CreatedAt": "2024-05-06T10:00:09Z"},
    {"EventType": "END", "CallId": "c1", "CreatedAt": "2024-05-06T10:01:00Z"},
]


@pytest.mark.parametrize("shape", ["list", "lines"])
def test_events_of_a_call_make_one_conversation_with_final_segments(tmp_path, shape):
    text = json.dumps(EVENTS) if shape == "list" else "\n".join(map(json.dumps, EVENTS))
    path = written(tmp_path, text, "events")
    assert format_of(path) == "aws_lca"
    (first, second), rejects = read(path, aws_lca.FORMAT)
    assert rejects == []
    call = first.conversation
    assert (call.id, call.agents, call.customer_id) == ("c1", ("akim",), "+14155550100")
    assert call.started_at == datetime(2024, 5, 6, 10, tzinfo=UTC)
    assert call.flags == ()
    assert [(turn.role, turn.text, turn.start_s) for turn in call.turns] == [
        ("agent", "How can I help?", 1),
        ("customer", "My bill is wrong.", 5),
        ("customer", "And then", 9),
    ]
    assert second.conversation.id == "c2"
    assert second.conversation.started_at == datetime(2024, 5, 6, 10, tzinfo=UTC)
    assert second.conversation.flags == ("started_at_estimated",)


def test_another_channel_is_an_unknown_voice(tmp_path):
    found = one(written(tmp_path, live("c", "Hi", "SUPERVISOR_LINE", 0, "s")), aws_lca.FORMAT)
    assert (found.conversation.turns[0].role, found.speakers) == ("unknown", ("SUPERVISOR_LINE",))


def test_a_bad_event_does_not_stop_its_call(tmp_path):
    bad = [{"EventType": "START"}, live("c1", ["x"], "CALLER", 1, "s"), {**EVENTS[0], "CreatedAt": "noon"}]
    path = written(tmp_path, "\n".join(map(json.dumps, [*bad, *EVENTS])), "events.jsonl")
    found, rejects = read(path, aws_lca.FORMAT)
    assert [item.conversation.id for item in found] == ["c1", "c2"]
    assert len(rejects) == 3
    assert "CreatedAt: 'noon' is not a time" in rejects[2]


def test_a_call_nobody_spoke_in_is_set_aside(tmp_path):
    found, rejects = read(written(tmp_path, EVENTS[0]), aws_lca.FORMAT)
    assert found == []
    assert "call 'c1' has no turn with text" in rejects[0]


def test_the_published_event_is_read():
    path = sample("aws_lca/add_transcript_segment_event.json")
    found = one(path, aws_lca.FORMAT)
    assert isinstance(found, Incoming)
    assert format_of(path) == "aws_lca"
    (turn,) = found.conversation.turns
    assert (turn.role, turn.start_s, turn.end_s) == ("customer", 27.42, 30.955)
    assert found.conversation.started_at == datetime(2022, 10, 18, 21, 50, 52, 217_000, tzinfo=UTC)
