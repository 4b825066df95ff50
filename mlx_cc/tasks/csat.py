"""How satisfied the customer is with this contact, 1-5."""

from mlx_cc.metrics import macro_f1_of_bands, mean_absolute_error, quadratic_kappa, spearman, within
from mlx_cc.tasks import Bound, Scale, read_number, scored

ORDER = 2
SATISFIED = Bound("at least", 4)
SCALE = Scale(1, 5, concern=Bound("at most", 2), good=SATISFIED, digits=1)


def read(distribution, centre):
    """The confidence is that of the most probable answer."""
    return read_number(distribution, SCALE)._replace(confidence=max(distribution.values()))


TASK = scored(
    "csat",
    SCALE,
    words="CSAT",
    keys=("csat_score", "csat"),
    column_names=(
        "csat",
        "csat score",
        "customer satisfaction",
        "customer satisfaction score",
        "satisfaction score",
        "survey csat",
    ),
    given_by="survey",
    question=lambda centre: (
        "How satisfied is the customer with this contact, from 1 (very dissatisfied) to 5 (very satisfied)? "
        "Answer with the number."
    ),
    metrics={
        "MAE": mean_absolute_error,
        "QWK": quadratic_kappa,
        "Spearman": spearman,
        "within 0.5": within(0.5),
    },
    read=read,
    metrics_after=lambda values: {"macro-F1 (3 classes)": macro_f1_of_bands(3, values)},
)
