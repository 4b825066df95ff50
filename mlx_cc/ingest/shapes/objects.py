"""JSON exports: one object, a list, one object per line, or objects run together as streams deliver them."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Reject
from mlx_cc.ingest.record import in_words
from mlx_cc.ingest.source import File, from_json

T = TypeVar("T")
SEVERAL = re.compile(rb"\s*\{[^\n]*\}[ \t\r]*\n\s*\{")
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_SPACE = re.compile(r"\s*")
_whole = json.JSONDecoder().raw_decode


class Item(NamedTuple):
    """An object of a file with its line or its index in a list; neither when it is alone."""

    tree: dict[str, Any]
    line: int | None = None
    place: int | None = None

    def reject(self, file: File, reason: str) -> Reject:
        """Reject it."""
        return Reject(str(file.path), self.line, reason if self.place is None else f"item {self.place}: {reason}")


def objects(file: File) -> Iterator[Item | Reject]:
    """The objects of a JSON file; a Reject for each line or list item that is no object.

    Raises:
        UserError: the file is not JSON.
    """
    if file.suffix in (".jsonl", ".ndjson") or SEVERAL.match(file.head):
        yield from _of_lines(file)
        return
    text = file.text()
    try:
        document = from_json(text)
    except UserError:
        several = _run_together(text, 1)
        if not several:
            raise
        yield from (_item(tree, file, line=line) for line, tree in several)
        return
    if isinstance(document, list):
        yield from (_item(tree, file, place=place) for place, tree in enumerate(document, 1))
    else:
        yield _item(document, file)


def shaped(tree: Any, shape: type[T]) -> T:
    """An object converted to a platform's struct; numbers and booleans can be written as text.

    Raises:
        UserError: a value has another type than the platform documents.
    """
    try:
        return msgspec.convert(tree, shape, strict=False)
    except msgspec.ValidationError as fault:
        raise UserError(f"{in_words(fault)} Export it again.") from fault


def snake_keys(tree: Any, depth: int) -> Any:
    """The object with keys in snake case (`media_channel`) down to a depth, for platforms that also use camel case."""
    if depth and isinstance(tree, dict):
        return {_snake(key): snake_keys(value, depth - 1) for key, value in tree.items()}
    if depth and isinstance(tree, list):
        return [snake_keys(value, depth - 1) for value in tree]
    return tree


@lru_cache(maxsize=1024)
def _snake(key: str) -> str:
    return _CAPITAL.sub(r"_\1", key).lower()


def _of_lines(file: File) -> Iterator[Item | Reject]:
    for number, line in file.lines():
        try:
            trees = [from_json(line)]
        except UserError as fault:
            trees = [tree for _, tree in _run_together(line.decode("utf-8", "replace"), number)]
            if not trees:
                yield Reject(str(file.path), number, str(fault))
                continue
        for tree in trees:
            yield _item(tree, file, line=number)


def _run_together(text: str, line: int) -> list[tuple[int, Any]]:
    """(line, object or UserError) of objects with nothing between them; empty for any other file."""
    found: list[tuple[int, Any]] = []
    counted = 0
    end = 0
    while (start := _next(text, end)) < len(text):
        if text[start] != "{":
            return []
        try:
            _, end = _whole(text, start)
        except (ValueError, RecursionError):
            end = len(text)
        line += text.count("\n", counted, start)
        counted = start
        try:
            found.append((line, from_json(text[start:end])))
        except UserError as fault:
            found.append((line, fault))
    return found if len(found) > 1 else []


def _next(text: str, start: int) -> int:
    """Offset of the next character that is no space."""
    space = _SPACE.match(text, start)
    return space.end() if space else start


def _item(tree: Any, file: File, line: int | None = None, place: int | None = None) -> Item | Reject:
    item = Item(tree, line, place)
    if isinstance(tree, UserError):
        return item.reject(file, str(tree))
    return item if isinstance(tree, dict) else item.reject(file, "is not a JSON object. Leave it out.")
