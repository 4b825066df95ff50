"""CSV and TSV: conversations with one row per turn or one row each, and reports about contacts.

    conversation_id,speaker,text,start        one row per turn; without an id column the file is one conversation
    call-1,Agent,Thank you for calling.,0:00

    contact_id,transcript,csat                one row per conversation; the transcript is read like a .txt file
    call-1,"Agent: hello
    Customer: hi",4

    Contact ID,Skill,Speed of Answer,CSAT     a report about contacts: no transcript, any of the known columns

Columns are recognised by their names (`headings.py`) or given by a map (`ColumnMap`, `ContactMap`, with column
names as paths).
"""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from mlx_cc.conversation import Conversation, Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.contacts import Contact, to_contact
from mlx_cc.ingest.contacts_map import CONTACT_COLUMNS, ContactMap
from mlx_cc.ingest.format import ContactFormat, Format, Incoming, Reading, Reject
from mlx_cc.ingest.jsonl_map import COLUMNS, ColumnMap, LabelColumn, TurnColumns, mapped_fields
from mlx_cc.ingest.record import to_conversation
from mlx_cc.ingest.roles import name_in, role_of
from mlx_cc.ingest.shapes import headings
from mlx_cc.ingest.shapes.rows import (
    ISO,
    Group,
    Layout,
    Row,
    grouped,
    identifier,
    is_blank,
    layout,
    number,
    rows,
    seconds,
    when,
)
from mlx_cc.ingest.shapes.utterances import Utterance, incoming
from mlx_cc.ingest.source import File, from_json, suffix
from mlx_cc.ingest.text import spoken
from mlx_cc.tasks import all_tasks

TURN_PARTS = ("role", "text", "start_s", "end_s", "agent_id")
DURATIONS = ("queue_wait_s", "hold_s", "after_call_work_s", "handle_time_s")
TIMES = ("started_at", "updated_at")
CHANNELS = {
    **dict.fromkeys(("voice", "phone", "call", "telephony", "inbound", "outbound"), "voice"),
    **dict.fromkeys(("phone call", "inbound call", "outbound call"), "voice"),
    **dict.fromkeys(("chat", "webchat", "web chat", "messaging", "live chat"), "chat"),
    **dict.fromkeys(("email", "e-mail", "mail"), "email"),
    **dict.fromkeys(("sms", "text", "text message"), "sms"),
    **dict.fromkeys(("social", "whatsapp", "facebook", "messenger", "twitter", "instagram"), "social"),
}  # fmt: skip
TOTALS = ("total", "totals", "grand total", "summary", "average", "averages")
YES, NO = ("true", "yes", "y", "1"), ("false", "no", "n", "0")
PERSON = re.compile(r"[^\W\d_]+(?:[ ,.'-]+[^\W\d_]+)+\.?")
CLOCK_OF_DAY_S = 4 * 3600
"""If the first turn's clock is later than this, the clock is the time of day, not the time since the start."""


