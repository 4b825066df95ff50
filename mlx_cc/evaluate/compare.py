"""Models side by side on the same rows: each task's measures, and paired differences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlx_cc.conversation import Conversation
from mlx_cc.evaluate.predict import Predictions
from mlx_cc.metrics import Estimate, Metric, interval
from mlx_cc.tasks import Task

RESAMPLES = 1000


def constants(train: Sequence[Conversation], tasks: Sequence[Task]) -> dict[str, Any]:
    """Each task's best answer that ignores the conversation, from the train split's labels."""
    found = {}
    for task in tasks:
        values = [c.label(task.name) for c in train if task.name in c.labels]
        if values:
            found[task.name] = task.constant(values)
    return found


def compare(
    conversations: Sequence[Conversation],
    tasks: Sequence[Task],
    models: Mapping[str, Predictions],
) -> dict[str, Any]:
    """Measures of every model on every task, and the last model's paired difference to each other one.

    Returns:
        task -> {"n", "measures": {metric -> {model -> Estimate}}, "difference": {model -> Estimate of
        main metric (last model minus that one)}, "lower_is_better"}. Tasks without a labelled and
        answered row are left out.
    """
    report = {}
    for task in tasks:
        rows = [c for c in conversations if task.name in c.labels and all(task.name in p.get(c.id, {}) for p in models.values())]
        if not rows:
            continue
        gold = [c.label(task.name) for c in rows]
        said = {model: [p[c.id][task.name] for c in rows] for model, p in models.items()}
        measures = {
            metric: {model: interval(measure, gold, predicted, resamples=RESAMPLES) for model, predicted in said.items()}
            for metric, measure in task.metrics.items()
        }
        main = next(iter(task.metrics.values()))
        last = list(models)[-1]
        report[task.name] = {
            "n": len(rows),
            "measures": measures,
            "difference": {m: difference(main, gold, said[last], said[m]) for m in models if m != last},
            "lower_is_better": task.lower_is_better,
        }
    return report


def difference(metric: Metric, gold: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any]) -> Estimate:
    """metric(ours) - metric(theirs) with a paired percentile-bootstrap 95% interval over rows."""
    n = len(gold)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES if n > 1 else 0):
        rows = rng.integers(0, n, n)
        g = [gold[i] for i in rows]
        drawn.append(metric(g, [ours[i] for i in rows]) - metric(g, [theirs[i] for i in rows]))
    kept = [d for d in drawn if not math.isnan(d)]
    low, high = np.quantile(kept, [0.025, 0.975]) if kept else (math.nan, math.nan)
    return Estimate(metric(gold, ours) - metric(gold, theirs), float(low), float(high), n)


def in_words(estimate: Estimate) -> str:
    """`12.3 [9.8, 15.0]`."""
    value, low, high, _ = estimate
    if math.isnan(value):
        return "undefined"
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
