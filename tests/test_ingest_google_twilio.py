"""Google CX Insights and Twilio Conversational Intelligence: what is read, and what is not guessed."""

import json
from datetime import UTC, datetime

import pytest
from ingest_files import format_of, one, read, sample, written

from mlx_cc.ingest import google_ccai, twilio
from mlx_cc.ingest.source import open_file

SID = "GT" + "0123456789abcdef" * 2


# Google: entries


def entry(time, text, role, user=1):
    return {"start_timestamp_usec": time, "text": text, "role": role, "user_id": user}


NINE = 1_715_072_400_000_000
"""9:00 UTC on 7 May 2024, in microseconds."""


def test_entries_since_1970_give_the_start_and_fractions_of_a_second(tmp_path):
    entries = [
        entry(NINE + 12_345_678, "My router is dead.", "CUSTOMER"),
        entry(str(NINE), "Hello, I'm a bot.", "AUTOMATED_AGENT", 3),
        entry(NINE + 20_000_000, "", "CUSTOMER"),
        entry(NINE + 30_000_000, "Let me look.", "AGENT", 2),
        entry(NINE + 31_000_000, "Thanks", "END_USER"),
    ]
    path = written(tmp_path, {"entries": entries}, "call-3.json")
    found = one(path, google_ccai.FORMAT)
    call = found.conversation
    assert format_of(path) == "google_ccai"
    assert (call.id, call.agents, found.speakers) == ("call-3", (), ())
    assert call.started_at == datetime(2024, 5, 7, 9, tzinfo=UTC)
    assert [(turn.role, turn.text, turn.start_s, turn.end_s) for turn in call.turns] == [
        ("bot", "Hello, I'm a bot.", 0, None),
        ("customer", "My router is dead.", 12.345678, None),
        ("agent", "Let me look.", 30, None),
        ("customer", "Thanks", 31, None),
    ]


def test_entries_with_small_times_count_from_the_start_which_stays_unknown(tmp_path):
    tree = {"entries": [entry(1_000_000, "Hi", "AGENT"), entry(5_500_000, "Hello", "CUSTOMER")]}
    call = one(written(tmp_path, tree), google_ccai.FORMAT).conversation
    assert call.started_at is None
    assert [turn.start_s for turn in call.turns] == [1, 5.5]


def test_keys_may_be_in_camel_case_and_a_role_may_be_missing(tmp_path):
    tree = {"entries": [{"startTimestampUsec": "2000000", "text": "Hi", "userId": 7}]}
    path = written(tmp_path, tree)
    found = one(path, google_ccai.FORMAT)
    assert format_of(path) == "google_ccai"
    assert (found.conversation.turns[0].role, found.conversation.turns[0].start_s) == ("unknown", 2)
    assert found.speakers == ("7",)


def test_entries_without_times_keep_their_order(tmp_path):
    tree = {"entries": [entry(None, "b", "AGENT"), entry("soon", "a", "CUSTOMER"), entry(-5, "c", "AGENT")]}
    call = one(written(tmp_path, tree), google_ccai.FORMAT).conversation
    assert [(turn.text, turn.start_s) for turn in call.turns] == [("b", None), ("a", None), ("c", None)]


def test_several_conversations_in_a_file_have_ids_of_their_own(tmp_path):
    lines = [{"entries": [entry(1, text, "AGENT")]} for text in "ab"]
    path = written(tmp_path, "\n".join(map(json.dumps, lines)), "day.jsonl")
    assert format_of(path) == "google_ccai"
    found, _ = read(path, google_ccai.FORMAT)
    assert [item.conversation.id for item in found] == ["day-1", "day-2"]


# Google: a conversation of the API


