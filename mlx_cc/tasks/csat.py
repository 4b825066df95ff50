"""How satisfied the customer is with this contact, 1-5."""

import numpy as np

from mlx_cc.metrics import macro_f1_of_bands, mean_absolute_error, quadratic_kappa, spearman, within
from mlx_cc.tasks import Task, anchors, number_fault, parse_number, ranked, read_number

ORDER = 2


def read(distribution, centre):
    found = read_number(distribution, near=0.5)
    best = next(iter(ranked(distribution).values()))
    return found._replace(value=round(found.value, 2), confidence=best)


TASK = Task(
    name="csat",
    question=lambda centre: (
        "How satisfied is the customer with this contact, from 1 (very dissatisfied) to 5 (very satisfied)? "
        "Answer with the number."
    ),
    write=lambda value, centre: str(round(value)),
    parse=lambda text, centre: parse_number(text, 1, 5),
    fault=lambda value, centre, turns: number_fault(value, 1, 5),
    metrics={
        "MAE": mean_absolute_error,
        "QWK": quadratic_kappa,
        "Spearman": spearman,
        "within 0.5": within(0.5),
    },
    constant=lambda values: float(np.median(values)),
    answers=lambda centre: anchors(1, 5, 1),
    number=float,
    read=read,
    lower_is_better=True,
    metrics_after=lambda values: {"macro-F1 (3 classes)": macro_f1_of_bands(3, values)},
)