# Conversations


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by column names for a speaker and a text, or for an id and a transcript."""
    return not head.lstrip().startswith((b"{", b"[")) and _layout(path, head, _fits) is not None


def read(file: File, reading: Reading) -> Iterator[Incoming | Conversation | Reject]:
    """The conversations of the table.

    Raises:
        UserError: its columns are unknown, or the map's are missing.
    """
    found, columns = _columns(file, reading)
    table = _Table(file, reading, found)
    used = [columns.id, columns.turns, *columns.turn.values(), *columns.people]
    _tell_unused(table, columns.fields, COLUMNS, used)
    if columns.turns:
        for row in rows(file, found):
            try:
                yield row if isinstance(row, Reject) else _of_cell(row, columns, table)
            except UserError as fault:
                yield Reject(str(file.path), row.line, str(fault))
        return

    def conversation_id(row: Row) -> str:
        return file.stem if columns.id is None else identifier(row, columns.id, found)

    for group in grouped(rows(file, found), conversation_id, file):
        if isinstance(group, Reject):
            yield group
            continue
        try:
            yield _of_turns(group, columns, table)
        except UserError as fault:
            yield Reject(str(file.path), group.rows[0].line, str(fault))


class _Table(NamedTuple):
    """An open table with its layout."""

    file: File
    reading: Reading
    layout: Layout
    time_format: str | None = None

    def typed(self, name: str, value: Any, path: str | None, timezone: str | None) -> Any:
        """A cell converted for its field; None when it is a placeholder."""
        if not isinstance(value, str):
            return value
        if is_blank(value):
            return None
        column = headings.column(self.layout.names[int(path)]) if path is not None else headings.column(name)
        if name in DURATIONS:
            return seconds(value, column.unit_s)
        if name in TIMES:
            return when(value, "UTC" if column.utc else timezone, self.month_first, self.time_format)
        if name == "channel":
            return CHANNELS.get(value.casefold(), "unknown")
        if name == "is_followup":
            return True if value.casefold() in YES else False if value.casefold() in NO else None
        return value

    @property
    def month_first(self) -> bool | None:
        if self.layout.month_first is not None or self.reading.country is None:
            return self.layout.month_first
        return self.reading.country == "US"


class _Columns(NamedTuple):
    """Indices of columns, as text."""

    fields: ColumnMap
    """Columns of the conversation."""
    id: str | None
    turns: str | None
    """The column of whole transcripts; None when a row is a turn."""
    turn: dict[str, str]
    people: tuple[str, ...]


def _fits(names: tuple[str, ...]) -> int:
    return len(headings.places(names, headings.TURN) | headings.places(names, headings.CONTACT)) if _shape(names) else 0


def _shape(names: tuple[str, ...]) -> str | None:
    turn = headings.places(names, headings.TURN)
    if "role" in turn and "text" in turn and turn["role"] != turn["text"]:
        return "turns"
    whole = headings.place(names, headings.TRANSCRIPT)
    return "transcripts" if whole is not None and headings.place(names, headings.IDS + ",id") is not None else None


def _layout(path: Path, head: bytes, fits: Any) -> Layout | None:
    """The layout; column names are in the first line, or below titles where the file is named as a table."""
    found = layout(head, fits)
    titled = suffix(path).lower() in (".csv", ".tsv", ".tab", ".psv")
    return found if found is None or titled or found.line == 1 else None


def _columns(file: File, reading: Reading) -> tuple[Layout, _Columns]:
    columns = reading.columns
    if columns is not None:
        found = layout(
            file.head, lambda names: sum(headings.named(names, name) is not None for name in _wanted(columns))
        )
        if found is None:
            raise UserError(f"has no column '{columns.id}', nor any other of the map. Correct the column map.")
        return found, _mapped_columns(found.names, columns)
    found = layout(file.head, _fits)
    if found is None:
        raise UserError("has no line of names with a speaker and a text, or an id and a transcript. Pass --map.")
    names = found.names
    fields = headings.places(names, headings.CONTACT)
    fields.pop("updated_at", None)
    labels = _labels(names)
    people = _people(names)
    if _shape(names) == "transcripts":
        whole, its_id = headings.place(names, headings.TRANSCRIPT), headings.place(names, headings.IDS + ",id")
        return found, _Columns(replace(ColumnMap(labels=labels), **fields), str(its_id), str(whole), {}, people)
    turn = headings.places(names, headings.TURN)
    fields = {name: at for name, at in fields.items() if at not in turn.values()}
    its_id = headings.place(names, headings.IDS)
    if its_id is None and headings.place(names, "id") is not None:
        raise UserError(
            "has a column 'id': is it the conversation's or the turn's? "
            "Call it conversation_id or turn_id, or pass --map."
        )
    its = None if its_id is None else str(its_id)
    return found, _Columns(replace(ColumnMap(labels=labels), **fields), its, None, turn, people)


def _wanted(columns: ColumnMap) -> list[str]:
    paths = [columns.id, columns.turns, *(getattr(columns.turn, name) for name in TURN_PARTS)]
    return [path for path in (*paths, *(getattr(columns, name) for name in COLUMNS)) if path]


def _mapped_columns(names: tuple[str, ...], columns: ColumnMap) -> _Columns:
    """The indices of a map's columns; columns that only its defaults name are optional."""

    def at(name: str, path: str, default: Any = None) -> str | None:
        found = headings.named(names, path)
        if found is None and path != default:
            raise UserError(f"has no column '{path}' ({name}). {_there_are(names)}")
        return found

    defaults, turns = ColumnMap(), TurnColumns()
    its_id = at("id", columns.id, defaults.id)
    whole = at("turns", columns.turns, defaults.turns)
    turn: dict[str, str] = {}
    if whole is None:
        for name in TURN_PARTS:
            path = getattr(columns.turn, name)
            if path is not None and (place := at(f"turn.{name}", path, getattr(turns, name))) is not None:
                turn[name] = place
        for name in ("role", "text"):
            if name not in turn:
                raise UserError(f"has no column '{columns.turns}', and none for turn.{name}. Correct the column map.")
    elif its_id is None:
        raise UserError(f"has no column '{columns.id}' (id). {_there_are(names)}")
    paths = {name: at(name, path) for name in COLUMNS if name != "id" and (path := getattr(columns, name)) is not None}
    fields = replace(columns, **paths, labels=_label_places(names, columns.labels))
    return _Columns(fields, its_id, whole, turn, _people(names))


