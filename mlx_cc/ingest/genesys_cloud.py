"""Genesys Cloud: speech and text analytics transcripts, and conversation details.

A transcript has the side of the line of each phrase; `internal` is the agent, but also the IVR, the
queue's announcements and voicemail. `participants` (and the acoustic events) say which of them was on
the line at that time.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from mlx_cc.conversation import Channel, Conversation, Label, Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.contacts import Contact, to_contact
from mlx_cc.ingest.format import ContactFormat, Format, Incoming, Reading, Reject
from mlx_cc.ingest.record import moment
from mlx_cc.ingest.roles import role_of
from mlx_cc.ingest.shapes.exports import distinct, each, plain, seconds_after
from mlx_cc.ingest.shapes.objects import Item, shaped
from mlx_cc.ingest.shapes.utterances import Utterance, in_order_if_timed, incoming
from mlx_cc.ingest.source import File

PLATFORM = "genesys_cloud"
CHANNELS: dict[str, Channel] = {
    **dict.fromkeys(("voice", "call", "callback"), "voice"),
    **dict.fromkeys(("chat", "webchat", "message", "webmessaging"), "chat"),
    "email": "email",
    "sms": "sms",
    **dict.fromkeys(("facebook", "twitter", "instagram", "whatsapp", "line", "apple"), "social"),
}
LONGEST_MS = 366 * 86_400_000
BOTS = {"acd", "ivr", "voicemail", "workflow", "botflow", "bot"}
CUSTOMERS = ("customer", "external")

# Transcripts


class _Length(Struct):
    milliseconds: float | None = None


class _Phrase(Struct):
    text: str | None = None
    decoratedText: str | None = None
    startTimeMs: float | None = None
    duration: _Length | None = None
    participantPurpose: str | None = None


class _Sound(Struct):
    eventType: str | None = None
    startTimeMs: float | None = None
    durationMs: float | None = None


class _Analytics(Struct):
    acoustics: list[_Sound] | None = None


class _Part(Struct):
    language: str | None = None
    startTime: float | None = None
    phrases: list[_Phrase] | None = None
    analytics: _Analytics | None = None


class _Person(Struct):
    participantPurpose: str | None = None
    userId: str | None = None
    queueId: str | None = None
    initialDirection: str | None = None
    ani: str | None = None
    dnis: str | None = None
    name: str | None = None
    startTimeMs: float | None = None
    endTimeMs: float | None = None


class _Transcript(Struct):
    conversationId: str | None = None
    communicationId: str | None = None
    mediaType: str | None = None
    conversationStartTime: float | None = None
    startTime: float | None = None
    transcripts: list[_Part] | None = None
    participants: list[_Person] | None = None


class _Presence(NamedTuple):
    """A participant on the line; times in ms, ±1e300 where there is no bound."""

    role: Role
    agent: str | None = None
    start: float = -1e300
    end: float = 1e300


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by phrases inside transcripts, with an id or a side named as in Genesys."""
    names = (b'"communicationId"', b'"participantPurpose"', b'"transcriptId"')
    return b'"transcripts"' in head and b'"phrases"' in head and any(name in head for name in names)


def read(file: File, reading: Reading) -> Iterator[Conversation | Incoming | Reject]:
    """A conversation for each transcript, with the phrases of all its parts by time."""
    yield from each(file, lambda item: _conversation(item, reading, file), "conversations", "entities")


