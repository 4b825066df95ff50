"""Whether the customer's problem was solved in this contact; asked only where it is named."""

from mlx_cc.metrics import area_under_curve
from mlx_cc.tasks import Task, read_class

ORDER = 7
ANSWERS = RESOLVED, PARTIAL, UNRESOLVED = ("resolved", "partial", "unresolved")

VALUES = {RESOLVED: 1.0, PARTIAL: 0.5, UNRESOLVED: 0.0}


def parse(text, centre):
    if text.strip() not in ANSWERS:
        raise ValueError(f"'{text.strip()}' is not one of resolved, unresolved, partial")
    return VALUES[text.strip()]


def fault(value, centre, turns):
    return None if value in ANSWERS else f"'{value}' is not one of resolved, unresolved, partial"


def read(distribution, centre):
    """The value is the probability of `resolved`."""
    p = distribution[RESOLVED]
    return read_class(distribution, round(p, 4), max(distribution.values()))


TASK = Task(
    name="resolution",
    words="resolution",
    keys=("resolution_status", "resolution"),
    question=lambda centre: (
        "Was the customer's problem solved in this contact? Answer with resolved, partial or unresolved."
    ),
    write=lambda value, centre: value,
    parse=parse,
    fault=fault,
    metrics={"AUC": area_under_curve(RESOLVED)},
    constant=lambda values: sum(value == RESOLVED for value in values) / len(values),
    answers=lambda centre: ANSWERS,
    read=read,
    optional=True,
)
