"""Models side by side on the same rows: each task's measures, and paired differences."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.evaluate.predict import Predictions, Said
from mlx_cc.metrics import Estimate, Metric, interval
from mlx_cc.tasks import Task

RESAMPLES = 1000


def constants(
    train: Sequence[Conversation], held_out: Sequence[Conversation], tasks: Sequence[Task], centre: Centre
) -> Predictions:
    """The best answers that ignore the conversation, from the train split's labels.

    The value is the task's constant; the probability of a label is how often it occurs in the train
    split, each allowed answer counted once more than it does (add-one smoothing).
    """
    found: Predictions = {c.id: {} for c in held_out}
    for task in tasks:
        values = [c.label(task.name) for c in train if task.name in c.labels]
        if not values:
            continue
        fixed = task.constant(values)
        seen = Counter(task.write(value, centre) for value in values)
        answers = len(task.answers(centre)) if task.answers else 0
        for c in held_out:
            p = None
            if answers and task.name in c.labels:
                p = (seen[task.write(c.label(task.name), centre)] + 1) / (len(values) + answers)
            found[c.id][task.name] = Said(fixed, p)
    return found


def log_loss(_: Sequence[Any], probabilities: Sequence[float]) -> float:
    """Mean of -ln(probability given to the label), in nats: a proper score of the whole distribution."""
    return float(-np.mean(np.log(np.maximum(probabilities, 1e-12)))) if len(probabilities) else float("nan")


def compare(
    conversations: Sequence[Conversation],
    tasks: Sequence[Task],
    models: Mapping[str, Predictions],
) -> dict[str, Any]:
    """Measures of every model on every task, and the last model's paired difference to each other one.

    Returns:
        task -> {"n", "measures": {metric -> {model -> Estimate}}, "difference": {model -> Estimate of
        main metric (last model minus that one)}, "log_loss_difference": likewise, "lower_is_better"}.
        Tasks without a labelled and answered row are left out.
    """
    report = {}
    for task in tasks:
        rows = [
            c
            for c in conversations
            if task.name in c.labels and all(task.name in p.get(c.id, {}) for p in models.values())
        ]
        if not rows:
            continue
        gold = [c.label(task.name) for c in rows]
        said = {model: [p[c.id][task.name].value for c in rows] for model, p in models.items()}
        chances = {model: [p[c.id][task.name].gold_probability for c in rows] for model, p in models.items()}
        measures = {
            metric: {
                model: interval(measure, gold, predicted, resamples=RESAMPLES) for model, predicted in said.items()
            }
            for metric, measure in task.metrics.items()
        }
        main = next(iter(task.metrics.values()))
        last = list(models)[-1]
        scored = all(p is not None for found in chances.values() for p in found)
        if scored:
            measures["log loss"] = {m: interval(log_loss, gold, p, resamples=RESAMPLES) for m, p in chances.items()}
        report[task.name] = {
            "n": len(rows),
            "measures": measures,
            "difference": {m: difference(main, gold, said[last], said[m]) for m in models if m != last},
            "log_loss_difference": {
                m: difference(log_loss, gold, chances[last], chances[m]) for m in models if m != last and scored
            },
            "lower_is_better": task.lower_is_better,
        }
    return report


def overall(conversations: Sequence[Conversation], models: Mapping[str, Predictions]) -> dict[str, Any]:
    """Log loss averaged over each conversation's labelled tasks: one proper score for everything that is read.

    Returns:
        {"log loss": {model -> Estimate}, "difference": {model -> Estimate, last model minus that one}}, n in
        conversations; empty when nothing was read.
    """

    def chances(said: Mapping[str, Said]) -> dict[str, float]:
        return {task: found.gold_probability for task, found in said.items() if found.gold_probability is not None}

    per_model: dict[str, list[float]] = {model: [] for model in models}
    for c in conversations:
        found = {model: chances(p[c.id]) for model, p in models.items()}
        shared = set.intersection(*(set(f) for f in found.values()))
        for model, f in found.items():
            if shared:
                per_model[model].append(math.exp(sum(math.log(max(f[t], 1e-12)) for t in shared) / len(shared)))
    if not any(per_model.values()):
        return {}
    last = list(models)[-1]
    gold = per_model[last]
    return {
        "log loss": {m: interval(log_loss, gold, p, resamples=RESAMPLES) for m, p in per_model.items()},
        "difference": {m: difference(log_loss, gold, gold, p) for m, p in per_model.items() if m != last},
    }


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
    if estimate.value is None or math.isnan(estimate.value):  # NaN is null in JSON
        return "undefined"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