INSIGHTS = {
    "name": "projects/p/locations/us-central1/conversations/c-42",
    "languageCode": "en-US",
    "medium": "PHONE_CALL",
    "startTime": "2024-05-07T09:00:00Z",
    "createTime": "2024-05-08T01:00:00Z",
    "obfuscatedUserId": "u-9",
    "qualityMetadata": {
        "customerSatisfactionRating": 2,
        "waitDuration": "42.5s",
        "agentInfo": [{"agentId": "a-7", "displayName": "Mia Wolf", "team": "Repairs", "dispositionCode": "fixed"}],
    },
    "transcript": {
        "transcriptSegments": [
            {
                "text": "It broke.",
                "channelTag": 1,
                "segmentParticipant": {"role": "END_USER"},
                "words": [{"startOffset": "4.200s", "endOffset": "4.500s"}, {"startOffset": "4.5s", "endOffset": "5s"}],
            },
            {
                "text": "I am sorry.",
                "channelTag": 2,
                "segmentParticipant": {"role": "HUMAN_AGENT"},
                "words": [{"startOffset": {"seconds": "1", "nanos": 500000000}, "endOffset": "3s"}],
            },
            {"text": "Hm", "channelTag": 3},
        ]
    },
}


def test_a_conversation_of_the_api_has_offsets_quality_and_survey(tmp_path):
    path = written(tmp_path, INSIGHTS)
    found = one(path, google_ccai.FORMAT)
    call = found.conversation
    assert format_of(path) == "google_ccai"
    assert (call.id, call.channel, call.language, call.customer_id) == ("c-42", "voice", "en-US", "u-9")
    assert call.started_at == datetime(2024, 5, 7, 9, tzinfo=UTC)
    assert (call.agents, call.team, call.disposition, call.queue_wait_s) == (("a-7",), "Repairs", "fixed", 42.5)
    assert (call.labels["csat"].value, call.labels["csat"].source) == (2, "survey")
    assert [(turn.role, turn.text, turn.start_s, turn.end_s) for turn in call.turns] == [
        ("agent", "I am sorry.", 1.5, 3),
        ("unknown", "Hm", None, None),
        ("customer", "It broke.", 4.2, 5),
    ]
    assert found.names == ("Mia Wolf",)
    assert found.speakers[1] == "3"


def test_a_list_of_the_api_has_its_conversations(tmp_path):
    path = written(tmp_path, {"conversations": [INSIGHTS, {**INSIGHTS, "name": None}, 5]}, "page.json")
    found, rejects = read(path, google_ccai.FORMAT)
    assert format_of(path) == "google_ccai"
    assert [item.conversation.id for item in found] == ["c-42", "page-2"]
    assert "item 3: is not a JSON object" in rejects[0]


def test_a_chat_of_the_api_has_the_times_of_its_messages(tmp_path):
    said = [
        {"text": "Hi", "messageTime": "2024-05-07T09:00:07.5Z", "segmentParticipant": {"role": "END_USER"}},
        {"text": "Hello", "messageTime": "2024-05-07T09:00:05Z", "segmentParticipant": {"role": "AUTOMATED_AGENT"}},
    ]
    tree = {"name": INSIGHTS["name"], "medium": "CHAT", "transcript": {"transcriptSegments": said}}
    call = one(written(tmp_path, tree), google_ccai.FORMAT).conversation
    assert (call.channel, call.started_at) == ("chat", datetime(2024, 5, 7, 9, 0, 5, tzinfo=UTC))
    assert [(turn.role, turn.start_s) for turn in call.turns] == [("bot", 0), ("customer", 2.5)]


@pytest.mark.parametrize("rating", [0, 9, "good", None])
def test_a_rating_outside_1_to_5_is_no_label(tmp_path, rating):
    tree = {**INSIGHTS, "qualityMetadata": {"customerSatisfactionRating": rating}}
    assert one(written(tmp_path, tree), google_ccai.FORMAT).conversation.labels == {}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"entries": []}, "no turn with text"),
        ({"entries": [entry(1, 7, "AGENT")]}, "entries[0].text: expected `str | null`"),
        ({"entries": "none"}, "entries: expected `array"),
        ({**INSIGHTS, "transcript": None}, "neither entries nor transcript segments"),
        ({**INSIGHTS, "startTime": "noon"}, "startTime: 'noon' is not a time"),
    ],
)
def test_a_conversation_that_cannot_be_read_says_why(tmp_path, tree, words):
    found, rejects = read(written(tmp_path, tree), google_ccai.FORMAT)
    assert found == []
    assert words in rejects[0]


