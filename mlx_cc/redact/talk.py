"""One conversation while it is being redacted: its texts, what was found so far, and where a run of digits stands."""

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mlx_cc.conversation import Conversation
from mlx_cc.redact.hints import hints
from mlx_cc.redact.spoken import Piece, pieces

MASK = re.compile(r"\[[A-Za-z][A-Za-z_ ]*\d*\]|<[A-Z][A-Z_]*>|\*{2,}|#{4,}|\b[Xx]{4,}\b")
"""What somebody masked before: placeholders, stars, hashes. Stays as it is and is never read as words."""

HIDDEN = "\ue000"
"""Stands for each character of a mask in the text that the rules see: no letter, no digit, no space."""

REGION = {"en": "US", "es": "ES", "fr": "FR", "de": "DE", "zh": "CN", "pt": "BR", "it": "IT", "nl": "NL"}


class Span(NamedTuple):
    turn: int
    start: int
    end: int


SIGNS = ("[", "<", "*", "#", "xxxx", "XXXX")
"""Every mask has one of these."""


def _hidden(text: str) -> str:
    """A text with its masks hidden."""
    return MASK.sub(lambda mask: HIDDEN * len(mask[0]), text) if any(sign in text for sign in SIGNS) else text


def lower(text: str) -> str:
    """A text in lower case, every character at its place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


@dataclass(frozen=True)
class Found:
    """A value: its type, what makes two spellings of it the same, and where it stands."""

    kind: str
    key: str = field(repr=False)
    spans: tuple[Span, ...]


@dataclass(repr=False)
class Talk:
    """The texts with masks hidden, and the values found; a later rule can't claim what an earlier one has."""

    raw: list[str]
    roles: list[str]
    language: str
    country: str
    texts: list[str] = field(init=False)
    lowered: list[str] = field(init=False)
    hints: list[int] = field(init=False)
    """What each turn's words hint at."""
    found: list[Found] = field(default_factory=list)
    claimed: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    cues: dict[int, list[tuple[int, int, str]]] = field(default_factory=dict)
    """Turn -> start, end and kind of the words that say what a number is; filled by `cues.py` when asked for."""
    runs: tuple[int, list[Any]] = (-1, [])
    """How many values were found when `numbers.py` last read the runs of digits, and those runs."""
    weights: dict[int, int] = field(default_factory=dict)
    """Turn -> how much in it looks like numbers; filled when asked for."""
    stretches: dict[int, list[Any]] = field(default_factory=dict)
    """Turn -> its runs of digits while nothing of it is claimed; filled by `numbers.py`."""
    _pieces: dict[int, list[Piece]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        said = "\n".join(self.raw)
        masked = any(sign in said for sign in SIGNS)
        self.texts = [_hidden(text) for text in self.raw] if masked else self.raw.copy()
        self.lowered = [lower(text) for text in self.texts]
        self.hints = hints(self.raw)

    @classmethod
    def of(cls, conversation: Conversation, country: str | None) -> "Talk":
        """Of a conversation; its own country and language go before the redactor's."""
        language = (conversation.language or "").split("-")[0].lower()
        country = conversation.country or country or REGION.get(language, "US")
        turns = conversation.turns
        return cls([turn.text for turn in turns], [turn.role for turn in turns], language, country)

    def begin_again(self, changed: dict[int, str]) -> None:
        """Forget what was found; some turns' texts are others now."""
        for (turn, text), bits in zip(changed.items(), hints(list(changed.values())), strict=True):
            self.raw[turn], self.texts[turn], self.hints[turn] = text, _hidden(text), bits
            self.lowered[turn] = lower(self.texts[turn])
            for read in (self.cues, self.weights, self.stretches, self._pieces):
                read.pop(turn, None)
        self.found, self.claimed, self.runs = [], {}, (-1, [])

    def claim(self, kind: str, key: str, *spans: Span) -> bool:
        """Take spans for a value; False when one of them is taken already."""
        if any(self.taken(*span) for span in spans):
            return False
        for turn, start, end in spans:
            self.claimed.setdefault(turn, []).append((start, end))
        self.found.append(Found(kind, key, spans))
        return True

    def taken(self, turn: int, start: int, end: int) -> bool:
        """Whether a value was found that overlaps the span."""
        return any(start < upto and end > since for since, upto in self.claimed.get(turn, ()))

    def answered(self, kind: str, since: int, turn: int) -> bool:
        """Whether the turns `since` to `turn` hold a value of a type already, found now or masked before."""
        if any(f"[{kind}" in text for text in self.raw[since : turn + 1]):
            return True
        return any(since <= span.turn <= turn for found in self.found if found.kind == kind for span in found.spans)

    def pieces(self, turn: int) -> list[Piece]:
        """The digits, number words and spelled letters of a turn, without what is claimed."""
        if turn not in self._pieces:
            self._pieces[turn] = pieces(self.texts[turn], self.language)
        if turn not in self.claimed:
            return self._pieces[turn]
        return [piece for piece in self._pieces[turn] if not self.taken(turn, piece.start, piece.end)]
