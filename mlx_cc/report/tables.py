"""Tables for spreadsheets and data frames: a row a conversation, a row an agent.

A column holds numbers, booleans or text, never a mix. In CSV a text that a spreadsheet would compute is made
harmless; Parquet needs no such thing.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mlx_cc.agents.measures import MEASURES
from mlx_cc.answers import Answers
from mlx_cc.conversation import Conversation, Temporal
from mlx_cc.errors import UserError
from mlx_cc.files import written_whole
from mlx_cc.report.facts import Agents, Facts
from mlx_cc.tasks import all_tasks, pick

COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that spreadsheets take for a formula or a command (OWASP, "CSV Injection")."""
ROWS = 10_000
"""Rows of a Parquet file's group."""
IDS = ("conversation_id", "previous_contact_id", "customer_id", "agent_id")
"""Columns kept readable in Parquet, so that a search for an id finds the file."""

Row = dict[str, Any]


@dataclass
class Columns:
    """Which labels there are and what they hold, learned from a first pass; it fixes the columns of the second."""

    labels: dict[str, type] = field(default_factory=dict)
    """Column -> float, bool or str."""
    conversations: int = 0

    def learn(self, conversations: Iterable[Conversation]) -> Iterator[Conversation]:
        """Pass conversations through, taking note of their labels."""
        for conversation in conversations:
            self.conversations += 1
            for name, label in conversation.labels.items():
                for column, value in _cells(f"label_{name}", label.value):
                    kind = float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)
                    if self.labels.setdefault(column, kind) is not kind:
                        self.labels[column] = str
                self.labels.setdefault(f"label_{name}_source", str)
            yield conversation

    def of_conversations(self, answered: bool) -> dict[str, type]:
        """Column -> what it holds, in order."""
        labels = {name: self.labels[name] for name in sorted(self.labels)}
        return {**FACTS, **TEMPORAL, **labels, **(answer_columns() if answered else {})}


FACTS: dict[str, type] = {
    **dict.fromkeys(("conversation_id", "agent_id", "team", "queue", "platform", "channel", "language"), str),
    **dict.fromkeys(("customer_id", "previous_contact_id", "started_at", "timezone", "disposition", "flags"), str),
    "turns": int,
    "handle_time_s": float,
    "hold_s": float,
    "talk_ratio": float,
    "first_contact_resolution": bool,
}
TEMPORAL: dict[str, type] = {
    name: next(kind for kind in (bool, int, float, str) if hint == (kind | None))
    for name, hint in Temporal.__annotations__.items()
}
"""The 18 temporal features."""


def answer_columns() -> dict[str, type]:
    """Columns of a model's answers; `_low` and `_high` are the ends of the run that holds 80% of the probability."""
    found: dict[str, type] = {}
    for task in pick([]):
        for part in task.parts:
            if part.column:
                found[f"answer_{part.column}"] = float if part.kind is float else str
        more = ("_low", "_high", "_confidence") if task.scale else ("_confidence",)
        found |= dict.fromkeys([f"answer_{task.name}{end}" for end in more if task.answers], float)
    return {**found, "answer_needs_review": bool, "answer_review": str, "answer_model": str}


def conversation_rows(facts: Iterable[Facts], answers: Mapping[str, Answers]) -> Iterator[Row]:
    """A row for each conversation; what it lacks is absent."""
    for fact in facts:
        conversation = fact.conversation
        row: Row = {
            "conversation_id": conversation.id,
            "agent_id": fact.agent,
            "flags": " ".join(conversation.flags) or None,
            "turns": len(conversation.turns),
            "handle_time_s": fact.handle_time_s,
            "talk_ratio": None if fact.talk_ratio is None else round(fact.talk_ratio, 4),
            "first_contact_resolution": fact.fcr,
            **msgspec.structs.asdict(fact.temporal),
        }
        for name in ("team", "queue", "platform", "channel", "language", "customer_id", "previous_contact_id"):
            row[name] = getattr(conversation, name)
        for name in ("timezone", "disposition", "hold_s"):
            row[name] = getattr(conversation, name)
        row["started_at"] = None if conversation.started_at is None else conversation.started_at.isoformat()
        for name, label in conversation.labels.items():
            row.update(_cells(f"label_{name}", label.value))
            row[f"label_{name}_source"] = label.source
        if conversation.id in answers:
            row.update(_answered(answers[conversation.id]))
        yield row


