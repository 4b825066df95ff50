"""Calibration: a model's probabilities, fitted to labelled conversations outside the train split.

    p_T(answer) ~ p(answer)^(1/T)    one temperature a task, by the log loss of the labelled answer
    value -> map(value)              scores: a rising map from the expected value to the label
    confidence < threshold           the answer needs review

Temperature scaling follows Guo et al. (2017); the rising map is isotonic regression. Improvements are measured by
cross-validation: on conversations that the fit did not see.
"""

import logging
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from os import SEEK_CUR
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from msgspec import Meta, Struct

from mlx_cc.centre import Centre
from mlx_cc.files import read_json, write_json
from mlx_cc.folders import RunFolder
from mlx_cc.tasks import Answer, Task

LEAST_ROWS = 30
"""A task with fewer labelled rows is not calibrated: cross-validation would leave 6 rows a fold."""
LEAST_ROWS_FOR_MAP, LEAST_LABELS_FOR_MAP = 50, 3
"""Least rows and distinct labels for the map of a score's values; set by hand."""
LEAST_KEPT = 20
"""Least rows above a threshold, set by hand: with fewer, some confidence reaches the wanted accuracy by luck."""
FOLDS = 5
BINS = 10
"""Bins of the calibration error, with equally many rows."""
TEMPERATURES = (0.05, 20.0)
"""Bounds of the search for a temperature; set by hand."""
PAGE, SAMPLES = 4096, 2048
"""Bytes, and how often they are read of a large file: a merged adapter changes more than a tenth of the weights."""
TINY = 1e-300
"""Replaces a probability of zero, which has no logarithm."""


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """A measure of the raw answers, and of the calibrated ones on rows that the fit did not see."""

    before: float
    after: float


class TaskCalibration(Struct, frozen=True, forbid_unknown_fields=True):
    """The calibration of one task, and what it changed."""

    temperature: Annotated[float, Meta(gt=0)]
    threshold: float | None
    """Answers of lower confidence need review; None: no confidence reaches `accuracy`, so all do."""
    accuracy: float
    """Share of the kept answers that should equal the label; a score may differ by a tenth of the highest score."""
    n: int
    """Number of labelled conversations."""
    kept: float
    """Share of them with a confidence at or above the threshold."""
    data: str
    """Name of the file they came from."""
    log_loss: Change
    """Log loss of the labelled answer, in nats."""
    ece: Change
    """Expected calibration error of the most probable answer."""
    mae: Change | None = None
    """Mean absolute error, for scores, in their unit."""
    knots: tuple[tuple[float, float], ...] = ()
    """Expected value -> calibrated value, linear in between; empty where the map did not help."""

    def doubts(self, answer: Answer) -> bool:
        """Whether a person should check the answer."""
        return self.threshold is None or (answer.confidence or 0.0) < self.threshold


class Calibration(Struct, frozen=True, forbid_unknown_fields=True):
    """The calibration of a model, by task."""

    tasks: dict[str, TaskCalibration]
    weights: str | None = None
    """`weights_of` the model it was fitted for; None fits any weights (`fuse` merged the adapter it was fitted for)."""


# Applying it


def calibrated(task: Task, distribution: Mapping[str, float], centre: Centre, fitted: TaskCalibration | None) -> Answer:
    """The answer to a task that is read.

    Confidence and interval are those of the tempered distribution. The interval is widened to contain a moved value.

    Args:
        distribution: allowed answer -> probability, summing to 1.
        fitted: None leaves the distribution as it is.
    """
    assert task.read is not None, f"{task.name} is decoded, not read"
    if fitted is None:
        return task.read(distribution, centre)
    p = tempered(np.array(list(distribution.values())), fitted.temperature)
    answer = task.read(dict(zip(distribution, p.tolist(), strict=True)), centre)
    if not (fitted.knots and task.number and answer.interval):
        return answer
    points = np.array(list(map(float, distribution)))
    moved = task.read(dict(zip(distribution, _around(_moved(p @ points, fitted.knots), points), strict=True)), centre)
    low, high = answer.interval
    value = task.number(moved.value)
    return answer._replace(value=moved.value, interval=(min(low, value), max(high, value)))


