"""Twilio Conversational Intelligence: a transcript resource with its sentences, or the sentences alone.

Sentences can be in the resource (`sentences`, a list or a page of the API) or beside it
(`{"transcript": {...}, "sentences": [...]}`); pages of one transcript in one file are joined.
`channel.participants` has the agent's channel; without it the roles are unknown. The time at which the
transcript was created is not the time of the call. A resource without sentences is read as a contact.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from mlx_cc.conversation import Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.contacts import Contact, to_contact
from mlx_cc.ingest.format import ContactFormat, Format, Incoming, Reading, Reject
from mlx_cc.ingest.shapes.exports import each
from mlx_cc.ingest.shapes.objects import Item, objects, shaped, snake_keys
from mlx_cc.ingest.shapes.utterances import Utterance, incoming, named_moment, seconds
from mlx_cc.ingest.source import File

NAME = "twilio"
ROLES: dict[str, Role] = {"agent": "agent", "customer": "customer"}
CHANNELS = {"messaging": "chat", "chat": "chat", "sms": "sms", "email": "email"}
SENTENCE = re.compile(rb'"(?:media_channel|mediaChannel)"')
SENTENCE_KEYS = re.compile(rb'"(?:sentence_index|sentenceIndex|sentences|transcript_sid|transcriptSid)"')
RESOURCE = re.compile(rb'"sid"\s*:\s*"GT[0-9a-zA-Z]{32}"')
RESOURCE_KEYS = re.compile(rb'"(?:media_start_time|mediaStartTime|customer_key|customerKey|data_logging|dataLogging)"')
TRANSCRIPT_SID = re.compile(r"GT[0-9a-zA-Z]{32}")


class Sentence(Struct, frozen=True):
    media_channel: str | int | None = None
    sentence_index: Any = None
    start_time: Any = None
    end_time: Any = None
    transcript: str | None = None
    transcript_sid: str | None = None


class Participant(Struct, frozen=True):
    channel_participant: str | int | None = None
    role: str | None = None
    user_id: str | int | None = None
    full_name: str | None = None
    email: str | None = None


class Media(Struct, frozen=True):
    source_sid: str | None = None


class Channel(Struct, frozen=True):
    participants: list[Participant] | None = None
    media_properties: Media | None = None
    type: str | None = None


class Transcript(Struct, frozen=True):
    """The transcript resource."""

    sid: str | None = None
    language_code: str | None = None
    media_start_time: str | int | float | None = None
    customer_key: str | None = None
    channel: Channel | None = None


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a media channel with the keys of a sentence or a transcript."""
    return bool(SENTENCE.search(head) and SENTENCE_KEYS.search(head))


def read(file: File, reading: Reading) -> Iterator[Incoming | Reject]:
    """One conversation per transcript."""
    found: dict[str, tuple[Item, Transcript, list[Sentence]]] = {}
    for item in objects(file):
        if isinstance(item, Reject):
            yield item
            continue
        try:
            transcript, sentences = _parts(item, file)
        except UserError as fault:
            yield item.reject(file, str(fault))
            continue
        name = transcript.sid or file.stem
        first, known, before = found.get(name, (item, transcript, []))
        before += sentences
        found[name] = first, known if known.channel else transcript, before
    for name, (item, transcript, sentences) in found.items():
        try:
            yield _conversation(name, transcript, sentences, file, item, reading)
        except UserError as fault:
            yield item.reject(file, str(fault))


def _parts(item: Item, file: File) -> tuple[Transcript, list[Sentence]]:
    """The resource (only its sid where it is missing) and its sentences."""
    tree = snake_keys(item.tree, 5)
    if "media_channel" in tree:
        sentence = shaped(tree, Sentence)
        return Transcript(sid=sentence.transcript_sid), [sentence]
    resource = tree.get("transcript")
    resource = resource if isinstance(resource, dict) else tree
    page = tree.get("sentences", resource.get("sentences"))
    listed, meta = (page.get("sentences"), page.get("meta")) if isinstance(page, dict) else (page, tree.get("meta"))
    sentences = shaped(listed if listed is not None else [], list[Sentence])
    transcript = shaped(resource, Transcript)
    if transcript.sid is None:
        url = meta.get("url") if isinstance(meta, dict) else None
        named = TRANSCRIPT_SID.search(url) if isinstance(url, str) else None
        told = next((sentence.transcript_sid for sentence in sentences if sentence.transcript_sid), None)
        transcript = structs.replace(transcript, sid=named[0] if named else told)
    return transcript, sentences


