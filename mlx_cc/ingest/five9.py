"""Five9: the call log report, as CSV or as JSON objects with the same columns.

Times have no time zone (a setting of the domain decides it); `[None]` and `[Deleted]` are missing values.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from mlx_cc.errors import UserError
from mlx_cc.ingest.contacts import Contact, to_contact
from mlx_cc.ingest.format import ContactFormat, Reading, Reject
from mlx_cc.ingest.record import moment
from mlx_cc.ingest.shapes.exports import distinct, plain
from mlx_cc.ingest.shapes.rows import seconds, when
from mlx_cc.ingest.shapes.tables import Told, columns, each_row
from mlx_cc.ingest.source import File

PLATFORM = "five9"
OWN = {"queue_wait_time", "after_call_work_time", "call_type", "skill", "campaign", "dnis"}
KNOWN = {"call_id", "timestamp", "disposition"} | OWN
OUTBOUND = ("outbound", "autodial", "manual", "preview", "queue callback")


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by the columns of a call in Five9's spelling: with spaces, in capitals."""
    named = columns(head, KNOWN)
    own = len(named & OWN) >= 2 and {"call_id", "disposition"} <= named and bool(named & {"timestamp", "date"})
    return own and b"CALL ID" in head.upper()


def read(file: File, reading: Reading) -> Iterator[Contact | Reject]:
    """A contact for each call."""
    yield from each_row(file, lambda told: _contact(told, reading), KNOWN, "records")


def _contact(told: Told, reading: Reading) -> Contact:
    row = told.cells
    call_id = plain(row.get("call_id"))
    if call_id is None:
        raise UserError("has no CALL ID.")

    def duration(name: str) -> float | None:
        known = seconds(str(row[name])) if name in row else None
        if name in row and known is None:
            reading.ignored[f"{name} (not a duration)"] += 1
        return known

    kind = (plain(row.get("call_type")) or "").casefold()
    number = "ani" if kind.startswith("inbound") else "dnis" if kind.startswith(OUTBOUND) else ""
    disposition = plain(row.get("disposition"))
    names = ("agent_name", "customer_name", "agent_first_name", "agent_last_name")
    return to_contact(
        {
            "id": call_id,
            "keys": distinct([row.get("session_id")]),
            "names": distinct(row.get(name) for name in names),
            "platform": PLATFORM,
            "channel": "voice",
            "customer_id": plain(row.get(number)),
            "agents": distinct([row.get("agent")]),
            "team": plain(row.get("agent_group")),
            "queue": plain(row.get("skill")) or plain(row.get("campaign")),
            "started_at": _started(told, reading),
            "queue_wait_s": duration("queue_wait_time"),
            "hold_s": duration("hold_time"),
            "after_call_work_s": duration("after_call_work_time"),
            "handle_time_s": duration("handle_time"),
            "disposition": None if disposition == "No Disposition" else disposition,
        }
    )


def _started(told: Told, reading: Reading) -> datetime | None:
    """Start of the call: `Thu, 27 Oct 2016 14:51:34`, ISO 8601, or DATE (2016/10/27) and TIME; None if missing."""
    row = told.cells
    time = plain(row.get("timestamp"))
    if time is None:
        if "date" not in row or "time" not in row:
            return None
        time = f"{row['date']} {row['time']}"
    if re.match(r"[A-Za-z]{3}, ", time):
        try:
            return moment(parsedate_to_datetime(time), reading.timezone)
        except (ValueError, TypeError, OverflowError) as fault:
            raise UserError(f"TIMESTAMP: {time!r} is not a time such as Thu, 27 Oct 2016 14:51:34.") from fault
    return when(re.sub(r"^(\d{4})/(\d\d?)/(\d\d?)", r"\1-\2-\3", time), reading.timezone, told.month_first)


CONTACTS = ContactFormat(PLATFORM, recognise, read)
