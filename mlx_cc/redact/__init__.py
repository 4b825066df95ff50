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
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from mlx_cc.conversation import Conversation, Provenance, replace
from mlx_cc.files import read_conversations
from mlx_cc.redact.hints import CHINESE, DIGIT, hint, hint_of, hinting
from mlx_cc.redact.numbers import FIRST_RULES, LAST_RULES, find_numbers, find_repeats, find_written
from mlx_cc.redact.people import ANSWERED, find_known, find_names
from mlx_cc.redact.places import DATE_AND_STREET_WORDS, find_address, find_birth_date, find_email
from mlx_cc.redact.spoken import number_words
from mlx_cc.redact.talk import HIDDEN, Span, Talk
from mlx_cc.redact.words import words

__all__ = ["Redactor", "pseudonym", "read_redacted"]

Recogniser = Callable[[str, str], Iterable[tuple[int, int, str]]]
"""Text and language -> start, end and type of further values (`ner.py` has one)."""

PASSES = 4
"""Redaction is repeated until nothing changes, so that a second run finds nothing new; never more often."""

REACH = 4
"""A value changes what is found at most so many turns away: what was asked, a number that goes on."""

WINDOW = 4000
"""Characters of a turn that the rules see at once."""

PLACEHOLDER = re.compile(r"\[([A-Z_]+?)(?:_(\d+))?\]")

WEIGHTS = {word: 2 for word in (*number_words(), *DATE_AND_STREET_WORDS)} | {"may": 1}
"""What a word adds to a turn's digits; with three a turn is worth reading."""

WEIGHED, TRIGGER, ASKER = hint_of(WEIGHTS), hint_of(words("triggers")), hint_of(words("askers"))
AT, DOT, MAIL = hint_of({"at"}), hint_of({"dot"}), hint("@", exact=True)
THIS_IS = hint(r"this\Z|^am\Z", exact=True)


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
        talk = Talk.of(conversation, self.country)
        before = talk.raw.copy()
        near = set(range(len(before)))
        unheard = near.copy()
        for _ in range(PASSES):
            self._find(talk, names, near, unheard)
            if not talk.found:
                break
            self.counts.update(Counter(kind for kind, _ in {(value.kind, value.key) for value in talk.found}))
            changed = _masked(talk)
            talk.begin_again(changed)
            near = {turn + step for turn in changed for step in range(-REACH, REACH + 1)}
            unheard |= {turn + step for turn in changed for step in range(ANSWERED + 1)}
        if talk.raw == before:
            return conversation
        turns = zip(conversation.turns, talk.raw, strict=True)
        return replace(
            conversation,
            turns=tuple(turn if turn.text is text else replace(turn, text=text) for turn, text in turns),
        )

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

    def _find(self, talk: Talk, names: Sequence[str], near: Collection[int], unheard: set[int]) -> None:
        """Claim the values of the turns `near`, and where else they are repeated.

        `unheard` are those whose names were not looked for since they, or what they answer, changed.
        """
        numbered, named = _suspects(talk, near)
        if not (numbered or named or names or self.ner):
            return
        for turn in sorted({*numbered, *named}):
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
        find_names(talk, [turn for turn in named if turn in unheard])
        unheard.difference_update(named)
        if names or any(found.kind == "NAME" for found in talk.found):
            find_known(talk, names)
        if self.ner:
            for turn, text in enumerate(talk.texts):
                for start, end, kind in self.ner(text, talk.language):
                    if HIDDEN not in text[start:end]:
                        talk.claim(kind, text[start:end].lower(), Span(turn, start, end))


def read_redacted(path: Path | str, country: str | None = None) -> Iterator[Conversation]:
    """`read_conversations`, with personal data out of those that say neither that it is out nor that it was to stay.

    Every command that shows, stores or prompts with conversations reads them here or through `mlx_cc.ingest`.
    """
    redactor = Redactor(country)
    for conversation in read_conversations(path):
        place = conversation.provenance or Provenance("")
        if not (place.redacted or place.personal_data_kept):
            conversation = replace(redactor.redact(conversation), provenance=replace(place, redacted=True))
        yield conversation


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


def _suspects(talk: Talk, near: Collection[int]) -> tuple[list[int], list[int]]:
    """The turns that may hold a number or an address, and those that may hold a name."""
    numbered, named = [], []
    asked = -3
    for turn, bits in enumerate(talk.hints):
        if turn not in near:
            continue
        if (
            bits & (CHINESE | MAIL)
            or bits & (AT | DOT) == AT | DOT
            or (bits & (DIGIT | WEIGHED) and _weight(talk, turn) > 2)
        ):
            numbered.append(turn)
        if turn - asked <= 2 or bits & (CHINESE | TRIGGER) or (bits & THIS_IS and _tells(talk.raw[turn].lower())):
            named.append(turn)
            if bits & (CHINESE | ASKER):
                asked = turn
    return numbered, named


def _weight(talk: Talk, turn: int) -> int:
    """How many digits a turn has, with what its words add."""
    if turn not in talk.weights:
        text, bits = talk.raw[turn], talk.hints[turn]
        digits = sum(map(str.isdecimal, text)) if bits & DIGIT else 0
        added = sum(WEIGHTS[word] for word in hinting(text) if word in WEIGHTS) if bits & WEIGHED and digits <= 2 else 0
        talk.weights[turn] = digits + added
    return talk.weights[turn]


def _tells(lowered: str) -> bool:
    return "this is" in lowered or "i am " in lowered


def _masked(talk: Talk) -> dict[int, str]:
    """The texts of the turns in which something was found, with placeholders, numbered by type as they come."""
    taken: Counter[str] = Counter()
    for text in talk.raw:
        for kind, number in PLACEHOLDER.findall(text) if "[" in text else ():
            taken[kind] = max(taken[kind], int(number or 1))
    placeholders: dict[tuple[str, str], str] = {}
    changes: dict[int, list[tuple[int, int, str]]] = {}
    for value in sorted(talk.found, key=lambda value: value.spans[0]):
        kind = value.kind
        if (kind, value.key) not in placeholders:
            taken[kind] += 1
            number = "" if taken[kind] == 1 or kind == "CVV" else f"_{taken[kind]}"
            placeholders[kind, value.key] = f"[{kind}{number}]"
        for turn, start, end in value.spans:
            changes.setdefault(turn, []).append((start, end, placeholders[kind, value.key]))
    texts = {}
    for turn, places in changes.items():
        text = talk.raw[turn]
        for start, end, placeholder in sorted(places, reverse=True):
            text = text[:start] + placeholder + text[end:]
        texts[turn] = text
    return texts