def tempered(p: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (..., answers) to the power of 1/temperature, normalised."""
    log = np.log(np.maximum(p, TINY)) / temperature
    powers = np.exp(log - log.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _moved(values: Any, knots: Sequence[tuple[float, float]]) -> Any:
    return np.interp(values, [x for x, _ in knots], [y for _, y in knots])


def _around(value: float, points: np.ndarray) -> list[float]:
    """Probabilities of the answers next to `value`, so that their mean is `value`."""
    order = np.argsort(points)
    p = np.zeros(len(points))
    for index, row in zip(order, np.eye(len(points)), strict=True):
        p[index] = np.interp(value, points[order], row)
    return p.tolist()


# Fitting it


class Threshold(NamedTuple):
    """The confidence that separates answers that are kept from those for review."""

    confidence: float | None
    kept: float
    """Share of the rows."""


def fit(
    task: Task, rows: Sequence[tuple[Mapping[str, float], Any]], centre: Centre, accuracy: float, data: str
) -> TaskCalibration | None:
    """Fit one task; None when fewer than `LEAST_ROWS` labels are allowed answers.

    Args:
        rows: distribution over the allowed answers as the model gave it, and the label's value.
        accuracy: as in `TaskCalibration`.
        data: name of the file the rows came from.
    """
    assert task.answers is not None, f"{task.name} is decoded, not read"
    texts = task.answers(centre)
    rows = [(distribution, label) for distribution, label in rows if task.write(label, centre) in texts]
    n = len(rows)
    if n < LEAST_ROWS:
        return None
    p = np.array([[distribution[text] for text in texts] for distribution, _ in rows])
    gold = np.array([texts.index(task.write(label, centre)) for _, label in rows])
    fold = np.random.default_rng(0).permutation(n) % FOLDS
    folds = [(fold != k, fold == k) for k in range(FOLDS)]
    temperature = best_temperature(p, gold)
    fold_temperatures = [best_temperature(p[rest], gold[rest]) for rest, _ in folds]
    held = np.empty_like(p)
    for (_, out), t in zip(folds, fold_temperatures, strict=True):
        held[out] = tempered(p[out], t)
    knots: tuple[tuple[float, float], ...] = ()
    mae = None
    if task.number is None:
        right = held.argmax(axis=1) == gold
    else:
        points = np.array(list(map(float, texts)))
        labels = np.array([task.number(label) for _, label in rows], dtype=float)
        values = held @ points
        if n >= LEAST_ROWS_FOR_MAP and len(set(labels)) >= LEAST_LABELS_FOR_MAP:
            moved = np.empty(n)
            for (rest, out), t in zip(folds, fold_temperatures, strict=True):
                moved[out] = _moved(values[out], rising_map(tempered(p[rest], t) @ points, labels[rest]))
            if np.abs(moved - labels).mean() < np.abs(values - labels).mean():
                knots, values = rising_map(tempered(p, temperature) @ points, labels), moved
        mae = Change(float(np.abs(p @ points - labels).mean()), float(np.abs(values - labels).mean()))
        right = np.abs(values - labels) <= points.max() / 10 + 1e-9
    kept = threshold(_confidences(task, texts, held, centre), right, accuracy)
    return TaskCalibration(
        temperature=temperature,
        threshold=kept.confidence,
        accuracy=accuracy,
        n=n,
        kept=kept.kept,
        data=data,
        log_loss=Change(log_loss(p, gold), log_loss(held, gold)),
        ece=Change(calibration_error(p, gold), calibration_error(held, gold)),
        mae=mae,
        knots=knots,
    )


def _confidences(task: Task, texts: Sequence[str], p: np.ndarray, centre: Centre) -> np.ndarray:
    answers = (calibrated(task, dict(zip(texts, row.tolist(), strict=True)), centre, None) for row in p)
    return np.array([answer.confidence or 0.0 for answer in answers])


def best_temperature(p: np.ndarray, gold: np.ndarray) -> float:
    """The temperature with the least log loss of probabilities (n, answers) given the index of each label (n,)."""
    from scipy.optimize import minimize_scalar

    minimum: Any = minimize_scalar(
        lambda log_t: log_loss(tempered(p, np.exp(log_t)), gold), bounds=np.log(TEMPERATURES), method="bounded"
    )
    return float(np.exp(minimum.x))


def log_loss(p: np.ndarray, gold: np.ndarray) -> float:
    """Mean of -ln(probability of the labelled answer), in nats."""
    return float(-np.log(np.maximum(p[np.arange(len(gold)), gold], 1e-12)).mean())


def calibration_error(p: np.ndarray, gold: np.ndarray) -> float:
    """Expected calibration error: mean distance between the top answer's probability and how often it is the label.

    Over `BINS` bins of neighbouring probabilities with as many rows each, weighted by their rows.
    """
    top, hit = p.max(axis=1), p.argmax(axis=1) == gold
    bins = np.array_split(np.argsort(top, kind="stable"), BINS)
    return float(sum(abs((top[rows] - hit[rows]).sum()) for rows in bins) / len(gold))


def rising_map(values: np.ndarray, labels: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Knots of the non-decreasing map from values (n,) to labels (n,) with the least squared error."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(out_of_bounds="clip").fit(values, labels)
    return tuple(zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True))


def threshold(confidence: np.ndarray, right: np.ndarray, accuracy: float) -> Threshold:
    """The lowest confidence at which the kept answers are right as often as wanted; without one, none is kept.

    Keeps at least `LEAST_KEPT` of the n rows.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    count = np.arange(1, len(order) + 1)
    reached = (np.cumsum(right[order]) / count >= accuracy - 1e-9) & (count >= LEAST_KEPT)
    reached[:-1] &= ranked[:-1] > ranked[1:]  # rows of one confidence are kept or left together
    if not reached.any():
        return Threshold(None, 0.0)
    last = int(np.flatnonzero(reached)[-1])
    return Threshold(float(ranked[last]), (last + 1) / len(order))


# On disk


def weights_of(folder: Path) -> str | None:
    """Short hash of the weights in a model's folder: all of an adapter, samples of larger files; None without any."""
    adapter = RunFolder(folder).adapter
    digest, weights = blake2b(digest_size=8), [adapter] if adapter.exists() else sorted(folder.glob("*.safetensors"))
    for path in weights:
        step = PAGE if path == adapter else max(PAGE, path.stat().st_size // SAMPLES)
        with path.open("rb") as file:
            while page := file.read(PAGE):
                digest.update(page)
                file.seek(step - PAGE, SEEK_CUR)
    return digest.hexdigest() if weights else None


def read_calibration(folder: Path) -> Calibration | None:
    """The calibration in a model's folder; None when there is none, or when it was fitted for other weights.

    Raises:
        UserError: the file is not a calibration.
    """
    path = RunFolder(folder).calibration
    if not path.exists():
        return None
    calibration: Calibration = read_json(path, Calibration)
    if calibration.weights is not None and calibration.weights != weights_of(folder):
        logging.getLogger(__name__).warning(
            "%s: fitted for other weights, so it is not applied. Run `mlx_cc calibrate --model %s`.", path, folder
        )
        return None
    return calibration


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write a calibration into a model's folder."""
    write_json(RunFolder(folder).calibration, calibration)
