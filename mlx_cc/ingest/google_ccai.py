"""Google CX (CCAI) Insights: conversation entries as uploaded, and conversations as exported by the API.

Each entry has a time in microseconds, since 1970 or since the start. Its `user_id` numbers the
participants of one conversation, so it is no agent's id; `agentInfo` of an exported conversation
has that. Keys can be in camel or snake case.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlx_cc.conversation import Channel, Label, Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.shapes.exports import each
from mlx_cc.ingest.shapes.objects import Item, shaped, snake_keys
from mlx_cc.ingest.shapes.utterances import Utterance, incoming, named_moment, seconds
from mlx_cc.ingest.source import File

NAME = "google_ccai"
ROLES: dict[str, Role] = {
    "AGENT": "agent",
    "HUMAN_AGENT": "agent",
    "AUTOMATED_AGENT": "bot",
    "CUSTOMER": "customer",
    "END_USER": "customer",
}
CHANNELS: dict[str, Channel] = {"PHONE_CALL": "voice", "CHAT": "chat"}
ENTRY = re.compile(rb'"(?:start_timestamp_usec|startTimestampUsec)"')
SEGMENT = re.compile(rb'"(?:transcript_segments|transcriptSegments)"')
RESOURCE = re.compile(rb'"projects/[^/"]+/locations/[^/"]+/conversations/')
RESOURCE_KEYS = re.compile(rb'"(?:latest_?analysis|quality_?metadata|transcript|agent_?id|runtime_?annotations)"', re.I)
SINCE_1970_S = 1e8
"""A later time counts from 1970 (and is after March 1973), an earlier one from the start."""
YEAR_2500_S = 1.7e10


class Entry(Struct, frozen=True):
    start_timestamp_usec: Any = None
    text: str | None = None
    role: str | None = None
    user_id: str | int | None = None


class Word(Struct, frozen=True):
    start_offset: Any = None
    end_offset: Any = None


class Participant(Struct, frozen=True):
    role: str | None = None
    user_id: str | int | None = None


class Segment(Struct, frozen=True):
    text: str | None = None
    message_time: str | None = None
    channel_tag: str | int | None = None
    segment_participant: Participant | None = None
    words: list[Word] | None = None


class Transcript(Struct, frozen=True):
    transcript_segments: list[Segment] | None = None


class AgentInfo(Struct, frozen=True):
    agent_id: str | int | None = None
    display_name: str | None = None
    team: str | None = None
    disposition_code: str | None = None


class Quality(Struct, frozen=True):
    customer_satisfaction_rating: Any = None
    wait_duration: Any = None
    agent_info: list[AgentInfo] | None = None


class Document(Struct, frozen=True):
    """Entries, or a conversation of the API."""

    entries: list[Entry] | None = None
    conversation_id: str | int | None = None
    name: str | None = None
    medium: str | None = None
    language_code: str | None = None
    start_time: str | None = None
    agent_id: str | int | None = None
    obfuscated_user_id: str | int | None = None
    quality_metadata: Quality | None = None
    transcript: Transcript | None = None


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by entries with times in microseconds, transcript segments, or a conversation's resource name."""
    if ENTRY.search(head):
        return b'"entries"' in head
    return bool(SEGMENT.search(head) or (RESOURCE.search(head) and RESOURCE_KEYS.search(head)))


def read(file: File, reading: Reading) -> Iterator[Incoming | Reject]:
    """One conversation per document, or each one of a list."""
    yield from each(file, lambda item: _conversation(item, file, reading), "conversations")


def _conversation(item: Item, file: File, reading: Reading) -> Incoming:
    document = shaped(snake_keys(item.tree, 6), Document)
    alone = item.line is None and item.place is None
    contact = _text(document.conversation_id) or (document.name or "").rpartition("/")[2]
    if not contact:
        contact = file.stem if alone else f"{file.stem}-{item.line or item.place}"
    if document.entries is not None:
        utterances, started = _of_entries(document.entries)
    else:
        segments = document.transcript and document.transcript.transcript_segments
        if not segments:
            raise UserError("has neither entries nor transcript segments. Export it with its transcript (view FULL).")
        utterances, started = _of_segments(segments, reading)
    said = named_moment(document.start_time, "startTime", reading.timezone)
    quality = document.quality_metadata or Quality()
    people = quality.agent_info or []
    agents = [agent for person in people if (agent := _text(person.agent_id))]
    csat = seconds(quality.customer_satisfaction_rating)
    fields = {
        "id": contact,
        "platform": NAME,
        "channel": CHANNELS.get((document.medium or "").upper()),
        "language": document.language_code,
        "customer_id": _text(document.obfuscated_user_id),
        "agents": agents or _text(document.agent_id),
        "team": next((person.team for person in people if person.team), None),
        "disposition": next((person.disposition_code for person in people if person.disposition_code), None),
        "started_at": said or started,
        "queue_wait_s": _duration(quality.wait_duration),
        "labels": {"csat": Label(value=csat, source="survey")} if csat is not None and 1 <= csat <= 5 else None,
    }
    names = [person.display_name for person in people]
    return incoming(utterances, fields, reading, file, item.line, NAME, names=names)


def _of_entries(entries: list[Entry]) -> tuple[list[Utterance], datetime | None]:
    """(utterances, time of the first one or None)."""
    times = [seconds(entry.start_timestamp_usec, 1e6, YEAR_2500_S) for entry in entries]
    zero = min((time for time in times if time is not None), default=0.0)
    since_1970 = zero > SINCE_1970_S
    utterances = []
    for entry, time in zip(entries, times, strict=True):
        start = None if time is None else seconds(round(time - zero, 6) if since_1970 else time)
        role = ROLES.get((entry.role or "").upper())
        utterances.append(Utterance(entry.text, role, _text(entry.user_id) or entry.role, start))
    return utterances, datetime.fromtimestamp(zero, UTC) if since_1970 else None


def _of_segments(segments: list[Segment], reading: Reading) -> tuple[list[Utterance], datetime | None]:
    """The same for an exported conversation: calls have offsets of words, chats the time of a message."""
    moments = [named_moment(segment.message_time, "messageTime", reading.timezone) for segment in segments]
    zero = min((moment for moment in moments if moment is not None), default=None)
    utterances = []
    for segment, moment in zip(segments, moments, strict=True):
        who = segment.segment_participant or Participant()
        start, end = None, None
        if segment.words:
            start, end = _duration(segment.words[0].start_offset), _duration(segment.words[-1].end_offset)
        if start is None and moment is not None and zero is not None:
            start, end = seconds((moment - zero).total_seconds()), None
        voice = _text(segment.channel_tag) or _text(who.user_id) or who.role
        utterances.append(Utterance(segment.text, ROLES.get((who.role or "").upper()), voice, start, end))
    return utterances, zero


def _duration(value: Any) -> float | None:
    """A duration as text (`12.5s`), or as an object of seconds and nanos."""
    if isinstance(value, dict):
        whole, nanos = seconds(value.get("seconds", 0)), seconds(value.get("nanos", 0), 1e9)
        return None if whole is None or nanos is None else whole + nanos
    return seconds(value.removesuffix("s") if isinstance(value, str) else value)


def _text(value: str | int | None) -> str | None:
    return None if value is None or value == "" else str(value)


FORMAT = Format(NAME, recognise, read)