def _label_places(names: tuple[str, ...], labels: dict[str, LabelColumn]) -> dict[str, LabelColumn]:
    found = {}
    for name, label in labels.items():
        place = headings.named(names, label.path)
        if place is None:
            raise UserError(f"has no column '{label.path}' (labels.{name}). {_there_are(names)}")
        found[name] = replace(label, path=place)
    return found


def _there_are(names: tuple[str, ...]) -> str:
    return f"There are: {', '.join(' '.join(name.split()) for name in names if name)[:500]}."


def _people(names: tuple[str, ...]) -> tuple[str, ...]:
    spelled = headings.spellings(headings.PEOPLE)
    return tuple(str(place) for place, name in enumerate(names) if headings.column(name).words in spelled)


def _labels(names: tuple[str, ...]) -> dict[str, LabelColumn]:
    found = headings.places(names, headings.labels())
    return {name: LabelColumn(at, all_tasks()[name].given_by) for name, at in found.items()}


def _fields(
    cells: dict[str, str], columns: ColumnMap | ContactMap, wanted: tuple[str, ...], table: _Table
) -> dict[str, Any]:
    """The fields of a record from a row, in their types."""
    told: dict[str, Any] = {place: cell for place, cell in cells.items() if not is_blank(cell)}
    for label in columns.labels.values():
        value = None if label.values else number(told.get(label.path, ""))
        if value is not None:
            told[label.path] = int(value) if value.is_integer() else value
    fields = mapped_fields(told, columns, wanted, table.reading)
    timezone = fields.get("timezone") or table.reading.timezone
    typed = {
        name: value if name == "labels" else table.typed(name, value, getattr(columns, name), timezone)
        for name, value in fields.items()
    }
    return {name: value for name, value in typed.items() if value is not None}


def _tell_unused(table: _Table, columns: Any, wanted: tuple[str, ...], others: list[str | None]) -> None:
    """Count the unused columns."""
    used = {getattr(columns, name) for name in wanted} | {label.path for label in columns.labels.values()} | {*others}
    for place, name in enumerate(table.layout.names):
        if name and str(place) not in used:
            table.reading.ignored[f"column {name}"] += 1


def _agents(found: Any, mapped: bool) -> tuple[list[str], list[str]]:
    """Agents, and names of people among them; a name is an agent's id only where a map says so."""
    agents = list(dict.fromkeys(found))
    people = [agent for agent in agents if PERSON.fullmatch(agent)]
    return [agent for agent in agents if mapped or agent not in people], people


