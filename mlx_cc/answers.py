"""A model's answers about one conversation: as one struct, and as the flat keys that `mlx_cc analyze --json` prints."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from mlx_cc.files import decoded, lines
from mlx_cc.tasks import Answer, Part, Task, all_tasks

REASONING = "reasoning"


class Answers(Struct, frozen=True):
    """What a model says to the tasks it was asked about one conversation."""

    conversation_id: str
    by_task: Mapping[str, Answer]
    """Task name -> answer."""
    needs_review: bool = False
    review: tuple[str, ...] = ()
    """The tasks whose answer somebody should look at."""
    reasoning: dict[str, Any] | None = None
    """thinking, analysis, insights, citations."""
    model: str | None = None

    def row(self) -> dict[str, Any]:
        """The flat keys: those of each task, then what holds for all of them."""
        found: dict[str, Any] = {"conversation_id": self.conversation_id}
        for task in all_tasks().values():
            if task.name in self.by_task:
                found |= task.row(self.by_task[task.name])
            elif not task.optional:
                found |= {part.key: [] if part.kind is list else None for part in task.parts}
        answers = self.by_task.items()
        return found | {
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
        """The answers for which somebody should look at the conversation, in words."""
        about = f" ({self.by_task['issue'].value})" if "issue" in self.by_task else ""
        found = []
        for task in all_tasks().values():
            if task.name in self.by_task and task.scale and task.scale.concern and task.number:
                number = task.number(self.by_task[task.name].value)
                if task.scale.concern.holds(number):
                    found.append(f"{task.words} {task.scale.show(number)}{about}")
        return found


class Analysis(dict[str, Any]):
    """The flat keys of `Answers.row`. Looking up `analysis["reasoning"]` writes the chain where there is none yet.

    `get`, printing and JSON take what is there and write nothing.
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
"""Key, type and default of what holds for all tasks."""


def read_answers(path: Path | str) -> dict[str, Answers]:
    """Conversation id -> the answers of a line that `mlx_cc analyze --json` printed; of several, the last.

    Keys may be missing, and others are let through.

    Raises:
        UserError: there is no such file, or a line is no analysis.
    """
    tasks = [task for task in all_tasks().values() if task.parts]
    keys = [(part.key, _type(task, part) | None, None) for task in tasks for part in task.parts]
    decode = msgspec.json.Decoder(msgspec.defstruct("Row", [("conversation_id", str), *keys, *COMMON])).decode
    found: dict[str, Answers] = {}
    for number, line in lines(path):
        way_out = "Give the lines `mlx_cc analyze --json` prints."
        row = msgspec.structs.asdict(decoded(decode, line, f"{path}:{number}", way_out))
        found[row["conversation_id"]] = _answers(row, tasks)
    return found


def _type(task: Task, part: Part) -> Any:
    if part.kind is float and task.scale:
        return Annotated[float, Meta(ge=task.scale.low, le=task.scale.high)]
    return part.check or part.kind


def _answers(row: Mapping[str, Any], tasks: list[Task]) -> Answers:
    """A row's values with the types and defaults of `COMMON`, as answers."""
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
