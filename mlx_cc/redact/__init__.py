"""Replace personal data in a conversation's text with placeholders: cards, codes, ids, phones, addresses, names.

    redactor = Redactor(country="US")
    clean = redactor.redact(conversation, names=["Jane Doe"])

The first card number becomes `[CARD]`, a second one `[CARD_2]`; the same value gets the same
placeholder, however it is spelled. This is no anonymisation: docs/privacy.md lists what is missed.
"""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from mlx_cc.conversation import Conversation, Provenance, replace
from mlx_cc.files import read_conversations
from mlx_cc.redact.addresses import DATE_AND_STREET_WORDS, find_address, find_birth_date, find_email
from mlx_cc.redact.names import ANSWER_TURNS, find_known_names, find_names
from mlx_cc.redact.numbers import FIRST_RULES, LAST_RULES, find_numbers, find_repeats, find_written
from mlx_cc.redact.spoken_numbers import number_words
from mlx_cc.redact.state import HIDDEN, RedactionState, Span
from mlx_cc.redact.word_flags import CHINESE, DIGIT, flag_of, split_words, word_flag
from mlx_cc.redact.words import words

__all__ = ["Redactor", "pseudonym", "read_redacted"]

Recogniser = Callable[[str, str], Iterable[tuple[int, int, str]]]
"""Text and language -> start, end and entity type of more values (`ner.py` makes one)."""

MOST_PASSES = 4
"""Redaction repeats until nothing changes, so that a second run changes nothing, but at most this many times."""

CONTEXT_TURNS = 4
"""A replaced value can change what is found in this many turns around it: a question, a number given in parts."""

WINDOW_CHARACTERS = 4000
"""Longer turns are read in windows of this size, because some rules take time that grows faster than the length."""

PLACEHOLDER = re.compile(r"\[([A-Z_]+?)(?:_(\d+))?\]")

WEIGHTS = {word: 2 for word in (*number_words(), *DATE_AND_STREET_WORDS)} | {"may": 1}
"""A word of these counts as this many digits; a turn with three digits or more is searched for numbers."""

WEIGHED, TRIGGER, ASKER = flag_of(WEIGHTS), flag_of(words("triggers")), flag_of(words("askers"))
AT, DOT, MAIL = flag_of({"at"}), flag_of({"dot"}), word_flag("@", exact=True)
THIS_IS = word_flag(r"this\Z|^am\Z", exact=True)


class Redactor:
    """Finds and replaces personal data; `counts` has the number of values by type, over all conversations.

    Args:
        country: ISO 3166-1 alpha-2; phone numbers without a country code are read as numbers of this
            country, where a conversation does not name its own.
        ner: finds more names and places in a turn; see `ner.presidio`.
    """

    def __init__(self, country: str | None = None, ner: Recogniser | None = None):
        self.country = country
        self.ner = ner
        self.counts: Counter[str] = Counter()

    def redact(self, conversation: Conversation, names: Sequence[str] = ()) -> Conversation:
        """The conversation with placeholders in its turns' texts.

        Turns, their order, roles and times stay. What was masked before stays as it is.

        Args:
            names: names of the people in the conversation, as the export spells them.
        """
        if any(len(turn.text) > WINDOW_CHARACTERS for turn in conversation.turns):
            return self._redact_long(conversation, names)
        state = RedactionState.of(conversation, self.country)
        before = state.raw.copy()
        changed_near = set(range(len(before)))
        names_unread = changed_near.copy()
        for _ in range(MOST_PASSES):
            self._find(state, names, changed_near, names_unread)
            if not state.values:
                break
            self.counts.update(entity_type for entity_type, _ in {(one.entity_type, one.key) for one in state.values})
            changed = _masked(state)
            state.reset(changed)
            changed_near = {turn + step for turn in changed for step in range(-CONTEXT_TURNS, CONTEXT_TURNS + 1)}
            names_unread |= {turn + step for turn in changed for step in range(ANSWER_TURNS + 1)}
        if state.raw == before:
            return conversation
        turns = zip(conversation.turns, state.raw, strict=True)
        return replace(
            conversation, turns=tuple(turn if turn.text is text else replace(turn, text=text) for turn, text in turns)
        )

    def _redact_long(self, conversation: Conversation, names: Sequence[str]) -> Conversation:
        """Redact with long turns cut into windows, so that time grows in proportion to length."""
        pairs = [(turn, _windows(turn.text)) for turn in conversation.turns]
        cut = tuple(replace(turn, text=window) for turn, windows in pairs for window in windows)
        texts = iter([turn.text for turn in self.redact(replace(conversation, turns=cut), names).turns])
        joined = [replace(turn, text="".join(islice(texts, len(windows)))) for turn, windows in pairs]
        return replace(conversation, turns=tuple(joined))

    def _find(
        self, state: RedactionState, names: Sequence[str], turns: Collection[int], names_unread: set[int]
    ) -> None:
        """Claim the values in `turns`, and their repetitions in other turns.

        `names_unread` are the turns not yet searched for names since they, or the question before them, changed.
        """
        numbered, named = _turns_to_read(state, turns)
        if not (numbered or named or names or self.ner):
            return
        for turn in sorted({*numbered, *named}):
            find_email(state, turn)
        if numbered:
            for turn in numbered:
                find_written(state, turn)
            find_numbers(state, numbered, FIRST_RULES)
            for turn in numbered:
                find_birth_date(state, turn)
                find_address(state, turn)
            find_numbers(state, numbered, LAST_RULES)
            find_repeats(state, numbered)
        find_names(state, [turn for turn in named if turn in names_unread])
        names_unread.difference_update(named)
        if names or any(value.entity_type == "NAME" for value in state.values):
            find_known_names(state, names)
        if self.ner:
            for turn, text in enumerate(state.texts):
                for start, end, entity_type in self.ner(text, state.language):
                    if HIDDEN not in text[start:end]:
                        state.claim(entity_type, text[start:end].lower(), Span(turn, start, end))


