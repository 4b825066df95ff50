"""Contact map: columns of a report -> fields of a contact, for reports with other column names.

id: Interaction
started_at: Begin
time_format: "%d.%m.%Y %H:%M"
queue_wait_s: Time To Answer
names: [Advisor]
labels:
  csat: {path: Survey, source: survey, scale: [0, 10]}
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlx_cc.errors import UserError
from mlx_cc.ingest.jsonl_map import LabelColumn, Path_
from mlx_cc.settings import read_settings


class ContactMap(Struct, frozen=True, forbid_unknown_fields=True):
    """Field of a contact -> its column. Durations are seconds, `h:mm:ss` or `mm:ss`."""

    id: Path_ = "contact_id"
    keys: tuple[Path_, ...] = ()
    names: tuple[Path_, ...] = ()
    """Columns with names of people, which are redacted from the transcript and never written."""
    updated_at: Path_ | None = None
    platform: Path_ | None = None
    channel: Path_ | None = None
    language: Path_ | None = None
    customer_id: Path_ | None = None
    agents: Path_ | None = None
    team: Path_ | None = None
    queue: Path_ | None = None
    started_at: Path_ | None = None
    timezone: Path_ | None = None
    queue_wait_s: Path_ | None = None
    hold_s: Path_ | None = None
    after_call_work_s: Path_ | None = None
    handle_time_s: Path_ | None = None
    disposition: Path_ | None = None
    previous_contact_id: Path_ | None = None
    is_followup: Path_ | None = None
    labels: dict[str, LabelColumn] = {}
    values: dict[str, dict[str, Any]] = {}
    """Field -> value in the file -> value of the record. Other values stay as they are."""
    fixed: dict[str, str] = {}
    """Field -> the value it has in every contact, such as platform: nice."""
    time_format: str | None = None
    """Format of times, as in Python's strptime; None for ISO 8601 and formats that the file makes clear."""


CONTACT_COLUMNS = tuple(
    f.name
    for f in msgspec.structs.fields(ContactMap)
    if f.name not in ("keys", "names", "labels", "values", "fixed", "time_format")
)


def read_contact_map(path: Path | str) -> ContactMap:
    """A contact map from its YAML file.

    Raises:
        UserError: it is missing, or has an unknown key or a wrong value.
    """
    columns = read_settings(path, ContactMap)
    wrong = sorted(columns.fixed.keys() - set(CONTACT_COLUMNS))
    if wrong:
        raise UserError(f"{path}: fixed: no field '{wrong[0]}'. Use one of {', '.join(CONTACT_COLUMNS)}.")
    return columns