def _of_cell(row: Row, columns: _Columns, table: _Table) -> Incoming:
    assert columns.id is not None and columns.turns is not None
    fields = _fields(row.cells, columns.fields, COLUMNS, table)
    agent = fields.pop("agents", None)
    agents, people = _agents([agent] if isinstance(agent, str) else [], table.reading.columns is not None)
    its_id = identifier(row, columns.id, table.layout)
    text = row.cells.get(columns.turns, "").replace("\r\n", "\n").replace("\r", "\n")
    if "\n" not in text:
        text = text.replace("\\n", "\n")
    turns, labels = (from_json(text), []) if re.match(r"\[\s*\{", text) else spoken(text, table.reading)
    tree = {**fields, "id": its_id, "agents": agents, "turns": turns}
    conversation = to_conversation(tree, table.reading, table.file, row.line, FORMAT.name, strict=False)
    spoke = [name_in(label) for label in labels if label]
    names = [*people, *filter(None, spoke), *(row.cells[place] for place in columns.people if place in row.cells)]
    unknown = any(turn.role == "unknown" for turn in conversation.turns)
    return Incoming(conversation, tuple(dict.fromkeys(names)), speakers=tuple(labels) if unknown else ())


def _of_turns(group: Group, columns: _Columns, table: _Table) -> Incoming:
    together: dict[str, str] = {}
    for row in reversed(group.rows):
        together.update(row.cells)
    fields = _fields(together, columns.fields, COLUMNS, table)
    fields.pop("agents", None)
    reading, turn = table.reading, columns.turn
    agent_at = columns.turn.get("agent_id") or columns.fields.agents or ""
    mapped = reading.columns is not None
    served = (row.cells.get(agent_at, "") for row in group.rows)
    agents, people = _agents((agent for agent in served if agent and not is_blank(agent)), mapped)
    starts, ends, started_at = _times(group.rows, turn, table, fields.get("timezone") or reading.timezone)
    values = columns.fields.values.get("role", {})
    said = []
    voices: dict[str | None, Role | None] = {}
    for row, start, end in zip(group.rows, starts, ends, strict=True):
        voice = row.cells.get(turn["role"])
        voice = None if voice is None else str(values.get(voice, voice))
        # `resolve` gives the roles that the caller sets for voices.
        role = None if voice in reading.roles else (role_of(voice) if voice else None) or reading.default_role
        voices[voice] = role
        agent = row.cells.get(agent_at) if role == "agent" else None
        said.append(Utterance(_text(row, turn), role, voice, start, end, agent if agent in agents else None))
    if started_at is not None:
        fields.setdefault("started_at", started_at)
    names = [name_in(voice) for voice in voices if voice is not None]
    people += [row.cells[place] for row in group.rows for place in columns.people if place in row.cells]
    fields = {**fields, "id": group.key, "agents": agents}
    return incoming(said, fields, reading, table.file, group.rows[0].line, FORMAT.name, names=[*names, *people])


def _text(row: Row, turn: dict[str, str]) -> str:
    return row.cells.get(turn["text"], "").replace("\r\n", "\n").replace("\r", "\n")


def _times(
    found: list[Row], turn: dict[str, str], table: _Table, timezone: str | None
) -> tuple[list[float | None], list[float | None], datetime | None]:
    """Starts and ends in seconds, and the time of the first start where the cells are times.

    Seconds count from that time, or from the conversation's start where the cells do.
    """
    told: dict[str, list[datetime | float | None]] = {}
    for name in ("start_s", "end_s"):
        place = turn.get(name)
        column = headings.column(table.layout.names[int(place)]) if place is not None else None
        told[name] = [
            None if column is None else _time(row.cells.get(place or "", ""), column, table, timezone) for row in found
        ]
    moments = [time for time in told["start_s"] if isinstance(time, datetime)]
    counted = [time for time in told["start_s"] if isinstance(time, float)]
    first = min(moments, default=None)
    shift = min(counted, default=0.0)
    shift = shift if shift >= CLOCK_OF_DAY_S else 0.0

    def offset(time: datetime | float | None) -> float | None:
        if isinstance(time, datetime):
            time = (time - first).total_seconds() if first is not None else None
        elif time is not None:
            time -= shift
        return time if time is not None and time >= 0 else None

    return [offset(time) for time in told["start_s"]], [offset(time) for time in told["end_s"]], first


def _time(cell: str, column: headings.Column, table: _Table, timezone: str | None) -> datetime | float | None:
    """A time, or seconds since the start; None for anything else."""
    if not ISO.match(cell):
        units = number(cell)
        if units is None or units < 1e9:
            counted = seconds(cell, column.unit_s)
            if counted is not None or not re.search(r"\d[-/.]\d{1,2}[-/.]\d", cell):
                return counted
    return when(cell, "UTC" if column.utc else timezone, table.month_first)


