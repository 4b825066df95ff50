"""A model's answers about a set of conversations, kept in a file from which a later run continues."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple

from mlx_cc.analyst import BATCH, WINDOW, Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import drop_cut_line, lines, locked
from mlx_cc.model.load import hash_of_model
from mlx_cc.prompt import Cases, build_task_tree
from mlx_cc.tasks import all_tasks, pick
from mlx_cc.terminal import progress


class Said(NamedTuple):
    """A model's answer, and the probability it gave to the label (None without a label or when decoded)."""

    value: Any
    gold_probability: float | None = None


Predictions = dict[str, dict[str, Said]]
"""Conversation id -> task name -> answer."""


def digest(*parts: Any) -> str:
    """Short hash of parts whose `repr` is complete."""
    return blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def fingerprint(analyst: Analyst) -> str:
    """Short hash of all that decides the answers besides the prompt: the model, its centre, prompt settings, longest
    row and calibration, and the tokens of the allowed answers.
    """
    allowed = [task.answers(analyst.centre) for task in all_tasks().values() if task.answers]
    tokens = [analyst.encoder.answer(text) for texts in allowed for text in texts]
    settings = analyst.centre, analyst.prompt, analyst.max_tokens, analyst.fitted
    return digest(hash_of_model(analyst.name), settings, tokens)


@contextmanager
def opened_journal(journal: Path) -> Iterator[tuple[list[dict[str, Any]], IO[str]]]:
    """The rows of an append-only file, without a line that a crash cut off, and the file to append to.

    Raises:
        UserError: another process has it open.
    """

    def refuse() -> None:
        raise UserError(f"{journal}: another process is writing it. Wait until it has ended.")

    journal.parent.mkdir(parents=True, exist_ok=True)
    with locked(journal, refuse), journal.open("a", encoding="utf-8") as file:
        drop_cut_line(journal)
        yield [json.loads(line) for _, line in lines(journal)], file


def predictions(
    analyst: Analyst,
    conversations: Sequence[Conversation],
    tasks: Sequence[str],
    folder: Path,
    coaching: int = 0,
    notes: Mapping[str, str] = {},
    cases: Mapping[str, Cases] = {},
) -> tuple[Predictions, float]:
    """Answers about all conversations, and mean seconds per conversation in the runs that computed them.

    Each answer is appended to `answers-*.jsonl` with a hash of the model and of every token of the prompt, and is not
    computed again for the same hash. The file has no labels: answers are scored when they are read from it.

    Args:
        folder: folder of the file.
        coaching: number of conversations with a decoded coaching answer, where `coaching` is among the tasks.
        notes: conversation id -> text that the model is shown with the transcript.
        cases: conversation id -> similar earlier conversations that the model is shown.
    """
    model = fingerprint(analyst)
    read = [name for name in tasks if name != "coaching"]
    size = BATCH * WINDOW
    work = [(conversations[start : start + size], read) for start in range(0, len(conversations), size) if read]
    work += [([c], ["coaching"]) for c in conversations[:coaching] if "coaching" in tasks]
    answers_of: Predictions = {c.id: {} for c in conversations}
    seconds = 0.0
    with opened_journal(folder / f"answers-{model}.jsonl") as (rows, file):
        kept = {row.get("asked"): row for row in rows}
        for group, names in progress(work, analyst.name):
            shown = [(notes.get(c.id, ""), cases.get(c.id, Cases())) for c in group]
            asked = [digest(model, _tree(analyst, c, names, *also)) for c, also in zip(group, shown, strict=True)]
            if lacking := [number for number, key in enumerate(asked) if key not in kept]:
                started = time.perf_counter()
                computed = analyst.answer_all(
                    [group[number] for number in lacking],
                    names,
                    notes=[shown[number][0] for number in lacking],
                    cases=[shown[number][1] for number in lacking],
                )
                each = round((time.perf_counter() - started) / len(lacking), 4)
                for number, answers in zip(lacking, computed, strict=True):
                    kept[asked[number]] = {
                        "conversation_id": group[number].id,
                        "asked": asked[number],
                        "answers": {
                            name: {"value": answer.value, "distribution": answer.distribution}
                            for name, answer in answers.items()
                        },
                        "seconds": each,
                    }
                    file.write(json.dumps(kept[asked[number]]) + "\n")
                file.flush()
            for c, key in zip(group, asked, strict=True):
                seconds += kept[key]["seconds"]
                for name, answer in kept[key]["answers"].items():
                    p = _gold_probability(analyst, c, name, answer["distribution"])
                    answers_of[c.id][name] = Said(answer["value"], p)
    return answers_of, seconds / max(1, len(conversations))


def _tree(analyst: Analyst, conversation: Conversation, tasks: Sequence[str], notes: str, cases: Cases) -> Any:
    """The prompt of `Analyst.answer_all`, as tokens."""
    asked = pick(list(tasks))
    settings = analyst.prompt, analyst.max_tokens
    return build_task_tree(conversation, asked, analyst.centre, analyst.encoder, *settings, notes=notes, cases=cases)


def _gold_probability(
    analyst: Analyst, conversation: Conversation, task: str, distribution: Mapping[str, float] | None
) -> float | None:
    """The probability the model gave to the labelled answer; None without a label or a distribution."""
    if distribution is None or task not in conversation.labels:
        return None
    return distribution.get(all_tasks()[task].write(conversation.label(task), analyst.centre))
