"""What the customer contacted the centre about: one of the centre's issue classes."""

from mlx_cc.metrics import accuracy, macro_f1
from mlx_cc.tasks import Part, Task, most_common, read_class

ORDER = 3


def parse(text, centre):
    name = text.strip()
    if name not in centre.issue_classes:
        raise ValueError(f"'{name}' is not an issue class")
    return name


def fault(value, centre, turns):
    if value in centre.issue_classes:
        return None
    return f"'{value}' is not one of the centre's issue classes ({', '.join(centre.issue_classes)})"


TASK = Task(
    name="issue",
    words="issue",
    keys=("issue", "primary_issue", "issue_class"),
    question=lambda centre: (
        f"What did the customer contact us about? Answer with one of: {', '.join(centre.issue_classes)}."
    ),
    brief="What did the customer contact us about? Answer with the issue class.",
    write=lambda value, centre: value,
    parse=parse,
    fault=fault,
    metrics={"macro-F1": macro_f1, "accuracy": accuracy},
    constant=most_common,
    answers=lambda centre: centre.issue_classes,
    read=lambda distribution, centre: read_class(distribution),
    parts=(
        Part("issue", column="issue"),
        Part("root_cause", lambda answer: list(answer.distribution or {})[:3], list),
    ),
)
