"""The teacher: builds its prompts, has it write chains, and checks them."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from mlx_cc import reasoning
from mlx_cc.analyst import Analyst
from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.generate.checks import code, disagreements, faults
from mlx_cc.generate.journal import Entry
from mlx_cc.generate.settings import GenerateSettings
from mlx_cc.model.load import hash_of_model
from mlx_cc.model.writer import Job, Writer
from mlx_cc.prompt import SYSTEM, build_tree, fact_line
from mlx_cc.splits import unit_interval

WINDOW = 32
"""Conversations whose answers are read together."""

GUIDE = """{system}

You write an analysis that explains answers which are given to you. Rules:
- Write in {language}, one short, concrete sentence for each point; say what happened in this conversation.
- Cite the turns that show it by their numbers, like [T3]. Never quote, never invent a turn.
- Never copy these instructions. What stands in brackets below is to be replaced.
Write exactly this form:

{form}"""
AGAIN = " Your last analysis was turned down ({faults}). Write a better one."
NAMES = {"en": "English", "es": "Spanish", "fr": "French", "de": "German", "pt": "Portuguese", "zh": "Chinese"}


def guide(language: str) -> str:
    """The system message: the rules and the form, the same for every conversation."""
    return GUIDE.format(system=SYSTEM, language=NAMES.get(language, language), form=reasoning.form())


class Asker:
    """Short hash of all that decides a chain: model, centre, settings, form, and what it sees of the conversation."""

    def __init__(self, settings: GenerateSettings, centre: Centre) -> None:
        same = msgspec.structs.replace(settings, batch_size=1, retries=1)  # neither changes a prompt
        parts = msgspec.json.encode(same), centre, guide(settings.language), hash_of_model(settings.model)
        self._start = blake2b(repr(parts).encode(), digest_size=8)

    def __call__(self, conversation: Conversation) -> str:
        digest = self._start.copy()
        turns = [(turn.role, turn.text) for turn in conversation.turns]
        digest.update(
            msgspec.json.encode((turns, reasoning.labels(conversation), fact_line(conversation)), order="sorted")
        )
        return digest.hexdigest()


@dataclass(frozen=True)
class Asked:
    """A chain that the teacher is asked for."""

    conversation: Conversation
    prompt: str
    """`Asker`'s hash."""
    attempt: int
    answers: dict[str, Any]
    disagrees: tuple[str, ...] = ()
    rationalised: bool = False


class Due(NamedTuple):
    """A conversation whose chain is to be written."""

    conversation: Conversation
    prompt: str
    last: Entry | None
    """The rejected attempt before, if any."""


class Teacher:
    """A model that writes chains."""

    def __init__(self, analyst: Analyst, settings: GenerateSettings) -> None:
        self.analyst, self.settings = analyst, settings
        self.guide = guide(settings.language) if settings.guide else SYSTEM
        self.writer = Writer(analyst.model, analyst.tokenizer, settings.batch_size, settings.temperature)

    def write(self, due: Iterable[Due]) -> Iterator[Entry]:
        """A checked chain for each conversation, as soon as it is written, in any order."""
        for written in self.writer.write(map(self._job, self._asked(due))):
            asked: Asked = written.key
            text, thoughts = _apart(written.text)
            if self.settings.form == "free" and written.finished:
                with suppress(ValueError):  # keep the text: `faults` says what it lacks
                    text = reasoning.restructured(text)
            instructions, language = f"{self.guide} {reasoning.QUESTION}", self.settings.language
            wrong = faults(text, written.finished, asked.conversation, asked.answers, instructions, language)
            yield Entry(
                conversation_id=asked.conversation.id,
                task=reasoning.NAME,
                prompt=asked.prompt,
                model=self.analyst.name,
                attempt=asked.attempt,
                text=text,
                tokens=written.tokens,
                at=time.time(),
                faults=(*wrong, *asked.disagrees),
                answers=asked.answers,
                rationalised=asked.rationalised,
                own_thoughts=thoughts if self.settings.think == "keep" else None,
            )

    def _asked(self, due: Iterable[Due]) -> Iterator[tuple[Asked, str]]:
        """The chain asked for about each conversation, and what is added to the question after a rejection."""
        stream = iter(due)
        while window := list(islice(stream, WINDOW)):
            read = self._read(window)
            for conversation, prompt, last in window:
                labels, own = reasoning.labels(conversation), read.get(conversation.id, {})
                rejected = {code(fault) for fault in last.faults} if last else set()
                blind = self.settings.blind and last is None
                answers = {**labels, **own} if blind else {**own, **labels}
                disagrees = disagreements(own, conversation, self.analyst.centre) if blind else []
                again = ""
                if last and rejected != {"disagrees"}:  # the labels are hint enough
                    again = AGAIN.format(faults="; ".join(last.faults))
                rationalised = "disagrees" in rejected or bool(last and last.rationalised)
                attempt = last.attempt + 1 if last else 0
                yield Asked(conversation, prompt, attempt, answers, tuple(disagrees), rationalised), again

    def _read(self, window: Sequence[Due]) -> dict[str, dict[str, Any]]:
        """The teacher's own answers to the scores without a label and, when blind, to all labelled tasks."""
        wanted: dict[tuple[str, ...], list[Conversation]] = {}
        for conversation, _, last in window:
            labels = reasoning.labels(conversation)
            names = tuple(labels) if self.settings.blind and last is None else ()
            if names := (*names, *(name for name in reasoning.SCORES if name not in labels)):
                wanted.setdefault(names, []).append(conversation)
        values: dict[str, dict[str, Any]] = {}
        for names, conversations in wanted.items():
            answered = self.analyst.answer_all(conversations, names)
            for conversation, answers in zip(conversations, answered, strict=True):
                values[conversation.id] = {name: answer.value for name, answer in answers.items()}
        return values

    def _job(self, asked_again: tuple[Asked, str]) -> Job:
        asked, again = asked_again
        question = reasoning.question(asked.answers, self.analyst.centre) + again
        analyst, settings = self.analyst, self.settings
        tree = build_tree(
            asked.conversation,
            [(reasoning.NAME, question, None)],
            analyst.encoder,
            analyst.prompt,
            settings.max_seq_length,
            self.guide,
        )
        row = tree.rows[0]
        cut = len(tree.trunk)
        thinking = settings.think_characters // 2 if settings.think != "off" else 0
        return Job(
            asked,
            tuple(row[:cut]),
            tuple(row[cut:]),
            self._grammar(asked) if settings.form == "grammar" else None,
            settings.max_tokens + thinking,
            int(unit_interval(f"{settings.seed}:{asked.attempt}:{asked.conversation.id}") * 2**32),
        )

    def _grammar(self, asked: Asked) -> str:
        turns, most = len(asked.conversation.turns), self.settings.point_characters
        chain = reasoning.grammar(asked.answers, turns, most)
        if self.settings.think == "off":
            return chain
        thoughts = rf"/(<think>)?[^<]{{0,{self.settings.think_characters}}}<\/think>\s{{0,2}}/"
        return chain.replace("start: ", f"start: {thoughts} ", 1)


def _apart(text: str) -> tuple[str, str | None]:
    """The chain, and the thoughts before it."""
    thoughts, mark, chain = text.rpartition("</think>")
    if not mark:
        return text.strip(), None
    return chain.strip(), re.sub(r"^\s*<think>", "", thoughts).strip() or None