FORMAT = Format("table", recognise, read, order=70)


# Contacts


def recognise_contacts(path: Path, head: bytes) -> bool:
    """Recognised by column names for a contact's id and two or more known columns."""
    return not head.lstrip().startswith((b"{", b"[")) and _layout(path, head, _fits_contacts) is not None


def read_contacts(file: File, reading: Reading) -> Iterator[Contact | Reject]:
    """The contacts of a report.

    Raises:
        UserError: its columns are unknown, or the map's are missing.
    """
    columns = reading.contact_columns
    if columns is None:
        found = layout(file.head, _fits_contacts)
        if found is None:
            raise UserError("has no line of column names with a contact's id and known columns. Pass --contact-map.")
        columns = _contact_columns(found.names)
    else:
        wanted = [*columns.keys, *columns.names, *(path for n in CONTACT_COLUMNS if (path := getattr(columns, n)))]
        found = layout(file.head, lambda names: sum(headings.named(names, name) is not None for name in wanted))
        if found is None:
            raise UserError(f"has no column '{columns.id}', nor any other of the map. Correct the contact map.")
        columns = _contact_places(found.names, columns)
    table = _Table(file, reading, found, columns.time_format)
    _tell_unused(table, columns, CONTACT_COLUMNS, [*columns.keys, *columns.names])
    for row in rows(file, found):
        if isinstance(row, Row) and row.cells.get(columns.id, "").casefold() in TOTALS:
            reading.ignored["a row of totals"] += 1
            continue
        try:
            yield row if isinstance(row, Reject) else _contact(row, columns, table)
        except UserError as fault:
            yield Reject(str(file.path), row.line, str(fault))


def _contact(row: Row, columns: ContactMap, table: _Table) -> Contact:
    fields = {
        **_fields(row.cells, columns, CONTACT_COLUMNS, table),
        "id": identifier(row, columns.id, table.layout),
    }
    agent = fields.pop("agents", None)
    agents, people = _agents([agent] if isinstance(agent, str) else [], table.reading.contact_columns is not None)
    told = {place: cell for place, cell in row.cells.items() if not is_blank(cell)}
    people += [told[place] for place in columns.names if place in told]
    keys = [told[place] for place in columns.keys if place in told and told[place] != fields["id"]]
    if fields.get("previous_contact_id") == fields["id"]:
        del fields["previous_contact_id"]
    return to_contact({
        **fields,
        "agents": agents,
        "names": tuple(dict.fromkeys(people)),
        "keys": tuple(dict.fromkeys(keys)),
    })  # fmt: skip


def _fits_contacts(names: tuple[str, ...]) -> int:
    if headings.place(names, headings.IDS + ",id") is None or _shape(names) == "turns":
        return 0
    count = len(headings.places(names, headings.CONTACT | headings.labels()))
    return count if count > 1 else 0


def _contact_columns(names: tuple[str, ...]) -> ContactMap:
    its_id = str(headings.place(names, headings.IDS + ",id"))
    spelled = headings.spellings(headings.IDS + "," + headings.OTHER_IDS)
    keys = tuple(
        str(place) for place, n in enumerate(names) if headings.column(n).words in spelled and str(place) != its_id
    )
    fields = headings.places(names, headings.CONTACT)
    return replace(ContactMap(its_id, keys, _people(names), labels=_labels(names)), **fields)


def _contact_places(names: tuple[str, ...], columns: ContactMap) -> ContactMap:
    def at(name: str, path: str) -> str:
        found = headings.named(names, path)
        if found is None:
            raise UserError(f"has no column '{path}' ({name}). {_there_are(names)}")
        return found

    paths = {name: at(name, path) for name in CONTACT_COLUMNS if (path := getattr(columns, name)) is not None}
    return replace(
        columns,
        **paths,
        keys=tuple(at("keys", path) for path in columns.keys),
        names=tuple(at("names", path) for path in columns.names),
        labels=_label_places(names, columns.labels),
    )


CONTACTS = ContactFormat("table", recognise_contacts, read_contacts, order=70)
