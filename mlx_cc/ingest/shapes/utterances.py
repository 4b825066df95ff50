"""Utterances of a platform's transcript, ordered and with valid times, before they become a record."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mlx_cc.conversation import Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Incoming, Reading
from mlx_cc.ingest.record import moment, to_conversation
from mlx_cc.ingest.source import File

LONGEST_S = 366 * 86_400
"""Longest conversation in seconds; a later time is an error."""


class Utterance(NamedTuple):
    """One utterance. Without a role, `voice` is the file's label of the speaker."""

    text: str | None
    role: Role | None
    voice: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    agent_id: str | None = None


def in_order(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Utterances with text, in order of start; one without a start follows the one before it."""
    said: list[tuple[float, Utterance]] = []
    last = 0.0
    for utterance in utterances:
        if utterance.text is None or not utterance.text.strip():
            continue
        last = last if utterance.start_s is None else utterance.start_s
        said.append((last, utterance))
    return [utterance for _, utterance in sorted(said, key=lambda found: found[0])]


def in_order_if_timed(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Utterances with text, in order of start; in the file's order where one has no start."""
    said = [utterance for utterance in utterances if utterance.text and utterance.text.strip()]
    return said if any(utterance.start_s is None for utterance in said) else in_order(said)


def incoming(
    utterances: Iterable[Utterance],
    fields: Mapping[str, Any],
    reading: Reading,
    file: File,
    line: int | None,
    format: str,
    *,
    names: Iterable[str | None] = (),
    keys: Iterable[str | None] = (),
    order: Callable[[Iterable[Utterance]], list[Utterance]] = in_order,
) -> Incoming:
    """A conversation of utterances, in order.

    Utterances without text are left out, and so are ends before their start.

    Args:
        fields: fields of the record, without turns; None and empty text count as missing.
        names: names of people; empty ones are dropped.
        keys: other ids of the contact, likewise.
        order: sorts the utterances and leaves out those without text.

    Raises:
        UserError: no utterance has text, or a field has a wrong value.
    """
    said = order(utterances)
    if not said:
        raise UserError("has no turn with text. Leave it out or export it again.")
    tree = {name: value for name, value in fields.items() if value is not None and value != ""}
    tree["turns"] = [_turn(utterance) for utterance in said]
    conversation = to_conversation(tree, reading, file, line, format)
    unsaid = any(utterance.role is None for utterance in said)
    return Incoming(
        conversation,
        names=tuple(dict.fromkeys(name.strip() for name in names if name and name.strip())),
        keys=tuple(dict.fromkeys(key for key in keys if key and key != conversation.id)),
        speakers=tuple(u.voice if u.role is None else None for u in said) if unsaid else (),
    )


def seconds(value: Any, per_second: float = 1, longest: float = LONGEST_S) -> float | None:
    """A time or duration, written as a number or as text, in seconds; None when it is none."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value) / per_second
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and 0 <= found <= longest else None


def named_moment(value: Any, name: str, timezone: str | None) -> Any:
    """`moment`, with the export's name of the field in errors; None where there is no time."""
    if value is None or value == "":
        return None
    try:
        return moment(value, timezone)
    except UserError as fault:
        raise UserError(str(fault).replace("started_at", name, 1)) from fault


def _turn(utterance: Utterance) -> dict[str, Any]:
    start, end = utterance.start_s, utterance.end_s
    turn: dict[str, Any] = {"role": utterance.role or "unknown", "text": (utterance.text or "").strip()}
    if start is not None:
        turn["start_s"] = start
    if end is not None and (start is None or end >= start):
        turn["end_s"] = end
    if utterance.agent_id:
        turn["agent_id"] = utterance.agent_id
    return turn