def _cells(column: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A label's value as cells: a score alone, a map of plain values as a column each, the rest as JSON."""
    if isinstance(value, dict) and "score" in value:
        yield column, value["score"]
    elif isinstance(value, dict) and value and all(isinstance(part, str | int | float) for part in value.values()):
        yield from ((f"{column}_{key}", part) for key, part in value.items())
    elif value is not None:
        yield column, value if isinstance(value, str | int | float) else msgspec.json.encode(value).decode()


def _answered(answers: Answers) -> Row:
    row: Row = {
        "answer_needs_review": answers.needs_review,
        "answer_review": " ".join(answers.review) or None,
        "answer_model": answers.model,
    }
    for name, answer in answers.by_task.items():
        for part in all_tasks()[name].parts:
            value = part.of(answer)
            if part.kind is list:
                value = msgspec.json.encode(value).decode() if value else None
            row[f"answer_{part.column}"] = value
        row[f"answer_{name}_confidence"] = answer.confidence
        row[f"answer_{name}_low"], row[f"answer_{name}_high"] = answer.interval or (None, None)
    return row


def agent_columns(agents: Agents) -> dict[str, type]:
    """Columns of the table of agents: each metric with its n, interval and what shrinking makes of it."""
    adjusted = any("adjusted" in metric for p in agents.profiles.values() for metric in p["metrics"].values())
    parts = ("", "_n", "_low", "_high", "_shrunk", *(["_shrunk_low", "_shrunk_high", "_adjusted"] if adjusted else []))
    return {
        **dict.fromkeys(("agent_id", "team", "status", "group"), str),
        "conversations": int,
        **{f"{name}{part}": int if part == "_n" else float for name in MEASURES for part in parts},
        **dict.fromkeys(("strengths", "weaknesses", "work_on_first"), str),
    }


def agent_rows(agents: Agents) -> Iterator[Row]:
    """A row for each agent, in order of id."""
    for agent, profile in sorted(agents.profiles.items()):
        row: Row = {
            "agent_id": agent,
            "team": profile.get("team"),
            "status": profile.get("status"),
            "group": agents.clusters["assignments"].get(agent),
            "conversations": profile.get("conversations"),
        }
        for name, metric in profile["metrics"].items():
            row[name] = metric["value"]
            row |= {
                f"{name}_{part}": metric.get(part)
                for part in ("n", "low", "high", "shrunk", "shrunk_low", "shrunk_high", "adjusted")
            }
        for part in ("strengths", "weaknesses"):
            row[part] = " ".join(found["skill"] for found in profile[part]) or None
        row["work_on_first"] = next((found["skill"] for found in profile["coaching_priorities"]), None)
        yield row


def write_csv(path: Path, columns: Mapping[str, type], rows: Iterable[Row]) -> int:
    """Write a CSV file whole (UTF-8, a comma, quotes where needed); returns the number of rows.

    A text that begins like a formula gets an apostrophe in front; numbers and booleans stay as they are.
    """
    count = 0
    with written_whole(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text)  # lines end in CR LF (RFC 4180), so a cell with either of them is quoted
        writer.writerow([harmless(name) for name in columns])
        for row in rows:
            writer.writerow([_cell(row.get(name), kind) for name, kind in columns.items()])
            count += 1
        text.detach()
    return count


def harmless(text: str) -> str:
    """A text no spreadsheet computes: one that begins like a formula, after spaces or not, gets an apostrophe."""
    return f"'{text}" if text.startswith(COMPUTED) or text.lstrip(" \0\ufeff").startswith(COMPUTED) else text


def _cell(value: Any, kind: type) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return harmless(str(value)) if kind is str or isinstance(value, str) else value


def write_parquet(path: Path, columns: Mapping[str, type], rows: Iterable[Row]) -> int:
    """Write a Parquet file whole (text, int64, float64 and boolean columns, zstd); returns the number of rows.

    Raises:
        UserError: the library is not installed.
    """
    try:
        from arro3.core import Array, DataType, RecordBatchReader, Schema, Table
        from arro3.io import write_parquet as write
    except ImportError as fault:
        raise UserError("Parquet needs arro3. Install it: pip install 'mlx_cc[parquet]'.") from fault

    types = {float: DataType.float64(), int: DataType.int64(), bool: DataType.bool(), str: DataType.utf8()}
    count = 0

    def batch(some: Sequence[Row]) -> Table:
        arrays = [
            Array([_typed(row.get(name), kind) for row in some], type=types[kind]) for name, kind in columns.items()
        ]
        return Table.from_arrays(arrays, names=list(columns))

    first = batch([])
    schema: Schema = first.schema

    def batches() -> Iterator[Any]:
        nonlocal count
        some: list[Row] = []
        for row in rows:
            some.append(row)
            if len(some) == ROWS:
                count += len(some)
                yield from batch(some).to_batches()
                some = []
        count += len(some)
        if some:
            yield from batch(some).to_batches()

    plain = [name for name in IDS if name in columns]
    with written_whole(path) as file:
        write(
            RecordBatchReader.from_batches(schema, batches()),
            file,
            compression="zstd(3)",
            column_compression=dict.fromkeys(plain, "uncompressed"),
        )
    return count


def _typed(value: Any, kind: type) -> Any:
    if value is None or isinstance(value, kind):
        return value
    return kind(value)
