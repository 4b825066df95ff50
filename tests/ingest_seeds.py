"""A small file of every kind the data door reads, for the tests that damage them."""

import gzip
import json
from typing import Any

from ingest_seed_texts import (
    CELL_ROWS,
    EMAIL,
    FIVE9,
    HTML_EMAIL,
    LEGS,
    MAILBOX,
    REPORT,
    ROLES,
    SAID,
    SCORECARD,
    SRT,
    STAMP,
    TALKDESK,
    TEXT,
    TURN_ROWS,
    VTT,
    zipped,
)

TURNS = [
    {"role": ROLES[n % 2], "text": text, "start_s": 2.0 * n, "end_s": 2.0 * n + 1.5} for n, text in enumerate(SAID)
]

VOICE: dict[str, Any] = {
    "Version": "1.1.0",
    "Channel": "VOICE",
    "LanguageCode": "en-US",
    "AccountId": "1",
    "JobStatus": "COMPLETED",
    "ContentMetadata": {"Output": "Raw"},
    "CustomerMetadata": {"ContactId": "c-1", "InstanceId": "i"},
    "Participants": [
        {"ParticipantId": "p0", "ParticipantRole": "AGENT"},
        {"ParticipantId": "p1", "ParticipantRole": "CUSTOMER"},
    ],
    "Transcript": [
        {
            "Id": f"t{n}",
            "ParticipantId": f"p{n % 2}",
            "Content": text,
            "BeginOffsetMillis": 2000 * n,
            "EndOffsetMillis": 2000 * n + 1500,
            "Sentiment": "NEUTRAL",
        }
        for n, text in enumerate(SAID)
    ],
    "ConversationCharacteristics": {"TotalConversationDurationMillis": 8000, "Interruptions": {}},
}
JOINED = "application/vnd.amazonaws.connect.event.participant.joined"
CHAT: dict[str, Any] = {
    "Version": "CHAT-2022-11-30",
    "Channel": "CHAT",
    "CustomerMetadata": {"ContactId": "c-2"},
    "Participants": [{"ParticipantId": "a", "ParticipantRole": "AGENT"}, {"ParticipantId": "c"}],
    "Transcript": [
        {"ParticipantRole": "CUSTOMER", "Type": "EVENT", "ContentType": JOINED, "AbsoluteTime": STAMP},
        {"ParticipantId": "a", "Content": "Hi", "ContentType": "text/plain", "Type": "MESSAGE", "AbsoluteTime": STAMP},
        {
            "ParticipantRole": "CUSTOMER",
            "DisplayName": "Ann Lee",
            "Content": "<b>Hello</b>",
            "ContentType": "text/html",
            "AbsoluteTime": "2025-03-10T14:05:32.120Z",
        },
    ],
}
REAL_TIME: dict[str, Any] = {
    "Version": "1.0.0",
    "Channel": "VOICE",
    "ContactId": "c-3",
    "EventType": "SEGMENTS",
    "Segments": [
        {"Transcript": {**entry, "ParticipantRole": role.upper()}}
        for entry, role in zip(VOICE["Transcript"], ROLES * 2, strict=True)
    ],
}
CONTACT_RECORD: dict[str, Any] = {
    "AWSContactTraceRecordFormatVersion": "2017-03-10",
    "ContactId": "c-1",
    "InitialContactId": "c-0",
    "Channel": "VOICE",
    "InitiationMethod": "INBOUND",
    "InitiationTimestamp": STAMP,
    "LastUpdateTimestamp": STAMP,
    "Agent": {
        "ARN": "arn:aws:connect:x:agent/7",
        "Username": "ann",
        "CustomerHoldDuration": 4,
        "AfterContactWorkDuration": 30,
        "AgentInteractionDuration": 100,
        "HierarchyGroups": {"Level1": {"GroupName": "North", "ARN": "x"}, "Level2": None},
    },
    "Queue": {"ARN": "arn:aws:connect:x:queue/7", "Name": "Billing", "Duration": 12, "EnqueueTimestamp": STAMP},
    "CustomerEndpoint": {"Address": "+15551234567", "Type": "TELEPHONE_NUMBER"},
    "Attributes": {"csat": "4", "disposition": "resolved"},
}
EVALUATION: dict[str, Any] = {
    "schemaVersion": "3",
    "evaluationId": "e",
    "metadata": {
        "contactId": "c-1",
        "agentId": "7",
        "evaluationDefinitionTitle": "Form",
        "evaluationStartTimestamp": STAMP,
        "evaluationSubmitTimestamp": STAMP,
        "score": {"percentage": 87.5, "automaticFail": False, "notApplicable": False},
    },
    "sections": [],
}
POST_CALL: dict[str, Any] = {
    "ConversationAnalytics": {
        "GUID": "g-1",
        "Agent": "Ann",
        "Agents": ["Ann"],
        "Cust": "None",
        "ConversationTime": "2025-03-10 14:05:12",
        "ConversationLocation": "America/Chicago",
        "ProcessTime": "2025-03-11 10:00:00",
        "LanguageCode": "en-US",
        "Duration": "8.0",
        "SpeakerLabels": [
            {"Speaker": "spk_0", "DisplayText": "Agent"},
            {"Speaker": "spk_1", "DisplayText": "Customer"},
        ],
        "Telephony": {"Genesys": {"id": "x", "conversationId": "gc-1", "queueIds": ["q"]}},
    },
    "SpeechSegments": [
        {
            "SegmentStartTime": 2.0 * n,
            "SegmentEndTime": 2.0 * n + 1.5,
            "SegmentSpeaker": f"spk_{n % 2}",
            "SegmentInterruption": 0,
            "DisplayText": text,
            "BaseSentimentScores": [],
        }
        for n, text in enumerate(SAID)
    ],
}
LIVE_CALL = [
    {"EventType": "START", "CallId": "l-1", "CustomerPhoneNumber": "+15551234567", "CreatedAt": STAMP, "AgentId": "7"},
    *(
        {
            "EventType": "ADD_TRANSCRIPT_SEGMENT",
            "CallId": "l-1",
            "SegmentId": f"s{n // 2}",
            "Channel": ("AGENT", "CALLER")[n % 2],
            "Transcript": text,
            "StartTime": str(2 * n),
            "EndTime": 2 * n + 1.5,
            "IsPartial": n == 0,
            "CreatedAt": STAMP,
        }
        for n, text in enumerate(SAID)
    ),
]
START_MS = 1741615512000
GENESYS: dict[str, Any] = {
    "conversationId": "g-1",
    "communicationId": "g-c1",
    "mediaType": "call",
    "conversationStartTime": START_MS,
    "startTime": START_MS,
    "transcripts": [
        {
            "transcriptId": "t",
            "language": "en-us",
            "phrases": [
                {
                    "text": text.lower(),
                    "decoratedText": text,
                    "startTimeMs": START_MS + 2000 * n,
                    "duration": {"milliseconds": 1500},
                    "participantPurpose": ("internal", "external")[n % 2],
                }
                for n, text in enumerate(SAID)
            ],
            "analytics": {"sentiment": [], "acoustics": [{"eventType": "ivr", "startTimeMs": 1, "durationMs": 5}]},
        }
    ],
    "participants": [
        {
            "participantPurpose": "external",
            "startTimeMs": START_MS,
            "endTimeMs": START_MS + 9000,
            "ani": "tel:+15551234",
        },
        {"participantPurpose": "acd", "startTimeMs": START_MS, "endTimeMs": START_MS + 800, "queueId": "q"},
        {"participantPurpose": "agent", "startTimeMs": START_MS, "endTimeMs": START_MS + 9000, "userId": "u"},
    ],
}


