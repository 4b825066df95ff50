"""Context of a number: the words in its turn, or in the question before it, that say what the number is."""

import re

from mlx_cc.redact.state import Cue, RedactionState
from mlx_cc.redact.word_flags import word_flag
from mlx_cc.redact.words import cue_sources, leftmost

LOOK_BACK = 3
"""A question is looked for in this many turns before the number."""

CUES = [
    (entity_type, re.compile(rf"(?<![a-zà-ÿ])(?:{words})", re.X), word_flag(prefilter))
    for entity_type, (words, prefilter) in cue_sources().items()
]
"""Entity type, pattern of the words that name it, and flag of the turns that can have one. The first match wins."""

EXPIRY = re.compile(r"expir\w+|valid\s(?:until|thru)|caduc\w+|vencimiento|gültig|ablauf\w+|有效期", re.I)

QUALIFIER = re.compile(
    r"^[^.?!,;]{0,30}\b(?:on|for|with|to|under|in|about|of)\s(?:the|your|my|this|that|our|his|her)\s$"
)
"""Between two cues, it makes the second a mere qualifier: in `the phone number on the account`, a phone is meant."""

LINKING = re.compile(r"[\s,]*(?:is|are|was|es|est|ist|是|for|as|on)\s(?:\w+\s){0,2}$", re.I)


def deciding_cue(
    state: RedactionState, turn: int, start: int, end: int, only: str | None = None
) -> tuple[str | None, int]:
    """Entity type that the context gives a span of a turn, and how many turns before the span its cue is.

    The nearest cue before the span in its turn decides; else one right after it (`123 is my security
    code`); else the last cue of the nearest earlier turn that has one. `only` ignores all other types.
    """
    for cue in reversed(cues(state, turn)):
        if cue.start < start and only in (None, cue.entity_type):
            return cue.entity_type, 0
    following = next((cue for cue in cues(state, turn) if cue.start >= end), None)
    if (
        following
        and only in (None, following.entity_type)
        and LINKING.match(state.lowered[turn][end : following.start])
    ):
        return following.entity_type, 0
    for back in range(1, min(LOOK_BACK, turn) + 1):
        for cue in reversed(cues(state, turn - back)):
            if only in (None, cue.entity_type):
                return cue.entity_type, back
    return None, 0


def cues(state: RedactionState, turn: int) -> list[Cue]:
    """The cues of a turn, in order."""
    if turn not in state.cues:
        text = state.lowered[turn]
        turn_cues: list[Cue] = []
        possible = [(entity_type, pattern) for entity_type, pattern, flag in CUES if state.flags[turn] & flag]
        for index, match in leftmost([pattern for _, pattern in possible], text):
            if not (turn_cues and QUALIFIER.search(text[turn_cues[-1].end : match.start()])):
                turn_cues.append(Cue(*match.span(), possible[index][0]))
        state.cues[turn] = turn_cues
    return state.cues[turn]
