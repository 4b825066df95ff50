"""State of a conversation's redaction: its texts with masks hidden, the values claimed so far, and what was read."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mlx_cc.conversation import Conversation
from mlx_cc.redact.spoken_numbers import Piece, pieces
from mlx_cc.redact.word_flags import turn_flags

MASK = re.compile(r"\[[A-Za-z][A-Za-z_ ]*\d*\]|<[A-Z][A-Z_]*>|\*{2,}|#{4,}|\b[Xx]{4,}\b")
"""Placeholders, stars and hashes that masked a value before. They stay as they are and are never read as words."""

HIDDEN = "\ue000"
"""In the text that rules see, each character of a mask becomes this one: no letter, no digit, no space."""

COUNTRY_OF_LANGUAGE = {"en": "US", "es": "ES", "fr": "FR", "de": "DE", "zh": "CN", "pt": "BR", "it": "IT", "nl": "NL"}


class Span(NamedTuple):
    turn: int
    start: int
    end: int


class Cue(NamedTuple):
    """Words of a turn that say what a number is."""

    start: int
    end: int
    entity_type: str
    """A key of `cues` in words.yaml; KEEP marks numbers that are no personal data."""


MASK_SIGNS = ("[", "<", "*", "#", "xxxx", "XXXX")
"""Every mask has one of these."""


def _hidden(text: str) -> str:
    """A text with its masks hidden."""
    return MASK.sub(lambda mask: HIDDEN * len(mask[0]), text) if any(sign in text for sign in MASK_SIGNS) else text


def lower(text: str) -> str:
    """A text in lower case of the same length, so that offsets stay."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


@dataclass(frozen=True)
class Value:
    """A value of personal data and the spans that hold it."""

    entity_type: str
    key: str = field(repr=False)
    """Equal for two spellings of the same value."""
    spans: tuple[Span, ...]


@dataclass(repr=False)
class RedactionState:
    """Texts and claimed values of one conversation; a rule can't claim a span that an earlier rule has."""

    raw: list[str]
    roles: list[str]
    language: str
    country: str
    texts: list[str] = field(init=False)
    lowered: list[str] = field(init=False)
    flags: list[int] = field(init=False)
    """Per turn: flags of its words, see `word_flags`."""
    values: list[Value] = field(default_factory=list)
    claimed: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    cues: dict[int, list[Cue]] = field(default_factory=dict)
    """Turn -> its cues; filled by `number_context.py` when needed."""
    runs: tuple[int, list[Any]] = (-1, [])
    """Number of values when `digit_runs.py` last read the runs of digits, and those runs."""
    weights: dict[int, int] = field(default_factory=dict)
    """Turn -> its digits and number words, weighted; filled when needed."""
    stretches: dict[int, list[Any]] = field(default_factory=dict)
    """Turn -> its runs of digits while nothing in it is claimed; filled by `digit_runs.py`."""
    _pieces: dict[int, list[Piece]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        joined = "\n".join(self.raw)
        masked = any(sign in joined for sign in MASK_SIGNS)
        self.texts = [_hidden(text) for text in self.raw] if masked else self.raw.copy()
        self.lowered = [lower(text) for text in self.texts]
        self.flags = turn_flags(self.raw)

    @classmethod
    def of(cls, conversation: Conversation, country: str | None) -> "RedactionState":
        """The state of an unredacted conversation; its own country goes before the redactor's."""
        language = (conversation.language or "").split("-")[0].lower()
        country = conversation.country or country or COUNTRY_OF_LANGUAGE.get(language, "US")
        turns = conversation.turns
        return cls([turn.text for turn in turns], [turn.role for turn in turns], language, country)

    def reset(self, changed: dict[int, str]) -> None:
        """Start a new pass with the changed texts, turn -> text; nothing is claimed."""
        for (turn, text), bits in zip(changed.items(), turn_flags(list(changed.values())), strict=True):
            self.raw[turn], self.texts[turn], self.flags[turn] = text, _hidden(text), bits
            self.lowered[turn] = lower(self.texts[turn])
            for cache in (self.cues, self.weights, self.stretches, self._pieces):
                cache.pop(turn, None)
        self.values, self.claimed, self.runs = [], {}, (-1, [])

    def claim(self, entity_type: str, key: str, *spans: Span) -> bool:
        """Claim spans for a value; False when a part of one is claimed already."""
        if any(self.taken(*span) for span in spans):
            return False
        for turn, start, end in spans:
            self.claimed.setdefault(turn, []).append((start, end))
        self.values.append(Value(entity_type, key, spans))
        return True

    def taken(self, turn: int, start: int, end: int) -> bool:
        """Whether a claimed value overlaps the span."""
        return any(
            start < claimed_end and end > claimed_start for claimed_start, claimed_end in self.claimed.get(turn, ())
        )

    def answered(self, entity_type: str, since: int, turn: int) -> bool:
        """Whether the turns `since` to `turn` hold a value of a type, claimed now or masked before."""
        if any(f"[{entity_type}" in text for text in self.raw[since : turn + 1]):
            return True
        return any(
            since <= span.turn <= turn
            for value in self.values
            if value.entity_type == entity_type
            for span in value.spans
        )

    def pieces(self, turn: int) -> list[Piece]:
        """The digits, number words and spelled letters of a turn that are not claimed."""
        if turn not in self._pieces:
            self._pieces[turn] = pieces(self.texts[turn], self.language)
        if turn not in self.claimed:
            return self._pieces[turn]
        return [piece for piece in self._pieces[turn] if not self.taken(turn, piece.start, piece.end)]
