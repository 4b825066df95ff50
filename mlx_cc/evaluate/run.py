"""An evaluation: a model, its base and baselines answer the same held-out conversations, and a report compares them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mlx_cc.analyst import Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.evaluate import cases
from mlx_cc.evaluate.baselines import NAMES, Baseline, constants, frozen, tfidf
from mlx_cc.evaluate.chains import MODES, measure
from mlx_cc.evaluate.compare import compare, overall
from mlx_cc.evaluate.guards import refuse_trained_on
from mlx_cc.evaluate.predict import predictions
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
    """Measure a model, its base and baselines on held-out conversations.

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

    Returns:
        The content of report.json.

    Raises:
        UserError: a model or file can't be read, there is no such baseline or mode, or held-out conversations were
            trained on.
    """
    for option, names, allowed in (("reasoning", reasoning, MODES), ("baseline", baselines, NAMES)):
        if unknown := [name for name in names if name not in allowed]:
            raise UserError(f"no {option} '{unknown[0]}'. Known: {', '.join(allowed)}.")
    path, data = disk.find(model), DataFolder(held_out.parent if held_out else disk.data_folder(model))
    held_out = held_out or data.split("test")
    asked = [task for task in pick(list(tasks) or disk.trained_tasks(model)) if task.answers or coaching]
    conversations = sorted(labelled(held_out, asked), key=lambda c: c.id)
    untuned = _base_of(path)
    base = untuned if base == "auto" else base
    for learned in (path, *([disk.find(base)] if base else [])):
        refuse_trained_on(learned, conversations, held_out)
    conversations = conversations[:limit]
    folder = output or RunFolder(path).evaluation.path
    tuned = Analyst(disk.load(model, calibrated))
    train = next(iter(data.every("train")), None) if train == "auto" else train
    held = {c.id for c in conversations}
    seen = [c for c in labelled(train, asked) if c.id not in held] if train is not None else []
    plain = None
    if base or (untuned and seen and "frozen" in baselines):
        loaded = disk.load(base or str(untuned), calibrated)
        plain = Analyst(loaded._replace(centre=tuned.centre, prompt=tuned.prompt, max_tokens=tuned.max_tokens))
    fitted = _baselines(baselines, tuned, plain, seen, conversations, asked, folder, limit_train) if seen else {}
    models = {name: baseline.predictions for name, baseline in fitted.items()}
    seconds: dict[str, float] = {}
    for name, analyst in (("base", plain if base else None), ("model", tuned)):
        if analyst is not None:
            names = [task.name for task in asked]
            models[name], seconds[name] = predictions(analyst, conversations, names, folder, coaching)
    del plain
    report = {
        "model": model,
        "base": base,
        "data": str(held_out),
        "conversations": len(conversations),
        "calibrated": sorted(tuned.fitted),
        "seconds_per_conversation": seconds,
        "baselines": {name: baseline.notes for name, baseline in fitted.items() if baseline.notes},
        "tasks": compare(conversations, asked, models, seen),
        "overall": overall(conversations, models),
        "sources": _sources(conversations, asked),
    }
    answered = models["model"], seconds["model"]
    if set(reasoning) - {"none"}:
        few = conversations[:reasoning_limit]
        report["reasoning"] = measure(tuned, few, asked, answered, reasoning, folder, seen)
    if rag is not None:
        report["cases"] = cases.measure(tuned, conversations, asked, answered, rag, similar, folder, seen)
    write_json(EvaluationFolder(folder).report, report)
    return report


def _baselines(
    wanted: Sequence[str],
    tuned: Analyst,
    plain: Analyst | None,
    train: Sequence[Conversation],
    held_out: Sequence[Conversation],
    tasks: Sequence[Task],
    folder: Path,
    limit_train: int,
) -> dict[str, Baseline]:
    """Name in the report -> baseline, in the order of `NAMES`."""
    fitted: dict[str, Baseline] = {}
    if "constant" in wanted:
        fitted[NAMES["constant"]] = Baseline(constants(train, held_out, tasks, tuned.centre), {})
    if "tfidf" in wanted:
        fitted[NAMES["tfidf"]] = tfidf(train, held_out, tasks, tuned.centre, tuned.prompt)
    if "frozen" in wanted:
        if plain is None:
            raise UserError(f"{tuned.name} names no base model for the frozen LM. Name it with --base.")
        fitted[NAMES["frozen"]] = frozen(plain, train, held_out, tasks, folder, limit_train)
    return fitted


def _base_of(folder: Path) -> str | None:
    config = RunFolder(folder).config
    return read_json(config)["model"] if config.exists() else None


def _sources(conversations: Sequence[Conversation], tasks: Sequence[Task]) -> dict[str, list[str]]:
    """Task -> sources of its labels."""
    return {
        task.name: sorted({c.labels[task.name].source for c in conversations if task.name in c.labels})
        for task in tasks
    }
