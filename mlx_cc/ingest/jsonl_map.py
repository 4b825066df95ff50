"""JSON lines, plain or gzipped: conversation records, transcript objects, or any objects with a column map.

A column map is a small YAML file with the dotted path of each field of the record:

    id: conversation_id
    turns: turns
    turn: {role: speaker, text: utterance}
    started_at: meta.start_unix
    labels:
      issue: {path: labels.task, source: human_qa}
      resolution: {path: labels.success, source: survey, values: {"true": resolved, "false": unresolved}}
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from mlx_cc.conversation import Conversation, Provenance, Source, replace
from mlx_cc.errors import UserError
from mlx_cc.ingest.analyses import label_value
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.record import sound, to_conversation, zone
from mlx_cc.ingest.source import File, from_json, suffix
from mlx_cc.settings import read_settings
from mlx_cc.tasks import SKILL_SCALE, all_tasks

if TYPE_CHECKING:
    from mlx_cc.ingest.contacts_map import ContactMap

Path_ = Annotated[str, Meta(min_length=1)]


class LabelColumn(Struct, frozen=True, forbid_unknown_fields=True):
    """Path and source of a label."""

    path: Path_
    source: Source = "platform"
    values: dict[str, Any] = {}
    """Value in the file (as text; true and false in lower case) -> the label's value. Other values give no label."""
    scale: tuple[float, float] | None = None
    """Lowest and highest value of the file's scale, where it is not the task's; the value is converted."""


class TurnColumns(Struct, frozen=True, forbid_unknown_fields=True):
    """Paths of the parts of a turn, from the turn's object."""

    role: Path_ = "role"
    text: Path_ = "text"
    start_s: Path_ | None = None
    end_s: Path_ | None = None
    agent_id: Path_ | None = None


class ColumnMap(Struct, frozen=True, forbid_unknown_fields=True):
    """Field of the record -> dotted path in an object."""

    id: Path_ = "conversation_id"
    turns: Path_ = "turns"
    turn: TurnColumns = TurnColumns()
    channel: Path_ | None = None
    language: Path_ | None = None
    customer_id: Path_ | None = None
    agents: Path_ | None = None
    team: Path_ | None = None
    queue: Path_ | None = None
    started_at: Path_ | None = None
    timezone: Path_ | None = None
    country: Path_ | None = None
    subdivision: Path_ | None = None
    queue_wait_s: Path_ | None = None
    hold_s: Path_ | None = None
    after_call_work_s: Path_ | None = None
    handle_time_s: Path_ | None = None
    disposition: Path_ | None = None
    previous_contact_id: Path_ | None = None
    is_followup: Path_ | None = None
    labels: dict[str, LabelColumn] = {}
    values: dict[str, dict[str, Any]] = {}
    """Field (or `role`) -> value in the file (as text) -> value of the record. Other values stay as they are."""
    fixed: dict[str, str] = {}
    """Field -> the value it has in every conversation, such as channel: chat."""


COLUMNS = tuple(
    f.name for f in msgspec.structs.fields(ColumnMap) if f.name not in ("turns", "turn", "labels", "values", "fixed")
)


