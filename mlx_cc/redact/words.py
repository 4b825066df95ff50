"""The words of `words.yaml`, as sets and as regular expressions."""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import yaml


@cache
def _read() -> dict[str, Any]:
    return yaml.safe_load((files("mlx_cc.redact") / "words.yaml").read_text(encoding="utf-8"))


def words(name: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(_read()[name].split())


def source(name: str) -> str:
    """A verbose regular expression, as a group."""
    return f"(?:{_read()[name].strip()})"


def cue_sources() -> dict[str, str]:
    """Kind of number -> verbose regular expression of the words that name it."""
    return {kind: pattern.strip() for kind, pattern in _read()["cues"].items()}


def either(some: frozenset[str] | set[str]) -> str:
    """A regular expression of words, longer ones first."""
    return "(?:" + "|".join(map(re.escape, sorted(some, key=lambda word: (-len(word), word)))) + ")"


def found_at(starts: re.Pattern[str], pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """What `pattern.finditer(text)` finds, faster: tried only where `starts`, of `starts_of`, says that it can be."""
    at = 0
    while start := starts.search(text, at):
        match = pattern.match(text, start.start())
        if match:
            yield match
        at = match.end() if match else start.start() + 1


def starts_of(behind: str, verbose: str) -> re.Pattern[str]:
    """Finds every place where a verbose regular expression may match, by the first characters of its alternatives.

    `re` tries hundreds of alternatives one after the other at every word; ordered by their first letter it looks
    at a few. `behind` is the look-behind that goes before them.
    """
    by_first: dict[str, set[str]] = {}
    for beginning in set().union(*_beginnings(_parser.parse(verbose, re.X))):
        by_first.setdefault(beginning[0], set()).add(re.escape(beginning[1:]))
    ways = (f"{re.escape(first)}(?:{'|'.join(sorted(rest))})" for first, rest in sorted(by_first.items()))
    return re.compile(f"{behind}(?:{'|'.join(ways)})")


def _beginnings(items: Any, most: int = 4) -> tuple[set[str], set[str]]:
    """How a match of parsed parts can begin: wholes, which what follows goes on with, and beginnings, cut short."""
    wholes, cut = {""}, set()
    for kind, part in items:
        if kind is _constants.LITERAL:
            more, ended = {chr(part)}, set()
        elif kind is _constants.IN and all(each is _constants.LITERAL for each, _ in part):
            more, ended = {chr(sign) for _, sign in part}, set()
        elif kind is _constants.BRANCH:
            both = [_beginnings(way, most) for way in part[1]]
            more, ended = set().union(*(b[0] for b in both)), set().union(*(b[1] for b in both))
        elif kind is _constants.SUBPATTERN:
            more, ended = _beginnings(part[-1], most)
        elif kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT) and part[1] == 1:
            more, ended = _beginnings(part[2], most)
            more = more | {""} if part[0] == 0 else more
        elif kind in (_constants.AT, _constants.ASSERT, _constants.ASSERT_NOT):
            continue
        else:
            return set(), cut | wholes
        cut |= {(whole + end)[:most] for whole in wholes for end in ended}
        wholes = {whole + end for whole in wholes for end in more}
        cut |= {whole[:most] for whole in wholes if len(whole) >= most}
        wholes = {whole for whole in wholes if len(whole) < most}
    return wholes, cut
