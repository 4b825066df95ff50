"""What an index holds: three entries a conversation, with what they can be filtered by.

ID#conversation   all that was said; an embedder reads its beginning, word search all of it
ID#problem        what the customer said first
ID#resolution     how it ended
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, get_args

from mlx_cc.conversation import Conversation, Turn
from mlx_cc.prompt import NAMES

Part = Literal["conversation", "problem", "resolution"]
PARTS: tuple[Part, ...] = ("conversation", "problem", "resolution")
FIRST, LAST = 3, 4
"""Turns of the customer that make the problem, and last turns that make the resolution."""

SEARCHED: tuple[Part, ...] = ("conversation", "problem")
"""Entries that are searched unless others are named: how a contact ended says little about its subject."""
Mode = Literal["hybrid", "dense", "words"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""Rankings: both fused, vectors alone, words alone."""
COLLECTION = "contact_center_transcripts"

Metadata = dict[str, str | float]


class Field(NamedTuple):
    """A field that an index can be filtered by."""

    kind: Literal["text", "number", "time"]
    meaning: str


FIELDS: dict[str, Field] = {
    "conversation_id": Field("text", "id of the conversation"),
    "part": Field("text", "conversation, problem or resolution"),
    "quality_score": Field("number", "0-100, from the label quality"),
    "csat_score": Field("number", "1-5, from the label csat"),
    "churn_risk": Field("number", "0-100, from the label churn"),
    "issue": Field("text", "issue class, from the label issue"),
    "journey_type": Field("text", "from the label journey"),
    "contact_role": Field("text", "from the label journey"),
    "resolution_status": Field("text", "resolved, partial or unresolved, from the label resolution"),
    "label_sources": Field("text", "who gave the labels: task:source, comma-separated"),
    "platform": Field("text", "where it was exported from"),
    "channel": Field("text", "voice, chat, email, sms or social"),
    "language": Field("text", "BCP 47"),
    "queue": Field("text", "queue"),
    "team": Field("text", "team"),
    "agent": Field("text", "the first agent's id"),
    "customer_id": Field("text", "the customer's pseudonym"),
    "thread": Field("text", "id of the first contact of a chain of follow-ups"),
    "started_at": Field("time", "start; a filter takes ISO 8601 or seconds since 1970"),
    "turns": Field("number", "how many turns"),
    "split": Field("text", "train, validation or test, from the name of the file"),
}
"""Name -> what it is. A field that a conversation lacks is left out."""


class Entry(NamedTuple):
    """One row of an index."""

    id: str
    text: str
    metadata: Metadata
    """With `text_hash` and `hash`: whether the vector, and whether the row, is current."""


def entry_id(conversation_id: str, part: Part) -> str:
    """The id of a conversation's entry."""
    return f"{conversation_id}#{part}"


def conversation_of(entry: str) -> str:
    """The id of the conversation that an entry's id belongs to."""
    return entry.rpartition("#")[0]


def part_of(entry: str) -> str:
    """Which part of its conversation an entry is."""
    return entry.rpartition("#")[2]


def problem(conversation: Conversation) -> str:
    """What the customer said first; the first turns where nobody is known to be the customer."""
    said = [turn.text for turn in conversation.turns if turn.role == "customer" and turn.text]
    return "\n".join((said or [turn.text for turn in conversation.turns if turn.text])[:FIRST])


def spoken(turns: Iterable[Turn]) -> str:
    """Turns as lines `Agent: ...`, those without text left out."""
    return "\n".join(f"{NAMES[turn.role]}: {' '.join(turn.text.split())}" for turn in turns if turn.text)


def entries(conversation: Conversation, thread: str, split: str | None = None) -> list[Entry]:
    """The entries of a conversation.

    Args:
        thread: id of the first contact of its chain.
        split: its split, where it is known.
    """
    texts = {
        "conversation": spoken(conversation.turns),
        "problem": problem(conversation),
        "resolution": spoken(conversation.turns[-LAST:]),
    }
    known = metadata(conversation, thread, split)
    return [_entry(conversation.id, part, texts[part], {**known, "part": part}) for part in PARTS]


def _entry(conversation_id: str, part: Part, text: str, known: Metadata) -> Entry:
    text = text or "(nothing was said)"
    whole = repr(sorted(known.items()))
    hashes: Metadata = {"text_hash": _hash(text), "hash": _hash(text + "\n" + whole)}
    return Entry(entry_id(conversation_id, part), text, known | hashes)


def _hash(text: str) -> str:
    return blake2b(text.encode(errors="replace"), digest_size=12).hexdigest()


def metadata(conversation: Conversation, thread: str, split: str | None = None) -> Metadata:
    """What a conversation can be filtered by; numbers as float, since an index tells them from whole ones."""
    quality, journey = conversation.label("quality"), conversation.label("journey")
    csat, churn = conversation.label("csat"), conversation.label("churn")
    found: dict[str, Any] = {
        "conversation_id": conversation.id,
        "quality_score": quality.get("score") if isinstance(quality, dict) else None,
        "csat_score": csat,
        "churn_risk": churn,
        "issue": conversation.label("issue"),
        "journey_type": journey.get("type") if isinstance(journey, dict) else None,
        "contact_role": journey.get("contact_role") if isinstance(journey, dict) else None,
        "resolution_status": conversation.label("resolution"),
        "label_sources": ",".join(f"{name}:{label.source}" for name, label in sorted(conversation.labels.items())),
        "platform": conversation.platform,
        "channel": conversation.channel,
        "language": conversation.language,
        "queue": conversation.queue,
        "team": conversation.team,
        "agent": next(iter(conversation.agents), None),
        "customer_id": conversation.customer_id,
        "thread": thread,
        "started_at": conversation.started_at.timestamp() if conversation.started_at else None,
        "turns": len(conversation.turns),
        "split": split,
    }
    return {
        name: float(value) if FIELDS[name].kind != "text" else str(value)
        for name, value in found.items()
        if value is not None and value != ""
    }


def thread_of(conversation_id: str, previous: Mapping[str, str]) -> str:
    """Id of the first contact of a conversation's chain.

    Args:
        previous: id -> id of the contact before it. A chain that is a circle ends where it would repeat.
    """
    seen = {conversation_id}
    while (before := previous.get(conversation_id)) is not None and before not in seen:
        seen.add(before)
        conversation_id = before
    return conversation_id
