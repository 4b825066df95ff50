"""One training run from data to report, with progress on stderr."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mlx_cc.errors import UserError
from mlx_cc.files import locked
from mlx_cc.model.load import parameters
from mlx_cc.terminal import bars, status
from mlx_cc.train.batches import find_data
from mlx_cc.train.loop import Run, Step, Stopped, Trainer
from mlx_cc.train.settings import TrainSettings


def train(settings: TrainSettings, folder: Path, resume: bool = False) -> Run:
    """Run the training described by `settings` into `folder`; progress goes to stderr.

    Raises:
        UserError: data or model can't be found or read, or the run had to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, partial(_refuse_busy, folder)):
        return _train(settings, folder, resume)


def _refuse_busy(folder: Path) -> None:
    raise UserError(f"{folder}: another process trains in it. Wait for it, or choose another --run.")


def _train(settings: TrainSettings, folder: Path, resume: bool) -> Run:
    data = find_data(settings)
    with status("loading the model"):
        trainer = Trainer(settings, folder, data.centre)
        if resume:
            trainer.resume()
    trainable, total = parameters(trainer.model)
    _tell(
        f"{settings.model.name}: {trainable:,} of {total:,} parameters are trained ({trainable / total:.2%}); "
        f"{len(data.train)} conversations, {len(data.validation)} for validation; "
        f"run in {folder}"
    )
    with bars() as progress:
        bar = progress.add_task("training: first validation", total=None, completed=trainer.update)

        def show(step: Step) -> None:
            measured = f"loss {step.loss:.3f}  {step.tokens_per_s:,.0f} tok/s  peak {step.peak_memory_mb:,.0f} MB"
            doing = f"training: update {step.update}/{step.updates}  {measured}"
            progress.update(bar, total=step.updates, completed=step.update, description=doing)
            if step.validation_loss is not None:
                _tell(
                    f"update {step.update}/{step.updates}: train loss {step.loss:.3f}, "
                    f"validation loss {step.validation_loss:.3f}"
                )
            elif progress.disable and step.update % 10 == 0:
                _tell(f"update {step.update}/{step.updates}: {measured}")

        try:
            with stop_requested() as stop:
                report = trainer.run(data.train, data.validation, show, stop)
        except Stopped:
            raise UserError(
                f"{folder}: stopped at update {trainer.update}; its state is saved. "
                "Add --resume to the same command to go on."
            ) from None
    if report.updates < report.planned_updates:
        _tell(f"stopped early: {settings.training.early_stopping_patience} validations without a better one.")
    _tell(
        f"{report.updates} updates in {report.seconds / 60:.1f} min, "
        f"{report.tokens / max(report.seconds, 1e-9):,.0f} tokens/s, peak {report.peak_memory_mb:,.0f} MB. "
        f"Validation loss {report.first_validation:.3f} -> {report.best_validation:.3f} "
        f"(update {report.best_update}). {report.shortened} over-long conversations lost {report.omitted_turns} turns "
        "from their middle; no answer was cut."
    )
    return report


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """A function that says whether to stop: after Ctrl-C, or SIGTERM, which a child also gets when its parent is gone.

    A second Ctrl-C ends the program at once.
    """
    signals: list[int] = []

    def note(number: int, _: object) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)
        print("stopping after this step; once more to stop at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
