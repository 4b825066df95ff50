"""How strong the signal in this conversation is that the customer will leave, 0-100.

A signal in one conversation, not a probability of churn: that needs outcome labels with a horizon.
"""

import numpy as np

from mlx_cc.metrics import bias, mean_absolute_error, spearman, within
from mlx_cc.tasks import Task, anchors, number_fault, parse_number, read_number

ORDER = 4


def read(distribution, centre):
    found = read_number(distribution, near=10)
    return found._replace(value=round(found.value, 1))


TASK = Task(
    name="churn",
    question=lambda centre: (
        "How strong is the sign in this conversation that the customer will leave, from 0 to 100, in steps of 5? "
        "Answer with the number."
    ),
    write=lambda value, centre: str(5 * round(value / 5)),
    parse=lambda text, centre: parse_number(text, 0, 100),
    fault=lambda value, centre, turns: number_fault(value, 0, 100),
    metrics={"MAE": mean_absolute_error, "within 10": within(10), "Spearman": spearman, "bias": bias},
    constant=lambda values: float(np.median(values)),
    answers=lambda centre: anchors(0, 100, 5),
    number=float,
    read=read,
    lower_is_better=True,
)
