"""Personal data out of a conversation's text, before anything is written: cards, codes, ids, phones, addresses, names.

    redactor = Redactor(country="US")
    clean = redactor.redact(conversation, names=["Jane Doe"])

A value becomes its placeholder, `[CARD]`; a second value of the type `[CARD_2]`; the same value the
same placeholder, however it is spelled. Not anonymisation: docs/privacy.md says what is missed.
"""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from mlx_cc.conversation import Conversation, replace
from mlx_cc.redact.numbers import FIRST_RULES, LAST_RULES, find_numbers, find_repeats
from mlx_cc.redact.people import find_known, find_names
from mlx_cc.redact.places import DATE_AND_STREET_WORDS, find_address, find_birth_date, find_email, find_written
from mlx_cc.redact.spoken import number_words
from mlx_cc.redact.talk import HIDDEN, Found, Span, Talk
from mlx_cc.redact.words import words

__all__ = ["Redactor", "pseudonym"]

Recogniser = Callable[[str, str], Iterable[tuple[int, int, str]]]
"""Text and language -> start, end and type of further values (`ner.py` has one)."""

PASSES = 4
"""Redaction is repeated until nothing changes, so that a second run finds nothing new; never more often."""

REACH = 4
"""A value changes what is found at most so many turns away: what was asked, a number that goes on."""

WINDOW = 4000
"""Characters of a turn that the rules see at once."""

PLACEHOLDER = re.compile(r"\[([A-Z_]+?)(?:_(\d+))?\]")

BLANKS = str.maketrans({sign: " " for sign in '.,;:?!()"/-¿¡'})
DIGIT = re.compile(r"[0-9]")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
NUMBER_WORDS = number_words()
TRIGGERS, ASKERS = words("triggers"), words("askers")
WEIGHTS = {word: 2 for word in (*NUMBER_WORDS, *DATE_AND_STREET_WORDS)} | {"may": 1}
"""What a word adds to a turn's digits; with three a turn is worth reading."""

WEIGHTED = frozenset(WEIGHTS)
KNOWN = TRIGGERS | ASKERS | WEIGHTED


class Redactor:
    """Finds and replaces personal data; `counts` says how many values of each type, over all conversations.

    Args:
        country: ISO 3166-1 alpha-2, how phone numbers without a country code are read, where a
            conversation does not say its own.
        ner: finds more names and places in a turn; see `ner.presidio`.
    """

    def __init__(self, country: str | None = None, ner: Recogniser | None = None):
        self.country = country
        self.ner = ner
        self.counts: Counter[str] = Counter()

    def redact(self, conversation: Conversation, names: Sequence[str] = ()) -> Conversation:
        """A conversation with placeholders for what was found in its turns' texts.

        Turns, their order, roles and times stay; a text that is masked already stays as it is.
        `names` are those of the people in it, as the export spells them.
        """
        if any(len(turn.text) > WINDOW for turn in conversation.turns):
            return self._redact_long(conversation, names)
        near = range(len(conversation.turns))
        looks = [_look(turn.text) for turn in conversation.turns]
        talk = None
        for _ in range(PASSES):
            numbered, spoken_of = _suspects(looks, near)
            if not (numbered or spoken_of or names or self.ner):
                break
            talk = talk or Talk.of(conversation, self.country)
            found = self._found(talk, names, numbered, spoken_of)
            if not found:
                break
            changed = {span.turn for value in found for span in value.spans}
            near = sorted({turn + step for turn in changed for step in range(-REACH, REACH + 1)})
            self.counts.update(Counter(kind for kind, _ in {(value.kind, value.key) for value in found}))
            conversation = _masked(conversation, found)
            talk.go_on(conversation, changed)
            for turn in changed:
                looks[turn] = _look(conversation.turns[turn].text)
        return conversation

    def _redact_long(self, conversation: Conversation, names: Sequence[str]) -> Conversation:
        """The same with long turns cut into several and put together again, so that time grows as length does."""
        windows = [_windows(turn.text) for turn in conversation.turns]
        turns = tuple(
            msgspec.structs.replace(turn, text=window)
            for turn, own in zip(conversation.turns, windows, strict=True)
            for window in own
        )
        texts = iter([turn.text for turn in self.redact(replace(conversation, turns=turns), names).turns])
        whole = [
            msgspec.structs.replace(turn, text="".join(islice(texts, len(own))))
            for turn, own in zip(conversation.turns, windows, strict=True)
        ]
        return replace(conversation, turns=tuple(whole))

    def _found(
        self, talk: Talk, names: Sequence[str], numbered: Sequence[int], spoken_of: Sequence[int]
    ) -> list[Found]:
        """The values of the turns that may hold a number and those that may hold a name, and where else they are."""
        for turn in sorted({*numbered, *spoken_of}):
            find_email(talk, turn)
        if numbered:
            for turn in numbered:
                find_written(talk, turn)
            find_numbers(talk, numbered, FIRST_RULES)
            for turn in numbered:
                find_birth_date(talk, turn)
                find_address(talk, turn)
            find_numbers(talk, numbered, LAST_RULES)
            find_repeats(talk, numbered)
        if spoken_of:
            find_names(talk, spoken_of)
        if names or any(found.kind == "NAME" for found in talk.found):
            find_known(talk, names)
        if self.ner:
            for turn, text in enumerate(talk.texts):
                for start, end, kind in self.ner(text, talk.language):
                    if HIDDEN not in text[start:end]:
                        talk.claim(kind, text[start:end].lower(), Span(turn, start, end))
        return talk.found


