"""The words of `words.yaml`, as sets and as regular expressions."""

import re
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


def cue_sources() -> dict[str, str]:
    """Kind of number -> verbose regular expression of the words that name it."""
    return {kind: pattern.strip() for kind, pattern in _read()["cues"].items()}


def either(some: frozenset[str] | set[str]) -> str:
    """A regular expression of words, longer ones first."""
    return "(?:" + "|".join(map(re.escape, sorted(some, key=lambda word: (-len(word), word)))) + ")"
