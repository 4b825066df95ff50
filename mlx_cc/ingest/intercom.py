"""Intercom: a conversation with its parts.

The first message is the `source`, which is not among the parts. Bodies are HTML. Notes, ratings and
changes of state are parts too; they are left out.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, field

from mlx_cc.conversation import Channel, Conversation, Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.record import moment
from mlx_cc.ingest.shapes.exports import distinct, each, plain, seconds_after
from mlx_cc.ingest.shapes.html_text import html_text
from mlx_cc.ingest.shapes.objects import Item, shaped
from mlx_cc.ingest.shapes.utterances import Utterance, in_order_if_timed, incoming
from mlx_cc.ingest.source import File

SPOKEN = {"comment", "open", "close", "assignment", "quick_reply", "message"}
CHANNELS: dict[str, Channel] = {
    **dict.fromkeys(("conversation", "chat", "push", "in_app"), "chat"),
    "email": "email",
    "sms": "sms",
    **dict.fromkeys(("phone_call", "phone_switch", "phone"), "voice"),
    **dict.fromkeys(("facebook", "instagram", "twitter", "whatsapp"), "social"),
}
ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "lead", "contact", "visitor"), "customer"),
    **dict.fromkeys(("admin", "team"), "agent"),
    "bot": "bot",
}
UNATTENDED = {"automated", "campaigns_initiated", "operator_initiated"}
"""Delivery of first messages that have an admin's name but were sent automatically."""

Id = str | int | None


class _Author(Struct):
    type: str | None = None
    id: Id = None
    name: str | None = None
    email: str | None = None
    from_ai_agent: bool | None = None


class _Message(Struct):
    type: str | None = None
    part_type: str | None = None
    subject: str | None = None
    body: str | None = None
    author: _Author | None = None
    created_at: float | str | None = None
    delivered_as: str | None = None


class _Parts(Struct):
    conversation_parts: list[_Message] = []


class _Contact(Struct):
    id: Id = None
    external_id: Id = None
    name: str | None = None


class _Contacts(Struct):
    contacts: list[_Contact] = []


class _Rating(Struct):
    rating: float | None = None


class _Conversation(Struct):
    id: Id = None
    created_at: float | str | None = None
    source: _Message | None = None
    first_message: _Message | None = field(default=None, name="conversation_message")
    """The source, before version 2 of the API."""
    contacts: _Contacts | None = None
    user: _Contact | None = None
    admin_assignee_id: Id = None
    team_assignee_id: Id = None
    conversation_parts: _Parts | None = None
    conversation_rating: _Rating | None = None


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by parts of a conversation, or by the type of a list of conversations."""
    if re.search(rb'"type"\s*:\s*"conversation(?:_part)?\.list"', head):
        return True
    if b'"source"' in head and b'"delivered_as"' in head:
        return True
    return b'"conversation_parts"' in head and (b'"source"' in head or b'"part_type"' in head)


def read(file: File, reading: Reading) -> Iterator[Conversation | Incoming | Reject]:
    """The conversations of the file."""
    yield from each(file, lambda item: _conversation(item, reading, file), "conversations", "data")


def _conversation(item: Item, reading: Reading, file: File) -> Incoming:
    found = shaped(item.tree, _Conversation)
    if found.conversation_parts is None:
        raise UserError("has no conversation_parts: a list leaves them out. Export each conversation by its id.")
    source = found.source or found.first_message
    started = None if found.created_at is None else moment(found.created_at, reading.timezone)
    said: list[Utterance] = []
    agents, names = [], []
    for message in [source, *found.conversation_parts.conversation_parts]:
        if message is None or (message is not source and message.part_type not in SPOKEN):
            continue
        author = message.author or _Author()
        role = ROLES.get(author.type or "", "unknown")
        if author.from_ai_agent or (role == "agent" and message.delivered_as in UNATTENDED):
            role = "bot"
        if role != "bot":
            names.append(author.name)
        text = html_text(message.body or "")
        if message is source and message.subject:
            text = "\n".join(filter(None, (html_text(message.subject), text)))
        if not text:
            continue
        agent = plain(author.id) if role == "agent" and author.type == "admin" else None
        agents.append(agent)
        known = None if role == "unknown" else role
        start = 0.0 if message is source and started else seconds_after(started, message.created_at)
        said.append(Utterance(text, known, plain(author.name) or author.type or "unknown", start, agent_id=agent))
    people = [*(found.contacts.contacts if found.contacts else []), *([found.user] if found.user else [])]
    writer = source.author if source and source.author and ROLES.get(source.author.type or "") == "customer" else None
    customers = [known for person in people for known in (person.external_id, person.id)]
    rating = found.conversation_rating.rating if found.conversation_rating else None
    return incoming(
        said,
        {
            "id": plain(found.id),
            "platform": FORMAT.name,
            "channel": CHANNELS.get((source.type or "") if source else "", "unknown"),
            "customer_id": next(iter(distinct([*customers, writer and writer.id])), None),
            "agents": distinct(agents) or distinct([found.admin_assignee_id]),
            "team": plain(found.team_assignee_id),
            "started_at": started,
            "labels": {"csat": {"value": int(rating), "source": "survey"}} if rating in (1, 2, 3, 4, 5) else None,
        },
        reading,
        file,
        item.line,
        FORMAT.name,
        order=in_order_if_timed,
        names=distinct([*names, *(person.name for person in people)]),
    )


FORMAT = Format("intercom", recognise, read)
