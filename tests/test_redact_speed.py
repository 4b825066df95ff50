"""What is screened or kept to be fast finds what the rules find without it."""

import random
import re

import pytest

from mlx_cc.conversation import Conversation, Turn
from mlx_cc.ingest import cues as role_cues
from mlx_cc.redact import Redactor, cues, people, places
from mlx_cc.redact.talk import Talk
from mlx_cc.redact.words import _read, found_at, starts_of

SIGNS = [
    *" .,;:!?-'’/$€£#()[]_\n",
    "",
    "  ",
    "İ",
    "ſ",
    "\u212a",
    "ß",
    "é",
    "王",
    "请问",
    "²",
    "\ue000",
    "12",
    "4111",
    "0",
]
PATTERNS = {
    "cue": (cues.CUE_STARTS, cues.CUE),
    "introduced": (people.INTRODUCED_STARTS, people.INTRODUCED),
    "maybe introduced": (people.MAYBE_STARTS, people.MAYBE_INTRODUCED),
    "asked": (people.ASKED_STARTS, people.ASKED),
}


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of the words that rules read for, whole and cut, with signs between them."""
    rng = random.Random(seed)
    vocabulary = re.findall(r"[^\W\d_]+", str(_read()))
    values = [
        "4111 1111 1111 1111",
        "312 555 0184",
        "$4.50",
        "10:45",
        "double 4:30",
        "1/2/1985",
        "AB 12 34 56 C",
        "five",
    ]
    values += ["my name is dana whitlock", "Dana", "what is your name", "my number is", "date of birth"]
    made = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 25)):
            word = rng.choice(values) if rng.random() < 0.3 else rng.choice(vocabulary)
            if rng.random() < 0.1:
                word = word[: rng.randint(1, len(word))]
            parts.append(word.title() if rng.random() < 0.2 else word)
            parts.append(" " if rng.random() < 0.8 else rng.choice(SIGNS))
        made.append("".join(parts))
    return made


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_tried_only_where_it_can_start_finds_the_same(name: str):
    starts, pattern = PATTERNS[name]
    found = 0
    for text in texts(1500):
        lowered = text.lower()
        if name == "cue" and cues.ANY_START in lowered:
            continue
        whole = [match.span() for match in pattern.finditer(lowered)]
        assert [match.span() for match in found_at(starts, pattern, lowered)] == whole, text
        found += len(whole)
    assert found > 100


def test_a_pattern_that_may_start_with_anything_is_refused():
    with pytest.raises(IndexError):
        starts_of("", r"\w*card")


def test_prices_dates_of_birth_and_written_ids_have_the_signs_they_are_screened_by():
    for text in texts(3000, seed=1):
        lowered = text.lower()
        assert cues.PRICED.search(text) or not cues.PRICE.search(text)
        assert places.TWO_DIGITS.search(text) or not (places.IBAN.search(text) or places.WRITTEN_NINO.search(text))
        signed = any(sign in lowered for sign in places.BIRTH_SIGNS) or places.DOB.search(lowered)
        assert signed or not places.BIRTH.search(lowered)


def test_what_is_kept_for_the_next_pass_is_what_would_be_read_again(monkeypatch: pytest.MonkeyPatch):
    said = iter(texts(3000, seed=2))
    talks = [
        Conversation(
            id=str(number),
            turns=tuple(Turn(role=("agent", "customer")[n % 2], text=next(said)) for n in range(6)),
            language=(None, "en", "es", "de", "fr", "zh")[number % 6],
        )
        for number in range(500)
    ]
    kept = [Redactor().redact(talk) for talk in talks]

    def read_again(talk: Talk, conversation: Conversation, changed: object) -> None:
        talk.__dict__.update(Talk.of(conversation, None).__dict__)

    monkeypatch.setattr(Talk, "go_on", read_again)
    assert [Redactor().redact(talk) for talk in talks] == kept
    assert kept != talks


def test_phrases_met_word_by_word_are_those_of_a_search_through_all_words():
    spoken, _, _ = role_cues._compiled()
    phrases = [phrase.strip() for cue in role_cues.CUES for phrase in re.split(r"[|/?*]|\.\.\.", cue.phrases)]
    rng = random.Random(3)
    for _ in range(500):
        said = [" ".join(rng.choices(phrases, k=rng.randint(0, 12))) for _ in range(3)]
        said = [text for text in said if text.isascii()]
        line = " " + " \n ".join(map(role_cues.plain, said)) + " "
        searched: dict[str, int] = {}
        for pattern, numbers_of in spoken.values():
            for match in pattern.finditer(line):
                name = role_cues.CUES[numbers_of[(match.lastindex or 1) - 1]].name
                searched[name] = searched.get(name, 0) + 1
        assert role_cues.heard(said) == searched
