"""`mlx_cc calibrate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlx_cc.commands.options import JSON, LIMIT, MODEL, PATH, names

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

    from mlx_cc.calibration import LEAST_ROWS
    from mlx_cc.evaluate.calibrate import calibrate
    from mlx_cc.terminal import console

    done = calibrate(model, data, tasks=names(tasks), limit=limit, accuracy=accuracy)
    if as_json:
        click.echo(msgspec.json.encode(done.calibration).decode())
    else:
        console().print(table(done.fitted, f"{model} on {done.data}"))
        click.echo(f"Kept in {done.file}: analyze, chat and evaluate apply it.")
    for name, n in done.too_few.items():
        click.echo(f"{name}: {n} labelled conversations, fewer than {LEAST_ROWS}; left uncalibrated.", err=True)
    for name, found in done.fitted.items():
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
