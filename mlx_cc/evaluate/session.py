"""An evaluation as a person sees it: models loaded one after another, progress shown, a report kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from mlx_cc.analyst import Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.evaluate import cases
from mlx_cc.evaluate.baselines import NAMES, constants, frozen, tfidf
from mlx_cc.evaluate.chains import MODES, measure
from mlx_cc.evaluate.compare import compare, in_words, overall
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
    """Measure a model, its base and baselines on held-out conversations.

    Args:
        model: adapter, fused model or base model.
        held_out: conversations to measure on; None takes the test split of the data the model learned from.
        train: the train split, whose labels fit the baselines; `auto` is the one beside, None leaves them out.
        tasks: which; empty means those that the adapter was trained on, for other models all.
        base: `auto` is the adapter's own base, another adapter is compared likewise; None measures the model alone.
        limit: at most this many conversations, the first by id.
        coaching: conversations whose coaching is decoded and measured.
        output: folder for report.json and the answers' journals; default: evaluation/ in the model's folder.
        calibrated: apply the calibration kept beside the model, where there is one.
        baselines: which of `baselines.NAMES`.
        limit_train: at most this many train conversations fit the frozen LM's head.
        reasoning: which of `chains.MODES` to compare, on the tuned model.
        reasoning_limit: at most this many conversations, the first by id, get chains.
        rag: index whose train split gives similar cases, to compare answers with and without them.
        similar: cases shown with each conversation.

    Raises:
        UserError: a model or file can't be read, there is no such baseline or mode, or held-out conversations were
            trained on.
    """
    if unknown := [name for name in reasoning if name not in MODES]:
        raise UserError(f"no reasoning '{unknown[0]}'. Known: {', '.join(MODES)}.")
    if unknown := [name for name in baselines if name not in NAMES]:
        raise UserError(f"no baseline '{unknown[0]}'. Known: {', '.join(NAMES)}, or none.")
    place = disk.find(model)
    data = DataFolder(held_out.parent if held_out else disk.data_folder(model))
    held_out = held_out or data.split("test")
    if train == "auto":
        train = next(iter(data.every("train")), None)
    asked = [task for task in pick(list(tasks) or disk.trained_tasks(model)) if task.answers or coaching]
    conversations = sorted(labelled(held_out, asked), key=lambda c: c.id)
    base_name = _base_of(place) if base == "auto" else base
    for learned in (place, *([disk.find(base_name)] if base_name else [])):
        refuse_trained_on(learned, conversations, held_out)
    conversations = conversations[:limit]
    names = [task.name for task in asked]
    models: dict[str, Predictions] = {}
    seconds: dict[str, float] = {}
    folder = output or RunFolder(place).evaluation.path
    tuned = Analyst(disk.load(model, calibrated))
    held = {c.id for c in conversations}
    seen = [c for c in labelled(train, asked) if c.id not in held] if train is not None else []
    untuned = base_name or _base_of(place)
    plain = None
    if untuned and (base_name or (seen and "frozen" in baselines)):
        plain = Analyst(
            disk.load(untuned, calibrated)._replace(
                centre=tuned.centre, prompt=tuned.prompt, max_tokens=tuned.max_tokens
            )
        )
    notes: dict[str, dict[str, str]] = {}
    if seen and "constant" in baselines:
        models[NAMES["constant"]] = constants(seen, conversations, asked, tuned.centre)
    if seen and "tfidf" in baselines:
        name = NAMES["tfidf"]
        models[name], notes[name] = tfidf(seen, conversations, asked, tuned.centre, tuned.prompt)
    if seen and "frozen" in baselines:
        if plain is None or untuned is None:
            raise UserError(f"{model} names no base model for the frozen LM. Name it with --base.")
        name = NAMES["frozen"]
        models[name], notes[name] = frozen(plain, seen, conversations, asked, folder, limit_train)
    if plain is not None and base_name:
        models["base"], seconds["base"] = predictions(plain, conversations, names, folder, coaching)
    del plain
    models["model"], seconds["model"] = predictions(tuned, conversations, names, folder, coaching)
    report = {
        "model": model,
        "base": base_name,
        "data": str(held_out),
        "conversations": len(conversations),
        "calibrated": sorted(tuned.fitted),
        "seconds_per_conversation": seconds,
        "baselines": notes,
        "tasks": compare(conversations, asked, models, seen),
        "overall": overall(conversations, models),
        "sources": _sources(conversations, asked),
    }
    if set(reasoning) - {"none"}:
        answered = models["model"], seconds["model"]
        few = conversations[:reasoning_limit]
        report["reasoning"] = measure(tuned, few, asked, answered, reasoning, folder, seen)
    if rag is not None:
        answered = models["model"], seconds["model"]
        report["cases"] = cases.measure(tuned, conversations, asked, answered, rag, similar, folder, seen)
    write_json(EvaluationFolder(folder).report, report)
    return report


def _base_of(place: Path) -> str | None:
    note = RunFolder(place).config
    return read_json(note)["model"] if note.exists() else None


def _sources(conversations: Sequence[Conversation], tasks: Sequence[Task]) -> dict[str, list[str]]:
    """Who gave the labels that the figures are measured against."""
    return {
        task.name: sorted({c.labels[task.name].source for c in conversations if task.name in c.labels})
        for task in tasks
    }


def table(report: dict[str, Any]) -> Table:
    """The report as a table: a row for each measure, and under the main one and log loss the paired differences."""
    shown = _table(report, "model")
    shown.title = f"{report['model']} on {report['conversations']} held-out conversations of {report['data']}"
    sources = sorted({s for sources in report["sources"].values() for s in sources})
    shown.caption = "\n".join(
        [
            f"95% intervals in brackets (bootstrap over conversations). Labels: {', '.join(sources)}.",
            *(f"{m}, {task}: {note}." for m, notes in report["baselines"].items() for task, note in notes.items()),
        ]
    )
    return shown


def reasoning_table(report: dict[str, Any]) -> Table:
    """What chains are worth, as a table like that of the models: answers without one and with one, side by side."""
    found = report["reasoning"]
    shown = _table(found, "none")
    shown.title = f"{report['model']} without a reasoning chain, with one after its answers, and with one first"
    shown.caption = "\n".join(_mode_in_words(mode, said) for mode, said in found["modes"].items())
    return shown


def cases_table(report: dict[str, Any]) -> Table:
    """What similar cases are worth, as a table like that of the models: answers without and with them, side by side."""
    found = report["cases"]
    shown = _table(found, cases.WITH)
    shown.title = f"{report['model']} without and with {found['similar']} similar cases of {found['index']}"
    took = found["seconds_per_conversation"]
    shown.caption = "; ".join(f"{mode}: {seconds:.2f} s a conversation" for mode, seconds in took.items()) + "."
    return shown


def _mode_in_words(mode: str, said: dict[str, Any]) -> str:
    words = f"{mode}: {said['seconds_per_conversation']:.2f} s a conversation"
    if chains := said.get("chains"):
        words += f"; {chains['sound']} of {chains['n']} chains hold up [{chains['low']:.0%}, {chains['high']:.0%}]"
    return words + ("; the answers of none, which are read before it is written." if mode == "after" else ".")


def _table(report: dict[str, Any], last: str) -> Table:
    """A comparison as rows; the column `last` is what the others are compared with."""
    models = list(
        dict.fromkeys(m for task in report["tasks"].values() for found in task["measures"].values() for m in found)
    )
    models.sort(key=lambda model: model == last)
    shown = Table()
    for name in ("task", "measure", "n", *models):
        shown.add_column(name, no_wrap=name in ("task", "measure"))

    def add(task: str, measure: str, n: int | str, estimates: dict[str, Any]) -> None:
        shown.add_row(task, measure, str(n), *(in_words(estimates[m]) if m in estimates else "" for m in models))

    for task, found in report["tasks"].items():
        for number, (metric, estimates) in enumerate(found["measures"].items()):
            arrow = " (lower is better)" if metric == "log loss" or (number == 0 and found["lower_is_better"]) else ""
            add(task if number == 0 else "", metric + arrow, found["n"] if number == 0 else "", estimates)
            paired = found["difference"] if number == 0 else {}
            paired = found["log_loss_difference"] if metric == "log loss" else paired
            if paired:
                add("", f"  {last} minus it", "", paired)
        shown.add_section()
    if whole := report["overall"]:
        n = next(iter(whole["log loss"].values())).n
        add("all that are read", "log loss (lower is better)", n, whole["log loss"])
        if whole["difference"]:
            add("", f"  {last} minus it", "", whole["difference"])
    return shown
