"""Zendesk Chat: chats with their history, and messages left while nobody was online."""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from mlx_cc.conversation import Conversation, Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.record import moment
from mlx_cc.ingest.shapes.exports import distinct, each, plain, seconds_after
from mlx_cc.ingest.shapes.objects import Item, shaped
from mlx_cc.ingest.shapes.utterances import Utterance, in_order_if_timed, incoming
from mlx_cc.ingest.source import File

ROLES: dict[str, Role] = {
    "visitor": "customer",
    "agent": "agent",
    **dict.fromkeys(("trigger", "bot", "answerbot", "answer_bot"), "bot"),
    "system": "system",
}
RATINGS = {"good": (5, 1.0), "bad": (1, 0.0)}
"""Zendesk's rating -> CSAT 1-5, and the value on Zendesk's own scale of two."""

Id = str | int | None


class _Event(Struct):
    type: str | None = None
    msg: str | None = None
    sender_type: str | None = None
    agent_id: Id = None
    nick: str | None = None
    name: str | None = None
    display_name: str | None = None
    timestamp: str | float | None = None


class _Visitor(Struct):
    id: Id = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None


class _Chat(Struct):
    id: Id = None
    type: str | None = None
    timestamp: str | float | None = None
    message: str | None = None
    history: list[_Event] | None = None
    visitor: _Visitor | None = None
    department_name: Id = None
    department_id: Id = None
    agent_ids: list[Id] | None = None
    agent_names: list[Id] | dict[str, Id] | None = None
    started_by: str | None = None
    rating: str | None = None
    zendesk_ticket_id: Id = None


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a history of chat events, or by a message that a visitor left offline."""
    if b'"history"' in head and (b'"chat.msg"' in head or b'"chat.memberjoin"' in head):
        return True
    return b'"visitor"' in head and (b'"offline_msg"' in head or b'"history"' in head)


def read(file: File, reading: Reading) -> Iterator[Conversation | Incoming | Reject]:
    """The chats of the file."""
    yield from each(file, lambda item: _chat(item, reading, file), "chats", "docs")


def _chat(item: Item, reading: Reading, file: File) -> Incoming:
    chat = shaped(item.tree, _Chat)
    visitor = chat.visitor or _Visitor()
    events = chat.history or []
    if chat.history is None and chat.type != "offline_msg":
        raise UserError("has no history. Export the chat by its id.")
    times = [chat.timestamp, *(event.timestamp for event in events)]
    told = next((time for time in times if time is not None), None)
    started = None if told is None else moment(told, reading.timezone)
    said: list[Utterance] = []
    names = [visitor.name]
    joined: list[float | None] = []
    for event in events:
        role, name = _role(event), event.display_name or event.name
        since = seconds_after(started, event.timestamp)
        if role in ("agent", "customer"):
            names.append(name)
        if event.type == "chat.memberjoin" and role == "agent":
            joined.append(since)
        if event.type == "chat.msg":
            known = None if role == "unknown" else role
            agent = _agent(event) if role == "agent" else None
            said.append(Utterance(event.msg, known, plain(name) or "unknown", since, agent_id=agent))
    said = in_order_if_timed(said)
    if chat.type == "offline_msg" and not said:
        said.append(Utterance(chat.message, "customer"))
    score = RATINGS.get((chat.rating or "").casefold())
    label = score and {"value": score[0], "source": "survey", "scale": (0.0, 1.0), "given": score[1]}
    agent_names = chat.agent_names or []
    return incoming(
        said,
        {
            "id": plain(chat.id),
            "platform": FORMAT.name,
            "channel": "chat",
            "customer_id": plain(visitor.email) or plain(visitor.phone) or plain(visitor.id),
            "agents": distinct(found.agent_id for found in said) or distinct(chat.agent_ids or []),
            "queue": plain(chat.department_name) or plain(chat.department_id),
            "queue_wait_s": joined[0] if joined and (chat.started_by or "visitor") == "visitor" else None,
            "started_at": started,
            "labels": {"csat": label} if label else None,
        },
        reading,
        file,
        item.line,
        FORMAT.name,
        order=in_order_if_timed,
        names=(
            name
            for name in distinct([*names, *(agent_names.values() if isinstance(agent_names, dict) else agent_names)])
            if not re.fullmatch(r"(?:Visitor|Besucher|Visiteur|Visitante)\s*#?\d*", name)
        ),
        keys=distinct([chat.zendesk_ticket_id]),
    )


def _role(event: _Event) -> Role:
    """Role by the type of sender; in older exports by the nick (`agent:17`, `visitor:...`) or the agent's id."""
    kind = (event.sender_type or "").replace(" ", "").casefold()
    if kind in ROLES:
        return ROLES[kind]
    side, _, who = (event.nick or "").casefold().partition(":")
    if side == "agent" and who in ("trigger", "system"):
        return ROLES[who]
    return ROLES.get(side) or ("agent" if plain(event.agent_id) else "unknown")


def _agent(event: _Event) -> str | None:
    side, _, who = (event.nick or "").partition(":")
    return plain(event.agent_id) or (plain(who) if side == "agent" else None)


FORMAT = Format("zendesk_chat", recognise, read)
