"""Make checked records from the data of an export."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import msgspec

from mlx_cc.conversation import Conversation, Turn, check
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Reading
from mlx_cc.ingest.roles import role_of, unknown_speaker
from mlx_cc.ingest.source import File

FIELDS = {found.name for found in msgspec.structs.fields(Conversation)} - {"provenance"}
ALIASES = {"conversation_id": "id", "transcript": "turns", "agent_id": "agents"}
LONGEST_TURN = 4_000_000
"""Characters; a longer turn is an attachment, not a message."""
TURN_FIELDS = {found.name for found in msgspec.structs.fields(Turn)}
TURN_ALIASES = {"speaker": "role", "content": "text", "utterance": "text"}


def to_conversation(
    tree: Mapping[str, Any], reading: Reading, file: File, line: int | None, format: str, *, strict: bool = True
) -> Conversation:
    """A record from an object with the record's keys or their aliases.

    Args:
        tree: the object; `turns` is a list of objects or the transcript as text.
        reading: defaults for what it does not say; counts keys that are not used.
        file: the input file it was read from.
        line: counted from 1.
        format: a format's name.
        strict: False also accepts numbers, times and booleans written as text.

    Raises:
        UserError: a key is missing, or a value does not fit its field.
    """
    fields: dict[str, Any] = {}
    for key, value in tree.items():
        name = ALIASES.get(key, key)
        if name not in FIELDS:
            reading.ignored[key] += 1
        elif value is not None:
            if name in fields:
                raise UserError(f"has more than one key for {name}. Leave one out.")
            fields[name] = value
    if isinstance(fields.get("id"), int):
        fields["id"] = str(fields["id"])
    if isinstance(fields.get("agents"), str):
        fields["agents"] = [fields["agents"]]
    for name, default in (("timezone", reading.timezone), ("country", reading.country)):
        if default is not None:
            fields.setdefault(name, default)
    if "id" not in fields:
        raise UserError("has no conversation_id (or id).")
    if "turns" not in fields:
        raise UserError("has neither turns nor transcript.")
    if isinstance(fields["turns"], str):
        from mlx_cc.ingest.text import turns_of

        fields["turns"] = turns_of(fields["turns"], reading)
    elif isinstance(fields["turns"], list):
        fields["turns"] = [_turn(n, turn, reading) for n, turn in enumerate(fields["turns"], 1)]
    if fields.get("timezone") is not None:
        zone(fields["timezone"])
    if "started_at" in fields:
        fields["started_at"] = moment(fields["started_at"], fields.get("timezone"))
    fields["provenance"] = {"file": str(file.path), "line": line, "format": format}
    try:
        conversation = msgspec.convert(fields, Conversation, strict=strict)
    except msgspec.ValidationError as fault:
        raise UserError(in_words(fault)) from fault
    return sound(conversation)


def sound(conversation: Conversation) -> Conversation:
    """The conversation, unchanged, if it is valid.

    Raises:
        UserError: it has no turn with text, times that run backwards, null characters or a turn too long.
    """
    check(conversation)
    for number, turn in enumerate(conversation.turns, 1):
        if "\0" in turn.text:
            raise UserError(f"turn {number} has null characters. Remove them.")
        if len(turn.text) > LONGEST_TURN:
            raise UserError(
                f"turn {number} has {len(turn.text)} characters, more than a turn can have ({LONGEST_TURN}). "
                "Is it an attachment? Remove it."
            )
    return conversation


def _turn(number: int, turn: Any, reading: Reading) -> dict[str, Any]:
    if not isinstance(turn, dict):
        raise UserError(f"turn {number} is not an object with role and text.")
    fields: dict[str, Any] = {}
    for key, value in turn.items():
        name = TURN_ALIASES.get(key, key)
        if name in TURN_FIELDS:
            fields[name] = value
        else:
            reading.ignored[f"turns.{key}"] += 1
    label = fields.get("role")
    role = label if label == "unknown" else (role_of(label) if isinstance(label, str) else None) or reading.default_role
    if role is None:
        raise UserError(f"turn {number}: {unknown_speaker(label)}")
    fields["role"] = role
    return fields


def in_words(fault: msgspec.ValidationError) -> str:
    """A validation error in words, with turns counted from 1 and the allowed values."""
    message, _, place = str(fault).partition(" - at `$")
    place = re.sub(r"^\.?turns\[(\d+)\]\.?", lambda found: f"turn {int(found[1]) + 1} ", place.rstrip("`")).lstrip(".")
    hint = get_type_hints(Conversation).get(place)
    allowed = f" (one of {', '.join(get_args(hint))})" if get_origin(hint) is Literal else ""
    return f"{place.strip() or 'record'}: {message[:1].lower()}{message[1:]}{allowed}."


@cache
def zone(name: Any) -> ZoneInfo:
    """The time zone of an IANA name.

    Raises:
        UserError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, TypeError, LookupError) as fault:
        raise UserError(f"no time zone {name!r}. Use an IANA name such as America/Chicago.") from fault


def moment(value: Any, timezone: str | None) -> datetime:
    """An aware time from ISO 8601 text or seconds (or milliseconds) since 1970.

    Raises:
        UserError: it is neither, or is a local time without a known time zone.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError, OSError) as fault:
        raise UserError(f"started_at: {value!r} is not a time. Write it as 2025-03-10T14:05:12-05:00.") from fault
    if found.tzinfo is not None:
        return found
    if timezone is None:
        raise UserError(f"started_at: {value} has no time zone. Add its offset, or pass --timezone.")
    return found.replace(tzinfo=zone(timezone))
