"""AWS Live Call Analytics: a stream of events; the events of one call in one file are one conversation.

A partial segment is kept only until its final text comes. Without a START event, the start of the call
is computed from the time of its first segment, and flagged `started_at_estimated`. Hints to the agent,
categories and sentiment are no speech and are left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlx_cc.conversation import Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.shapes.objects import Item, objects, shaped
from mlx_cc.ingest.shapes.utterances import Utterance, incoming, named_moment, seconds
from mlx_cc.ingest.source import File

NAME = "aws_lca"
ROLES: dict[str, Role] = {"CALLER": "customer", "AGENT": "agent"}
NOT_SAID = re.compile(r"AGENT_ASSISTANT|CATEGORY_MATCH|.*_VOICETONE", re.I)
CALL_ID = re.compile(rb'"CallId"')
KEYS = re.compile(
    rb'"(?:IsPartial|SegmentId|CustomerPhoneNumber|SystemPhoneNumber)"'
    rb'|"EventType"\s*:\s*"(?:START|CONTINUE|END|ADD_\w+|UPDATE_AGENT)"'
)


class Event(Struct, frozen=True, rename="pascal"):
    """One event, or one item of the table of events of Live Call Analytics."""

    call_id: str | int
    event_type: str | None = None
    channel: str | None = None
    transcript: str | None = None
    segment_id: str | int | None = None
    start_time: Any = None
    end_time: Any = None
    is_partial: Any = None
    created_at: str | int | float | None = None
    agent_id: str | int | None = None
    customer_phone_number: str | int | None = None
    language_code: str | None = None


@dataclass
class Call:
    """State of a call after the events so far."""

    first: Item
    segments: dict[Any, Event] = field(default_factory=dict)
    """Segment's id, or its position where it has none -> its newest version."""
    agents: dict[str, None] = field(default_factory=dict)
    customer: str | None = None
    language: str | None = None
    started_at: datetime | None = None


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a call id with the keys of a segment or of a call's events."""
    return CALL_ID.search(head) is not None and KEYS.search(head) is not None


def read(file: File, reading: Reading) -> Iterator[Incoming | Reject]:
    """The calls of the file, each after its last event."""
    calls: dict[str, Call] = {}
    for item in objects(file):
        if isinstance(item, Reject):
            yield item
            continue
        try:
            event = shaped(item.tree, Event)
            _hear(event, calls.setdefault(str(event.call_id), Call(item)), reading)
        except UserError as fault:
            yield item.reject(file, str(fault))
    for name, call in calls.items():
        try:
            yield _conversation(name, call, file, reading)
        except UserError as fault:
            yield call.first.reject(file, f"call {name!r} {fault}")


def _hear(event: Event, call: Call, reading: Reading) -> None:
    created = named_moment(event.created_at, "CreatedAt", reading.timezone)
    if event.agent_id:
        call.agents[str(event.agent_id)] = None
    call.customer = call.customer or (str(event.customer_phone_number) if event.customer_phone_number else None)
    call.language = call.language or event.language_code
    if event.transcript is None:
        if created is not None and event.event_type in ("START", None):
            call.started_at = created if call.started_at is None else min(created, call.started_at)
    elif not NOT_SAID.fullmatch(event.channel or ""):
        place = len(call.segments) if event.segment_id is None else str(event.segment_id)
        before = call.segments.get(place)
        if before is None or _partial(before) or not _partial(event):
            call.segments[place] = event


def _partial(event: Event) -> bool:
    return str(event.is_partial).strip().lower() in ("true", "1", "1.0")


def _conversation(name: str, call: Call, file: File, reading: Reading) -> Incoming:
    started, estimated = call.started_at, False
    if started is None:
        started = min(filter(None, (_reckoned(event, reading) for event in call.segments.values())), default=None)
        estimated = started is not None
    fields = {
        "id": name,
        "platform": NAME,
        "channel": "voice",
        "language": call.language,
        "agents": list(call.agents) or None,
        "customer_id": call.customer,
        "started_at": started,
        "flags": ("started_at_estimated",) if estimated else None,
    }
    utterances = (
        Utterance(
            event.transcript,
            ROLES.get((event.channel or "").upper()),
            event.channel,
            seconds(event.start_time),
            seconds(event.end_time),
        )
        for event in call.segments.values()
    )
    return incoming(utterances, fields, reading, file, call.first.line, NAME)


def _reckoned(event: Event, reading: Reading) -> datetime | None:
    """Start of the call, if this segment was written when it ended."""
    created = named_moment(event.created_at, "CreatedAt", reading.timezone)
    end = seconds(event.end_time)
    if created is None or end is None:
        return None
    try:
        return created - timedelta(seconds=end)
    except OverflowError:
        return None


FORMAT = Format(NAME, recognise, read)
