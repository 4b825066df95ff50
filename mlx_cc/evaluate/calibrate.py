"""Calibration: fit temperatures and thresholds on the validation split, keep them beside the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlx_cc.analyst import Analyst
from mlx_cc.calibration import (
    LEAST_ROWS,
    Calibration,
    TaskCalibration,
    fit,
    read_calibration,
    weights_of,
    write_calibration,
)
from mlx_cc.errors import UserError
from mlx_cc.evaluate.guards import refuse_test_split, refuse_trained_on
from mlx_cc.folders import DataFolder, RunFolder
from mlx_cc.model import load as disk
from mlx_cc.tasks import pick
from mlx_cc.terminal import progress, status
from mlx_cc.train.batches import labelled


class Calibrated(NamedTuple):
    """The result of `calibrate`."""

    file: Path
    calibration: Calibration
    """The content of the file, with tasks calibrated earlier."""
    fitted: dict[str, TaskCalibration]
    """The tasks fitted now."""
    too_few: dict[str, int]
    """Task -> number of labelled conversations, for tasks with too few."""
    data: Path


def calibrate(
    model: str | Path,
    data: Path | None = None,
    *,
    tasks: Sequence[str] = (),
    limit: int | None = None,
    accuracy: float = 0.9,
) -> Calibrated:
    """Fit a model's probabilities on conversations outside its train and test splits, and write the result.

    Args:
        model: folder of an adapter or a fused model.
        data: labelled conversations; None takes the validation split of the data the model learned from.
        tasks: names; empty means the tasks the adapter was trained on, or all for other models.
        limit: at most this many conversations, the first by id.
        accuracy: wanted share of right answers among those that need no review.

    Raises:
        UserError: no such folder, no task with probabilities, or too few labelled conversations.
    """
    folder = disk.find(model)
    if not folder.is_dir():
        raise UserError(f"{model}: no folder to keep a calibration in. Pass an adapter's or a fused model's folder.")
    asked = [task for task in pick(list(tasks) or disk.trained_tasks(model)) if task.answers]
    if not asked:
        names = ",".join(tasks)
        raise UserError(f"--tasks {names}: decoded, so there are no probabilities to calibrate. Name other tasks.")
    of_run = (disk.run_settings(model) or {}).get("data", {})
    data = data or DataFolder(disk.data_folder(model)).split("validation", of_run.get("validation", ""))
    conversations = sorted(labelled(data, asked), key=lambda c: c.id)
    refuse_trained_on(folder, conversations, data)
    refuse_test_split(conversations, data, disk.data_folder(model))
    conversations = conversations[:limit]
    with status("loading the model"):
        analyst = Analyst(disk.load(folder, calibrated=False))
    rows: dict[str, list[tuple[dict[str, float], Any]]] = {task.name: [] for task in asked}
    answered = analyst.answers(conversations, list(rows))
    for conversation, answers in progress(answered, "reading answers", len(conversations)):
        for name in rows.keys() & conversation.labels.keys():
            rows[name].append((answers[name].distribution or {}, conversation.label(name)))
    tried = {task.name: fit(task, rows[task.name], analyst.centre, accuracy, data.name) for task in asked}
    fitted = {name: calibration for name, calibration in tried.items() if calibration}
    too_few = {name: len(rows[name]) for name in rows if name not in fitted}
    if not fitted:
        counts = ", ".join(f"{name} has {n}" for name, n in too_few.items())
        raise UserError(
            f"{data}: fewer than {LEAST_ROWS} labelled conversations a task ({counts}), so nothing was written. "
            "Name a larger file with --data."
        )
    before = read_calibration(folder)
    others = {name: old for name, old in before.tasks.items() if name not in tried} if before else {}
    calibration = Calibration({**others, **fitted}, weights_of(folder))
    write_calibration(folder, calibration)
    return Calibrated(RunFolder(folder).calibration, calibration, fitted, too_few, data)
