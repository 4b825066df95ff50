"""Answers of one model to a set of conversations, kept as they come so that a long run can be continued."""

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
    """What a model answered, and the probability it gave to the label (None without a label or when decoded)."""

    value: Any
    gold_probability: float | None = None


Predictions = dict[str, dict[str, Said]]
"""Conversation id -> task name -> answer."""


def digest(*parts: Any) -> str:
    """Short hash of parts whose `repr` says all about them."""
    return blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def fingerprint(analyst: Analyst) -> str:
    """Short hash of what decides the answers besides the prompt: the model, its centre, prompt settings, longest row
    and calibration, and the tokens of the allowed answers.
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
    """Answers to all conversations, and the seconds each took in whichever run it was computed.

    What a model answered is appended to `answers-*.jsonl` with a hash of what it was asked: the model and every token
    of the prompt. The same question is not asked again; another text, label or setting is. Labels are no part of the
    file: answers are scored here, when they are read from it.

    Args:
        folder: where the file is kept.
        coaching: how many conversations get a decoded coaching answer, where `coaching` is among the tasks.
        notes: conversation id -> text that the answers are read from besides the transcript.
        cases: conversation id -> similar earlier conversations that the model is shown.
    """
    model = fingerprint(analyst)
    read = [name for name in tasks if name != "coaching"]
    size = BATCH * WINDOW
    work = [(conversations[start : start + size], read) for start in range(0, len(conversations), size) if read]
    work += [([c], ["coaching"]) for c in conversations[:coaching] if "coaching" in tasks]
    found: Predictions = {c.id: {} for c in conversations}
    seconds = 0.0
    with opened_journal(folder / f"answers-{model}.jsonl") as (rows, file):
        kept = {row.get("asked"): row for row in rows}
        for group, names in progress(work, analyst.name):
            shown = [(notes.get(c.id, ""), cases.get(c.id, Cases())) for c in group]
            asked = [digest(model, _tree(analyst, c, names, *also)) for c, also in zip(group, shown, strict=True)]
            if lacking := [place for place, key in enumerate(asked) if key not in kept]:
                started = time.perf_counter()
                computed = analyst.answer_all(
                    [group[place] for place in lacking],
                    names,
                    notes=[shown[place][0] for place in lacking],
                    cases=[shown[place][1] for place in lacking],
                )
                each = round((time.perf_counter() - started) / len(lacking), 4)
                for place, answers in zip(lacking, computed, strict=True):
                    kept[asked[place]] = {
                        "conversation_id": group[place].id,
                        "asked": asked[place],
                        "answers": {
                            name: {"value": answer.value, "distribution": answer.distribution}
                            for name, answer in answers.items()
                        },
                        "seconds": each,
                    }
                    file.write(json.dumps(kept[asked[place]]) + "\n")
                file.flush()
            for c, key in zip(group, asked, strict=True):
                seconds += kept[key]["seconds"]
                for name, answer in kept[key]["answers"].items():
                    p = _gold_probability(analyst, c, name, answer["distribution"])
                    found[c.id][name] = Said(answer["value"], p)
    return found, seconds / max(1, len(conversations))


def _tree(analyst: Analyst, conversation: Conversation, tasks: Sequence[str], notes: str, cases: Cases) -> Any:
    """The prompt, as tokens, that `Analyst.answer_all` makes."""
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
