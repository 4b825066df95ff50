"""Answers of one model on a set of conversations, kept as they come so that a long run can be continued."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track

from mlx_cc.analyst import BATCH, WINDOW, Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.files import drop_cut_line, lines
from mlx_cc.tasks import Answer, all_tasks


class Said(NamedTuple):
    """What a model answered, and how probable it held the label (None where answers are decoded)."""

    value: Any
    gold_probability: float | None = None


Predictions = dict[str, dict[str, Said]]
"""Conversation id -> task name -> answer."""
AnswerAll = Callable[[list[Conversation], Sequence[str]], list[dict[str, Answer]]]
"""(conversations, task names): what a model answers to each."""


def fingerprint(analyst: Analyst, weights: Path, *more: str) -> str:
    """Short name of what decides the answers: the weights' file, the centre, the prompt, the calibration and more."""
    parts = [analyst.name, repr(analyst.centre), repr(analyst.prompt), str(analyst.max_tokens), *more]
    if analyst.fitted:
        parts.append(repr(analyst.fitted))
    for file in sorted(weights.glob("*.safetensors")) if weights.is_dir() else []:
        stat = file.stat()
        parts.append(f"{file.name}:{stat.st_size}:{stat.st_mtime_ns}")
    return blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()


def folder_beside(place: Path) -> Path:
    """Where what is measured of a model is kept: in its folder, or here for one that has none."""
    return place / "evaluation" if place.is_dir() else Path("evaluation")


def noted(journal: Path) -> list[dict[str, Any]]:
    """The rows of an append-only file; a line that a crash cut off is dropped from it."""
    if not journal.exists():
        return []
    drop_cut_line(journal)
    return [json.loads(line) for _, line in lines(journal)]


def predictions(
    analyst: Analyst,
    conversations: Sequence[Conversation],
    tasks: list[str],
    coaching: int,
    journal: Path,
    answer_all: AnswerAll | None = None,
) -> tuple[Predictions, float]:
    """`predict` for all conversations with progress shown, and the seconds each took, in whichever run that was."""
    stream = predict(analyst, conversations, tasks, coaching, journal, answer_all)
    console = Console(stderr=True)
    shown = track(stream, analyst.name, total=len(conversations), console=console, transient=True)
    answers = {c.id: found for c, found in shown}
    seconds = sum(row.get("seconds", 0.0) for row in noted(journal) if row["conversation_id"] in answers)
    return answers, seconds / max(1, len(conversations))


def predict(
    analyst: Analyst,
    conversations: Iterable[Conversation],
    tasks: list[str],
    coaching: int,
    journal: Path,
    answer_all: AnswerAll | None = None,
) -> Iterator[tuple[Conversation, dict[str, Said]]]:
    """Each conversation with its answers by task; those in the journal are not computed again.

    Answers that are read are computed and noted a few batches at a time, decoded ones singly.

    Args:
        coaching: how many conversations get a decoded coaching answer.
        journal: append-only file; a line cut off by a crash is computed again.
        answer_all: how they are answered where that is not simply the analyst's `answer_all`.
    """
    compute = answer_all or analyst.answer_all
    done: Predictions = {}
    for row in noted(journal):
        done.setdefault(row["conversation_id"], {}).update({n: Said(*a) for n, a in row["answers"].items()})
    journal.parent.mkdir(parents=True, exist_ok=True)
    read = [name for name in tasks if name != "coaching"]
    stream = iter(conversations)
    decode = coaching if "coaching" in tasks else 0
    with journal.open("a", encoding="utf-8") as file:

        def answer(asked: list[Conversation], names: list[str]) -> None:
            """Compute and note what is not known yet, a line a conversation."""
            lacking: dict[tuple[str, ...], list[Conversation]] = {}
            for conversation in asked:
                known = done.setdefault(conversation.id, {})
                if missing := tuple(name for name in names if name not in known):
                    lacking.setdefault(missing, []).append(conversation)
            for missing, group in lacking.items():
                started = time.perf_counter()
                computed = compute(group, missing)
                seconds = round((time.perf_counter() - started) / len(group), 4)
                for conversation, answers in zip(group, computed, strict=True):
                    found = {
                        n: Said(a.value, gold_probability(analyst, conversation, n, a)) for n, a in answers.items()
                    }
                    row = {"conversation_id": conversation.id, "answers": found, "seconds": seconds}
                    file.write(json.dumps(row) + "\n")
                    done[conversation.id].update(found)
            file.flush()

        while window := list(islice(stream, BATCH * WINDOW)):
            answer(window, read)
            for conversation in window:
                wanted = [*read, "coaching"] if decode > 0 else read
                if decode > 0:
                    answer([conversation], ["coaching"])
                decode -= 1
                yield conversation, {name: done[conversation.id][name] for name in wanted}


def gold_probability(analyst: Analyst, conversation: Conversation, task: str, answer: Answer) -> float | None:
    """The probability the model gave to the labelled answer; None without a label or a distribution."""
    if answer.distribution is None or task not in conversation.labels:
        return None
    return answer.distribution.get(all_tasks()[task].write(conversation.label(task), analyst.centre))
