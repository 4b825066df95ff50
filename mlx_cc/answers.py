"""A model's answers about one conversation, as a struct and as the flat keys that `mlx_cc analyze --json` prints."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from mlx_cc.files import decoded, lines
from mlx_cc.tasks import Answer, Part, Task, all_tasks

REASONING = "reasoning"


class Answers(Struct, frozen=True):
    """A model's answers to its tasks about one conversation."""

    conversation_id: str
    by_task: Mapping[str, Answer]
    """Task name -> answer."""
    needs_review: bool = False
    review: tuple[str, ...] = ()
    """Tasks whose answer a person should check."""
    reasoning: dict[str, Any] | None = None
    """thinking, analysis, insights, citations."""
    model: str | None = None

    def row(self) -> dict[str, Any]:
        """The flat keys: those of each task, then those that all tasks share."""
        row: dict[str, Any] = {"conversation_id": self.conversation_id}
        for task in all_tasks().values():
            if task.name in self.by_task:
                row |= task.row(self.by_task[task.name])
            elif not task.optional:
                row |= {part.key: [] if part.kind is list else None for part in task.parts}
        answers = self.by_task.items()
        return row | {
            "critical_issues": self.critical(),
            "confidence": {n: round(a.confidence, 4) for n, a in answers if a.confidence is not None},
            "interval": {n: a.interval for n, a in answers if a.interval is not None},
            "likely": {n: list(a.likely) for n, a in answers if a.likely},
            "needs_review": self.needs_review,
            "review": list(self.review),
            REASONING: self.reasoning,
            "model": self.model,
        }

    def critical(self) -> list[str]:
        """The answers for which a person should look at the conversation, in words."""
        about = f" ({self.by_task['issue'].value})" if "issue" in self.by_task else ""
        concerns = []
        for task in all_tasks().values():
            if task.name in self.by_task and task.scale and task.scale.concern and task.number:
                number = task.number(self.by_task[task.name].value)
                if task.scale.concern.holds(number):
                    concerns.append(f"{task.words} {task.scale.show(number)}{about}")
        return concerns


class Analysis(dict[str, Any]):
    """The flat keys of `Answers.row`. Looking up `analysis["reasoning"]` writes the chain if there is none yet.

    `get`, printing and JSON never write one.
    """

    def __init__(self, row: Mapping[str, Any], explain: Callable[[], dict[str, Any]]):
        super().__init__(row)
        self._explain = explain

    def __getitem__(self, key: str) -> Any:
        if key == REASONING and self.get(REASONING) is None:
            self[REASONING] = self._explain()
        return super().__getitem__(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a copy in another process has no model to write with


# Reading rows


Probability = Annotated[float, Meta(ge=0, le=1)]
COMMON: tuple[tuple[str, Any, Any], ...] = (
    ("confidence", dict[str, Probability], {}),
    ("interval", dict[str, tuple[float, float]], {}),
    ("likely", dict[str, tuple[str, ...]], {}),
    ("needs_review", bool, False),
    ("review", tuple[str, ...], ()),
    (REASONING, dict[str, Any] | None, None),
    ("model", str | None, None),
)
"""Key, type and default of the keys that all tasks share."""


def read_answers(path: Path | str) -> dict[str, Answers]:
    """Conversation id -> answers, from the lines of `mlx_cc analyze --json`; the last line of an id counts.

    Keys may be missing; other keys are ignored.

    Raises:
        UserError: there is no such file, or a line is not an analysis.
    """
    tasks = [task for task in all_tasks().values() if task.parts]
    keys = [(part.key, _type(task, part) | None, None) for task in tasks for part in task.parts]
    decode = msgspec.json.Decoder(msgspec.defstruct("Row", [("conversation_id", str), *keys, *COMMON])).decode
    answers: dict[str, Answers] = {}
    for number, line in lines(path):
        way_out = "Pass the lines that `mlx_cc analyze --json` prints."
        row = msgspec.structs.asdict(decoded(decode, line, f"{path}:{number}", way_out))
        answers[row["conversation_id"]] = _answers(row, tasks)
    return answers


def _type(task: Task, part: Part) -> Any:
    if part.kind is float and task.scale:
        return Annotated[float, Meta(ge=task.scale.low, le=task.scale.high)]
    return part.check or part.kind


def _answers(row: Mapping[str, Any], tasks: list[Task]) -> Answers:
    """The answers of a row that has all keys."""
    by_task = {
        task.name: Answer(
            value,
            row["confidence"].get(task.name),
            row["interval"].get(task.name),
            likely=row["likely"].get(task.name, ()),
        )
        for task in tasks
        if (value := task.find(row)) is not None
    }
    return Answers(row["conversation_id"], by_task, row["needs_review"], row["review"], row[REASONING], row["model"])