def _conversation(
    name: str, transcript: Transcript, sentences: list[Sentence], file: File, item: Item, reading: Reading
) -> Incoming:
    if not sentences:
        raise UserError("has no sentences. Export the transcript's sentences into `sentences`.")
    channel = transcript.channel or Channel()
    people = {str(p.channel_participant): p for p in channel.participants or () if p.channel_participant is not None}
    utterances = []
    for sentence in sorted(sentences, key=lambda s: seconds(s.sentence_index) or 0):
        voice = None if sentence.media_channel is None else str(sentence.media_channel)
        person = people.get(voice or "")
        role = _role(person)
        utterances.append(
            Utterance(
                sentence.transcript,
                role,
                voice,
                seconds(sentence.start_time),
                seconds(sentence.end_time),
                _text(person.user_id) if person and role == "agent" else None,
            )
        )
    fields = {
        "id": name,
        "platform": NAME,
        "channel": _channel(channel),
        "language": transcript.language_code,
        "started_at": named_moment(transcript.media_start_time, "media_start_time", reading.timezone),
        "agents": _agents(channel),
        "customer_id": _customer(channel),
    }
    names = [person.full_name for person in channel.participants or ()]
    keys = _keys(transcript)
    return incoming(utterances, fields, reading, file, item.line, NAME, names=names, keys=keys)


def _role(person: Participant | None) -> Role | None:
    return ROLES.get((person.role or "").casefold()) if person else None


def _channel(channel: Channel) -> str:
    """Voice, unless the channel says otherwise: transcripts are made from recordings."""
    return CHANNELS.get(channel.type or "", "voice")


def _agents(channel: Channel) -> list[str] | None:
    people = channel.participants or ()
    return list(dict.fromkeys(u for p in people if _role(p) == "agent" and (u := _text(p.user_id)))) or None


def _customer(channel: Channel) -> str | None:
    customers = [person for person in channel.participants or () if _role(person) == "customer"]
    return next((found for p in customers if (found := _text(p.user_id) or p.email)), None)


def _keys(transcript: Transcript) -> tuple[str | None, ...]:
    """Ids of the recording, and the key that Twilio's customer set for the transcript."""
    media = transcript.channel and transcript.channel.media_properties
    return media.source_sid if media else None, transcript.customer_key


def _text(value: str | int | None) -> str | None:
    return None if value is None or value == "" else str(value)


FORMAT = Format(NAME, recognise, read)


def recognise_resource(path: Path, head: bytes) -> bool:
    """A transcript resource without sentences."""
    return bool(RESOURCE.search(head) and RESOURCE_KEYS.search(head)) and not SENTENCE.search(head)


def read_resources(file: File, reading: Reading) -> Iterator[Contact | Reject]:
    """One contact per transcript resource, single or in a page."""
    yield from each(file, lambda item: _contact(shaped(snake_keys(item.tree, 5), Transcript), reading), "transcripts")


def _contact(transcript: Transcript, reading: Reading) -> Contact:
    if transcript.sid is None:
        raise UserError("has no sid. Export the transcript resource again.")
    channel = transcript.channel or Channel()
    return to_contact(
        {
            "id": transcript.sid,
            "keys": [key for key in _keys(transcript) if key],
            "names": [person.full_name for person in channel.participants or () if person.full_name],
            "platform": NAME,
            "channel": _channel(channel),
            "language": transcript.language_code,
            "started_at": named_moment(transcript.media_start_time, "media_start_time", reading.timezone),
            "agents": _agents(channel),
            "customer_id": _customer(channel),
        }
    )


CONTACTS = ContactFormat(NAME, recognise_resource, read_resources)