def read_redacted(path: Path | str, country: str | None = None) -> Iterator[Conversation]:
    """`read_conversations` with redaction, except of conversations redacted before or marked to keep personal data.

    Every command that shows, stores or prompts with conversations reads them by this or through `mlx_cc.ingest`.
    """
    redactor = Redactor(country)
    for conversation in read_conversations(path):
        origin = conversation.provenance or Provenance("")
        if not (origin.redacted or origin.personal_data_kept):
            conversation = replace(redactor.redact(conversation), provenance=replace(origin, redacted=True))
        yield conversation


def pseudonym(value: str, key: bytes) -> str:
    """An id in place of a phone number, an e-mail address or a name: `c_` and 16 hex digits of an HMAC-SHA256.

    The same value and key give the same id. Without the key, nobody can compute an id from a value or the reverse.
    """
    return "c_" + hmac.new(key, value.encode(), hashlib.sha256).hexdigest()[:16]


def _windows(text: str) -> list[str]:
    """A text in pieces of at most `WINDOW_CHARACTERS`, cut after white space where there is any."""
    pieces, size = [], WINDOW_CHARACTERS
    while len(text) > size:
        cut = max(text.rfind(" ", size // 2, size), text.rfind("\n", size // 2, size)) + 1 or size
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


def _turns_to_read(state: RedactionState, turns: Collection[int]) -> tuple[list[int], list[int]]:
    """The turns among `turns` that can hold a number or an address, and those that can hold a name."""
    numbered, named = [], []
    asked = -3
    for turn, bits in enumerate(state.flags):
        if turn not in turns:
            continue
        if (
            bits & (CHINESE | MAIL)
            or bits & (AT | DOT) == AT | DOT
            or (bits & (DIGIT | WEIGHED) and _weight(state, turn) > 2)
        ):
            numbered.append(turn)
        if (
            turn - asked <= 2
            or bits & (CHINESE | TRIGGER)
            or (bits & THIS_IS and _says_this_is(state.raw[turn].lower()))
        ):
            named.append(turn)
            if bits & (CHINESE | ASKER):
                asked = turn
    return numbered, named


def _weight(state: RedactionState, turn: int) -> int:
    """The digits in a turn, plus the weights of its words."""
    if turn not in state.weights:
        text, bits = state.raw[turn], state.flags[turn]
        digits = sum(map(str.isdecimal, text)) if bits & DIGIT else 0
        added = (
            sum(WEIGHTS[word] for word in split_words(text) if word in WEIGHTS) if bits & WEIGHED and digits <= 2 else 0
        )
        state.weights[turn] = digits + added
    return state.weights[turn]


def _says_this_is(lowered: str) -> bool:
    return "this is" in lowered or "i am " in lowered


def _masked(state: RedactionState) -> dict[int, str]:
    """Turn -> its text with placeholders, for turns with values; placeholders are numbered by type in order."""
    highest: Counter[str] = Counter()
    for text in state.raw:
        for entity_type, number in PLACEHOLDER.findall(text) if "[" in text else ():
            highest[entity_type] = max(highest[entity_type], int(number or 1))
    placeholders: dict[tuple[str, str], str] = {}
    changes: dict[int, list[tuple[int, int, str]]] = {}
    for value in sorted(state.values, key=lambda value: value.spans[0]):
        entity_type = value.entity_type
        if (entity_type, value.key) not in placeholders:
            highest[entity_type] += 1
            number = "" if highest[entity_type] == 1 or entity_type == "CVV" else f"_{highest[entity_type]}"
            placeholders[entity_type, value.key] = f"[{entity_type}{number}]"
        for turn, start, end in value.spans:
            changes.setdefault(turn, []).append((start, end, placeholders[entity_type, value.key]))
    texts = {}
    for turn, replacements in changes.items():
        text = state.raw[turn]
        for start, end, placeholder in sorted(replacements, reverse=True):
            text = text[:start] + placeholder + text[end:]
        texts[turn] = text
    return texts
