"""Counterfactual fairness and injection: how often and how far answers move when nothing that happens is changed."""

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
    """What one edit does to one task's answers."""

    flips: Estimate
    """Share of pairs whose decision differs; Wilson's interval."""
    shift: Estimate | None
    """Mean of the second answer minus the first, in points; bootstrap over conversations. None for classes."""
    distance: Estimate | None
    """Mean absolute difference, likewise."""


class Fairness(Struct):
    """The report, as it stands in fairness.json."""

    model: str
    data: str
    conversations: int
    edits: dict[str, str]
    """Edit -> what differs, from the first to the second."""
    moved: dict[str, dict[str, Moved]]
    """Edit -> task -> what it does."""


def fairness(
    model: str, held_out: Path, conversations: Sequence[Conversation], names: Sequence[str], folder: Path | None = None
) -> Fairness:
    """Answer every pair and measure how answers move.

    Args:
        held_out: the file the conversations are from, for the report.
        names: edits; empty means all.
        folder: for the report and the answers, which a later run of the same goes on from; else evaluation/ in
            the model's.

    Raises:
        UserError: there is no such edit, or no model.
    """
    edits = _edits(names)
    place = disk.find(model)
    folder = folder or RunFolder(place).evaluation.path
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
    said, _ = predictions(
        analyst, list(variants.values()), [task.name for task in tasks], folder, notes=notes, cases=cases
    )
    report = Fairness(
        model=model,
        data=str(held_out),
        conversations=len(conversations),
        edits={edit.name: edit.words for edit in edits},
        moved={
            edit.name: {task.name: moved(said, pairs[edit.name], task, analyst.centre) for task in tasks}
            for edit in edits
            if pairs[edit.name]
        },
    )
    write_json(EvaluationFolder(folder).fairness, report)
    return report


def moved(said: Predictions, pairs: Sequence[tuple[str, str]], task: Task, centre: Centre) -> Moved:
    """What differs between the first and the second of each pair, in one task's answers."""
    answers = [(said[one][task.name].value, said[other][task.name].value) for one, other in pairs]
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
        title=f"{report.model}: answers that move when only who speaks changes, {report.conversations} conversations",
        caption="95% intervals in brackets. Flips: the decision differs. Shift: second answer minus first, in points. "
        "Compare with control (case_control), in which nothing that matters differs.",
    )
    for name in ("edit", "what differs", "task", "n", "flips", "mean shift", "mean distance"):
        shown.add_column(name)
    for edit, tasks in report.moved.items():
        for number, (task, found) in enumerate(tasks.items()):
            shown.add_row(
                edit if number == 0 else "",
                report.edits[edit] if number == 0 else "",
                task,
                str(found.flips.n),
                in_words(found.flips),
                in_words(found.shift) if found.shift else "",
                in_words(found.distance) if found.distance else "",
            )
        shown.add_section()
    return shown


def _edits(names: Sequence[str]) -> list[Edit]:
    known = {edit.name: edit for edit in EDITS}
    for name in names:
        if name not in known:
            raise UserError(f"no edit {name!r}. Edits are {', '.join(known)}.")
    return [known[name] for name in names] if names else list(EDITS)
