"""The tasks: what is asked of every conversation. A file here is a task; adding one is adding a file.

A task with a finite set of answers is *read*: the model's exact probability of every allowed
answer gives the value. A task without one (coaching) is decoded under a grammar.
"""

import importlib
import operator
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mlx_cc.centre import Centre
from mlx_cc.conversation import Source
from mlx_cc.errors import UserError

if TYPE_CHECKING:
    from mlx_cc.metrics import Metric


class Bound(NamedTuple):
    """A limit on a scale, and on which side of it a value has to be."""

    side: Literal["below", "at most", "above", "at least"]
    at: float

    def holds(self, number: float) -> bool:
        """Whether a number is on that side."""
        compare = {"below": operator.lt, "at most": operator.le, "above": operator.gt, "at least": operator.ge}
        return compare[self.side](number, self.at)


@dataclass(frozen=True)
class Scale:
    """Evenly spaced whole numbers that a task is answered with."""

    low: int
    high: int
    step: int = 1
    better: Literal[1, -1] = 1
    """1: a high number is good; -1: a low one is."""
    concern: Bound | None = None
    """Where somebody should look at the conversation."""
    good: Bound | None = None
    """Where the customer counts as satisfied."""
    digits: int = 0
    """Decimal places of one conversation's number; a mean has one more."""
    near: float = 0.5
    """An answer counts as right up to this distance; its confidence is the probability within it."""
    tolerance: float = 1.0
    """A teacher that does not know the label agrees with it up to this distance."""

    def answers(self) -> tuple[str, ...]:
        """The allowed answers, as text."""
        return tuple(str(n) for n in range(self.low, self.high + 1, self.step))

    def write(self, number: float) -> str:
        """The answer nearest to a number."""
        return str(self.step * round(number / self.step))

    def parse(self, text: str) -> int:
        """A whole number on the scale from answer text; ValueError when it is none."""
        number = int(text.strip())
        if not self.low <= number <= self.high:
            raise ValueError(f"{number} is outside {self.low}-{self.high}")
        return number

    def fault(self, value: Any) -> str | None:
        """Why a value is not a number on the scale; None when it is."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{value!r} is not a number"
        return None if self.low <= value <= self.high else f"{value:g} is outside {self.low}-{self.high}"

    def show(self, number: float) -> str:
        """A number in words: `85/100`."""
        return f"{number:.{self.digits}f}/{self.high}"


class Answer(NamedTuple):
    """What the model says to one task about one conversation."""

    value: Any
    confidence: float | None = None
    """Probability of the answer given (classes) or mass near it (scores)."""
    interval: tuple[float, float] | None = None
    """Shortest run of answers holding 80% of the probability, for scores."""
    distribution: dict[str, float] | None = None
    """Answer text -> probability, most probable first."""
    likely: Sequence[str] = ()
    """The fewest answers that hold 80% of the probability, for classes."""


class Part(NamedTuple):
    """One flat key that a task gives an analysis."""

    key: str
    of: Callable[[Answer], Any] = lambda answer: answer.value
    """The key's value from the task's answer."""
    kind: type = str
    """float, str or list."""
    column: str | None = None
    """Its name in tables and on the dashboard; None leaves it out of both."""
    check: Any = None
    """The type that msgspec holds it to when it is read back, where `kind` says too little."""


@dataclass(frozen=True)
class Task:
    """One question: the answers it allows, how an answer is judged, kept and shown."""

    name: str
    words: str
    """Its name for people."""
    keys: tuple[str, ...]
    """The keys its label is read from in analyses; the first that is there counts."""
    question: Callable[[Centre], str]
    """The branch's instruction."""
    write: Callable[[Any, Centre], str]
    """A label's value as the text the model should answer."""
    parse: Callable[[str, Centre], Any]
    """Answer text -> value; raises ValueError when it is not an allowed answer."""
    fault: Callable[[Any, Centre, int], str | None]
    """What is wrong with a label's value (number of turns given), or None."""
    metrics: "Mapping[str, Metric]"
    """Name -> measure over (gold values, predicted values); the first is the task's main one."""
    constant: Callable[[Sequence[Any]], Any]
    """The best answer that ignores the conversation, from the train split's values."""
    parts: tuple[Part, ...] = ()
    """The flat keys it gives an analysis, in order."""
    more_keys: tuple[str, ...] = ()
    """Keys of an analysis that belong into the label's value under the same names."""
    column_names: tuple[str, ...] = ()
    """What tables of other systems call its label; any case and spelling."""
    given_by: Source = "human_qa"
    """Who gives the label in such a table."""
    value: Callable[[Any], Any] = lambda given: given
    """A label as others write it -> the task's value."""
    scale: Scale | None = None
    """The numbers it is answered with; None for classes and texts."""
    decision: Callable[[Any, Centre], Any] | None = None
    """What somebody acts on, from a value; None is the answer's text."""
    brief: str | None = None
    """The question without its list of answers, where it has one."""
    answers: Callable[[Centre], tuple[str, ...]] | None = None
    """Every allowed answer; None for a task that is decoded."""
    number: Callable[[Any], float] | None = None
    """A value on the scale; None without a scale."""
    read: Callable[[Mapping[str, float], Centre], Answer] | None = None
    """Answer text -> probability (sums to 1) to an answer."""
    schema: Callable[[int, int], dict[str, Any]] | None = None
    """JSON schema that constrains a decoded answer, given the numbers of turns and of similar cases shown."""
    optional: bool = False
    """Asked only where it is named."""
    lower_is_better: bool = False
    """Whether a lower main measure is better."""
    metrics_after: "Callable[[Sequence[Any]], Mapping[str, Metric]] | None" = None
    """Further measures, which need the train split's values to be defined."""

    def find(self, analysis: Mapping[str, Any]) -> Any:
        """The task's value in an analysis with flat keys; None where it has none."""
        given = first(analysis, self.keys)
        if given is None:
            return None
        value = self.value(given)
        more = {key: analysis[key] for key in self.more_keys if analysis.get(key) and key not in value}
        return {**value, **more} if more else value

    def row(self, answer: Answer) -> dict[str, Any]:
        """The task's flat keys."""
        return {part.key: part.of(answer) for part in self.parts}

    def show(self, row: Mapping[str, Any]) -> str:
        """The task's flat keys in words: `85/100, good`."""
        shown = [(part.kind, row.get(part.key)) for part in self.parts if part.kind is not list]
        return ", ".join(
            self.scale.show(value) if self.scale and kind is float else str(value)
            for kind, value in shown
            if value is not None
        )


