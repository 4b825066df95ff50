"""Files: JSON lines streamed in and out, and files that appear whole, alone or together, or not at all.

What a command writes is made beside its place, in a file or folder named `.part` that is locked while it is written:
a second writer of the same output is refused, and one that was killed leaves nothing that counts.
"""

import fcntl
import gzip
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from mlx_cc.conversation import Conversation, check
from mlx_cc.errors import UserError

LONGEST_LINE = 64 << 20
"""Bytes of a line that are held in memory; no record is longer."""
WHOLE = ".whole"
"""Folder of files that belong together and are all written; they are being moved into the folder around it."""
ABSENT = ".absent"
"""How the name of an empty file ends that says: when the others appear, the file of this name goes."""

FOLDER, FILE = os.O_RDONLY | os.O_DIRECTORY, os.O_RDWR | os.O_CREAT
"""How what is locked is opened."""

T = TypeVar("T")


@contextmanager
def locked(path: Path, when_busy: Callable[[], Any]) -> Iterator[None]:
    """Hold a folder, or a file made for it, against other processes that ask; killing the holder frees it.

    Args:
        when_busy: called when another process holds it; unless it raises, this one then waits.
    """
    descriptor = _opened(path, when_busy, FOLDER if path.is_dir() else FILE)
    try:
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path, when_busy: Callable[[], Any], flags: int) -> int:
    """Open and lock a folder that exists, or a file that is made where there is none."""
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                when_busy()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder has moved it away meanwhile


def _is(path: Path, descriptor: int) -> bool:
    """Whether what was opened is still at a path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _output(path: Path) -> Iterator[Callable[[], Any]]:
    """Faults of writing as one line; gives what refuses a second writer."""

    def refuse() -> None:
        raise UserError(f"{path}: another process is writing it. Wait until it has ended, or choose another place.")

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield refuse
    except OSError as fault:
        reason = (fault.strerror or str(fault)).lower()
        if fault.filename and ".part" not in str(fault.filename):  # a file that the block reads
            raise UserError(f"{fault.filename}: {reason}; {path} was not changed. Check that path.") from fault
        raise UserError(f"{path}: {reason}; nothing was changed there. Free space or choose another place.") from fault


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def written_whole(path: Path | str) -> Iterator[IO[bytes]]:
    """Open `path` for writing so that it appears complete, or stays as it was.

    Raises:
        UserError: another process is writing it, the disk is full, or the folder can't be written.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    with _output(path) as refuse, open(_opened(part, refuse, FILE), "wb") as file:
        try:
            file.truncate()
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync(path.parent)


@contextmanager
def being_made(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` to make it in, gone at the end; the block moves to its place what it made.

    Raises:
        UserError: another process is making `path`, the disk is full, or the folder can't be written.
    """
    part = path.with_name(f".{path.name}.part")
    with _output(path) as refuse, ExitStack() as stack:
        while True:
            part.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # its last holder has just moved it away
                descriptor = _opened(part, refuse, FOLDER)
                break
        stack.callback(os.close, descriptor)
        for left in part.iterdir():  # by a process that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield part
        finally:
            if _is(part, descriptor):
                shutil.rmtree(part, ignore_errors=True)


@contextmanager
def written_together(path: Path | str) -> Iterator[Path]:
    """A folder to write files into that belong together: they appear beside `path` all of them, or none.

    A process that is killed while they appear leaves them complete in a folder `.whole`, and whoever reads there next
    finishes the move (`settle`).

    Args:
        path: the main one of the files; other writers of it are refused until the block ends.

    Raises:
        UserError: another process is writing there, the disk is full, or the folder can't be written.
    """
    path = Path(path)
    whole = path.with_name(WHOLE)
    with being_made(path) as part:
        yield part
        sync(part)
        while True:
            settle(path.parent)
            try:
                part.rename(whole)  # from here on they count
                break
            except OSError:  # another process's files are in `.whole` again
                if not whole.exists():
                    raise
        _move(whole)


def settle(folder: Path) -> None:
    """Finish the move of files that belong together where the process that wrote them was killed, or wait for it.

    Raises:
        UserError: they can't be moved.
    """
    whole = folder / WHOLE
    while whole.is_dir():
        try:
            descriptor = _opened(whole, lambda: None, FOLDER)
            try:
                _move(whole)
            finally:
                os.close(descriptor)
        except FileNotFoundError:  # another process has finished it
            continue
        except OSError as fault:
            raise UserError(
                f"{whole}: holds new files that belong in {folder}, and can't be moved "
                f"({(fault.strerror or str(fault)).lower()}). Read them as somebody who may write there."
            ) from fault


def _move(whole: Path) -> None:
    for path in sorted(whole.iterdir()):
        if path.name.endswith(ABSENT):
            (whole.parent / path.name.removesuffix(ABSENT)).unlink(missing_ok=True)
            path.unlink()
        else:
            path.replace(whole.parent / path.name)
    sync(whole.parent)
    whole.rmdir()


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
    settle(path.parent)
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise UserError(f"{path}: {(fault.strerror or str(fault)).lower()}. Check the path.") from fault
    return decoded(partial(msgspec.json.decode, type=type), data, path, "Correct the file or make it again.")


def decoded(decode: Callable[[bytes], T], data: bytes, where: object, way_out: str = "") -> T:
    """What a decoder makes of JSON from outside.

    Raises:
        UserError: it is no JSON, not of the right form, nested too deep, or in another encoding.
    """
    try:
        return decode(data)
    except UnicodeDecodeError as fault:
        reason = f"byte {fault.object[fault.start]:#x} is not UTF-8. Save the file as UTF-8"
    except RecursionError:
        reason = f"brackets are nested too deep{f'. {way_out}' if way_out else ''}"
    except msgspec.DecodeError as fault:
        reason = f"{fault}{f'. {way_out}' if way_out else ''}"
    raise UserError(f"{where}: {reason.removesuffix('.')}.")


def lines(path: Path | str) -> Iterator[tuple[int, bytes]]:
    """The non-blank lines of a (gzipped) text file with their numbers, counted from 1."""
    path = Path(path)
    settle(path.parent)
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
    record is in the first row of each conversation and its other rows follow.

    Raises:
        UserError: names the file, the line and the fault; also for the same id twice, and for a row of ChatML that does
            not follow its record.
    """
    chatml = None
    seen: set[str] = set()
    last = ""
    for number, line in lines(path):
        where = f"{path}:{number}"
        if chatml is None:
            chatml = is_chatml(line)
        if chatml:
            row = decoded(_decode_row, line, where)
            conversation = row.conversation
            if conversation is None:
                if row.conversation_id == last:
                    continue
                raise UserError(
                    f"{where}: this row of {row.conversation_id} lacks the record that `prepare` puts in a "
                    "conversation's first row: the file was cut or shuffled. Make it again with `mlx_cc prepare`, or "
                    "pass the conversations file."
                )
        else:
            conversation = decoded(_decode_conversation, line, where)
        last = conversation.id
        if last in seen:
            raise UserError(
                f"{where}: a second conversation {last}. Ids must differ: `mlx_cc ingest {path} --out NEW.jsonl` keeps "
                "the first of each."
            )
        seen.add(last)
        try:
            check(conversation)
        except UserError as fault:
            raise UserError(f"{where}: {fault}") from fault
        yield conversation


def is_chatml(line: bytes) -> bool:
    """Whether a line is a ChatML row rather than a conversation record."""
    try:
        return "messages" in msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # its reader says what is wrong
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
