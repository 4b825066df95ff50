"""Models side by side on the same rows: each task's measures, and paired differences."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlx_cc.conversation import Conversation
from mlx_cc.evaluate.predict import Predictions, Said
from mlx_cc.metrics import Estimate, difference, interval
from mlx_cc.tasks import Task

RESAMPLES = 1000


def log_loss(_: Sequence[Any], probabilities: Sequence[float]) -> float:
    """Mean of -ln(probability given to the label), in nats: a proper score of the whole distribution."""
    return float(-np.mean(np.log(np.maximum(probabilities, 1e-12)))) if len(probabilities) else float("nan")


def compare(
    conversations: Sequence[Conversation],
    tasks: Sequence[Task],
    models: Mapping[str, Predictions],
    train: Sequence[Conversation] = (),
) -> dict[str, Any]:
    """Measures of every model on every task, and the last model's paired difference to each other one.

    A model without any answer to a task is left out of that task.

    Args:
        train: the train split, for measures that need its labels; empty leaves these out.

    Returns:
        task -> {"n", "measures": {metric -> {model -> Estimate}}, "difference": {model -> Estimate of the main
        metric, last model minus that one}, "log_loss_difference": the same of log loss, "lower_is_better"}.
        Tasks without a row that is labelled and answered are left out.
    """
    report = {}
    last = list(models)[-1]
    for task in tasks:
        able = {model: p for model, p in models.items() if any(task.name in answers for answers in p.values())}
        rows = [
            c
            for c in conversations
            if task.name in c.labels and all(task.name in p.get(c.id, {}) for p in able.values())
        ]
        if not rows or last not in able:
            continue
        learned = [c.label(task.name) for c in train if task.name in c.labels]
        metrics = {**task.metrics, **(task.metrics_after(learned) if task.metrics_after and learned else {})}
        gold = [c.label(task.name) for c in rows]
        answers = {model: [p[c.id][task.name].value for c in rows] for model, p in able.items()}
        chances = {model: [p[c.id][task.name].gold_probability for c in rows] for model, p in able.items()}
        measures = {
            metric: {
                model: interval(measure, gold, predicted, resamples=RESAMPLES) for model, predicted in answers.items()
            }
            for metric, measure in metrics.items()
        }
        main = next(iter(task.metrics.values()))
        scored = all(p is not None for probabilities in chances.values() for p in probabilities)
        if scored:
            measures["log loss"] = {m: interval(log_loss, gold, p, resamples=RESAMPLES) for m, p in chances.items()}
        report[task.name] = {
            "n": len(rows),
            "measures": measures,
            "difference": {m: difference(main, gold, answers[last], answers[m]) for m in able if m != last},
            "log_loss_difference": {
                m: difference(log_loss, gold, chances[last], chances[m]) for m in able if m != last and scored
            },
            "lower_is_better": task.lower_is_better,
        }
    return report


def overall(conversations: Sequence[Conversation], models: Mapping[str, Predictions]) -> dict[str, Any]:
    """Log loss averaged over each conversation's labelled tasks: one proper score for all tasks with probabilities.

    Returns:
        {"log loss": {model -> Estimate}, "difference": {model -> Estimate, last model minus that one}}, n in
        conversations; empty when no answer has a probability.
    """

    def chances(answers: Mapping[str, Said]) -> dict[str, float]:
        return {task: a.gold_probability for task, a in answers.items() if a.gold_probability is not None}

    per_model: dict[str, list[float]] = {model: [] for model in models}
    for c in conversations:
        by_model = {model: chances(p[c.id]) for model, p in models.items()}
        shared = set.intersection(*map(set, by_model.values()))
        for model, p in by_model.items():
            if shared:
                per_model[model].append(math.exp(sum(math.log(max(p[t], 1e-12)) for t in shared) / len(shared)))
    if not any(per_model.values()):
        return {}
    last = list(models)[-1]
    gold = per_model[last]
    return {
        "log loss": {m: interval(log_loss, gold, p, resamples=RESAMPLES) for m, p in per_model.items()},
        "difference": {m: difference(log_loss, gold, gold, p) for m, p in per_model.items() if m != last},
    }


def in_words(estimate: Estimate) -> str:
    """`12.3 [9.8, 15.0]`."""
    if estimate.value is None or math.isnan(estimate.value):  # NaN is null in JSON
        return "undefined"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