SKILLS = {name: (name, f"{name}_score") for name in ("empathy", "technical_skill", "communication")}
"""What a reviewer thinks of the agent's skills: labels that are no task, and the keys they are read from."""
SKILL_SCALE = Scale(0, 100)


@cache
def all_tasks() -> dict[str, Task]:
    """Task name -> task, in the order of their files' `ORDER`."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        found.append((loaded.ORDER, loaded.TASK))
    return {task.name: task for _, task in sorted(found, key=lambda pair: (pair[0], pair[1].name))}


def pick(names: Sequence[str]) -> list[Task]:
    """The named tasks; for an empty list, all that are not optional.

    Raises:
        UserError: there is no such task.
    """
    known = all_tasks()
    for name in names:
        if name not in known:
            raise UserError(f"no task '{name}'. Known tasks: {', '.join(known)}.")
    return [known[name] for name in names] if names else [task for task in known.values() if not task.optional]


# What tasks share


def scored(name: str, scale: Scale, **declared: Any) -> Task:
    """A task that is answered with a number on a scale; what is declared wins over what follows from that."""
    from mlx_cc.metrics import bias, mean_absolute_error, spearman, within  # numpy, which no --help waits for

    follows: dict[str, Any] = {
        "name": name,
        "scale": scale,
        "value": as_number,
        "write": lambda value, _centre: scale.write(value),
        "parse": lambda text, _centre: scale.parse(text),
        "fault": lambda value, _centre, _turns: scale.fault(value),
        "metrics": {
            "MAE": mean_absolute_error,
            f"within {scale.near:g}": within(scale.near),
            "Spearman": spearman,
            "bias": bias,
        },
        "constant": lambda values: float(median(values)),
        "answers": lambda _centre: scale.answers(),
        "number": float,
        "read": lambda distribution, _centre: read_number(distribution, scale),
        "lower_is_better": True,
        "parts": (Part(declared["keys"][0], kind=float, column=name),),
    }
    return Task(**{**follows, **declared})


def first(analysis: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """What an analysis has under the first of the keys that it has; None without any."""
    return next((analysis[key] for key in keys if analysis.get(key) is not None), None)


def as_number(value: Any) -> Any:
    """A number that is written as text as a number; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    if not isfinite(number):
        return value
    return int(number) if number.is_integer() else number


def read_number(distribution: Mapping[str, float], scale: Scale) -> Answer:
    """Expected value, probability mass near it, and the shortest 80% interval."""
    points = [(float(text), p) for text, p in distribution.items()]
    points.sort()
    value = sum(x * p for x, p in points)
    confidence = sum(p for x, p in points if abs(x - value) <= scale.near)
    best = (points[0][0], points[-1][0])
    for i in range(len(points)):
        mass = 0.0
        for j in range(i, len(points)):
            mass += points[j][1]
            if mass >= 0.8 - 1e-9:
                if points[j][0] - points[i][0] < best[1] - best[0]:
                    best = (points[i][0], points[j][0])
                break
    return Answer(round(value, scale.digits + 1), min(confidence, 1.0), best, ranked(distribution))


def read_class(distribution: Mapping[str, float], value: Any = None, confidence: float | None = None) -> Answer:
    """The most probable answer, or another value with its confidence, and the likely answers."""
    order = ranked(distribution)
    best = next(iter(order))
    if value is None:
        value, confidence = best, order[best]
    return Answer(value, confidence, None, order, likely(distribution))


def ranked(distribution: Mapping[str, float]) -> dict[str, float]:
    """The distribution, most probable answer first."""
    return dict(sorted(distribution.items(), key=lambda item: -item[1]))


def likely(distribution: Mapping[str, float]) -> list[str]:
    """The fewest answers that hold 80% of the probability together: what an interval is to a score."""
    found, mass = [], 0.0
    for answer, p in ranked(distribution).items():
        if mass >= 0.8 - 1e-9:
            break
        found.append(answer)
        mass += p
    return found


def most_common(values: Sequence[Any]) -> Any:
    """The most frequent value, the first of them on a tie."""
    return max(dict.fromkeys(values), key=list(values).count)
