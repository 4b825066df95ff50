"""Measures of agreement between answers and labels, and their intervals. NumPy only.

Every measure takes two sequences of equal length, `gold` and `predicted`, and returns one number; `interval` bootstraps
any of them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

Metric = Callable[[Sequence[Any], Sequence[Any]], float]


class Estimate(msgspec.Struct, frozen=True):
    """A measured number with its 95% interval and its number of rows."""

    value: float
    low: float
    high: float
    n: int


def interval(
    metric: Metric, gold: Sequence[Any], predicted: Sequence[Any], *, resamples: int = 1000, seed: int = 0
) -> Estimate:
    """The metric on all rows with a percentile-bootstrap 95% interval over rows.

    A row is one conversation, so rows are resampled as independent. Resamples whose metric is undefined (NaN) are left
    out.
    """
    n = len(gold)
    value = metric(gold, predicted)
    if n < 2:
        return Estimate(value, float("nan"), float("nan"), n)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        rows = rng.integers(0, n, n)
        values.append(metric([gold[i] for i in rows], [predicted[i] for i in rows]))
    defined = np.asarray(values)[~np.isnan(values)]
    if not len(defined):
        return Estimate(value, float("nan"), float("nan"), n)
    low, high = np.quantile(defined, [0.025, 0.975])
    return Estimate(value, float(low), float(high), n)


def difference(metric: Metric, gold: Sequence[Any], ours: Sequence[Any], theirs: Sequence[Any]) -> Estimate:
    """metric(ours) - metric(theirs) on the same rows, with the interval of `interval`."""

    def gain(gold: Sequence[Any], pairs: Sequence[Any]) -> float:
        return metric(gold, [our for our, _ in pairs]) - metric(gold, [their for _, their in pairs])

    return interval(gain, gold, list(zip(ours, theirs, strict=True)))


def mean_absolute_error(gold: Sequence[float], predicted: Sequence[float]) -> float:
    """Mean of |predicted - gold|, in points of the score."""
    return float(np.mean(np.abs(np.asarray(predicted, float) - np.asarray(gold, float)))) if len(gold) else float("nan")


def bias(gold: Sequence[float], predicted: Sequence[float]) -> float:
    """Mean of predicted - gold: above 0 the answers are too high."""
    return float(np.mean(np.asarray(predicted, float) - np.asarray(gold, float))) if len(gold) else float("nan")


def within(tolerance: float) -> Metric:
    """Share of rows whose error is at most `tolerance`."""

    def share(gold: Sequence[float], predicted: Sequence[float]) -> float:
        error = np.abs(np.asarray(predicted, float) - np.asarray(gold, float))
        return float(np.mean(error <= tolerance)) if len(gold) else float("nan")

    return share


def spearman(gold: Sequence[float], predicted: Sequence[float]) -> float:
    """Spearman's rank correlation, with mean ranks for ties; NaN when either side is constant."""
    a, b = _ranks(gold), _ranks(predicted)
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, inverse, counts = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def accuracy(gold: Sequence[Any], predicted: Sequence[Any]) -> float:
    """Share of rows whose answer equals the label."""
    return float(np.mean([g == p for g, p in zip(gold, predicted, strict=True)])) if len(gold) else float("nan")


def macro_f1(gold: Sequence[Any], predicted: Sequence[Any]) -> float:
    """F1 of each class that occurs in the labels or the answers, averaged without weights."""
    hits = Counter(g for g, p in zip(gold, predicted, strict=True) if g == p)
    totals = Counter(gold) + Counter(predicted)
    scores = [2 * hits[name] / totals[name] for name in sorted(totals, key=str)]
    return float(np.mean(scores)) if scores else float("nan")


def macro_f1_of_bands(middle: float, seen: Sequence[float]) -> Metric:
    """Macro-F1 of three classes of a number: below `middle`, at it, and above it.

    An expected value is never exactly in the middle, so answers are put into classes by rank: the shares of low and
    of high answers are those among `seen`, the train split's values. Answers that tie with the one at a border are in
    the middle. The classes depend on the other answers, never on the labels of the rows measured.
    """
    values = np.asarray(seen, float)
    low, high = float(np.mean(values < middle)), float(np.mean(values > middle))

    def score(gold: Sequence[float], predicted: Sequence[float]) -> float:
        if not len(gold):
            return float("nan")
        answers, n = np.asarray(predicted, float), len(gold)
        ordered = np.concatenate([[-np.inf], np.sort(answers), [np.inf]])
        floor, ceiling = ordered[round(low * n) + 1], ordered[n - round(high * n)]
        classes = (answers > ceiling).astype(int) - (answers < floor)
        return macro_f1(np.sign(np.asarray(gold, float) - middle).astype(int).tolist(), classes.tolist())

    return score


def quadratic_kappa(gold: Sequence[float], predicted: Sequence[float]) -> float:
    """Cohen's kappa with quadratic weights on rounded answers; NaN when both sides are the same constant."""
    a, b = np.rint(np.asarray(gold, float)), np.rint(np.asarray(predicted, float))
    if not len(a):
        return float("nan")
    expected = np.mean((a[:, None] - b[None, :]) ** 2)
    return float("nan") if expected == 0 else float(1 - np.mean((a - b) ** 2) / expected)


def area_under_curve(positive: Any) -> Metric:
    """Area under the ROC curve of `predicted` scores for labels equal to `positive`; NaN with only one class.

    The share of pairs in the right order, with ties counted half (Hanley and McNeil, 1982).
    """

    def area(gold: Sequence[Any], predicted: Sequence[float]) -> float:
        hit = np.array([g == positive for g in gold])
        hits, misses = int(hit.sum()), int((~hit).sum())
        if not hits or not misses:
            return float("nan")
        return float((_ranks(predicted)[hit].sum() - hits * (hits + 1) / 2) / (hits * misses))

    return area


def on(part: Callable[[Any], Any], metric: Metric) -> Metric:
    """The metric of one part of each value, for example the score of a quality value."""
    return lambda gold, predicted: metric([part(g) for g in gold], [part(p) for p in predicted])


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share (E. B. Wilson, 1927)."""
    if n == 0:
        return 0.0, 1.0
    z, share = 1.959964, hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
