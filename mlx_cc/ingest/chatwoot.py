"""Chatwoot: conversations with their messages, or a page of the messages of one conversation.

Private notes, activities (`Ann was assigned`) and the survey's question are left out; the customer's
answer to the survey is the csat.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from mlx_cc.conversation import Channel, Conversation, Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.jsonl_map import at
from mlx_cc.ingest.record import moment
from mlx_cc.ingest.shapes.exports import distinct, each, plain, seconds_after
from mlx_cc.ingest.shapes.objects import Item, shaped
from mlx_cc.ingest.shapes.utterances import Utterance, in_order_if_timed, incoming
from mlx_cc.ingest.source import File

KINDS: dict[Any, str] = dict(enumerate(("incoming", "outgoing", "activity", "template")))
CHANNELS: dict[str, Channel] = {
    **dict.fromkeys(("webwidget", "livechat"), "chat"),
    "email": "email",
    "sms": "sms",
    "voice": "voice",
    **dict.fromkeys(
        ("facebookpage", "instagram", "twitterprofile", "whatsapp", "telegram", "line", "tiktok"), "social"
    ),
}
SURVEY = "submitted_values.csat_survey_response.rating"

Id = str | int | None


class _Person(Struct):
    id: Id = None
    name: str | None = None
    available_name: str | None = None
    email: str | None = None
    phone_number: str | None = None
    identifier: Id = None
    type: str | None = None


class _Message(Struct):
    conversation_id: Id = None
    content: str | None = None
    content_type: str | int | None = None
    content_attributes: dict[str, Any] | None = None
    message_type: str | int | None = None
    created_at: float | str | None = None
    private: bool | None = None
    sender_type: str | None = None
    sender_id: Id = None
    sender: _Person | None = None


class _Team(Struct):
    name: str | None = None


class _Meta(Struct):
    sender: _Person | None = None
    contact: _Person | None = None
    assignee: _Person | None = None
    team: _Team | None = None
    channel: str | None = None


class _Conversation(Struct):
    id: Id = None
    uuid: str | None = None
    channel: str | None = None
    inbox_id: Id = None
    created_at: float | str | None = None
    additional_attributes: dict[str, Any] | None = None
    meta: _Meta | None = None
    messages: list[_Message] | None = None
    page: list[_Message] | None = field(default=None, name="payload")


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by messages with the keys of Chatwoot, or by an answer to its survey."""
    if b'"csat_survey_response"' in head:
        return True
    mine = (b'"inbox_id"', b'"account_id"', b'"conversation_id"', b'"Contact"', b'"contact_inbox"')
    return b'"message_type"' in head and b'"content_type"' in head and any(name in head for name in mine)


def read(file: File, reading: Reading) -> Iterator[Conversation | Incoming | Reject]:
    """The conversations of the file."""
    make = lambda item: _conversation(item, reading, file)  # noqa: E731
    yield from each(file, make, "data.payload", "payload", "conversations", whole=_is_page)


def _is_page(tree: dict[str, Any]) -> bool:
    """Whether a payload is the messages of one conversation rather than a list of conversations."""
    payload = tree.get("payload")
    return isinstance(payload, list) and any(isinstance(item, dict) and "message_type" in item for item in payload)


def _conversation(item: Item, reading: Reading, file: File) -> Incoming:
    tree = item.tree
    if "messages" not in tree and "payload" not in tree:
        if at(tree, f"message.{SURVEY}") is not None or at(tree, f"content_attributes.{SURVEY}") is not None:
            raise UserError(
                "is an answer to the survey alone, without conversation. Export the conversation with its messages; "
                "the answer is in them."
            )
        raise UserError("has no messages. Export the conversation with its messages.")
    found = shaped(item.tree, _Conversation)
    meta = found.meta or _Meta()
    messages = [*(found.messages or []), *(found.page or [])]
    spoken = [message for message in messages if _spoken(message)]
    times = [found.created_at, *(message.created_at for message in spoken)]
    told = next((time for time in times if time is not None), None)
    started = None if told is None else moment(told, reading.timezone)
    said: list[Utterance] = []
    for message in spoken:
        role = _role(message)
        agent = plain(message.sender_id) or (message.sender and plain(message.sender.id))
        said.append(
            Utterance(
                message.content,
                None if role == "unknown" else role,
                "outgoing",
                seconds_after(started, message.created_at),
                agent_id=agent if role == "agent" else None,
            )
        )
    said = in_order_if_timed(said)
    customer = meta.sender or meta.contact or _customer(spoken)
    ids = [found.id, *(message.conversation_id for message in messages)]
    channel = re.sub(r"^channel::|[_ ]", "", (found.channel or meta.channel or "").casefold())
    ratings = [rating for message in messages if (rating := _rating(message)) is not None]
    people = [customer, meta.assignee, *(m.sender for m in messages if _kind(m) == "incoming" or _by(m) == "user")]
    return incoming(
        said,
        {
            "id": next(iter(distinct(ids)), None),
            "platform": FORMAT.name,
            "channel": CHANNELS.get(channel, "unknown"),
            "language": plain(at(found.additional_attributes, "conversation_language")),
            "customer_id": _known_by(customer) if customer else None,
            "agents": distinct(found.agent_id for found in said) or distinct([meta.assignee and meta.assignee.id]),
            "team": plain(meta.team.name) if meta.team else None,
            "queue": plain(found.inbox_id),
            "started_at": started,
            "labels": {"csat": {"value": ratings[-1], "source": "survey"}} if ratings else None,
        },
        reading,
        file,
        item.line,
        FORMAT.name,
        order=in_order_if_timed,
        names=distinct(name for person in people if person for name in (person.name, person.available_name)),
        keys=distinct([found.uuid]),
    )


def _kind(message: _Message) -> str:
    return KINDS.get(message.message_type) or str(message.message_type)


def _by(message: _Message) -> str:
    """Type of the sender, in lower case: contact, user, agentbot, captain::assistant; empty when there is none."""
    return (message.sender_type or (message.sender and message.sender.type) or "").replace("_", "").casefold()


def _spoken(message: _Message) -> bool:
    """Whether it is a message between agent and customer."""
    return (
        _kind(message) in ("incoming", "outgoing", "template")
        and not message.private
        and message.content_type != "input_csat"
        and not at(message.content_attributes, "deleted")
        and bool((message.content or "").strip())
    )


def _role(message: _Message) -> Role:
    if _kind(message) == "incoming":
        return "customer"
    if _kind(message) == "template" or "bot" in _by(message) or "captain" in _by(message):
        return "bot"
    if at(message.content_attributes, "automation_rule_id") is not None:
        return "bot"
    return "agent" if _by(message) == "user" else "unknown"


def _rating(message: _Message) -> int | None:
    rating = at(message.content_attributes, SURVEY)
    rating = int(rating) if isinstance(rating, str) and rating.strip() in ("1", "2", "3", "4", "5") else rating
    return rating if isinstance(rating, int) and not isinstance(rating, bool) and 1 <= rating <= 5 else None


def _customer(messages: list[_Message]) -> _Person | None:
    return next((message.sender for message in messages if _kind(message) == "incoming" and message.sender), None)


def _known_by(person: _Person) -> str | None:
    return next(iter(distinct([person.identifier, person.email, person.phone_number, person.id])), None)


FORMAT = Format("chatwoot", recognise, read)