def _conversation(item: Item, reading: Reading, file: File) -> Incoming:
    found = shaped(item.tree, _Transcript)
    if not found.conversationId:
        raise UserError("has no conversationId.")
    parts = found.transcripts or []
    phrases = [phrase for part in parts for phrase in part.phrases or []]
    if not phrases:
        raise UserError("has no phrases: nothing was transcribed. Leave the file out.")
    epochs = [found.conversationStartTime, found.startTime, *(part.startTime for part in parts)]
    start = next((time for time in epochs if time is not None and time > 1e11), None)
    people = found.participants or []
    inside, outside = _inside(people, parts), _outside(people)
    said: list[Utterance] = []
    for phrase in phrases:
        begin, length = phrase.startTimeMs, phrase.duration and phrase.duration.milliseconds
        if begin is not None and begin > 1e11:
            begin = None if start is None else begin - start
        utterance = _who(phrase, inside, outside)._replace(text=phrase.decoratedText or phrase.text)
        if begin is not None and 0 <= begin < LONGEST_MS:
            utterance = utterance._replace(start_s=begin / 1000)
            if length is not None and 0 <= length < LONGEST_MS:
                utterance = utterance._replace(end_s=(begin + length) / 1000)
        said.append(utterance)
    customer = next(
        (person for purpose in CUSTOMERS for person in people if person.participantPurpose == purpose), None
    )
    number = customer and (customer.dnis if customer.initialDirection == "outbound" else customer.ani)
    queues = distinct(person.queueId for person in people if person.participantPurpose in ("agent", "acd"))
    waits = [
        (person.endTimeMs - person.startTimeMs) / 1000
        for person in people
        if person.participantPurpose == "acd" and person.startTimeMs is not None and person.endTimeMs is not None
    ]
    return incoming(
        said,
        {
            "id": found.conversationId,
            "platform": PLATFORM,
            "channel": CHANNELS.get((found.mediaType or "").casefold(), "unknown"),
            "language": next((part.language for part in parts if part.language), None),
            "customer_id": _address(number),
            "agents": distinct(person.userId for person in _handlers(people)),
            "queue": queues[-1] if queues else None,
            "queue_wait_s": round(sum(waits), 3) if waits and 0 <= sum(waits) < LONGEST_MS / 1000 else None,
            "started_at": start,
        },
        reading,
        file,
        item.line,
        FORMAT.name,
        order=in_order_if_timed,
        names=(_name(person.name) for person in people),
        keys=distinct([found.communicationId]),
    )


def _handlers(people: Iterable[_Person]) -> list[_Person]:
    """The agents; users without a queue only where there is no agent."""
    for purpose in ("agent", "user"):
        found = [person for person in people if person.participantPurpose == purpose]
        if found:
            return found
    return []


def _inside(people: list[_Person], parts: list[_Part]) -> list[_Presence]:
    """Participants on the centre's side of the line, with times."""
    handlers = _handlers(people)
    found = [_presence("agent", person) for person in handlers]
    found += [_presence("bot", person) for person in people if person.participantPurpose in BOTS]
    found += [
        _presence("unknown", person)
        for person in people
        if person.participantPurpose not in BOTS.union(CUSTOMERS) and person not in handlers
    ]
    if not found and not people:
        found.append(_Presence("agent"))
    sounds = [sound for part in parts if part.analytics for sound in part.analytics.acoustics or []]
    found += [
        _Presence("bot", None, sound.startTimeMs, sound.startTimeMs + sound.durationMs)
        for sound in sounds
        if sound.eventType in BOTS and sound.startTimeMs is not None and sound.durationMs is not None
    ]
    return found


def _outside(people: list[_Person]) -> list[_Presence]:
    """Participants on the other side: the customer, and outside parties that the call was passed to."""
    customers = [person for person in people if person.participantPurpose == "customer"]
    others = [person for person in people if person.participantPurpose == "external"]
    if not customers and len(others) <= 1:
        return [_Presence("customer")]
    found = [_presence("customer", person) for person in customers]
    return found + [_presence("unknown", person) for person in others]


def _presence(role: Role, person: _Person) -> _Presence:
    start = -1e300 if person.startTimeMs is None else person.startTimeMs
    return _Presence(role, plain(person.userId), start, 1e300 if person.endTimeMs is None else person.endTimeMs)


def _who(phrase: _Phrase, inside: list[_Presence], outside: list[_Presence]) -> Utterance:
    """Role of a phrase, with its agent where only one was there, and its `voice` where the role stays unknown.

    The speaker is the participant on its side of the line who overlaps the phrase longest.
    """
    purpose = (phrase.participantPurpose or "").casefold()
    if purpose in BOTS:
        return Utterance(None, "bot")
    side = {"internal": inside, "agent": inside, "user": inside, "external": outside, "customer": outside}.get(purpose)
    if side is None:
        return Utterance(None, None, purpose or "unknown")
    if purpose in ("agent", "user", "customer"):
        role: Role = "customer" if purpose == "customer" else "agent"
        side = [found for found in side if found.role == role] or [_Presence(role)]
    start = phrase.startTimeMs
    if start is not None and side:
        end = start + ((phrase.duration and phrase.duration.milliseconds) or 0)
        there = [(min(end, found.end) - max(start, found.start), found) for found in side]
        most = max(share for share, _ in there)
        if most >= 0:
            side = [found for share, found in there if share == most]
    roles: set[Role] = {found.role for found in side}
    if len(roles) != 1 or roles == {"unknown"}:
        return Utterance(None, None, purpose)
    agents = {found.agent for found in side if found.agent}
    return Utterance(None, roles.pop(), agent_id=agents.pop() if len(agents) == 1 else None)


