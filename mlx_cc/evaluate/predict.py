"""Answers of one model on a set of conversations, kept as they come so that a long run can be continued."""

import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mlx_cc.analyst import BATCH, WINDOW, Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.files import lines
from mlx_cc.tasks import Answer, all_tasks


class Said(NamedTuple):
    """What a model answered, and how probable it held the label (None where answers are decoded)."""

    value: Any
    gold_probability: float | None = None


Predictions = dict[str, dict[str, Said]]
"""Conversation id -> task name -> answer."""


def fingerprint(analyst: Analyst, weights: Path) -> str:
    """Short name of what decides the answers: the weights' file, the centre, the prompt and the calibration."""
    parts = [analyst.name, repr(analyst.centre), repr(analyst.prompt), str(analyst.max_tokens)]
    if analyst.fitted:
        parts.append(repr(analyst.fitted))
    for file in sorted(weights.glob("*.safetensors")) if weights.is_dir() else []:
        stat = file.stat()
        parts.append(f"{file.name}:{stat.st_size}:{stat.st_mtime_ns}")
    return blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()


def predict(
    analyst: Analyst, conversations: Iterable[Conversation], tasks: list[str], coaching: int, journal: Path
) -> Iterator[tuple[Conversation, dict[str, Said]]]:
    """Each conversation with its answers by task; those in the journal are not computed again.

    Answers that are read are computed and noted a few batches at a time, decoded ones singly.

    Args:
        coaching: how many conversations get a decoded coaching answer.
        journal: append-only file; a line cut off by a crash is computed again.
    """
    done: Predictions = {}
    if journal.exists():
        whole = journal.read_bytes()
        if whole and not whole.endswith(b"\n"):
            journal.write_bytes(whole[: whole.rfind(b"\n") + 1])
        for _, line in lines(journal):
            row = json.loads(line)
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
                for conversation, answers in zip(group, analyst.answer_all(group, missing), strict=True):
                    found = {
                        n: Said(a.value, gold_probability(analyst, conversation, n, a)) for n, a in answers.items()
                    }
                    file.write(json.dumps({"conversation_id": conversation.id, "answers": found}) + "\n")
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