def read_map(path: Path | str) -> ColumnMap:
    """A column map from its YAML file.

    Raises:
        UserError: it is missing, or has an unknown key or a wrong value.
    """
    return read_settings(path, ColumnMap)


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by the name .jsonl or .ndjson, or by two lines that each start an object, the first one complete."""
    return suffix(path).lower() in (".jsonl", ".ndjson") or _is_lines(head)


def _is_lines(head: bytes) -> bool:
    first, _, rest = head.lstrip().partition(b"\n")
    if not (first.startswith(b"{") and rest.lstrip().startswith(b"{")):
        return False
    try:
        from_json(first)
    except UserError:
        return False
    return True


def read(file: File, reading: Reading) -> Iterator[Conversation | Incoming | Reject]:
    """The conversations, one per line; with a column map, also JSON documents (an object or a list) and tables."""
    columns = reading.columns
    if columns is not None and _is_table(file):
        from mlx_cc.ingest import table

        yield from table.read(file, reading)
        return
    if columns is not None and file.suffix == ".json" and not _is_lines(file.head):
        document = from_json(file.text())
        objects = ((None, tree) for tree in (document if isinstance(document, list) else [document]))
    else:
        objects = file.lines()
    for line, found in objects:
        try:
            if columns is None:
                assert isinstance(found, bytes)
                yield _record(found, reading, file, line)
            else:
                tree = from_json(found) if isinstance(found, bytes) else found
                yield to_conversation(mapped(tree, columns, reading), reading, file, line, FORMAT.name)
        except UserError as fault:
            yield Reject(str(file.path), line, str(fault))


_decode = msgspec.json.Decoder(Conversation).decode


def _record(line: bytes, reading: Reading, file: File, number: int | None) -> Conversation:
    """The conversation of a line: a record, or else a transcript object."""
    try:
        found = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        tree = from_json(line)
        if not isinstance(tree, dict):
            raise UserError("is not an object.") from None
        if "messages" in tree and "turns" not in tree:
            raise UserError(
                "is a ChatML row. Pass the transcripts or the conversations file it was made from."
            ) from None
        labels = tree.get("labels") or {}
        if not isinstance(labels, dict) or any(not isinstance(v, dict) or "source" not in v for v in labels.values()):
            raise UserError("its labels do not have a value and a source. Give their paths with --map.") from None
        return to_conversation(tree, reading, file, number, FORMAT.name)
    changes: dict[str, Any] = {}
    if found.provenance is None:
        changes["provenance"] = Provenance(str(file.path), number, FORMAT.name)
    if found.timezone is None and reading.timezone is not None:
        changes["timezone"] = reading.timezone
    elif found.timezone is not None:
        zone(found.timezone)
    if found.country is None and reading.country is not None:
        changes["country"] = reading.country
    return sound(replace(found, **changes) if changes else found)


def mapped(tree: Any, columns: ColumnMap, reading: Reading) -> dict[str, Any]:
    """An object with the record's keys, from an object that the map describes.

    Raises:
        UserError: it is not an object, or has no turns at the map's path.
    """
    if not isinstance(tree, dict):
        raise UserError("is not an object.")
    fields = mapped_fields(tree, columns, COLUMNS, reading)
    turns = at(tree, columns.turns)
    if not isinstance(turns, list | str):
        raise UserError(f"has no turns at '{columns.turns}'. Correct the column map.")
    if isinstance(turns, list):
        parts = [
            (n, p)
            for n in ("role", "text", "start_s", "end_s", "agent_id")
            if (p := getattr(columns.turn, n)) is not None
        ]
        roles = columns.values.get("role")
        plain = roles is None and all("." not in path for _, path in parts)
        if plain:
            turns = [
                {n: turn[p] for n, p in parts if turn.get(p) is not None} if isinstance(turn, dict) else turn
                for turn in turns
            ]
        else:
            turns = [_mapped_turn(turn, parts, roles) for turn in turns]
    fields["turns"] = turns
    return fields


def mapped_fields(
    tree: dict[str, Any], columns: "ColumnMap | ContactMap", names: Iterable[str], reading: Reading
) -> dict[str, Any]:
    """The named fields and the labels, from an object that a map describes."""
    fields: dict[str, Any] = dict(columns.fixed)
    for name in names:
        path = getattr(columns, name)
        value = None if path is None else at(tree, path)
        if value is not None and value != "":
            fields[name] = _translated(value, columns.values.get(name))
    labels = {}
    for name, column in columns.labels.items():
        value = at(tree, column.path)
        if value is None:
            continue
        if column.values:
            value = column.values.get(_as_text(value))
            if value is None:
                reading.ignored[f"labels.{name} (a value the map does not name)"] += 1
                continue
        label = column_label(name, value, column)
        if label is None:
            reading.ignored[f"labels.{name} (a value outside the map's scale)"] += 1
        else:
            labels[name] = label
    if labels:
        fields["labels"] = labels
    return fields


def column_label(name: str, value: Any, column: LabelColumn) -> dict[str, Any] | None:
    """The parts of a label, its value converted to the task's scale; None when it is outside the column's scale."""
    value = label_value(name, value)
    label = {"value": value, "source": column.source}
    task = all_tasks().get(name)
    scale = task.scale if task and task.scale else SKILL_SCALE
    own = (scale.low, scale.high)
    if column.scale is None or column.scale == own:
        return label
    given = value.get("score") if isinstance(value, dict) else value
    low, high = column.scale
    if isinstance(given, bool) or not isinstance(given, int | float) or not low <= given <= high > low:
        return None
    value = round(own[0] + (given - low) / (high - low) * (own[1] - own[0]), 2)
    return {**label, "value": label_value(name, value), "scale": column.scale, "given": given}


def _mapped_turn(turn: Any, parts: list[tuple[str, str]], roles: dict[str, Any] | None) -> Any:
    found = {name: value for name, path in parts if (value := at(turn, path)) is not None}
    if "role" in found:
        found["role"] = _translated(found["role"], roles)
    return found


def at(tree: Any, path: str) -> Any:
    """The value at a dotted path, or None. A number is an index of a list."""
    for key in path.split("."):
        if isinstance(tree, dict):
            tree = tree.get(key)
        elif isinstance(tree, list) and re.fullmatch(r"\d+", key) and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            return None
    return tree


def _translated(value: Any, values: dict[str, Any] | None) -> Any:
    return value if values is None else values.get(_as_text(value), value)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _is_table(file: File) -> bool:
    """Whether a file with a column map is a table and not JSON."""
    return file.suffix not in (".json", ".jsonl", ".ndjson") and not file.head.lstrip().startswith((b"{", b"["))


def _splits(file: File) -> bool:
    return not _is_table(file) and (file.suffix != ".json" or _is_lines(file.head))


FORMAT = Format("jsonl", recognise, read, order=80, splits=_splits)
