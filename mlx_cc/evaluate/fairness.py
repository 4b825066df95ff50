"""Counterfactual fairness and injection: how often and how far answers move when what happens stays the same."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from rich.table import Table

from mlx_cc.analyst import Analyst
from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation, replace
from mlx_cc.errors import UserError
from mlx_cc.evaluate.compare import in_words
from mlx_cc.evaluate.edits import EDITS, Edit
from mlx_cc.evaluate.predict import Predictions, predictions
from mlx_cc.files import write_json
from mlx_cc.folders import EvaluationFolder, RunFolder
from mlx_cc.metrics import Estimate, bias, interval, mean_absolute_error, wilson
from mlx_cc.model import load as disk
from mlx_cc.prompt import Cases
from mlx_cc.tasks import Task, pick


class Moved(Struct):
    """Effect of one edit on one task's answers."""

    flips: Estimate
    """Share of pairs whose decision differs, with Wilson's interval."""
    shift: Estimate | None
    """Mean of the second answer minus the first, in points; bootstrap over conversations. None for classes."""
    distance: Estimate | None
    """Mean absolute difference, in points; None for classes."""


class Fairness(Struct):
    """The content of fairness.json."""

    model: str
    data: str
    conversations: int
    edits: dict[str, str]
    """Edit -> what differs, from the first to the second."""
    moved: dict[str, dict[str, Moved]]
    """Edit -> task -> effect."""


def fairness(
    model: str, held_out: Path, conversations: Sequence[Conversation], names: Sequence[str], folder: Path | None = None
) -> Fairness:
    """Answer every pair and measure how the answers differ.

    Args:
        held_out: file of the conversations, named in the report.
        names: edits; empty means all.
        folder: for the report and the answers, from which a later run continues; None takes evaluation/ in the
            model's folder.

    Raises:
        UserError: there is no such edit or model.
    """
    edits = _edits(names)
    folder = folder or RunFolder(disk.find(model)).evaluation.path
    analyst = Analyst(disk.load(model))
    tasks = [task for task in pick([]) if task.answers]
    variants: dict[str, Conversation] = {}
    notes: dict[str, str] = {}
    cases: dict[str, Cases] = {}
    pairs: dict[str, list[tuple[str, str]]] = {}
    for edit in edits:
        pairs[edit.name] = []
        for conversation in conversations:
            made = edit.apply(conversation)
            if made is None:
                continue
            ids = tuple(f"{conversation.id}#{edit.name}-{side}" for side in (1, 2))
            for side, (name, one) in enumerate(zip(ids, made, strict=True)):
                variants[name] = replace(one, id=name)
                if edit.notes:
                    notes[name] = edit.notes[side]
                if edit.cases:
                    cases[name] = edit.cases[side]
            pairs[edit.name].append((ids[0], ids[1]))
    answers, _ = predictions(
        analyst, list(variants.values()), [task.name for task in tasks], folder, notes=notes, cases=cases
    )
    report = Fairness(
        model=model,
        data=str(held_out),
        conversations=len(conversations),
        edits={edit.name: edit.words for edit in edits},
        moved={
            edit.name: {task.name: moved(answers, pairs[edit.name], task, analyst.centre) for task in tasks}
            for edit in edits
            if pairs[edit.name]
        },
    )
    write_json(EvaluationFolder(folder).fairness, report)
    return report


def moved(predictions: Predictions, pairs: Sequence[tuple[str, str]], task: Task, centre: Centre) -> Moved:
    """The differences between the first and the second of each pair in one task's answers."""
    answers = [(predictions[one][task.name].value, predictions[other][task.name].value) for one, other in pairs]
    decide = task.decision or task.write
    flips = sum(decide(one, centre) != decide(other, centre) for one, other in answers)
    low, high = wilson(flips, len(answers))
    shift = distance = None
    if task.number:
        first, second = ([task.number(pair[side]) for pair in answers] for side in (0, 1))
        shift = interval(bias, first, second)
        distance = interval(mean_absolute_error, first, second)
    return Moved(Estimate(flips / len(answers), low, high, len(answers)), shift, distance)


def table(report: Fairness) -> Table:
    """The report as a table: a row for each edit and task."""
    shown = Table(
        title=f"{report.model}: how answers differ when only who speaks changes, {report.conversations} conversations",
        caption="95% intervals in brackets. Flips: the decision differs. Shift: second answer minus first, in points. "
        "Compare with control and case_control, which change nothing that matters.",
    )
    for name in ("edit", "what differs", "task", "n", "flips", "mean shift", "mean distance"):
        shown.add_column(name)
    for edit, tasks in report.moved.items():
        for number, (task, effect) in enumerate(tasks.items()):
            shown.add_row(
                edit if number == 0 else "",
                report.edits[edit] if number == 0 else "",
                task,
                str(effect.flips.n),
                in_words(effect.flips),
                in_words(effect.shift) if effect.shift else "",
                in_words(effect.distance) if effect.distance else "",
            )
        shown.add_section()
    return shown


def _edits(names: Sequence[str]) -> list[Edit]:
    by_name = {edit.name: edit for edit in EDITS}
    for name in names:
        if name not in by_name:
            raise UserError(f"no edit {name!r}. Edits are {', '.join(by_name)}.")
    return [by_name[name] for name in names] if names else list(EDITS)
