"""Rows of platforms' reports: CSV, or JSON objects with the same columns."""

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Reject
from mlx_cc.ingest.shapes.exports import each
from mlx_cc.ingest.shapes.objects import Item
from mlx_cc.ingest.shapes.rows import Layout, is_blank, layout, rows
from mlx_cc.ingest.source import File

T = TypeVar("T")


class Told(NamedTuple):
    """One row of a report."""

    cells: dict[str, Any]
    """Column -> value (text in CSV); missing values are left out."""
    month_first: bool | None = None
    """Whether 3/4/2025 is in March; None when the file leaves it open."""


@lru_cache(maxsize=4096)
def column(name: str) -> str:
    """A column's name, normalised: `Transfer (Yes / No)` and `transfer?` are transfer."""
    return re.sub(r"[\W_]+", "_", re.sub(r"\(.*?\)", "", name).casefold()).strip("_")


def columns(head: bytes, known: Collection[str]) -> set[str]:
    """The columns of a CSV file or keys of JSON objects, from the file's start; empty without a known one."""
    if _is_json(head):
        return {column(key.decode("utf-8", "replace")) for key in re.findall(rb'"([^"\\]{1,64})"\s*:', head)}
    found = _layout(head, known)
    return set(map(column, found.names)) if found else set()


def each_row(file: File, read: Callable[[Told], T], known: Collection[str], *lists: str) -> Iterator[T | Reject]:
    """The result of `read` for every row; a UserError rejects only that row.

    Args:
        file: CSV as `rows.rows` reads it, or JSON.
        read: called with one row.
        known: columns that mark the line of names.
        lists: dotted keys under which a JSON report has its rows.

    Raises:
        UserError: the file is neither CSV nor JSON.
    """
    if _is_json(file.head):
        yield from each(file, lambda item: read(Told(_said(item))), *lists)
        return
    found = _layout(file.head, known)
    if found is None:
        raise UserError("has no line with the names of its columns. Export it with them.")
    names = [column(name) for name in found.names]
    for row in rows(file, found):
        if isinstance(row, Reject):
            yield row
            continue
        try:
            cells = {names[int(place)]: cell for place, cell in row.cells.items() if not is_blank(cell)}
            told = read(Told(cells, found.month_first))
        except UserError as fault:
            yield Reject(str(file.path), row.line, str(fault))
        else:
            yield told


def _is_json(head: bytes) -> bool:
    return head.lstrip().startswith((b"{", b"["))


def _layout(head: bytes, known: Collection[str]) -> Layout | None:
    return layout(head, lambda names: len({column(name) for name in names} & set(known)))


def _said(item: Item) -> dict[str, Any]:
    return {
        column(name): value
        for name, value in item.tree.items()
        if value is not None and not (isinstance(value, str) and (not value.strip() or is_blank(value.strip())))
    }