def _address(address: str | None) -> str | None:
    """A telephone number without `tel:` or the rest of a SIP address."""
    found = re.match(r"(?:tel|sip):([^@;]+)", address or "")
    return plain(found[1] if found else address)


def _name(name: Any) -> str | None:
    """A person's name; None for the placeholders of Genesys."""
    name = plain(name)
    return None if name is None or role_of(name) or not re.search(r"[^\W\d_]", name) else name


FORMAT = Format(PLATFORM, recognise, read)

# Conversation details


class _Segment(Struct):
    segmentType: str | None = None
    segmentStart: str | None = None
    segmentEnd: str | None = None
    queueId: str | None = None
    wrapUpCode: str | None = None


class _Session(Struct):
    mediaType: str | None = None
    messageType: str | None = None
    direction: str | None = None
    ani: str | None = None
    dnis: str | None = None
    addressFrom: str | None = None
    addressTo: str | None = None
    callbackNumbers: list[str] | None = None
    callbackUserName: str | None = None
    sessionId: str | None = None
    segments: list[_Segment] | None = None


class _Participant(Struct):
    purpose: str | None = None
    userId: str | None = None
    participantName: str | None = None
    externalContactId: str | None = None
    sessions: list[_Session] | None = None


class _Evaluation(Struct):
    oTotalScore: float | None = None
    eventTime: str | None = None
    deleted: bool | None = None
    released: bool | None = None
    calibrationId: str | None = None


class _Survey(Struct):
    oSurveyTotalScore: float | None = None
    eventTime: str | None = None
    surveyCompletedDate: str | None = None


class _Details(Struct):
    conversationId: str | None = None
    conversationStart: str | None = None
    participants: list[_Participant] | None = None
    evaluations: list[_Evaluation] | None = None
    surveys: list[_Survey] | None = None
    recordingId: str | None = None
    """From the metadata file of a recording, which has only the contact's start."""
    startTime: str | float | None = None


def recognise_details(path: Path, head: bytes) -> bool:
    """Recognised by segments of sessions, or by the metadata file of an exported recording."""
    if b'"phrases"' in head:
        return False
    if b'"conversationId"' in head and (b'"recordingId"' in head or path.name.endswith("_metadata.json")):
        return True
    return b'"segmentType"' in head and (b'"sessionId"' in head or b'"conversationStart"' in head)


def read_details(file: File, reading: Reading) -> Iterator[Contact | Reject]:
    """A contact for each conversation of a query's result, or for each detail record.

    The metadata of a recording makes a contact with the recording's id, by which a transcript
    made from the recording can name it.
    """
    yield from each(file, _contact, "conversations")


def _contact(item: Item) -> Contact:
    found = shaped(item.tree, _Details)
    if not found.conversationId:
        raise UserError("has no conversationId.")
    if found.participants is None and found.recordingId is None:
        raise UserError("has no participants, so nothing about the contact. Export the conversation's details.")
    started = found.conversationStart if found.conversationStart is not None else found.startTime
    people = found.participants or []
    handlers = [person for person in people if person.purpose == "agent"]
    handlers = handlers or [person for person in people if person.purpose == "user"]
    handled = [person for person in handlers if _segments([person], "interact")]
    customers = [person for person in people if person.purpose == "customer"]
    customers = customers or [person for person in people if person.purpose == "external"]
    queued = [person for person in people if person.purpose == "acd"]
    work = _segments(handled, "interact", "hold", "wrapup")
    wrapups, holds = _segments(handled, "wrapup"), _segments(handled, "hold")
    code = max(wrapups, key=lambda segment: segment.segmentEnd or "", default=_Segment()).wrapUpCode
    sessions = [session for person in [*customers, *people] for session in person.sessions or []]
    return to_contact(
        {
            "id": found.recordingId or found.conversationId,
            "keys": distinct(
                [found.recordingId and found.conversationId, *(session.sessionId for session in sessions)]
            ),
            "names": distinct(
                _name(name)
                for person in people
                if person.purpose in ("agent", "user", "customer", "external")
                for name in (person.participantName, *(s.callbackUserName for s in person.sessions or []))
            ),
            "platform": PLATFORM,
            "channel": next((channel for session in sessions if (channel := _channel(session))), "unknown"),
            "customer_id": _customer(customers),
            "agents": distinct(person.userId for person in handled),
            "queue": _queue(handled, queued),
            "started_at": None if started is None else moment(started, "UTC"),
            "queue_wait_s": _length(_segments(queued, "interact", "delay")),
            "hold_s": _length(holds) if holds or not handled else 0.0,
            "after_call_work_s": _length(wrapups),
            "handle_time_s": _length(work),
            "disposition": plain(code),
            "labels": _labels(found),
        }
    )


