"""An evaluation as a person sees it: models loaded one after another, progress shown, a report kept."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mlx_cc.analyst import Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.evaluate.compare import compare, constants, in_words, overall
from mlx_cc.evaluate.predict import Predictions, fingerprint, predict
from mlx_cc.files import read_json, write_json
from mlx_cc.model import load as disk
from mlx_cc.model import pull
from mlx_cc.tasks import Task, pick
from mlx_cc.train.batches import labelled


def evaluate(
    model: str,
    held_out: Path,
    train: Path | None,
    tasks: Sequence[str] = (),
    base: str | None = "auto",
    limit: int | None = None,
    coaching: int = 0,
    output: Path | None = None,
) -> dict[str, Any]:
    """Measure a model, its base and the constant answer on held-out conversations.

    Args:
        model: adapter, fused model or base model.
        train: the train split, whose labels fit the constant; None leaves the constant out.
        base: `auto` is the adapter's own base; None measures the model alone.
        limit: at most this many conversations, the first by id.
        coaching: conversations whose coaching is decoded and measured.
        output: folder for report.json and the answers' journals; default: evaluation/ in the model's folder.

    Raises:
        UserError: a model or file can't be read, or held-out conversations were trained on.
    """
    place = disk.find(model)
    asked = [task for task in pick(list(tasks)) if task.answers or coaching]
    conversations = sorted(labelled(held_out, asked), key=lambda c: c.id)
    refuse_leak(place, conversations, held_out)
    conversations = conversations[:limit]
    models: dict[str, Predictions] = {}
    seconds: dict[str, float] = {}
    folder = output or (place / "evaluation" if place.is_dir() else Path("evaluation"))
    base_name = _base_of(place) if base == "auto" else base
    tuned = Analyst(disk.load(model))
    if train is not None:
        models["constant"] = constants(labelled(train, asked), conversations, asked, tuned.centre)
    if base_name:
        plain = Analyst(
            disk.load(base_name)._replace(centre=tuned.centre, prompt=tuned.prompt, max_tokens=tuned.max_tokens)
        )
        models["base"], seconds["base"] = _predictions(
            plain, pull.resolve(base_name), conversations, asked, coaching, folder
        )
        del plain
    models["model"], seconds["model"] = _predictions(tuned, place, conversations, asked, coaching, folder)
    report = {
        "model": model,
        "base": base_name,
        "data": str(held_out),
        "conversations": len(conversations),
        "seconds_per_conversation": seconds,
        "tasks": compare(conversations, asked, models),
        "overall": overall(conversations, models),
        "sources": _sources(conversations, asked),
    }
    write_json(folder / "report.json", report)
    return report


def refuse_leak(place: Path, conversations: Sequence[Conversation], held_out: Path) -> None:
    """Refuse to measure on conversations that the model's own manifest says it was trained on."""
    manifest = place / "manifest.txt"
    if not manifest.exists():
        return
    seen = set(manifest.read_text().split("\n"))
    leaked = [c.id for c in conversations if c.id in seen]
    if leaked:
        raise UserError(
            f"{held_out}: {len(leaked)} of {len(conversations)} conversations (such as {leaked[0]}) are in {manifest}: "
            "the model was trained on them. Evaluate on another split."
        )


def _base_of(place: Path) -> str | None:
    note = place / "adapter_config.json"
    return read_json(note)["model"] if note.exists() else None


def _predictions(
    analyst: Analyst,
    weights: Path,
    conversations: Sequence[Conversation],
    tasks: Sequence[Task],
    coaching: int,
    folder: Path,
) -> tuple[Predictions, float]:
    """Answers to all conversations, and seconds per conversation."""
    journal = folder / f"answers-{fingerprint(analyst, weights)}.jsonl"
    stream = predict(analyst, conversations, [task.name for task in tasks], coaching, journal)
    console = Console(stderr=True)
    started = time.perf_counter()
    answers = {
        c.id: found
        for c, found in track(stream, f"{analyst.name}", total=len(conversations), console=console, transient=True)
    }
    return answers, (time.perf_counter() - started) / max(1, len(conversations))


def _sources(conversations: Sequence[Conversation], tasks: Sequence[Task]) -> dict[str, list[str]]:
    """Who gave the labels that the figures are measured against."""
    return {
        task.name: sorted({c.labels[task.name].source for c in conversations if task.name in c.labels})
        for task in tasks
    }


def table(report: dict[str, Any]) -> Table:
    """The report as a table: a row for each measure, the main one of a task with its paired differences."""
    first = next(iter(report["tasks"].values()))
    models = list(next(iter(first["measures"].values())))
    shown = Table(title=f"{report['model']} on {report['conversations']} held-out conversations of {report['data']}")
    for name in ("task", "measure", "n", *models, *(f"model - {m}" for m in models[:-1])):
        shown.add_column(name, no_wrap=name in ("task", "measure"))
    for task, found in report["tasks"].items():
        for number, (metric, estimates) in enumerate(found["measures"].items()):
            paired = (
                found["difference"] if number == 0 else found["log_loss_difference"] if metric == "log loss" else {}
            )
            gaps = [in_words(paired[m]) if m in paired else "" for m in models[:-1]]
            arrow = (" (lower is better)" if found["lower_is_better"] else "") if number == 0 else ""
            shown.add_row(
                task if number == 0 else "",
                metric + arrow,
                str(found["n"]),
                *(in_words(estimates[m]) for m in models),
                *gaps,
                end_section=number == len(found["measures"]) - 1,
            )
    if report["overall"]:
        whole = report["overall"]
        shown.add_row(
            "all that are read",
            "log loss (lower is better)",
            str(next(iter(whole["log loss"].values())).n),
            *(in_words(whole["log loss"][m]) for m in models),
            *(in_words(whole["difference"][m]) for m in models[:-1]),
        )
    simulated = sorted({s for sources in report["sources"].values() for s in sources})
    shown.caption = f"95% intervals in brackets (bootstrap over conversations). Labels: {', '.join(simulated)}."
    return shown
