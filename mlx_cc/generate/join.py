"""The end of a run: chains without faults go into their records, the others to the rejects, and a report counts both.

Conversations are taken in the order of the input, so the order of the journal does not matter.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mlx_cc import reasoning
from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation, replace
from mlx_cc.files import (
    Row,
    is_chatml,
    lines,
    read_conversations,
    write_conversations,
    write_json,
    written_together,
    written_whole,
)
from mlx_cc.generate.checks import CODES, Boilerplate, code
from mlx_cc.generate.journal import Entry, beside, is_final, latest
from mlx_cc.generate.work import Work, wanted
from mlx_cc.prompt import END

REJECTS, REPORT = "_rejects.jsonl", "_report.json"
"""Endings of the files beside an output."""


def join(work: Work) -> dict[str, Any]:
    """Write the output, its rejects and its report; return the report.

    The output has every row of the input. A chain without faults goes into its conversation's record and, where the
    input has ChatML rows, into a row of its own.
    """
    with written_together(work.output) as part:
        return _join(work, part / work.output.name)


def _join(work: Work, output: Path) -> dict[str, Any]:
    entries = latest(work.folder)
    kept: dict[str, Entry] = {}
    report = Figures()
    boilerplate = Boilerplate()
    with written_whole(beside(output, REJECTS)) as rejects:
        for conversation, prompt in wanted(work):
            entry = entries.get((conversation.id, prompt))
            if entry is None or not is_final(entry, work.settings.attempts):
                report.missing += 1
                continue
            faults = entry.faults or tuple(boilerplate(entry.text))
            report.count(entry, faults)
            if faults:
                rejects.write(
                    msgspec.json.encode(
                        {
                            "conversation_id": entry.conversation_id,
                            "task": entry.task,
                            "reasons": faults,
                            "model": entry.model,
                            "attempt": entry.attempt,
                            "text": entry.text,
                        }
                    )
                    + b"\n"
                )
            else:
                kept[conversation.id] = entry
    first = next(lines(work.source), None)
    if first is not None and is_chatml(first[1]):
        _write_rows(work, kept, output)
    else:
        write_conversations(output, (_with_chain(c, kept.get(c.id)) for c in read_conversations(work.source)))
    figures = {"input": str(work.source), "output": str(work.output), **report.summary()}
    write_json(beside(output, REPORT), figures)
    return figures


def chain_of(entry: Entry) -> reasoning.Reasoning:
    """An entry in the form of a conversation's record."""
    chain = reasoning.parse(entry.text, entry.model)
    return replace(chain, rationalised=entry.rationalised, own_thoughts=entry.own_thoughts)


def _with_chain(conversation: Conversation, entry: Entry | None) -> Conversation:
    return replace(conversation, reasoning=chain_of(entry) if entry else None)


def _write_rows(work: Work, kept: dict[str, Entry], output: Path) -> None:
    encode = msgspec.json.Encoder().encode
    with written_whole(output) as file:
        for row in _rows(work.source, kept, work.centre):
            file.write(encode(row) + b"\n")


def _rows(source: Path, kept: dict[str, Entry], centre: Centre) -> Iterator[Row]:
    """The rows of a file, with a row for the chain after those of its conversation."""
    decode = msgspec.json.Decoder(Row).decode
    last: Row | None = None
    for _, line in lines(source):
        row = decode(line)
        if row.task == reasoning.NAME:  # left by an earlier run
            continue
        if last is not None and row.conversation_id != last.conversation_id and last.conversation_id in kept:
            yield _chain_row(last, kept[last.conversation_id], centre)
        if row.conversation is not None:
            row.conversation = _with_chain(row.conversation, kept.get(row.conversation_id))
        yield row
        last = row
    if last is not None and last.conversation_id in kept:
        yield _chain_row(last, kept[last.conversation_id], centre)


def _chain_row(like: Row, entry: Entry, centre: Centre) -> Row:
    """The row that teaches a chain; system line and transcript are those of another row of its conversation."""
    system, user = like.messages[0], like.messages[-2]
    start = user["content"].rpartition(END)
    asked = start[0] + start[1] + reasoning.question(entry.answers, centre)
    messages = [] if system is user else [system]
    messages += [{**user, "content": asked}, {"role": "assistant", "content": entry.text}]
    return Row(messages, entry.task, like.conversation_id)


class Figures:
    """Counts the kept and rejected chains, and the reasons."""

    def __init__(self) -> None:
        self.missing = 0
        self._counts: Counter[str] = Counter()
        self._tokens = 0
        self._codes: Counter[str] = Counter()
        self._models: dict[str, Counter[str]] = {}
        self._tasks: dict[str, Counter[str]] = {}

    def count(self, entry: Entry, faults: tuple[str, ...]) -> None:
        """Count the last attempt for a conversation."""
        verdict = "rejected" if faults else "kept"
        self._counts[verdict] += 1
        self._counts["rationalised"] += entry.rationalised and not faults
        self._counts["again"] += entry.attempt > 0
        self._tokens += entry.tokens
        self._codes.update({code(fault) for fault in faults})
        self._models.setdefault(entry.model, Counter())[verdict] += 1
        for task in entry.answers:
            counts = self._tasks.setdefault(task, Counter())
            counts[verdict] += 1
            counts["disagreed"] += any(fault.startswith(f"disagrees: {task} ") for fault in faults)

    def summary(self) -> dict[str, Any]:
        """The figures with the keys of the report."""
        done = self._counts["kept"] + self._counts["rejected"]
        return {
            "conversations": done + self.missing,
            "kept": self._counts["kept"],
            "rejected": self._counts["rejected"],
            "not_written": self.missing,
            "rationalised": self._counts["rationalised"],
            "written_again": self._counts["again"],
            "tokens": self._tokens,
            "reasons": {name: self._codes[name] for name in CODES if self._codes[name]},
            "by_model": {name: dict(counts) for name, counts in self._models.items()},
            "by_task": {name: dict(counts) for name, counts in self._tasks.items()},
        }
