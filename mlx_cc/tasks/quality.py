"""How well the agent served the customer, 0-100; the effectiveness band follows from the score."""

from typing import Any

import numpy as np

from mlx_cc.metrics import bias, mean_absolute_error, on, spearman, within
from mlx_cc.tasks import Bound, Part, Scale, as_number, read_number, scored

ORDER = 1
SCALE = Scale(0, 100, step=5, concern=Bound("below", 60), near=10, tolerance=15)


def score(value: Any) -> float:
    """The score of a quality value."""
    return value["score"]


def value_of(given: Any) -> Any:
    """A score, or an object that has one, with the score as a number."""
    if not isinstance(given, dict):
        return {"score": as_number(given)}
    return {**given, "score": as_number(given["score"])} if "score" in given else given


def fault(value: Any, _centre: Any, _turns: int) -> str | None:
    if not isinstance(value, dict) or "score" not in value:
        return f"{value!r} has no score"
    return SCALE.fault(value["score"])


def with_band(number: float, centre: Any) -> dict[str, Any]:
    return {"score": number, "effectiveness": centre.band(number)}


def read(distribution: Any, centre: Any) -> Any:
    found = read_number(distribution, SCALE)
    return found._replace(value=with_band(found.value, centre))


TASK = scored(
    "quality",
    SCALE,
    words="quality",
    keys=("quality_score", "quality", "overall_quality_score"),
    column_names=("qa score", "quality score", "qm score", "evaluation score", "overall qa score", "qa"),
    value=value_of,
    question=lambda centre: (
        "Rate the quality of the agent's service from 0 to 100, in steps of 5. Answer with the number."
    ),
    write=lambda value, centre: SCALE.write(score(value)),
    parse=lambda text, centre: with_band(SCALE.parse(text), centre),
    fault=fault,
    metrics={
        "MAE": on(score, mean_absolute_error),
        "within 10": on(score, within(10)),
        "Spearman": on(score, spearman),
        "bias": on(score, bias),
    },
    constant=lambda values: {"score": float(np.median([score(v) for v in values]))},
    number=score,
    read=read,
    parts=(
        Part("quality_score", lambda answer: score(answer.value), float, "quality"),
        Part("effectiveness", lambda answer: answer.value.get("effectiveness")),
    ),
    decision=lambda value, centre: value.get("effectiveness") or centre.band(score(value)),
)