def _sessions(*segments: str) -> list[dict[str, Any]]:
    times = {"segmentStart": STAMP, "segmentEnd": "2025-03-10T14:06:00.5Z"}
    listed = [{"segmentType": kind, **times, "queueId": "q", "wrapUpCode": "w"} for kind in segments]
    return [{"mediaType": "voice", "sessionId": "s", "ani": "tel:+15551234567", "segments": listed}]


DETAILS: dict[str, Any] = {
    "conversations": [
        {
            "conversationId": "g-1",
            "conversationStart": STAMP,
            "participants": [
                {"purpose": "customer", "participantName": "Ann Lee", "sessions": _sessions("interact")},
                {"purpose": "acd", "sessions": _sessions("delay", "interact")},
                {"purpose": "agent", "userId": "u", "sessions": _sessions("interact", "hold", "wrapup")},
            ],
        }
    ]
}
ENTRIES: dict[str, Any] = {
    "entries": [
        {"start_timestamp_usec": 1000000 * n, "text": text, "role": ("AGENT", "END_USER")[n % 2], "user_id": n % 2}
        for n, text in enumerate(SAID)
    ]
}
INSIGHTS: dict[str, Any] = {
    "name": "projects/p/locations/l/conversations/i-1",
    "startTime": STAMP,
    "medium": "PHONE_CALL",
    "languageCode": "en-US",
    "qualityMetadata": {"customerSatisfactionRating": 4, "waitDuration": "12.5s", "agentInfo": [{"agentId": "7"}]},
    "transcript": {
        "transcriptSegments": [
            {
                "text": text,
                "words": [{"startOffset": f"{n}s", "endOffset": f"{n}.5s", "word": "x"}],
                "channelTag": n % 2 + 1,
                "segmentParticipant": {"role": ("HUMAN_AGENT", "END_USER")[n % 2]},
            }
            for n, text in enumerate(SAID)
        ]
    },
}
SID = "GT" + "a" * 32
RESOURCE: dict[str, Any] = {
    "sid": SID,
    "language_code": "en-US",
    "media_start_time": STAMP,
    "customer_key": None,
    "data_logging": False,
    "channel": {
        "participants": [
            {"channel_participant": 1, "role": "Agent", "user_id": "7", "full_name": "Ann Lee"},
            {"channel_participant": 2, "role": "Customer", "email": "bo@home.example"},
        ],
        "media_properties": {"source_sid": "RE1"},
    },
}
SENTENCES = [
    {
        "media_channel": n % 2 + 1,
        "sentence_index": n,
        "start_time": str(2 * n),
        "end_time": None,
        "transcript": text,
        "sid": "GX",
    }
    for n, text in enumerate(SAID)
]
INTERCOM: dict[str, Any] = {
    "type": "conversation",
    "id": "147",
    "created_at": 1741615512,
    "source": {
        "type": "conversation",
        "delivered_as": "customer_initiated",
        "subject": "",
        "body": "<p>My bill is wrong</p>",
        "author": {"type": "user", "id": "u", "name": "Ann Lee", "email": "ann@home.example"},
    },
    "contacts": {"type": "contact.list", "contacts": [{"id": "u", "external_id": "70"}]},
    "conversation_rating": {"rating": 4, "remark": "ok"},
    "conversation_parts": {
        "type": "conversation_part.list",
        "conversation_parts": [
            {
                "part_type": "comment",
                "body": "<p>Hi</p>",
                "created_at": 1741615600,
                "author": {"type": "admin", "id": 9},
            },
            {"part_type": "note", "body": "x", "created_at": 1741615601, "author": {"type": "admin", "id": 9}},
            {"part_type": "comment", "body": None, "created_at": 1741615602, "author": {"type": "bot", "id": 3}},
        ],
    },
}
ZENDESK: dict[str, Any] = {
    "id": "z-1",
    "type": "chat",
    "timestamp": STAMP,
    "visitor": {"id": "v", "name": "Ann Lee", "email": "ann@home.example"},
    "department_name": "Billing",
    "agent_ids": ["7"],
    "rating": "good",
    "history": [
        {"type": "chat.memberjoin", "nick": "visitor", "timestamp": STAMP},
        {"type": "chat.msg", "sender_type": "Visitor", "msg": SAID[1], "name": "Ann", "timestamp": STAMP},
        {
            "type": "chat.msg",
            "sender_type": "Agent",
            "agent_id": "7",
            "msg": SAID[2],
            "timestamp": "2025-03-10T14:06:12Z",
        },
    ],
}
OFFLINE = {"id": "z-2", "type": "offline_msg", "timestamp": STAMP, "message": "Hi", "visitor": {"id": "v"}}
CHATWOOT: dict[str, Any] = {
    "id": 12,
    "inbox_id": 1,
    "account_id": 1,
    "channel": "Channel::WebWidget",
    "created_at": 1741615512,
    "meta": {"sender": {"id": 5, "name": "Ann Lee", "email": "ann@home.example"}, "assignee": {"id": 9, "name": "Bo"}},
    "messages": [
        {
            "message_type": 0,
            "content_type": "text",
            "content": "Hi",
            "created_at": 1741615512,
            "sender_type": "Contact",
        },
        {
            "message_type": 1,
            "content_type": "text",
            "content": "Hello",
            "created_at": 1741615520,
            "sender_type": "User",
        },
        {"message_type": 1, "content_type": "text", "content": "note", "private": True, "sender_type": "User"},
        {
            "message_type": 3,
            "content_type": "input_csat",
            "content": "Rate us",
            "content_attributes": {"submitted_values": {"csat_survey_response": {"rating": 4}}},
        },
    ],
}
DEEPGRAM: dict[str, Any] = {
    "metadata": {"request_id": "r", "sha256": "0", "created": STAMP, "channels": 2, "models": []},
    "results": {
        "channels": [
            {
                "detected_language": "en",
                "alternatives": [
                    {
                        "transcript": "hi there",
                        "words": [
                            {"word": "hi", "start": 0.1, "end": 0.5, "speaker": 0, "punctuated_word": "Hi"},
                            {"word": "there", "start": 0.6, "end": 0.9, "speaker": 1},
                        ],
                    }
                ],
            }
        ],
        "utterances": [
            {"start": 2.0 * n, "end": 2.0 * n + 1.5, "channel": 0, "transcript": text, "speaker": n % 2}
            for n, text in enumerate(SAID)
        ],
    },
}
ASSEMBLYAI: dict[str, Any] = {
    "id": "a-1",
    "language_code": "en_us",
    "acoustic_model": "assemblyai_default",
    "status": "completed",
    "text": "Hi there",
    "words": [{"text": "Hi", "start": 10, "end": 300, "speaker": "A"}],
    "utterances": [
        {"speaker": "AB"[n % 2], "text": text, "start": 2000 * n, "end": 2000 * n + 1500} for n, text in enumerate(SAID)
    ],
}
WHISPER: dict[str, Any] = {
    "text": "Hi there",
    "segments": [
        {
            "id": n,
            "seek": 0,
            "start": 2.0 * n,
            "end": 2.0 * n + 1.5,
            "text": f" {text}",
            "tokens": [50364],
            "avg_logprob": -0.2,
            "words": [{"word": "x", "start": 0.1, "end": 0.2, "score": 0.9}],
            "speaker": f"SPEAKER_0{n % 2}",
        }
        for n, text in enumerate(SAID)
    ],
    "language": "en",
}
_LINES = [*({"id": f"j-{n}", "turns": TURNS, "labels": {"csat": {"value": 4, "source": "survey"}}} for n in range(3))]

