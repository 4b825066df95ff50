"""Redaction that skips rules by word flags and keeps what it read between passes finds what all rules find."""

import random
import re

import pytest

from mlx_cc.conversation import Conversation, Turn
from mlx_cc.ingest import cues as role_cues
from mlx_cc.redact import Redactor, number_context, state, word_flags
from mlx_cc.redact.words import _read

SIGNS = [*" .,;:!?-'’/$€£#()[]_\n", "", "  ", *"İſ\u212aßé王²\ue000", "请问", "12", "4111", "0"]


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


def talks(seed: int) -> list[Conversation]:
    """Short conversations of such texts, in several languages."""
    said = iter(texts(3000, seed))
    return [
        Conversation(
            id=str(number),
            turns=tuple(Turn(role=("agent", "customer")[n % 2], text=next(said)) for n in range(6)),
            language=(None, "en", "es", "de", "fr", "zh")[number % 6],
        )
        for number in range(500)
    ]


def test_a_flag_is_set_in_every_turn_in_which_its_rule_finds_something():
    some = [
        text for text in texts(3000, seed=4) if "ß" not in text
    ]  # no letter to a cue, which then starts within a word
    met = 0
    for text, bits in zip(some, word_flags.turn_flags(some), strict=True):
        for entity_type, pattern, flag in number_context.CUES:
            if pattern.search(state.lower(text)):
                assert bits & flag, (entity_type, text)
                met += 1
    assert met > 500


def test_what_is_kept_for_the_next_pass_is_what_would_be_read_again():
    for conversation in talks(3):
        once = Redactor().redact(conversation)
        assert Redactor().redact(once) == once


@pytest.mark.parametrize("name", ["\u0130lker Demir", "Jo\u017feph Strau\u00df", "\u212aate O'Neil"])
def test_a_name_whose_letters_have_odd_cases_is_found_and_stops_nothing(name: str):
    said = f"my name is {name}, {name.upper()} or {name.lower()}"
    conversation = Conversation(id="c", turns=(Turn(role="customer", text=said),))
    assert "[NAME]" in Redactor().redact(conversation, [name]).turns[0].text


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
