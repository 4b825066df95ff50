"""Read with several processes: each gets parts of the input; finished conversations come back in order.

A part is a few whole files, or some lines of a large one. The counts of a process (unused keys, joined
contacts, redacted values) come back with each part and are added up.
"""

import io
import multiprocessing
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from mlx_cc.children import end_with
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.ingest import all_formats, choose, read_file
from mlx_cc.ingest.contacts import Joined
from mlx_cc.ingest.format import Reading, Reject, nobody_waits
from mlx_cc.ingest.source import HEAD_BYTES, open_file, size_on_disk

PART_BYTES = 1 << 20
FILES_OF_A_PART = 256


class Part(NamedTuple):
    """A part of the input, read by one process."""

    paths: tuple[Path, ...]
    format: str
    """Name, or `auto`; for lines of a file, the format is found once, from the file's start."""
    lines: bytes | None = None
    """Lines of the one path; None for whole files."""
    first_line: int = 1
    size: int = 0
    """Bytes of input, for the progress."""


class Noted(NamedTuple):
    """The counts of one part."""

    ignored: Counter[str]
    redacted: Counter[str]
    joined: Joined


_pack = msgspec.json.Encoder().encode
_unpack = msgspec.json.Decoder(list[Conversation | Reject]).decode


def read(files: Sequence[Path], reading: Reading, format: str, processes: int) -> Iterator[Conversation | Reject]:
    """The conversations of the files, in order, read by several processes.

    Raises:
        UserError: a process was killed.
    """
    quiet = replace(reading, ignored=Counter(), advance=nobody_waits)
    waiting: deque[tuple[Part, Future[tuple[bytes, Noted]]]] = deque()

    def oldest() -> list[Conversation | Reject]:
        part, future = waiting.popleft()
        try:
            found, noted = future.result()
        except BrokenProcessPool as fault:
            raise UserError(
                f"{part.paths[0]}: the process that read it was killed, probably for lack of memory. "
                "Nothing was written. Use fewer --workers."
            ) from fault
        _add(noted, reading)
        reading.advance(part.size)
        return _unpack(found)

    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (quiet,))
    try:
        for part in parts(files, format):
            if isinstance(part, Reject):
                yield part
                continue
            waiting.append((part, pool.submit(_read, part)))
            if len(waiting) > 2 * processes:
                yield from oldest()
        while waiting:
            yield from oldest()
    finally:
        pool.shutdown(cancel_futures=True)


def parts(files: Sequence[Path], format: str) -> Iterator[Part | Reject]:
    """The input in parts of about equal size; a Reject for a file that can't be read to the end."""
    group: list[Path] = []
    size = 0
    for path in files:
        if (line_format := _line_format(path, format)) is not None:
            if group:
                yield Part(tuple(group), format, size=size)
                group, size = [], 0
            yield from _parts_of(path, line_format)
            continue
        group.append(path)
        size += _size(path)
        if size > PART_BYTES or len(group) == FILES_OF_A_PART:
            yield Part(tuple(group), format, size=size)
            group, size = [], 0
    if group:
        yield Part(tuple(group), format, size=size)


def _size(path: Path) -> int:
    try:
        return size_on_disk(path)
    except (UserError, OSError):  # reading it gives the error
        return 0


def _line_format(path: Path, format: str) -> str | None:
    """The format of a large file whose lines can be read separately; None for any other file."""
    if _size(path) <= PART_BYTES:
        return None
    try:
        file = open_file(path)
        chosen = choose(file) if format == "auto" else all_formats()[format]
    except (UserError, OSError):
        return None
    return chosen.name if chosen.splits(file) and not file.utf16 else None


def _parts_of(path: Path, format: str) -> Iterator[Part | Reject]:
    read_bytes = 0

    def advance(count: int) -> None:
        nonlocal read_bytes
        read_bytes += count

    lines: list[bytes] = []
    first, size = 1, 0
    try:
        for number, line in replace(open_file(path), advance=advance).lines(blank=True):
            lines.append(line if line.endswith(b"\n") else line + b"\n")
            size += len(line)
            if size > PART_BYTES:
                yield Part((path,), format, b"".join(lines), first, read_bytes)
                lines, first, size, read_bytes = [], number + 1, 0, 0
    except UserError as fault:  # such as an archive that ends too early
        yield Reject(str(path), None, str(fault).removeprefix(f"{path}: "))
    if lines:
        yield Part((path,), format, b"".join(lines), first, read_bytes)


def _add(noted: Noted, reading: Reading) -> None:
    reading.ignored.update(noted.ignored)
    if reading.redactor is not None:
        reading.redactor.counts.update(noted.redacted)
    if reading.contacts is not None:
        reading.contacts.joined.add(noted.joined)


# In a process

_reading: Reading


def _begin(reading: Reading) -> None:
    global _reading
    _reading = reading
    if (parent := multiprocessing.parent_process()) and parent.pid:
        end_with(parent.pid)


def _read(part: Part) -> tuple[bytes, Noted]:
    found: list[Conversation | Reject] = []
    for path in part.paths:
        file = None
        if part.lines is not None:
            file = replace(
                open_file(path),
                head=part.lines[:HEAD_BYTES],
                whole=False,
                opened=partial(io.BytesIO, part.lines),
                first_line=part.first_line,
            )
        found.extend(read_file(path, _reading, part.format, file))
    return _pack(found), _taken(_reading)


def _taken(reading: Reading) -> Noted:
    """The counts since the last part."""
    noted = Noted(Counter(reading.ignored), Counter(), Joined())
    reading.ignored.clear()
    if reading.redactor is not None:
        noted.redacted.update(reading.redactor.counts)
        reading.redactor.counts.clear()
    if reading.contacts is not None:
        noted = noted._replace(joined=reading.contacts.joined)
        reading.contacts.joined = Joined()
    return noted
