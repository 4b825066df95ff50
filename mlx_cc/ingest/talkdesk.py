"""Talkdesk Explore: the calls report (both versions) and the contacts report, as JSON or CSV.

The calls report has times in UTC and durations in seconds; its legacy version, until 2026, has local
times and durations as fractions of a day. The contacts report has a row for each leg of an
interaction; the legs become one contact.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mlx_cc.conversation import Channel
from mlx_cc.errors import UserError
from mlx_cc.ingest.contacts import Contact, to_contact
from mlx_cc.ingest.format import ContactFormat, Reading, Reject
from mlx_cc.ingest.shapes.exports import distinct, plain
from mlx_cc.ingest.shapes.rows import number, seconds, when
from mlx_cc.ingest.shapes.tables import Told, columns, each_row
from mlx_cc.ingest.source import File

PLATFORM = "talkdesk"
CALLS = {"callsid", "talkdesk_phone_number", "talkdesk_phone_display_name", "handling_user_id", "ring_groups"}
LEGS = {"hard_hold_time", "soft_hold_time", "after_call_work_time", "handling_ring_groups"}
KNOWN = {"call_id", "interaction_id", "contact_id"} | CALLS | LEGS
CHANNELS: dict[str, Channel] = {
    **dict.fromkeys(("voice", "phone", "call"), "voice"),
    **dict.fromkeys(("chat", "live chat", "webchat"), "chat"),
    "email": "email",
    "sms": "sms",
    **dict.fromkeys(("whatsapp", "facebook messenger"), "social"),
}
SUMS = ("queue_wait_s", "hold_s", "after_call_work_s", "handle_time_s")
DAY_S = 86_400


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by the id of a call, or of an interaction and its contacts, with two columns of Talkdesk."""
    named = columns(head, KNOWN)
    if "call_id" in named:
        return len(named & CALLS) >= 2
    return {"interaction_id", "contact_id"} <= named and len(named & LEGS) >= 2


def read(file: File, reading: Reading) -> Iterator[Contact | Reject]:
    """A contact for each call, or for all legs of an interaction."""
    in_legs = "call_id" not in columns(file.head, KNOWN)
    joined: dict[str, Contact] = {}
    for found in each_row(file, lambda told: _contact(told, reading), KNOWN, "entries"):
        if isinstance(found, Reject) or not in_legs:
            yield found
        else:
            joined[found.id] = _joined(joined[found.id], found) if found.id in joined else found
    yield from joined.values()


def _contact(told: Told, reading: Reading) -> Contact:
    row = told.cells
    contact_id = plain(row.get("call_id")) or plain(row.get("interaction_id"))
    if contact_id is None:
        raise UserError("has no call_id or interaction id.")
    legacy = "start_time" in row and "start_at" not in row
    started = next((v for name in ("start_at", "started_at", "start_time") if (v := plain(row.get(name)))), None)

    def duration(name: str) -> float | None:
        if name not in row:
            return None
        fraction = legacy and ":" not in str(row[name])
        known = seconds(str(row[name]), DAY_S if fraction else 1)
        if known is None or (fraction and known >= DAY_S):
            reading.ignored[f"{name} (not a duration)"] += 1
            return None
        return float(round(known)) if fraction else known

    hold = duration("hold_time")
    if hold is None:
        holds = [held for name in ("hard_hold_time", "soft_hold_time") if (held := duration(name)) is not None]
        hold = sum(holds) if holds else None
    channel = (plain(row.get("channel")) or "voice").casefold()
    return to_contact(
        {
            "id": contact_id,
            "keys": distinct(row.get(name) for name in ("callsid", "contact_id")),
            "names": distinct(row.get(name) for name in ("user_name", "handling_user_name", "contact_name")),
            "platform": PLATFORM,
            "channel": CHANNELS.get(channel, "unknown"),
            "customer_id": plain(row.get("contact_phone_number")) or plain(row.get("contact_person_number")),
            "agents": distinct([plain(row.get("handling_user_id")) or row.get("user_id")]),
            "team": plain(row.get("team_name")),
            "queue": _groups(row.get("handling_ring_groups")) or _groups(row.get("ring_groups")),
            "started_at": started and when(re.sub(r"\s*UTC$", "+00:00", started), reading.timezone, told.month_first),
            "queue_wait_s": duration("wait_time"),
            "hold_s": hold,
            "after_call_work_s": duration("after_call_work_time"),
            "handle_time_s": duration("handle_time"),
            "disposition": plain(row.get("disposition_code")),
            "labels": _csat(row.get("csat_score"), reading),
        }
    )


def _groups(value: Any) -> str | None:
    return ", ".join(distinct(value)) or None if isinstance(value, list) else plain(value)


def _csat(value: Any, reading: Reading) -> dict[str, Any]:
    """The survey's 1-5; a score on another scale is left out and counted."""
    if value is None:
        return {}
    score = number(str(value))
    if score not in (1, 2, 3, 4, 5):
        reading.ignored["csat_score (not 1-5)"] += 1
        return {}
    return {"csat": {"value": int(score or 0), "source": "survey"}}


def _joined(first: Contact, second: Contact) -> Contact:
    """Merge two legs of an interaction: times added up, the later one's queue and outcome."""
    starts = [leg.started_at for leg in (first, second) if leg.started_at is not None]
    changes: dict[str, Any] = {"started_at": min(starts, default=None)}
    if starts and second.started_at is not None and second.started_at == changes["started_at"] != first.started_at:
        first, second = second, first
    for name in SUMS:
        known = [value for leg in (first, second) if (value := getattr(leg, name)) is not None]
        changes[name] = sum(known) if known else None
    for name in ("team", "queue", "disposition", "customer_id"):
        changes[name] = getattr(second, name) or getattr(first, name)
    for name in ("keys", "names", "agents"):
        changes[name] = tuple(distinct([*getattr(first, name), *getattr(second, name)]))
    return msgspec.structs.replace(first, labels={**first.labels, **second.labels}, **changes)


CONTACTS = ContactFormat(PLATFORM, recognise, read)
