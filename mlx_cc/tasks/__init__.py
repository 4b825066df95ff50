"""The tasks: what is asked of every conversation. A file here is a task; adding one is adding a file.

A task with a finite set of answers is *read*: the model's exact probability of every allowed
answer gives the value. A task without one (coaching) is decoded under a grammar.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from mlx_cc.centre import Centre
from mlx_cc.errors import UserError
from mlx_cc.metrics import Metric

LOW_QUALITY, LOW_CSAT, HIGH_CHURN = 60, 2, 75
"""Quality below the first, CSAT at most the second or a churn signal above the third: somebody should look."""

GOOD_CSAT = 4
"""The lowest answer of a satisfied customer, of five."""


class Answer(NamedTuple):
    """What the model says to one task about one conversation."""

    value: Any
    confidence: float | None = None
    """Probability of the answer given (classes) or mass within 10 points of it (scores)."""
    interval: tuple[float, float] | None = None
    """Shortest run of answers holding 80% of the probability, for scores."""
    distribution: dict[str, float] | None = None
    """Answer text -> probability, most probable first."""


@dataclass(frozen=True)
class Task:
    """One question, the answers it allows, and how an answer is judged."""

    name: str
    question: Callable[[Centre], str]
    """The branch's instruction."""
    write: Callable[[Any, Centre], str]
    """A label's value as the text the model should answer."""
    parse: Callable[[str, Centre], Any]
    """Answer text -> value; raises ValueError when it is not an allowed answer."""
    fault: Callable[[Any, Centre, int], str | None]
    """What is wrong with a label's value (number of turns given), or None."""
    metrics: Mapping[str, Metric]
    """Name -> measure over (gold values, predicted values); the first is the task's main one."""
    constant: Callable[[Sequence[Any]], Any]
    """The best answer that ignores the conversation, from the train split's values."""
    brief: str | None = None
    """The question without its list of answers, where it has one."""
    answers: Callable[[Centre], tuple[str, ...]] | None = None
    """Every allowed answer; None for a task that is decoded."""
    number: Callable[[Any], float] | None = None
    """A label's value on the scale of the answers, where these are evenly spaced numbers."""
    read: Callable[[Mapping[str, float], Centre], Answer] | None = None
    """Answer text -> probability (sums to 1) to an answer."""
    schema: Callable[[int, int], dict[str, Any]] | None = None
    """JSON schema that constrains a decoded answer, given the numbers of turns and of similar cases shown."""
    optional: bool = False
    """Asked only where it is named."""
    lower_is_better: bool = False
    """Of the main measure."""
    metrics_after: Callable[[Sequence[Any]], Mapping[str, Metric]] | None = None
    """Further measures, which need the train split's values to be defined."""


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


# What score tasks share: answers are anchors 0, 5, ... 100 and the value is their mean.


def anchors(low: int, high: int, step: int) -> tuple[str, ...]:
    """The allowed answers of a numeric task, as text."""
    return tuple(str(n) for n in range(low, high + 1, step))


def read_number(distribution: Mapping[str, float], near: float) -> Answer:
    """Expected value, probability mass within `near` of it, and the shortest 80% interval."""
    points = [(float(text), p) for text, p in distribution.items()]
    points.sort()
    value = sum(x * p for x, p in points)
    confidence = sum(p for x, p in points if abs(x - value) <= near)
    best = (points[0][0], points[-1][0])
    for i in range(len(points)):
        mass = 0.0
        for j in range(i, len(points)):
            mass += points[j][1]
            if mass >= 0.8 - 1e-9:
                if points[j][0] - points[i][0] < best[1] - best[0]:
                    best = (points[i][0], points[j][0])
                break
    return Answer(value, min(confidence, 1.0), best, ranked(distribution))


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


def number_fault(value: Any, low: float, high: float) -> str | None:
    """Why a value is not a number in [low, high]; None when it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{value!r} is not a number"
    return None if low <= value <= high else f"{value:g} is outside {low:g}-{high:g}"


def parse_number(text: str, low: int, high: int) -> int:
    """A whole number in [low, high] from answer text."""
    number = int(text.strip())
    if not low <= number <= high:
        raise ValueError(f"{number} is outside {low}-{high}")
    return number


def most_common(values: Sequence[Any]) -> Any:
    """The most frequent value, the first of them on a tie."""
    return max(dict.fromkeys(values), key=list(values).count)
