"""Filters as people write them, checked, and as Chroma takes them.

{"quality_score": {"$gte": 80}}
{"resolution_status": "resolved", "csat_score": {"$gte": 4.5}}     several keys: all of them
{"$or": [{"issue": "billing_error"}, {"queue": "billing"}]}
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mlx_cc.errors import UserError
from mlx_cc.retrieve.entries import FIELDS

COMPARE = ("$gt", "$gte", "$lt", "$lte")
OPERATORS = ("$eq", "$ne", "$in", "$nin", *COMPARE)
JOINS = ("$and", "$or")
SIGNS = {">=": "$gte", "<=": "$lte", "!=": "$ne", ">": "$gt", "<": "$lt", "=": "$eq"}

Where = dict[str, Any]


def where(filters: Mapping[str, Any] | None) -> Where | None:
    """Filters as Chroma's `where`; None for no filter. Several keys, or several operators of a field, must all hold.

    Raises:
        UserError: names the field, operator or value that is not known, and those that are.
    """
    if not isinstance(filters, Mapping) and filters is not None:
        raise UserError(f'filters: {filters!r} is no mapping of fields. Write {{"issue": "billing_error"}}.')
    clauses = []
    for name, wanted in (filters or {}).items():
        if name in JOINS:
            if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
                raise UserError(f"filters: {name} takes a list of filters.")
            parts = [found for part in wanted if (found := where(part)) is not None]
            if parts:
                clauses.append(parts[0] if len(parts) == 1 else {name: parts})
            continue
        if name not in FIELDS:
            near = difflib.get_close_matches(str(name), FIELDS, n=1, cutoff=0.5)
            hint = f"Did you mean '{near[0]}'? " if near else ""
            raise UserError(f"filters: no field '{name}'. {hint}Known: {', '.join(FIELDS)}.")
        for operator, value in (wanted if isinstance(wanted, Mapping) else {"$eq": wanted}).items():
            clauses.append({name: {operator: _operand(name, operator, value)}})
    return every(clauses)


def every(clauses: Sequence[Where | None]) -> Where | None:
    """Conditions that must all hold; None is no condition."""
    kept = [clause for clause in clauses if clause]
    return {"$and": kept} if len(kept) > 1 else kept[0] if kept else None


def fields_of(clause: Where | None) -> set[str]:
    """The fields that a `where` looks at."""
    names = set(clause or ())
    return (names - {*JOINS}).union(*(fields_of(part) for join in names & {*JOINS} for part in (clause or {})[join]))


def read(texts: Sequence[str]) -> dict[str, Any]:
    """Filters from a command line: each a JSON object or `FIELD OP VALUE` with one of = != > >= < <=.

    Raises:
        UserError: it is neither.
    """
    found: list[Mapping[str, Any]] = []
    for text in texts:
        if text.lstrip().startswith("{"):
            try:
                found.append(json.loads(text))
            except ValueError as fault:
                raise UserError(f"--filter {text}: not JSON ({fault}).") from fault
            continue
        said = re.fullmatch(r"\s*(\w+)\s*(>=|<=|!=|>|<|=)\s*(.+?)\s*", text)
        if said is None:
            raise UserError(f"--filter {text}: write FIELD=VALUE, FIELD>=VALUE and so on, or a JSON object.")
        name, sign, value = said.groups()
        number = re.fullmatch(r"-?\d+(\.\d+)?", value) and name in FIELDS and FIELDS[name].kind != "text"
        found.append({name: {SIGNS[sign]: float(value) if number else value}})
    return {} if not found else dict(found[0]) if len(found) == 1 else {"$and": found}


def _operand(name: str, operator: str, value: Any) -> Any:
    """A value as the index stores it."""
    if operator not in OPERATORS:
        raise UserError(f"filters: {name} has no operator '{operator}'. Known: {', '.join(OPERATORS)}.")
    if operator in ("$in", "$nin"):
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise UserError(f"filters: {name} {operator} takes a list of values.")
        return [_value(name, one) for one in value]
    if operator in COMPARE and FIELDS[name].kind == "text":
        raise UserError(f"filters: {name} is text and can't be compared by {operator}. Use $eq, $ne, $in or $nin.")
    return _value(name, value)


def _value(name: str, value: Any) -> str | float:
    kind = FIELDS[name].kind
    if isinstance(value, datetime):
        value = value.isoformat()
    if kind == "time" and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as fault:
            raise UserError(f"filters: {name} '{value}' is no ISO 8601 time, such as 2025-03-01T09:00:00Z.") from fault
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if kind == "text" and isinstance(value, str):
        return value
    if kind != "text" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise UserError(f"filters: {name} is a {kind}, not {value!r}.")