def _labels(found: _Details) -> dict[str, Label] | None:
    """The newest evaluation's total as quality and the newest survey's as CSAT; both are percentages in Genesys.

    Evaluations that were deleted, are not released, or calibrate evaluators are left out.
    """
    labels: dict[str, Label] = {}
    evaluations = [
        (_time(one.eventTime), one.oTotalScore)
        for one in found.evaluations or []
        if not one.deleted and one.released is not False and not one.calibrationId
    ]
    if (score := _newest(evaluations)) is not None:
        labels["quality"] = Label(value={"score": score}, source="human_qa")
    surveys = [(_time(one.surveyCompletedDate or one.eventTime), one.oSurveyTotalScore) for one in found.surveys or []]
    if (score := _newest(surveys)) is not None:
        labels["csat"] = Label(value=round(1 + 4 * score / 100, 2), source="survey", scale=(0, 100), given=score)
    return labels or None


def _newest(scored: Iterable[tuple[datetime | None, float | None]]) -> float | None:
    """The newest score that is a percentage; of those without a time, the last."""
    known = [
        (time.timestamp() if time else 0.0, place, score)
        for place, (time, score) in enumerate(scored)
        if score is not None and 0 <= score <= 100
    ]
    return max(known)[2] if known else None


def _segments(people: Iterable[_Participant], *kinds: str) -> list[_Segment]:
    return [
        segment
        for person in people
        for session in person.sessions or []
        for segment in session.segments or []
        if segment.segmentType in kinds
    ]


def _length(segments: list[_Segment]) -> float | None:
    """Total seconds; None where there is none, or one has no end."""
    lengths = [seconds_after(_time(segment.segmentStart), segment.segmentEnd) for segment in segments]
    known = [length for length in lengths if length is not None]
    return round(sum(known), 3) if lengths and len(known) == len(lengths) else None


def _time(value: str | None) -> datetime | None:
    try:
        return None if value is None else moment(value, "UTC")
    except UserError:
        return None


def _channel(session: _Session) -> Channel | None:
    kinds = (session.messageType, session.mediaType) if session.mediaType == "message" else (session.mediaType,)
    return next((CHANNELS[kind] for name in kinds if (kind := (name or "").casefold()) in CHANNELS), None)


def _customer(customers: list[_Participant]) -> str | None:
    """The external contact, else the customer's address."""
    sessions = [session for person in customers for session in person.sessions or []]
    known: list[str | None] = [person.externalContactId for person in customers]
    for session in sessions:
        out = session.direction == "outbound"
        known += [_address(session.dnis if out else session.ani), session.addressTo if out else session.addressFrom]
        known += session.callbackNumbers or []
    return next(iter(distinct(known)), None)


def _queue(handled: list[_Participant], queued: list[_Participant]) -> str | None:
    """The queue that answered, by name where its participant has one."""
    ids = distinct(segment.queueId for segment in _segments(handled, "interact") or _segments(queued, "interact"))
    for person in queued:
        if (
            person.participantName
            and ids
            and ids[-1] in {segment.queueId for segment in _segments([person], "interact")}
        ):
            return plain(person.participantName)
    return ids[-1] if ids else None


CONTACTS = ContactFormat(PLATFORM, recognise_details, read_details)
