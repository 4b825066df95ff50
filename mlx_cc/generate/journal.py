"""The journal: what a teacher wrote, in an append-only folder beside the output that a later run continues.

    train_reasoning.jsonl            the output, written whole at the end
    train_reasoning.journal/
        run.json                     the run: input, model, number of conversations
        part-0-of-2.jsonl            entries, one a line; one part for each process

A line that a crash cut off is dropped, and its chain is written again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from mlx_cc.errors import UserError
from mlx_cc.files import decoded, drop_cut_line, locked

RUN = "run.json"


class Entry(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One chain a teacher wrote, kept or not."""

    conversation_id: str
    task: str
    """`reasoning`."""
    prompt: str
    """Hash of the question and of all settings that decide the chain."""
    model: str
    attempt: int
    """Counted from 0."""
    text: str
    tokens: int
    at: float
    """Unix time of writing."""
    faults: tuple[str, ...] = ()
    """From `checks`: "code: details"."""
    answers: dict[str, Any] = {}
    """The answers it explains: task name -> value."""
    rationalised: bool = False
    own_thoughts: str | None = None


class About(Struct, frozen=True, forbid_unknown_fields=True):
    """The run, for `generate status`."""

    input: str
    output: str
    model: str
    conversations: int
    attempts: int
    workers: int
    started_at: float
    """Unix time of the latest start."""


def beside(output: Path, ending: str) -> Path:
    """The file beside an output with another ending: `train_reasoning_report.json`."""
    return output.with_name(output.name.removesuffix(".gz").removesuffix(".jsonl") + ending)


def folder_of(output: Path) -> Path:
    """The journal of an output file."""
    return beside(output, ".journal")


@contextmanager
def held(output: Path) -> Iterator[Path]:
    """Make the journal's folder and lock it against other runs.

    Raises:
        UserError: another process writes this output, or the folder can't be made.
    """
    folder = folder_of(output)

    def refuse() -> None:
        raise UserError(
            f"{output}: another process is generating into it. Wait for it, stop it, or name another --output."
        )

    with _as_user_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, refuse):
        yield folder


def is_held(output: Path) -> bool:
    """Whether a process is generating into an output now."""
    try:
        with held(output):
            return False
    except UserError:
        return True


class Place(NamedTuple):
    """How far a part was read."""

    byte: int = 0
    line: int = 0


def entries(folder: Path, places: dict[Path, Place] | None = None) -> Iterator[Entry]:
    """The entries of a journal, part by part, without lines that were cut off.

    Args:
        places: how far each part was read before; updated here.

    Raises:
        UserError: a line is no entry.
    """
    places = {} if places is None else places
    for path in sorted(folder.glob("part-*.jsonl")):
        with path.open("rb") as file:
            file.seek(places.get(path, Place()).byte)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                byte, number = places.get(path, Place())
                places[path] = Place(byte + len(line), number + 1)
                where = f"{path}:{number + 1}"
                yield decoded(_decode, line, where, "Delete that line; its chain is written again.")


_decode = msgspec.json.Decoder(Entry).decode


def latest(folder: Path) -> dict[tuple[str, str], Entry]:
    """(Conversation id, hash of what was asked) -> the last attempt in the journal."""
    last: dict[tuple[str, str], Entry] = {}
    for entry in entries(folder):
        before = last.get((entry.conversation_id, entry.prompt))
        if before is None or entry.attempt >= before.attempt:
            last[entry.conversation_id, entry.prompt] = entry
    return last


def is_final(entry: Entry | None, attempts: int) -> bool:
    """Whether a conversation is done: its chain has no faults, or no attempt is left."""
    return entry is not None and (not entry.faults or entry.attempt + 1 >= attempts)


class Part:
    """The part that one process appends to. An entry is on disk when `add` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encode = msgspec.json.Encoder().encode
        with _as_user_error(path):
            self._file = path.open("ab", buffering=0)
            drop_cut_line(path)

    def add(self, entry: Entry) -> None:
        """Write an entry.

        Raises:
            UserError: the disk is full or can't be written to.
        """
        size = self._file.tell()
        left = self._encode(entry) + b"\n"
        with _as_user_error(self.path):
            try:
                while left:
                    left = left[self._file.write(left) :]
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(size)  # half a line would run into the next one
                raise

    def close(self) -> None:
        self._file.close()


@contextmanager
def _as_user_error(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a UserError."""
    try:
        yield
    except OSError as fault:
        raise UserError(
            f"{path}: {(fault.strerror or str(fault)).lower()}. What was written before is kept. Free space or repair "
            "the folder, then run the same command again."
        ) from fault
