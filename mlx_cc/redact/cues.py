"""What a number is, by the words around it: in its own turn, or in the question before it."""

import re

from mlx_cc.redact.hints import hint
from mlx_cc.redact.talk import Talk
from mlx_cc.redact.words import cue_sources, leftmost

LOOK_BACK = 3
"""So many turns before are searched for what was asked."""

KINDS = [
    (kind, re.compile(rf"(?<![a-zà-ÿ])(?:{words})", re.X), hint(hints))
    for kind, (words, hints) in cue_sources().items()
]
"""Kind -> the words that name it, and what turns with such words have. Of two kinds at one place the first wins."""

EXPIRY = re.compile(r"expir\w+|valid\s(?:until|thru)|caduc\w+|vencimiento|gültig|ablauf\w+|有效期", re.I)

ASIDE = re.compile(r"^[^.?!,;]{0,30}\b(?:on|for|with|to|under|in|about|of)\s(?:the|your|my|this|that|our|his|her)\s$")
"""Between two cues it says that the second only tells where the first belongs: the phone number on the account."""

AFTER = re.compile(r"[\s,]*(?:is|are|was|es|est|ist|是|for|as|on)\s(?:\w+\s){0,2}$", re.I)


def asked(talk: Talk, turn: int, start: int, end: int, only: str | None = None) -> tuple[str | None, int]:
    """The kind of cue that decides what stands at a place of a turn, and how many turns before it was said.

    The nearest cue before it in its turn; else one right after it (`123 is my security code`);
    else the last one of the nearest turn before that has any.
    """
    for since, _, kind in reversed(cues(talk, turn)):
        if since < start and only in (None, kind):
            return kind, 0
    follows = next((cue for cue in cues(talk, turn) if cue[0] >= end), None)
    if follows and only in (None, follows[2]) and AFTER.match(talk.lowered[turn][end : follows[0]]):
        return follows[2], 0
    for back in range(1, min(LOOK_BACK, turn) + 1):
        for _, _, kind in reversed(cues(talk, turn - back)):
            if only in (None, kind):
                return kind, back
    return None, 0


def cues(talk: Talk, turn: int) -> list[tuple[int, int, str]]:
    """Start, end and kind of a turn's cues."""
    if turn not in talk.cues:
        text, found = talk.lowered[turn], []
        named = [(kind, pattern) for kind, pattern, hinted in KINDS if talk.hints[turn] & hinted]
        for place, cue in leftmost([pattern for _, pattern in named], text):
            if not (found and ASIDE.search(text[found[-1][1] : cue.start()])):
                found.append((*cue.span(), named[place][0]))
        talk.cues[turn] = found
    return talk.cues[turn]
