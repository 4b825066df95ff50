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
    """The words of a list of the file."""
    return frozenset(_read()[name].split())


def source(name: str) -> str:
    """A verbose regular expression of the file, as a group."""
    return f"(?:{_read()[name].strip()})"


def cue_sources() -> dict[str, tuple[str, str]]:
    """Entity type -> verbose regular expressions: the words that name it, and what every such phrase contains."""
    read = _read()
    return {
        entity_type: (pattern.strip(), read["cue_prefilter"][entity_type].strip())
        for entity_type, pattern in read["cues"].items()
    }


def leftmost(patterns: Sequence[re.Pattern[str]], text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Matches of the alternation of some patterns, in order: index of the pattern and its match.

    One expression `a|b|…` would try every alternative at every character.
    """
    following = [(match.start(), index, match) for index, one in enumerate(patterns) if (match := one.search(text))]
    while following:
        _, index, match = nearest = min(following)
        yield index, match
        for at, other in enumerate(following):
            if other[0] < match.end():
                again = patterns[other[1]].search(text, match.end())
                following[at] = (again.start(), other[1], again) if again else nearest
        following = [other for other in following if other is not nearest]


def either(some: frozenset[str] | set[str]) -> str:
    """A regular expression that matches any of the words, longer ones first."""
    return "(?:" + "|".join(map(re.escape, sorted(some, key=lambda word: (-len(word), word)))) + ")"
