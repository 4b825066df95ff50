"""`mlx_cc calibrate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import JSON, LIMIT, MODEL, PATH
from mlx_cc.folders import DataFolder, RunFolder

if TYPE_CHECKING:
    from rich.table import Table

    from mlx_cc.calibration import TaskCalibration


@click.command(name="calibrate")
@MODEL
@click.option(
    "--data",
    type=PATH,
    help="Labelled conversations; else the validation split the run was prepared with.",
)
@LIMIT
@click.option("--tasks", help="Comma-separated tasks; all when left out. Others keep their calibration.")
@click.option(
    "--accuracy",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    show_default=True,
    help="Share of right answers wanted of those that need no review.",
)
@JSON
def command(
    model: str, data: Path | None, limit: int | None, tasks: str | None, accuracy: float, as_json: bool
) -> None:
    """Make a model's probabilities honest, and find the confidence below which answers need review.

    Fits one temperature a task, for scores also a map from the expected value to the label, on conversations
    the model neither learned from nor is tested on. Kept beside the weights as calibration.json; analyze,
    chat and evaluate apply it.

    \b
    Examples:
      mlx_cc calibrate --model adapters/mistral-7b-contact-center
      mlx_cc calibrate --model adapters/mistral-7b-contact-center --tasks churn --accuracy 0.8
      mlx_cc calibrate --model models/mistral-7b-contact-center --data data/validation_chatml.jsonl --json
    """
    import msgspec

    from mlx_cc.analyst import Analyst
    from mlx_cc.calibration import (
        LEAST_ROWS,
        Calibration,
        fit,
        read_calibration,
        weights_of,
        write_calibration,
    )
    from mlx_cc.commands.evaluate import trained_tasks
    from mlx_cc.errors import UserError
    from mlx_cc.evaluate.guards import refuse_test_split, refuse_trained_on
    from mlx_cc.model import load as disk
    from mlx_cc.tasks import pick
    from mlx_cc.terminal import console, progress, status
    from mlx_cc.train.batches import labelled

    place = disk.find(model)
    if not place.is_dir():
        raise UserError(f"{model}: no folder to keep a calibration in. Pass an adapter's or a fused model's folder.")
    names = [name.strip() for name in tasks.split(",")] if tasks else trained_tasks(model)
    asked = [task for task in pick(names) if task.answers]
    if not asked:
        raise UserError(f"--tasks {tasks}: decoded, so there are no probabilities to calibrate. Name other tasks.")
    of_run = (disk.run_settings(model) or {}).get("data", {})
    data = data or DataFolder(disk.data_folder(model)).split("validation", of_run.get("validation", ""))
    conversations = sorted(labelled(data, asked), key=lambda c: c.id)
    refuse_trained_on(place, conversations, data)
    refuse_test_split(conversations, data, disk.data_folder(model))
    conversations = conversations[:limit]

    with status("loading the model"):
        analyst = Analyst(disk.load(place, calibrated=False))
    rows: dict[str, list[tuple[dict[str, float], Any]]] = {task.name: [] for task in asked}
    answered = analyst.answers(conversations, list(rows))
    for conversation, answers in progress(answered, "reading answers", len(conversations)):
        for name in rows.keys() & conversation.labels.keys():
            rows[name].append((answers[name].distribution or {}, conversation.label(name)))
    fitted = {task.name: fit(task, rows[task.name], analyst.centre, accuracy, data.name) for task in asked}
    new = {name: found for name, found in fitted.items() if found}
    few = {name: len(rows[name]) for name in rows if name not in new}
    if not new:
        counts = ", ".join(f"{name} has {n}" for name, n in few.items())
        raise UserError(
            f"{data}: fewer than {LEAST_ROWS} labelled conversations a task ({counts}), so nothing was written. "
            "Name a larger file with --data."
        )
    before = read_calibration(place)
    others = {name: old for name, old in before.tasks.items() if name not in fitted} if before else {}
    calibration = Calibration({**others, **new}, weights_of(place))
    write_calibration(place, calibration)
    if as_json:
        click.echo(msgspec.json.encode(calibration).decode())
    else:
        console().print(table(new, f"{model} on {data}"))
        click.echo(f"Kept in {RunFolder(place).calibration}: analyze, chat and evaluate apply it.")
    for name, n in few.items():
        click.echo(f"{name}: {n} labelled conversations, fewer than {LEAST_ROWS}; left uncalibrated.", err=True)
    for name, found in new.items():
        if found.threshold is None:
            click.echo(
                f"{name}: at no confidence are {accuracy:.0%} of the answers right, so all need review. "
                f"Lower --accuracy for it: --tasks {name} --accuracy {max(0.1, accuracy - 0.2):.1f}.",
                err=True,
            )


def table(fitted: "Mapping[str, TaskCalibration]", title: str) -> "Table":
    """What was fitted and what it changed, a row a task."""
    from rich.table import Table

    shown = Table(title=title, caption="Before -> after, by 5-fold cross-validation; log loss in nats.")
    for column in ("task", "n", "temperature", "log loss", "ECE", "MAE", "threshold", "kept"):
        shown.add_column(column, no_wrap=True)
    for name, task in fitted.items():
        shown.add_row(
            name,
            str(task.n),
            f"{task.temperature:.2f}",
            f"{task.log_loss.before:.3f} -> {task.log_loss.after:.3f}",
            f"{task.ece.before:.3f} -> {task.ece.after:.3f}",
            "" if task.mae is None else f"{task.mae.before:.2f} -> {task.mae.after:.2f}",
            "not reached" if task.threshold is None else f"{task.threshold:.2f}",
            f"{task.kept:.0%}",
        )
    return shown
