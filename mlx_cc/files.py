"""Files: JSON lines streamed in and out, and files that appear whole or not at all."""

import fcntl
import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec

from mlx_cc.conversation import Conversation, check
from mlx_cc.errors import UserError

LONGEST_LINE = 64 << 20
"""Bytes of a line that are held in memory; no record is longer."""


@contextmanager
def locked(path: Path, when_busy: Callable[[], Any]) -> Iterator[None]:
    """Hold a folder, or a file made for it, against other processes that ask; killing the holder frees it.

    Args:
        when_busy: called when another process holds it; unless it raises, this one then waits.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            when_busy()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def written_whole(path: Path | str) -> Iterator[IO[bytes]]:
    """Open `path` for writing so that it appears complete, or stays as it was.

    Bytes go to `path.part`, which is flushed to disk and renamed when the block ends well and
    removed when it does not.

    Raises:
        UserError: the disk is full, or the folder can't be written.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as fault:
        part.unlink(missing_ok=True)
        raise UserError(
            f"{path}: {(fault.strerror or str(fault)).lower()}; nothing was changed there. "
            "Free space or choose another place."
        ) from fault
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: Path | str, text: str) -> None:
    """Write a small text file whole, as UTF-8."""
    with written_whole(path) as file:
        file.write(text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write one indented JSON document whole."""
    with written_whole(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def read_json(path: Path | str, type: Any = Any) -> Any:
    """Read one JSON document, checked against `type`.

    Raises:
        UserError: the file is missing or is not such a document.
    """
    path = Path(path)
    try:
        return msgspec.json.decode(path.read_bytes(), type=type)
    except OSError as fault:
        raise UserError(f"{path}: {(fault.strerror or str(fault)).lower()}. Check the path.") from fault
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: {fault}. Mend the file or make it again.") from fault


def lines(path: Path | str) -> Iterator[tuple[int, bytes]]:
    """The non-blank lines of a (gzipped) text file with their numbers, counted from 1."""
    path = Path(path)
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    raise UserError(f"{path}:{number}: longer than {LONGEST_LINE >> 20} MB. Is it one record a line?")
                if not line.isspace():
                    yield number, line
    except FileNotFoundError as fault:
        raise UserError(f"{path}: no such file. Check the path.") from fault
    except (OSError, EOFError, zlib.error) as fault:
        raise UserError(f"{path}: can't be read to the end ({fault}). Check the file.") from fault


def drop_cut_line(path: Path | str) -> None:
    """Take off an append-only file the line that a crash cut off, if there is one."""
    with Path(path).open("rb+") as file:
        whole = file.read()
        if not whole.endswith(b"\n"):
            file.truncate(whole.rfind(b"\n") + 1)


class Row(msgspec.Struct, omit_defaults=True):
    """A row of a ChatML file. The first row of each conversation carries the record itself."""

    messages: list[dict[str, str]]
    task: str
    conversation_id: str
    conversation: Conversation | None = None


_decode_conversation = msgspec.json.Decoder(Conversation).decode
_decode_row = msgspec.json.Decoder(Row).decode


def read_conversations(path: Path | str) -> Iterator[Conversation]:
    """Stream the conversations of a JSON-lines file, plain or gzipped.

    Reads both record files (one conversation a line) and ChatML files (`prepare`), where the
    record rides in the first row of each conversation.

    Raises:
        UserError: names the file, the line and the fault.
    """
    chatml = None
    missing: str | None = None
    carried: set[str] = set()
    for number, line in lines(path):
        if chatml is None:
            chatml = is_chatml(line)
        try:
            if chatml:
                row = _decode_row(line)
                conversation = row.conversation
                if conversation is None:
                    if row.conversation_id not in carried:
                        missing = row.conversation_id
                    continue
                carried.add(row.conversation_id)
            else:
                conversation = _decode_conversation(line)
            check(conversation)
        except (msgspec.DecodeError, UnicodeDecodeError, UserError) as fault:
            raise UserError(f"{path}:{number}: {fault}") from fault
        yield conversation
    if missing is not None and missing not in carried:
        raise UserError(
            f"{path}: the rows of {missing} lack the record that `prepare` puts in a conversation's first row. "
            "Make the file again with `mlx_cc prepare`, or pass the conversations file."
        )


def is_chatml(line: bytes) -> bool:
    """Whether a line is a ChatML row rather than a conversation record."""
    try:
        return "messages" in msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return False


def count_conversations(path: Path | str) -> int | None:
    """How many conversations a file holds, for the time remaining; None when that can't be seen cheaply."""
    chatml = None
    count = 0
    for _, line in lines(path):
        chatml = is_chatml(line) if chatml is None else chatml
        count += not chatml or b'"conversation":{' in line
    return count or None


def write_conversations(path: Path | str, conversations: Iterable[Conversation]) -> int:
    """Write records one a line; returns how many. The file appears whole."""
    encoder = msgspec.json.Encoder()
    buffer = bytearray()
    count = 0
    with written_whole(path) as file:
        for conversation in conversations:
            encoder.encode_into(conversation, buffer, -1)
            buffer += b"\n"
            count += 1
            if len(buffer) > 1 << 20:
                file.write(buffer)
                buffer.clear()
        file.write(buffer)
    return count
