"""An evaluation: a model, its base and baselines answer the same held-out conversations, and a report compares them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mlx_cc.analyst import Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.evaluate import cases
from mlx_cc.evaluate.baselines import NAMES, Baseline, constants, frozen, tfidf
from mlx_cc.evaluate.chains import MODES, measure
from mlx_cc.evaluate.compare import compare, overall
from mlx_cc.evaluate.guards import refuse_trained_on
from mlx_cc.evaluate.predict import Predictions, predictions
from mlx_cc.files import read_json, write_json
from mlx_cc.folders import DataFolder, EvaluationFolder, RunFolder
from mlx_cc.model import load as disk
from mlx_cc.retrieve.rag import ContactCenterRAG
from mlx_cc.tasks import Task, pick
from mlx_cc.train.batches import labelled


def evaluate(
    model: str,
    held_out: Path | None = None,
    train: Path | Literal["auto"] | None = "auto",
    tasks: Sequence[str] = (),
    base: str | None = "auto",
    limit: int | None = None,
    coaching: int = 0,
    output: Path | None = None,
    calibrated: bool = True,
    baselines: Sequence[str] = ("constant", "tfidf"),
    limit_train: int = 1000,
    reasoning: Sequence[str] = (),
    reasoning_limit: int = 30,
    rag: ContactCenterRAG | None = None,
    similar: int = 3,
) -> dict[str, Any]:
    """Measure a model, its base and baselines on held-out conversations; returns what is written to report.json.

    Args:
        model: adapter, fused model or base model.
        held_out: labelled conversations; None takes the test split of the data that the model was trained on.
        train: the train split, which fits the baselines; `auto`: the one beside `held_out`; None: no baselines.
        tasks: names; empty: those the model was trained on, or all for a base model.
        base: model or adapter to compare with; `auto`: the adapter's own base; None: no comparison.
        limit: at most this many conversations, the first by id.
        coaching: number of conversations whose coaching is decoded and measured.
        output: folder for report.json and the answers; None takes evaluation/ in the model's folder.
        calibrated: apply the calibration beside the model, where there is one.
        baselines: keys of `baselines.NAMES`.
        limit_train: at most this many train conversations fit the frozen LM's head.
        reasoning: modes to compare on the tuned model, from `chains.MODES`.
        reasoning_limit: at most this many conversations, the first by id, get chains.
        rag: index whose train split gives similar cases; answers with and without them are compared.
        similar: number of cases shown with each conversation.

    Raises:
        UserError: a model or file can't be read, there is no such baseline or mode, or held-out conversations were
            trained on.
    """
    for what, names, allowed in (("reasoning", reasoning, MODES), ("baseline", baselines, NAMES)):
        if unknown := [name for name in names if name not in allowed]:
            raise UserError(f"no {what} '{unknown[0]}'. Known: {', '.join(allowed)}.")
    folder = disk.find(model)
    untuned = _base_of(folder)
    base = untuned if base == "auto" else base
    data = _read(model, [folder, *([disk.find(base)] if base else [])], held_out, train, tasks, limit, coaching > 0)
    output = output or RunFolder(folder).evaluation.path
    tuned = Analyst(disk.load(model, calibrated))
    answers = _answer(data, tuned, base, untuned, calibrated, baselines, limit_train, output, coaching)
    report = {"model": model, "base": base, **_report(data, tuned, answers)}
    alone = answers.by_model["model"], answers.seconds["model"]
    if set(reasoning) - {"none"}:
        few = data.conversations[:reasoning_limit]
        report["reasoning"] = measure(tuned, few, data.tasks, alone, reasoning, output, data.train)
    if rag is not None:
        report["cases"] = cases.measure(tuned, data.conversations, data.tasks, alone, rag, similar, output, data.train)
    write_json(EvaluationFolder(output).report, report)
    return report


class Data(NamedTuple):
    """What a model is measured on, and what baselines learn from."""

    path: Path
    conversations: list[Conversation]
    """Held out, sorted by id."""
    tasks: list[Task]
    train: list[Conversation]
    """Labelled, none of them held out; empty: no baselines."""


class Answered(NamedTuple):
    """What baselines (first), `base` and `model` answered, by their names in the report."""

    by_model: dict[str, Predictions]
    seconds: dict[str, float]
    """Seconds per conversation; baselines have none."""
    notes: dict[str, Any]
    """What the report says about a baseline."""


def _read(
    model: str,
    models: Sequence[Path],
    held_out: Path | None,
    train: Path | Literal["auto"] | None,
    tasks: Sequence[str],
    limit: int | None,
    coaching: bool,
) -> Data:
    """The data of an evaluation; refuses conversations that one of `models` was trained on."""
    folder = DataFolder(held_out.parent if held_out else disk.data_folder(model))
    path = held_out or folder.split("test")
    asked = [task for task in pick(list(tasks) or disk.trained_tasks(model)) if task.answers or coaching]
    conversations = sorted(labelled(path, asked), key=lambda c: c.id)
    for learned in models:
        refuse_trained_on(learned, conversations, path)
    conversations = conversations[:limit]
    train = next(iter(folder.every("train")), None) if train == "auto" else train
    ids = {c.id for c in conversations}
    return Data(path, conversations, asked, [c for c in labelled(train, asked) if c.id not in ids] if train else [])


def _answer(
    data: Data,
    tuned: Analyst,
    base: str | None,
    untuned: str | None,
    calibrated: bool,
    baselines: Sequence[str],
    limit_train: int,
    folder: Path,
    coaching: int,
) -> Answered:
    """Have baselines, base and model answer; the base is freed afterwards."""
    plain = None
    if base or (untuned and data.train and "frozen" in baselines):
        loaded = disk.load(base or str(untuned), calibrated)
        plain = Analyst(loaded._replace(centre=tuned.centre, prompt=tuned.prompt, max_tokens=tuned.max_tokens))
    train, held_out, tasks = data.train, data.conversations, data.tasks
    fitted: dict[str, Baseline] = {}
    if train and "constant" in baselines:
        fitted[NAMES["constant"]] = Baseline(constants(train, held_out, tasks, tuned.centre), {})
    if train and "tfidf" in baselines:
        fitted[NAMES["tfidf"]] = tfidf(train, held_out, tasks, tuned.centre, tuned.prompt)
    if train and "frozen" in baselines:
        if plain is None:
            raise UserError(f"{tuned.name} names no base model for the frozen LM. Name it with --base.")
        fitted[NAMES["frozen"]] = frozen(plain, train, held_out, tasks, folder, limit_train)
    by_model = {name: baseline.predictions for name, baseline in fitted.items()}
    seconds: dict[str, float] = {}
    names = [task.name for task in tasks]
    for name, analyst in (("base", plain if base else None), ("model", tuned)):
        if analyst is not None:
            by_model[name], seconds[name] = predictions(analyst, held_out, names, folder, coaching)
    return Answered(by_model, seconds, {name: b.notes for name, b in fitted.items() if b.notes})


def _report(data: Data, tuned: Analyst, answers: Answered) -> dict[str, Any]:
    return {
        "data": str(data.path),
        "conversations": len(data.conversations),
        "calibrated": sorted(tuned.fitted),
        "seconds_per_conversation": answers.seconds,
        "baselines": answers.notes,
        "tasks": compare(data.conversations, data.tasks, answers.by_model, data.train),
        "overall": overall(data.conversations, answers.by_model),
        "sources": {  # who gave the labels that the figures are measured against
            task.name: sorted({c.labels[task.name].source for c in data.conversations if task.name in c.labels})
            for task in data.tasks
        },
    }


def _base_of(folder: Path) -> str | None:
    config = RunFolder(folder).config
    return read_json(config)["model"] if config.exists() else None