def pseudonym(value: str, key: bytes) -> str:
    """A customer's id in place of a phone number, an e-mail or a name: `c_` and 16 hex digits of a keyed HMAC-SHA256.

    The same value and key give the same id; without the key neither can be told from the other.
    """
    return "c_" + hmac.new(key, value.encode(), hashlib.sha256).hexdigest()[:16]


def _windows(text: str) -> list[str]:
    """A text in pieces of at most `WINDOW` characters, cut behind white space where there is some."""
    pieces = []
    while len(text) > WINDOW:
        cut = max(text.rfind(" ", WINDOW // 2, WINDOW), text.rfind("\n", WINDOW // 2, WINDOW)) + 1 or WINDOW
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


class Look(NamedTuple):
    """What a cheap look at a turn's words says that it may hold."""

    number: bool = False
    """A number or an address."""
    name: bool = False
    asks: bool = False
    """A question for a name."""


NOTHING = Look()


def _look(text: str) -> Look:
    lowered = text.lower()
    words = lowered.translate(BLANKS).split()
    known = KNOWN.intersection(words)
    if lowered.isascii():
        digits, chinese = len(DIGIT.findall(text)), False
    else:
        digits, chinese = sum(map(str.isdecimal, text)), CHINESE.search(text) is not None
    if digits < 3 and not known.isdisjoint(WEIGHTED):
        digits += sum(WEIGHTS.get(word, 0) for word in words)
    number = digits > 2 or chinese or "@" in text or ("at" in words and "dot" in words)
    name = chinese or not known.isdisjoint(TRIGGERS) or "this is" in lowered or "i am " in lowered
    asks = chinese or not known.isdisjoint(ASKERS)
    return Look(number, name, asks) if number or name or asks else NOTHING


def _suspects(looks: Sequence[Look], near: Collection[int]) -> tuple[list[int], list[int]]:
    """The turns of `near` that may hold a number or an address, and those that may hold a name or answer for one."""
    numbered, named = [], []
    asked = -3
    for turn, look in enumerate(looks):
        if (look is NOTHING and turn - asked > 2) or turn not in near:
            continue
        if look.number:
            numbered.append(turn)
        if look.name or turn - asked <= 2:
            named.append(turn)
            if look.asks:
                asked = turn
    return numbered, named


def _masked(conversation: Conversation, found: Iterable[Found]) -> Conversation:
    """The conversation with placeholders, numbered by type in the order of their first place."""
    values = sorted(found, key=lambda value: value.spans[0])
    taken: Counter[str] = Counter()
    for turn in conversation.turns:
        for kind, number in PLACEHOLDER.findall(turn.text) if "[" in turn.text else ():
            taken[kind] = max(taken[kind], int(number or 1))
    placeholders: dict[tuple[str, str], str] = {}
    changes: dict[int, list[tuple[int, int, str]]] = {}
    for value in values:
        kind = value.kind
        if (kind, value.key) not in placeholders:
            taken[kind] += 1
            number = "" if taken[kind] == 1 or kind == "CVV" else f"_{taken[kind]}"
            placeholders[kind, value.key] = f"[{kind}{number}]"
        for turn, start, end in value.spans:
            changes.setdefault(turn, []).append((start, end, placeholders[kind, value.key]))
    turns = list(conversation.turns)
    for turn, places in changes.items():
        text = turns[turn].text
        for start, end, placeholder in sorted(places, reverse=True):
            text = text[:start] + placeholder + text[end:]
        turns[turn] = msgspec.structs.replace(turns[turn], text=text)
    return replace(conversation, turns=tuple(turns))
