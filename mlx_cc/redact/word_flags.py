r"""Flags of a turn's words, as bits of an integer, so that a slow rule runs only on turns where it can match.

    STREET = word_flag(r"\b(?:street|road)\b")    # beside the rule, which matches no turn without such a word
    if state.flags[turn] & STREET: ...

Patterns run once for each different word; after that a dictionary has the word's flags.
"""

import re
from collections.abc import Collection, Sequence

SEPARATORS = str.maketrans({sign: " " for sign in '.,;:?!()"/-¿¡'})
"""Characters that separate words, besides white space."""

MOST_WORDS = 1 << 15
LONGEST_WORD = 40
"""Limits of the dictionary of words, so that its memory stays small."""

ODD = re.compile("[ıſ\u212a]")
"""Letters that patterns without case match as i, s and k. (İ matches i too; its lower case is two characters.)"""

_patterns: list[re.Pattern[str]] = []
_loose = 0
"""The flags without `exact`."""


def word_flag(pattern: str, *, exact: bool = False) -> int:
    """A new flag, for turns with a word that a verbose pattern matches; words are lower case, without `SEPARATORS`.

    Without `exact`, turns with Chinese or with `ODD` letters have it too, because words tell too little there.
    """
    global _loose
    bit = 1 << len(_patterns)
    _patterns.append(re.compile(pattern, re.X))
    _loose |= 0 if exact else bit
    _FLAGS.clear()
    return bit


def flag_of(words: Collection[str]) -> int:
    """A new flag, for turns that have one of the words."""
    return word_flag(rf"^(?:{'|'.join(map(re.escape, sorted(words)))})\Z", exact=True)


class _Flags(dict[str, int]):
    """Word -> its flags."""

    def __missing__(self, word: str) -> int:
        bits = sum(1 << index for index, pattern in enumerate(_patterns) if pattern.search(word))
        if len(self) >= MOST_WORDS:
            self.clear()
        if len(word) <= LONGEST_WORD:
            self[word] = bits
        return bits


_FLAGS = _Flags()

CHINESE = word_flag(r"[\u4e00-\u9fff]", exact=True)
DIGIT = word_flag(r"\d", exact=True)


def split_words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return text.lower().translate(SEPARATORS).split()


def turn_flags(texts: Sequence[str]) -> list[int]:
    """The flags of each turn."""
    joined = "\n".join(texts)
    lines = joined.lower().translate(SEPARATORS).split("\n")
    if len(lines) != len(texts):  # a turn has several lines
        lines = [text.lower().translate(SEPARATORS) for text in texts]
    flags = []
    for line in lines:
        bits = 0
        for bit in map(_FLAGS.__getitem__, line.split()):
            bits |= bit
        flags.append(bits)
    if not joined.isascii():
        for turn, text in enumerate(texts):
            odd = not text.isascii() and (len(text.lower()) != len(text) or ODD.search(text))
            if odd or flags[turn] & CHINESE:
                flags[turn] |= _loose
    return flags