_FILES: dict[str, Any] = {
    "c-1_analysis_2025-03-10T14_05_12Z.json": VOICE,
    "connect_chat.json": CHAT,
    "connect_real_time.json": REAL_TIME,
    "connect_record.json": CONTACT_RECORD,
    "connect_evaluation.json": EVALUATION,
    "post_call.json": POST_CALL,
    "live_call.json": LIVE_CALL,
    "live_call.jsonl": "\n".join(map(json.dumps, LIVE_CALL)),
    "genesys.json": GENESYS,
    "genesys_details.json": DETAILS,
    "entries.json": ENTRIES,
    "insights.json": INSIGHTS,
    "twilio.json": {**RESOURCE, "sentences": SENTENCES},
    "twilio_resource.json": RESOURCE,
    "intercom.json": INTERCOM,
    "zendesk.json": [ZENDESK, OFFLINE],
    "chatwoot.json": CHATWOOT,
    "deepgram.json": DEEPGRAM,
    "assemblyai.json": ASSEMBLYAI,
    "whisper.json": WHISPER,
    "whisper_list.json": WHISPER["segments"],
    "cues.vtt": VTT,
    "cues.srt": SRT,
    "letter.eml": EMAIL,
    "letter_html.eml": HTML_EMAIL,
    "letters.mbox": MAILBOX,
    "call.txt": TEXT,
    "five9.csv": FIVE9,
    "talkdesk.json": TALKDESK,
    "talkdesk_legs.csv": LEGS,
    "turns.csv": TURN_ROWS,
    "turns.tsv": TURN_ROWS.replace(",", "\t"),
    "cells.csv": CELL_ROWS,
    "report.csv": REPORT,
    "scorecard.csv": SCORECARD,
    "record.json": {"id": "r-1", "turns": TURNS, "started_at": STAMP, "agents": ["ann"]},
    "records.jsonl": "\n".join(map(json.dumps, _LINES)),
    "archive.zip": zipped(),
    "call.txt.gz": gzip.compress(TEXT.encode(), mtime=0),
}

SEEDS: dict[str, bytes] = {
    name: content
    if isinstance(content, bytes)
    else (content if isinstance(content, str) else json.dumps(content)).encode()
    for name, content in _FILES.items()
}
"""File name -> content."""
