"""The words of `words.yaml`, as sets and as regular expressions."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
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


def cue_sources() -> dict[str, tuple[str, str]]:
    """Kind of number -> verbose regular expressions: the words that name it, and what one of these words has in it."""
    read = _read()
    return {kind: (pattern.strip(), read["cue_hints"][kind].strip()) for kind, pattern in read["cues"].items()}


def leftmost(patterns: Sequence[re.Pattern[str]], text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """What the alternation of some patterns finds in a text: the place of one among them, and its match."""
    following = [(match.start(), place, match) for place, one in enumerate(patterns) if (match := one.search(text))]
    while following:
        _, place, match = nearest = min(following)
        yield place, match
        for at, other in enumerate(following):
            if other[0] < match.end():
                again = patterns[other[1]].search(text, match.end())
                following[at] = (again.start(), other[1], again) if again else nearest
        following = [other for other in following if other is not nearest]


def either(some: frozenset[str] | set[str]) -> str:
    """A regular expression of words, longer ones first."""
    return "(?:" + "|".join(map(re.escape, sorted(some, key=lambda word: (-len(word), word)))) + ")"