def test_the_published_entries_are_read():
    path = sample("google_ccai/conversation_entries_from_readme.json")
    call = one(path, google_ccai.FORMAT).conversation
    assert format_of(path) == "google_ccai"
    assert (len(call.turns), call.turns[-1].start_s) == (14, 195)
    assert call.started_at == datetime(2023, 2, 1, 5, 49, 41, tzinfo=UTC)


# Twilio


def sentence(index, text, channel, start=None, end=None):
    return {
        "media_channel": channel,
        "sentence_index": index,
        "start_time": start,
        "end_time": end,
        "transcript": text,
        "sid": f"GX{index:032d}",
        "confidence": None,
        "words": [],
    }


SENTENCES = [
    sentence(1, "My parcel is lost.", 1, "3.1", "4.9"),
    sentence(0, "Hello, how can I help?", 2, "0.500", "2.5"),
    sentence(2, "One moment.", 2, "5.0", "4.0"),
]
RESOURCE = {
    "account_sid": "AC" + "0" * 32,
    "service_sid": "GA" + "0" * 32,
    "sid": SID,
    "date_created": "2024-05-08T20:36:28Z",
    "status": "completed",
    "channel": {
        "type": "voice",
        "media_properties": {"source_sid": "RE77", "media_url": None},
        "participants": [
            {"channel_participant": 1, "role": "Customer", "user_id": None, "email": "ana@example.com"},
            {"channel_participant": 2, "role": "Agent", "user_id": "ag-5", "full_name": "Mia Wolf"},
        ],
    },
    "data_logging": False,
    "language_code": "en-US",
    "media_start_time": "2024-05-07T09:00:00Z",
    "customer_key": "order 17",
    "redaction": True,
    "links": {"sentences": f"https://intelligence.twilio.com/v2/Transcripts/{SID}/Sentences"},
}
PAGE = {
    "sentences": SENTENCES,
    "meta": {"key": "sentences", "url": f"https://intelligence.twilio.com/v2/Transcripts/{SID}/Sentences?PageSize=50"},
}


def camel(tree):
    if isinstance(tree, dict):
        names = {key: "".join(part.title() if n else part for n, part in enumerate(key.split("_"))) for key in tree}
        return {names[key]: camel(value) for key, value in tree.items()}
    return [camel(item) for item in tree] if isinstance(tree, list) else tree


BOTH = {
    "the resource with a list": {**RESOURCE, "sentences": SENTENCES},
    "the resource with a page": {**RESOURCE, "sentences": PAGE},
    "side by side": {"transcript": RESOURCE, "sentences": SENTENCES},
    "a page beside": {"transcript": RESOURCE, "sentences": PAGE},
    "the resource in a document of its own": {"transcript": {**RESOURCE, "sentences": SENTENCES}},
    "camel case": camel({**RESOURCE, "sentences": SENTENCES}),
    "page and resource in a list": [PAGE, RESOURCE],
}


@pytest.mark.parametrize("shape", BOTH)
def test_a_transcript_with_its_sentences_in_any_arrangement(tmp_path, shape):
    path = written(tmp_path, BOTH[shape])
    found = one(path, twilio.FORMAT)
    call = found.conversation
    assert format_of(path) == "twilio"
    assert (call.id, call.channel, call.language, call.agents) == (SID, "voice", "en-US", ("ag-5",))
    assert call.started_at == datetime(2024, 5, 7, 9, tzinfo=UTC)
    assert call.customer_id == "ana@example.com"
    assert [(turn.role, turn.text, turn.start_s, turn.end_s, turn.agent_id) for turn in call.turns] == [
        ("agent", "Hello, how can I help?", 0.5, 2.5, "ag-5"),
        ("customer", "My parcel is lost.", 3.1, 4.9, None),
        ("agent", "One moment.", 5, None, "ag-5"),
    ]
    assert (found.names, found.keys, found.speakers) == (("Mia Wolf",), ("RE77", "order 17"), ())


