"""AWS Post-Call Analytics: one call, with its local time and time zone.

Contact, agent and time can be in the audio file's name instead
(`..._GUID_123_AGENT_ann_DT_2022-03-22T12-23-49.wav.json`). Where the time of the call is unknown,
Post-Call Analytics writes the time of processing, which is ignored.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.record import zone
from mlx_cc.ingest.roles import role_of
from mlx_cc.ingest.shapes.exports import each
from mlx_cc.ingest.shapes.objects import Item, shaped
from mlx_cc.ingest.shapes.utterances import Utterance, incoming, named_moment, seconds
from mlx_cc.ingest.source import File

NAME = "aws_pca"
GUID = re.compile(r"_GUID_(.*?)_")
AGENT = re.compile(r"_AGENT_(.*?)_")
CUSTOMER = re.compile(r"_CUST_(.*?)_")
DATE = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)")
AUDIO = re.compile(r"\.(?:wav|mp3|mp4|m4a|flac|ogg|amr|webm)$", re.I)
SAME = timedelta(seconds=1)


class Speaker(Struct, frozen=True, rename="pascal"):
    speaker: str | None = None
    display_text: str | None = None


class Genesys(Struct, frozen=True, rename="camel"):
    conversation_id: str | None = None
    id: str | None = None
    queue_ids: list[str] | None = None


class Telephony(Struct, frozen=True, rename="pascal"):
    genesys: Genesys | None = None


class Analytics(Struct, frozen=True, rename="pascal"):
    guid: str | int | None = field(default=None, name="GUID")
    agent: str | int | None = None
    agents: list[str | int] | None = None
    cust: str | int | None = None
    conversation_time: str | None = None
    conversation_location: str | None = None
    process_time: str | None = None
    language_code: str | None = None
    speaker_labels: list[Speaker] | None = None
    telephony: Telephony | None = None


class Segment(Struct, frozen=True, rename="pascal"):
    segment_start_time: Any = None
    segment_end_time: Any = None
    segment_speaker: str | None = None
    display_text: str | None = None
    original_text: str | None = None


class Document(Struct, frozen=True, rename="pascal"):
    conversation_analytics: Analytics
    speech_segments: list[Segment]


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a call's analytics with its speech, or by keys of Post-Call Analytics alone."""
    analytics = b'"ConversationAnalytics"' in head and (b'"SpeechSegments"' in head or b'"SpeakerLabels"' in head)
    return analytics or (b'"SpeechSegments"' in head and b'"SegmentSpeaker"' in head)


def read(file: File, reading: Reading) -> Iterator[Incoming | Reject]:
    """One conversation per document."""
    yield from each(file, lambda item: _conversation(shaped(item.tree, Document), file, item, reading))


def _conversation(document: Document, file: File, item: Item, reading: Reading) -> Incoming:
    call = document.conversation_analytics
    shown = {label.speaker: _said(label.display_text) for label in call.speaker_labels or () if label.speaker}
    alone = item.line is None and item.place is None
    name = file.path.name if alone else ""
    timezone = _zone(call.conversation_location)
    agents = [found for agent in call.agents or () if (found := _said(agent))] or [
        found for found in (_said(call.agent) or _part(AGENT, name),) if found
    ]
    contact = _said(call.guid) or _part(GUID, name) or (AUDIO.sub("", file.stem) if alone else None)
    if contact is None:
        raise UserError("has no GUID. Keep one call in a file, so that its name can stand for it.")
    started, from_name = _start(call, timezone or reading.timezone, name)
    genesys = (call.telephony and call.telephony.genesys) or Genesys()
    utterances = []
    for segment in document.speech_segments:
        voice = shown.get(segment.segment_speaker or "") or segment.segment_speaker
        role = role_of(voice) if voice else None
        utterances.append(
            Utterance(
                _text(segment),
                role,
                voice,
                seconds(segment.segment_start_time),
                seconds(segment.segment_end_time),
            )
        )
    fields = {
        "id": contact,
        "platform": NAME,
        "channel": "voice",
        "language": _said(call.language_code),
        "agents": agents or None,
        "customer_id": _said(call.cust) or _part(CUSTOMER, name),
        "queue": next(iter(genesys.queue_ids or ()), None),
        "started_at": started,
        "timezone": timezone,
        "flags": ("started_at_from_file_name",) if from_name else None,
    }
    keys = (genesys.conversation_id, genesys.id, AUDIO.sub("", file.stem) if alone else None)
    return incoming(utterances, fields, reading, file, item.line, NAME, keys=keys)


def _text(segment: Segment) -> str | None:
    return segment.display_text or segment.original_text


def _said(value: str | int | None) -> str | None:
    """The value as text; None for the placeholders of Post-Call Analytics."""
    text = "" if value is None else str(value).strip()
    return None if text in ("", "None", "null") else text


def _zone(name: str | None) -> str | None:
    """The call's time zone, or None.

    Raises:
        UserError: there is no time zone of that name.
    """
    name = _said(name)
    if name is not None:
        zone(name)
    return name


def _part(pattern: re.Pattern[str], name: str) -> str | None:
    found = pattern.search(name)
    return found[1] or None if found else None


def _start(call: Analytics, timezone: str | None, name: str) -> tuple[Any, bool]:
    """(start of the call or None, whether it comes from the file's name)."""
    started = named_moment(_said(call.conversation_time), "ConversationTime", timezone)
    processed = named_moment(_said(call.process_time), "ProcessTime", timezone)
    if started is not None and (processed is None or abs(started - processed) > SAME):
        return started, False
    found = DATE.search(name)
    if found is None:
        return None, False
    return named_moment(f"{found[1]}T{found[2]}:{found[3]}:{found[4]}", "the time in its name", timezone), True


FORMAT = Format(NAME, recognise, read)
