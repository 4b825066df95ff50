"""Amazon Connect: Contact Lens transcripts (voice, chat, real-time segments) and contact records (CTR).

The speaker is looked up by participant; the agent's id, the queue and its wait are in the contact
record only. A voice transcript has no start: it is in the file's name as Contact Lens gives it
(`<contact>_analysis_2020-02-04T21:14:16Z.json`), and a start taken from there is flagged
`started_at_from_file_name`. In a chat, the wait is from the customer's joining to the agent's.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mlx_cc.conversation import Channel, Label, Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.contacts import Contact, to_contact
from mlx_cc.ingest.format import ContactFormat, Format, Incoming, Reading, Reject
from mlx_cc.ingest.shapes.exports import each
from mlx_cc.ingest.shapes.html_text import html_text
from mlx_cc.ingest.shapes.objects import Item, objects, shaped
from mlx_cc.ingest.shapes.utterances import Utterance, incoming, named_moment, seconds
from mlx_cc.ingest.source import File, from_json

NAME = "amazon_connect"
ROLES: dict[str, Role] = {
    "AGENT": "agent",
    "SUPERVISOR": "agent",
    "CUSTOMER": "customer",
    "CUSTOM_BOT": "bot",
    "SYSTEM": "system",
}
CHANNELS: dict[str, Channel] = {"VOICE": "voice", "CHAT": "chat", "EMAIL": "email", "SMS": "sms"}
GENERIC_NAMES = {"agent", "customer", "system", "bot", "system_message", "supervisor", "guest"}
FILE_NAME = re.compile(
    r"(?P<contact>.+?)_analysis(?:_redacted)?_"
    r"(?P<date>\d{4}-\d\d-\d\d)T(?P<h>\d\d)(?::|_|-|%3A)(?P<m>\d\d)(?::|_|-|%3A)(?P<s>\d\d)(?:\.\d+)?Z",
    re.I,
)
PLAIN = ("text/plain", "text/markdown")
INTERACTIVE = "application/vnd.amazonaws.connect.message.interactive"
JOINED = "application/vnd.amazonaws.connect.event.participant.joined"

RECORD_KEYS = re.compile(
    rb'"(?:InitiationTimestamp|InitiationMethod|ConnectedToSystemTimestamp|AWSContactTraceRecordFormatVersion)"'
)
PARTICIPANT = re.compile(rb'"Participant(?:Id|Role)"')
ANALYSIS_KEYS = re.compile(rb'"(?:ContentMetadata|CustomerMetadata|Transcript|Segments|JobStatus)"')


class Participant(Struct, frozen=True, rename="pascal"):
    participant_id: str | None = None
    participant_role: str | None = None
    display_name: str | None = None


class When(Struct, frozen=True, rename="pascal"):
    """Time of a segment: absolute in a real-time chat, an offset in a call."""

    absolute_time: str | None = None
    begin_offset_millis: Any = None
    end_offset_millis: Any = None


class Entry(Struct, frozen=True, rename="pascal"):
    """An item of a transcript: a message or an event of a chat."""

    id: str | None = None
    participant_id: str | None = None
    participant_role: str | None = None
    display_name: str | None = None
    content: str | None = None
    content_type: str | None = None
    type: str | None = None
    event_type: str | None = None
    absolute_time: str | None = None
    begin_offset_millis: Any = None
    end_offset_millis: Any = None
    time: When | None = None

    @property
    def at(self) -> str | None:
        return self.absolute_time or (self.time.absolute_time if self.time else None)


class Segment(Struct, frozen=True, rename="pascal"):
    """An entry, an event, or neither: categories, summaries and attachments are no speech."""

    transcript: Entry | None = None
    event: Entry | None = None


class CustomerMetadata(Struct, frozen=True, rename="pascal"):
    contact_id: str | None = None


class Analysis(Struct, frozen=True, rename="pascal"):
    """A Contact Lens file, a plain chat transcript, or one message of the real-time stream."""

    contact_id: str | None = None
    channel: str | None = None
    language_code: str | None = None
    customer_metadata: CustomerMetadata | None = None
    participants: list[Participant] | None = None
    transcript: list[Entry] | None = None
    segments: list[Segment] | None = None


def recognise(path: Path, head: bytes) -> bool:
    """Participants beside a transcript or its analysis, and not a contact record."""
    if RECORD_KEYS.search(head):
        return False
    return b'"ConversationCharacteristics"' in head or bool(PARTICIPANT.search(head) and ANALYSIS_KEYS.search(head))


def read(file: File, reading: Reading) -> Iterator[Incoming | Reject]:
    """The conversation of each document; messages of the real-time stream are gathered by contact."""
    streams: dict[str, tuple[Item, list[Analysis]]] = {}
    for item in objects(file):
        if isinstance(item, Reject):
            yield item
            continue
        try:
            analysis = shaped(item.tree, Analysis)
            if analysis.transcript is None and ("Segments" in item.tree or "EventType" in item.tree):
                contact = analysis.contact_id or _named(file).get("contact") or file.stem
                streams.setdefault(contact, (item, []))[1].append(analysis)
            else:
                yield _of_document(analysis, file, item, reading)
        except UserError as fault:
            yield item.reject(file, str(fault))
    for contact, (item, messages) in streams.items():
        try:
            yield _of_stream(contact, messages, file, item, reading)
        except UserError as fault:
            yield item.reject(file, str(fault))


def _of_document(analysis: Analysis, file: File, item: Item, reading: Reading) -> Incoming:
    if analysis.transcript is None:
        raise UserError("has no Transcript. Export the analysis of a contact that was transcribed.")
    metadata = analysis.customer_metadata
    named = _named(file) if item.line is None and item.place is None else {}
    contact = (metadata and metadata.contact_id) or analysis.contact_id or named.get("contact")
    if contact is None and (item.line is not None or item.place is not None):
        raise UserError("has no ContactId. Add CustomerMetadata.ContactId, or keep one contact in a file.")
    started = f"{named['date']}T{named['h']}:{named['m']}:{named['s']}Z" if named else None
    return _conversation(contact or file.stem, started, analysis, analysis.transcript, file, item, reading)


def _of_stream(contact: str, messages: list[Analysis], file: File, item: Item, reading: Reading) -> Incoming:
    """One conversation of all messages; a segment that is delivered again replaces the earlier one."""
    entries: dict[Any, Entry] = {}
    for message in messages:
        for segment in message.segments or ():
            entry = segment.transcript or segment.event
            if entry is not None:
                entries[entry.id or len(entries)] = entry
    first = next((message for message in messages if message.channel), messages[0])
    return _conversation(contact, None, first, list(entries.values()), file, item, reading)


def _conversation(
    contact: str,
    started: str | None,
    analysis: Analysis,
    entries: list[Entry],
    file: File,
    item: Item,
    reading: Reading,
) -> Incoming:
    listed = {p.participant_id: p for p in analysis.participants or () if p.participant_id}
    moments = [named_moment(entry.at, "AbsoluteTime", reading.timezone) for entry in entries]
    zero = min((moment for moment in moments if moment is not None), default=None)
    joined: dict[Role, float] = {}
    utterances: list[Utterance] = []
    for entry, moment in zip(entries, moments, strict=True):
        role, voice = _speaker(entry, listed)
        since = None if moment is None or zero is None else seconds((moment - zero).total_seconds())
        if JOINED in (entry.content_type, entry.event_type):
            if role is not None and since is not None:
                joined[role] = min(since, joined.get(role, since))
        elif entry.event_type is None and entry.type in (None, "MESSAGE"):
            offsets = entry.time or entry
            utterances.append(
                Utterance(
                    _text(entry, reading),
                    role,
                    voice,
                    seconds(offsets.begin_offset_millis, 1000) if since is None else since,
                    seconds(offsets.end_offset_millis, 1000) if since is None else None,
                )
            )
    wait = seconds(joined["agent"] - joined["customer"]) if {"agent", "customer"} <= joined.keys() else None
    fields = {
        "id": contact,
        "platform": NAME,
        "channel": CHANNELS.get((analysis.channel or "").upper()) or ("chat" if zero else "unknown"),
        "language": analysis.language_code,
        "started_at": zero or started,
        "queue_wait_s": wait,
        "flags": ("started_at_from_file_name",) if started and zero is None else None,
    }
    people = [*listed.values(), *entries]
    return incoming(
        utterances,
        fields,
        reading,
        file,
        item.line,
        NAME,
        names=(p.display_name for p in people if (p.display_name or "").casefold() not in GENERIC_NAMES),
    )


def _speaker(entry: Entry, listed: dict[str, Participant]) -> tuple[Role | None, str | None]:
    """(role, the file's name for the speaker). The role is the entry's own, or its participant's."""
    participant = listed.get(entry.participant_id or "")
    said = entry.participant_role or (participant.participant_role if participant else entry.participant_id) or ""
    role = ROLES.get(said.upper())
    if role == "system" and (entry.display_name or "").upper() == "BOT":
        role = "bot"
    return role, entry.participant_id or entry.participant_role


def _text(entry: Entry, reading: Reading) -> str | None:
    """Text of a message; None for content that is not text."""
    kind = (entry.content_type or PLAIN[0]).partition(";")[0].strip().lower()
    content = entry.content
    if content is None or kind in PLAIN:
        return content
    if kind == "text/html":
        return html_text(content)
    if kind.startswith(INTERACTIVE):
        return _of_template(content)
    reading.ignored[f"Transcript[].Content ({kind})"] += 1
    return None


def _of_template(content: str) -> str | None:
    """Title, subtitle and choices of an interactive message; of the answer to one, its text."""
    try:
        data = from_json(content)
    except UserError:
        return content
    while isinstance(data, dict) and isinstance(data.get("data") or data.get("content"), dict):
        data = data.get("data") or data.get("content")
    if not isinstance(data, dict):
        return None
    elements = data.get("elements")
    parts = [data.get("title"), data.get("subtitle")]
    parts += [e.get("title") if isinstance(e, dict) else e for e in elements] if isinstance(elements, list) else []
    return "\n".join(part for part in parts if isinstance(part, str)) or None


def _named(file: File) -> dict[str, str]:
    """Contact and time in the name Contact Lens gives its files; empty for other names."""
    found = FILE_NAME.match(file.path.name)
    return found.groupdict() if found else {}


FORMAT = Format(NAME, recognise, read)


class Endpoint(Struct, frozen=True, rename="pascal"):
    address: str | None = None


class Level(Struct, frozen=True, rename="pascal"):
    group_name: str | None = None


class Agent(Struct, frozen=True, rename="pascal"):
    username: str | None = None
    arn: str | None = field(default=None, name="ARN")
    customer_hold_duration: Any = None
    after_contact_work_duration: Any = None
    agent_interaction_duration: Any = None
    hierarchy_groups: dict[str, Level | None] | None = None


class Queue(Struct, frozen=True, rename="pascal"):
    name: str | None = None
    arn: str | None = field(default=None, name="ARN")
    duration: Any = None


class Record(Struct, frozen=True, rename="pascal"):
    """The fields of a contact record that are used."""

    contact_id: str
    previous_contact_id: str | None = None
    initial_contact_id: str | None = None
    channel: str | None = None
    initiation_timestamp: str | int | float | None = None
    last_update_timestamp: str | int | float | None = None
    agent: Agent | None = None
    queue: Queue | None = None
    customer_endpoint: Endpoint | None = None
    attributes: dict[str, Any] | None = None


CSAT = re.compile(
    r"(?:post(?:call|chat|contact))?(?:survey)?(?:csat|customersatisfaction)(?:score|rating|value|answer|result)?"
)
CSAT_SCALE = re.compile(r".*(?:csat|customersatisfaction)(?:score|rating)?(?:scale|max|maximum|outof)")
DISPOSITION = ("disposition", "dispositioncode", "wrapupcode", "wrapup")
SCORE = re.compile(r"(\d+(?:\.\d+)?)(?:\s*(?:/|out of|of)\s*(\d+))?", re.I)
RANGE = re.compile(r"(?:(\d+)\s*(?:-|\.\.|to|/)\s*)?(\d+)", re.I)


def recognise_records(path: Path, head: bytes) -> bool:
    """Recognised by a contact id and the times of a contact record."""
    return b'"ContactId"' in head and RECORD_KEYS.search(head) is not None


def read_records(file: File, reading: Reading) -> Iterator[Contact | Reject]:
    """One contact per record; a record that was delivered twice comes twice."""
    yield from each(file, lambda item: _contact(shaped(item.tree, Record), reading))


def _contact(record: Record, reading: Reading) -> Contact:
    agent, queue = record.agent or Agent(), record.queue or Queue()
    work = [
        seconds(agent.agent_interaction_duration),
        seconds(agent.customer_hold_duration),
        seconds(agent.after_contact_work_duration),
    ]
    agent_id = agent.username or _last_part(agent.arn)
    initial = record.initial_contact_id
    attributes = {_plain(name): value for name, value in (record.attributes or {}).items()}
    csat = _csat(attributes, reading)
    return to_contact(
        {
            "id": record.contact_id,
            "platform": NAME,
            "updated_at": named_moment(record.last_update_timestamp, "LastUpdateTimestamp", reading.timezone),
            "channel": CHANNELS.get((record.channel or "").upper()),
            "customer_id": record.customer_endpoint and record.customer_endpoint.address,
            "agents": [agent_id] if agent_id else None,
            "team": _team(agent),
            "queue": queue.name or _last_part(queue.arn),
            "started_at": named_moment(record.initiation_timestamp, "InitiationTimestamp", reading.timezone),
            "queue_wait_s": seconds(queue.duration),
            "hold_s": work[1],
            "after_call_work_s": work[2],
            "handle_time_s": None if work[0] is None else sum(part or 0 for part in work),
            "disposition": next((str(attributes[key]) for key in DISPOSITION if attributes.get(key)), None),
            "previous_contact_id": record.previous_contact_id
            or (initial if initial and initial != record.contact_id else None),
            "labels": {"csat": csat} if csat else None,
        }
    )


def _team(agent: Agent) -> str | None:
    """The innermost group of the agent's hierarchy."""
    groups = agent.hierarchy_groups or {}
    return next((g.group_name for _, g in sorted(groups.items(), reverse=True) if g and g.group_name), None)


def _last_part(arn: str | None) -> str | None:
    return arn.rpartition("/")[2] or None if arn else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _csat(attributes: dict[str, Any], reading: Reading) -> Label | None:
    """The survey's answer among the flow's attributes, on 1-5; None when there is none, or it is off its scale."""
    said = next((str(value).strip() for name, value in attributes.items() if CSAT.fullmatch(name)), "")
    score = SCORE.fullmatch(said)
    if score is None:
        return None
    scales = (str(value).strip() for name, value in attributes.items() if CSAT_SCALE.fullmatch(name))
    scale = RANGE.fullmatch(next(scales, score[2] or "5"))
    low, high = (float(scale[1] or 1), float(scale[2])) if scale else (1.0, 5.0)
    given = float(score[1])
    if not low <= given <= high or low == high:
        reading.ignored["Attributes.csat (not on its scale)"] += 1
        return None
    if (low, high) == (1, 5):
        return Label(value=given, source="survey")
    value = round(1 + 4 * (given - low) / (high - low), 2)
    return Label(value=value, source="survey", scale=(low, high), given=given)


CONTACTS = ContactFormat(NAME, recognise_records, read_records)
