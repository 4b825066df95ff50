"""One conversation while it is being redacted: its texts, what was found so far, and where a run of digits stands."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mlx_cc.conversation import Conversation
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


SIGN = re.compile(r"[\[<*#]|xxxx|XXXX")
"""Every mask has one of these."""


def hidden(text: str) -> str:
    """A text with its masks hidden."""
    return MASK.sub(_hide, text) if SIGN.search(text) else text


def _hide(mask: re.Match[str]) -> str:
    return HIDDEN * len(mask[0])


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
    texts: list[str]
    lowered: list[str]
    roles: list[str]
    language: str
    country: str
    found: list[Found] = field(default_factory=list)
    claimed: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    cues: dict[int, list[tuple[int, int, str]]] = field(default_factory=dict)
    """Turn -> start, end and kind of the words that say what a number is; filled by `cues.py` when asked for."""
    introduced: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Turn -> start and end of the names that `people.py` sees introduced in it."""
    asks_name: dict[int, bool] = field(default_factory=dict)
    """Whether a turn asks for a name."""
    stretches: dict[int, list[list[tuple[int, Piece]]]] = field(default_factory=dict)
    """Turn -> its pieces that follow each other, as `numbers.py` reads them where nothing is claimed."""
    runs: tuple[int, list[Any]] = (-1, [])
    """How many values were found when `numbers.py` last read the runs of digits, and those runs."""
    _pieces: dict[int, list[Piece]] = field(default_factory=dict)

    @classmethod
    def of(cls, conversation: Conversation, country: str | None) -> "Talk":
        """Of a conversation; its own country and language go before the redactor's."""
        language = (conversation.language or "").split("-")[0].lower()
        raw = [turn.text for turn in conversation.turns]
        texts = list(map(hidden, raw)) if SIGN.search("\n".join(raw)) else raw[:]
        country = conversation.country or country or REGION.get(language, "US")
        return cls(raw, texts, list(map(lower, texts)), [turn.role for turn in conversation.turns], language, country)

    def go_on(self, conversation: Conversation, changed: Collection[int]) -> None:
        """To the next pass over the conversation, in which the texts of some turns were changed.

        What was read from the other turns' texts alone is kept.
        """
        for turn in changed:
            self.raw[turn] = conversation.turns[turn].text
            self.texts[turn] = hidden(self.raw[turn])
            self.lowered[turn] = lower(self.texts[turn])
            for read in (self.cues, self.introduced, self.asks_name, self.stretches, self._pieces):
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
