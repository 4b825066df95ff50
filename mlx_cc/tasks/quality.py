"""How well the agent served the customer, 0-100; the effectiveness band follows from the score."""

from typing import Any

import numpy as np

from mlx_cc.metrics import bias, mean_absolute_error, on, spearman, within
from mlx_cc.tasks import Task, anchors, number_fault, parse_number, read_number

ORDER = 1


def score(value: Any) -> float:
    """The score of a quality value."""
    return value["score"]


def fault(value: Any, _centre: Any, _turns: int) -> str | None:
    if not isinstance(value, dict) or "score" not in value:
        return f"{value!r} has no score"
    return number_fault(value["score"], 0, 100)


def read(distribution: Any, centre: Any) -> Any:
    found = read_number(distribution, near=10)
    return found._replace(value={"score": round(found.value, 1), "effectiveness": centre.band(found.value)})


TASK = Task(
    name="quality",
    question=lambda centre: (
        "Rate the quality of the agent's service from 0 to 100, in steps of 5. Answer with the number."
    ),
    write=lambda value, centre: str(5 * round(score(value) / 5)),
    parse=lambda text, centre: (lambda n: {"score": n, "effectiveness": centre.band(n)})(parse_number(text, 0, 100)),
    fault=fault,
    metrics={
        "MAE": on(score, mean_absolute_error),
        "within 10": on(score, within(10)),
        "Spearman": on(score, spearman),
        "bias": on(score, bias),
    },
    constant=lambda values: {"score": float(np.median([score(v) for v in values]))},
    answers=lambda centre: anchors(0, 100, 5),
    number=score,
    read=read,
    lower_is_better=True,
)
