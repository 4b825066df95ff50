"""How strong the signal in this conversation is that the customer will leave, 0-100.

A signal in one conversation, not a probability of churn: that needs outcome labels with a horizon.
"""

from mlx_cc.tasks import Bound, Scale, scored

ORDER = 4
CONCERN = Bound("above", 75)

TASK = scored(
    "churn",
    Scale(0, 100, step=5, better=-1, concern=CONCERN, near=10, tolerance=20),
    words="churn signal",
    keys=("churn_risk", "churn", "churn_score"),
    question=lambda centre: (
        "How strong is the sign in this conversation that the customer will leave, from 0 to 100, in steps of 5? "
        "Answer with the number."
    ),
    decision=lambda value, centre: CONCERN.holds(value),
)
