r"""What the words of a turn hint at, each looked up once, so that a rule is asked only where it can find something.

    STREET = hint(r"\b(?:street|road)\b")    # beside the rule, which finds nothing in turns without such a word
    if talk.hints[turn] & STREET: ...

Expressions tell what a word hints at when it is met for the first time, a dictionary from then on.
"""

import re
from collections.abc import Collection, Sequence

BLANKS = str.maketrans({sign: " " for sign in '.,;:?!()"/-¿¡'})
"""What separates words, besides white space."""

MOST_WORDS = 1 << 15
LONGEST_WORD = 40
"""So many words are kept, of so many letters at most."""

ODD = re.compile("[ıſ\u212a]")
"""What expressions without case take for i, s and k. (They take İ for i too; its lower case is two characters.)"""

_patterns: list[re.Pattern[str]] = []
_loose = 0
"""The bits that are not about exact words."""


def hint(pattern: str, *, exact: bool = False) -> int:
    """The bit of turns with a word in which a verbose expression is found; words are in lower case, without `BLANKS`.

    Turns with Chinese, or letters whose case is odd, have it too, unless `exact`.
    """
    global _loose
    bit = 1 << len(_patterns)
    _patterns.append(re.compile(pattern, re.X))
    _loose |= 0 if exact else bit
    _HINTS.clear()
    return bit


def hint_of(words: Collection[str]) -> int:
    """The bit of turns that have one of the words."""
    return hint(rf"^(?:{'|'.join(map(re.escape, sorted(words)))})\Z", exact=True)


class _Hints(dict[str, int]):
    """Word -> the bits of what it hints at."""

    def __missing__(self, word: str) -> int:
        bits = sum(1 << place for place, pattern in enumerate(_patterns) if pattern.search(word))
        if len(self) >= MOST_WORDS:
            self.clear()
        if len(word) <= LONGEST_WORD:
            self[word] = bits
        return bits


_HINTS = _Hints()

CHINESE = hint(r"[\u4e00-\u9fff]", exact=True)
DIGIT = hint(r"\d", exact=True)


def hinting(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return text.lower().translate(BLANKS).split()


def hints(texts: Sequence[str]) -> list[int]:
    """The bits of each turn."""
    said = "\n".join(texts)
    lines = said.lower().translate(BLANKS).split("\n")
    if len(lines) != len(texts):  # a turn of several lines
        lines = [text.lower().translate(BLANKS) for text in texts]
    found = []
    for line in lines:
        bits = 0
        for bit in map(_HINTS.__getitem__, line.split()):
            bits |= bit
        found.append(bits)
    if not said.isascii():
        for turn, text in enumerate(texts):
            odd = not text.isascii() and (len(text.lower()) != len(text) or ODD.search(text))
            if odd or found[turn] & CHINESE:
                found[turn] |= _loose
    return found
