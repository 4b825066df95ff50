"""Shared by the exports of helpdesks: lists under a key, ids as text or numbers, times of messages."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Reject
from mlx_cc.ingest.jsonl_map import at
from mlx_cc.ingest.record import moment
from mlx_cc.ingest.shapes.objects import Item, objects
from mlx_cc.ingest.shapes.utterances import LONGEST_S
from mlx_cc.ingest.source import File

T = TypeVar("T")


def each(
    file: File,
    read: Callable[[Item], T],
    *lists: str,
    whole: Callable[[dict[str, Any]], bool] = lambda tree: False,
) -> Iterator[T | Reject]:
    """The result of `read` for every object of a JSON file; a UserError rejects only that object.

    Args:
        file: JSON as `objects.objects` reads it.
        read: called with one object.
        lists: dotted keys under which an export has the list of its objects (or objects by id).
        whole: whether an object with one of those keys is itself a record.

    Raises:
        UserError: the file is not JSON.
    """
    for outer in objects(file):
        if isinstance(outer, Reject):
            yield outer
            continue
        for item in [outer] if whole(outer.tree) else _inside(outer, lists):
            try:
                if not isinstance(item.tree, dict):
                    raise UserError("is not a JSON object. Leave it out.")
                found = read(item)
            except UserError as fault:
                yield item.reject(file, str(fault))
            else:
                yield found


def _inside(outer: Item, lists: Iterable[str]) -> Iterable[Item]:
    for key in lists:
        inner = at(outer.tree, key)
        if isinstance(inner, dict) and inner and all(isinstance(value, dict) for value in inner.values()):
            inner = list(inner.values())
        if isinstance(inner, list):
            return (Item(tree, outer.line, place) for place, tree in enumerate(inner, 1))
    return [outer]


def plain(value: Any) -> str | None:
    """An id or a name as text; None when it is empty or is neither text nor a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (value.strip() or None) if isinstance(value, str) else None


def distinct(values: Iterable[Any]) -> list[str]:
    """Ids or names as text, in order of first occurrence."""
    return list(dict.fromkeys(filter(None, map(plain, values))))


def seconds_after(start: datetime | None, value: Any) -> float | None:
    """Seconds from the start to a time; None when either is missing or invalid, or the result is below 0 or absurd."""
    if start is None or value is None:
        return None
    try:
        passed = (moment(value, "UTC") - start).total_seconds()
    except UserError:
        return None
    return round(passed, 3) if 0 <= passed <= LONGEST_S else None