def test_sentences_alone_have_channels_for_speakers_and_their_transcripts_id(tmp_path):
    path = written(tmp_path, PAGE)
    found = one(path, twilio.FORMAT)
    assert format_of(path) == "twilio"
    assert found.conversation.id == SID
    assert {turn.role for turn in found.conversation.turns} == {"unknown"}
    assert found.speakers == ("2", "1", "2")
    assert found.conversation.started_at is None


def test_sentences_without_times_are_in_the_order_of_their_index(tmp_path):
    bare = [{**found, "start_time": None, "end_time": None} for found in SENTENCES]
    call = one(written(tmp_path, {"sentences": bare}, "call-8.json"), twilio.FORMAT).conversation
    assert call.id == "call-8"
    assert [turn.text for turn in call.turns] == ["Hello, how can I help?", "My parcel is lost.", "One moment."]


def test_pages_of_one_transcript_are_put_together(tmp_path):
    pages = [{**PAGE, "sentences": SENTENCES[:1]}, {**PAGE, "sentences": SENTENCES[1:]}]
    assert len(one(written(tmp_path, pages), twilio.FORMAT).conversation.turns) == 3


def test_when_the_transcript_was_made_is_not_when_the_call_was(tmp_path):
    call = one(written(tmp_path, {**RESOURCE, "media_start_time": None, "sentences": SENTENCES}), twilio.FORMAT)
    assert call.conversation.started_at is None


def test_a_resource_without_sentences_is_a_contact(tmp_path):
    path = written(tmp_path, RESOURCE)
    head = open_file(path).head
    assert not twilio.FORMAT.recognise(path, head)
    assert twilio.CONTACTS.recognise(path, head)
    contact = one(path, twilio.CONTACTS)
    assert (contact.id, contact.keys, contact.names) == (SID, ("RE77", "order 17"), ("Mia Wolf",))
    assert (contact.agents, contact.customer_id) == (("ag-5",), "ana@example.com")
    page = {"transcripts": [RESOURCE, {**RESOURCE, "sid": "GT" + "1" * 32}], "meta": {"key": "transcripts"}}
    assert len(read(written(tmp_path, page), twilio.CONTACTS)[0]) == 2


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({**RESOURCE, "sentences": []}, "has no sentences"),
        ({**RESOURCE, "sentences": [{"media_channel": 1, "transcript": 5}]}, "transcript: expected `str | null`"),
        ({**RESOURCE, "sentences": 5}, "expected `array`"),
        ({**RESOURCE, "channel": [], "sentences": SENTENCES}, "channel: expected `object | null`"),
        ({**RESOURCE, "media_start_time": "noon", "sentences": SENTENCES}, "media_start_time: 'noon' is not a time"),
    ],
)
def test_a_transcript_that_cannot_be_read_says_why(tmp_path, tree, words):
    found, rejects = read(written(tmp_path, tree), twilio.FORMAT)
    assert found == []
    assert words in rejects[0]


def test_the_published_examples_are_read():
    path = sample("twilio/v2_Transcripts_TranscriptSid_Sentences_get_readFull.json")
    found = one(path, twilio.FORMAT)
    assert format_of(path) == "twilio"
    assert (found.conversation.id, found.conversation.turns[0].text) == ("GT" + "a" * 32, "test test")
    path = sample("twilio/v2_Transcripts_Sid_get_fetch.json")
    assert twilio.CONTACTS.recognise(path, open_file(path).head)
    assert one(path, twilio.CONTACTS).started_at is None
