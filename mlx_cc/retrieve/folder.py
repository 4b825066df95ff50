"""A Chroma folder on disk: locked, opened, noted as closed, exchanged for a rewritten copy.

Two processes in one Chroma folder corrupt it without an error, so a folder is locked from opening to closing, also by
readers. Several processes share an index through a Chroma server.
"""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from mlx_cc.errors import UserError
from mlx_cc.files import locked, read_json, write_json

DATABASE = "chroma.sqlite3"
"""The file that makes a folder a Chroma folder."""
REWRITTEN, MOVING = ".rewritten", ".moving"
"""Inside a folder: a whole copy that is to replace the index, and one that is doing so."""
WORDS = "words"
"""Inside a folder: where the word indexes are kept."""
WRITTEN = "written.json"
"""Inside a folder: size and time of the vector files when it was last closed."""
VECTORS = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""Pattern of a collection's folder of vectors, which Chroma names by a UUID."""
INDEX_FILES = re.compile(rf"{re.escape(DATABASE)}.*|{WORDS}|{re.escape(WRITTEN)}|{VECTORS}")
"""Names of the files and folders that make up an index."""
PATIENCE_S = 3.0
"""How long a process waits for another one that holds the folder: longer than a query takes."""

_locks: dict[Path, tuple[ExitStack, int]] = {}
"""Folder -> its lock and how often this process holds it."""
_changing_locks = threading.Lock()
_failures: list[str] = []
"""What Chroma could not do in this process. After a failure nothing is known of its files."""


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Lock a Chroma folder against other processes; this process may lock it several times.

    Raises:
        UserError: another process holds it for longer than `PATIENCE_S`.
    """
    path = path.resolve()
    with _changing_locks:
        stack, holders = _locks.get(path, (None, 0))
        if stack is None:
            stack = _lock(path)
        _locks[path] = stack, holders + 1
    try:
        yield
    finally:
        with _changing_locks:
            stack, holders = _locks.pop(path)
            if holders > 1:
                _locks[path] = stack, holders - 1
            else:
                stack.close()


def is_held_here(path: Path) -> bool:
    """Whether this process holds a Chroma folder."""
    return path.resolve() in _locks


class _Busy(Exception):
    """Another process holds the folder."""


def _refuse() -> None:
    raise _Busy


def _lock(path: Path) -> ExitStack:
    stack = ExitStack()
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            stack.enter_context(locked(path, _refuse))
            return stack
        except _Busy:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{path}: another process uses this index, and two at once would corrupt it. Wait for it, or "
                    f"serve the folder (chroma run --path {path}) and pass --chroma-host HOST:PORT to all of them."
                ) from None
            time.sleep(0.1)


@contextmanager
def chroma_faults(where: str) -> Iterator[None]:
    """Turn a failure of Chroma to read, write or reach its data into a UserError of one line."""
    try:
        yield
    except UserError:
        raise
    except BaseException as fault:
        kind = type(fault)
        if not (kind.__module__.startswith(("chromadb", "httpx", "sqlite3")) or kind.__name__ == "PanicException"):
            raise
        reason = " ".join(str(fault).split())[:200]
        _failures.append(reason)
        if kind.__name__ == "NotFoundError":
            raise UserError(f"{where}: another process made it anew. Run the same command again.") from fault
        raise UserError(
            f"{where}: Chroma can't read or write it ({reason}). `mlx_cc rag check` looks closer; else delete the "
            "folder and run `mlx_cc rag index` again."
        ) from fault


@contextmanager
def opened_folder(path: Path, make: bool) -> Iterator[Any]:
    """A client of a folder, locked while it is open."""
    if not any((path / name).exists() for name in (DATABASE, REWRITTEN, MOVING)):
        if not make:
            raise UserError(f"{path}: no index there. `mlx_cc rag index CONVERSATIONS --index {path}` makes one.")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"{path}: not an index, but something else. Name another folder.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise UserError(f"{path}: {(fault.strerror or str(fault)).lower()}. Choose another place.") from fault
    with holding(path):
        finish_move(path)
        sound = not (path / DATABASE).exists() or is_as_closed(path)
        if make:
            _delete_orphans(path)
        troubles = len(_failures)
        client = client_of(path)
        try:
            yield client
        finally:
            client.close()
            if sound and troubles == len(_failures):
                note_closed(path)


def is_as_closed(path: Path) -> bool:
    """Whether the vector files are as they were when the folder was last closed: no kill or other writer since."""
    try:
        return read_json(path / WRITTEN, dict) == _sizes_and_times(path)
    except (UserError, OSError):  # another process may be moving them
        return False


def note_closed(path: Path) -> None:
    """Note size and time of the vector files of a locked folder."""
    if not is_as_closed(path):
        with suppress(OSError):  # without the note the vectors are checked next time
            write_json(path / WRITTEN, _sizes_and_times(path))


def _delete_orphans(path: Path) -> None:
    """Delete the vectors of deleted collections, which Chroma leaves on disk."""
    import sqlite3

    if (path / DATABASE).exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path / DATABASE)) as database:
            named = {str(row[0]) for row in database.execute("select id from segments")}
            for folder in path.iterdir():
                if re.fullmatch(VECTORS, folder.name) and folder.name not in named:
                    shutil.rmtree(folder)


def _sizes_and_times(path: Path) -> dict[str, list[int]]:
    files = (file for folder in path.iterdir() if re.fullmatch(VECTORS, folder.name) for file in folder.iterdir())
    return {f"{f.parent.name}/{f.name}": [f.stat().st_size, f.stat().st_mtime_ns] for f in sorted(files)}


def client_of(path: Path) -> Any:
    """Chroma's client of a folder, which must be locked."""
    import chromadb

    with chroma_faults(str(path)):
        return chromadb.PersistentClient(str(path), chroma_settings())


def finish_move(path: Path) -> None:
    """Replace the index in a folder by the rewritten copy inside it, or finish an interrupted replacement."""
    if (path / REWRITTEN).exists():
        for old in path.iterdir():
            if INDEX_FILES.fullmatch(old.name):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        (path / REWRITTEN).rename(path / MOVING)
    if (path / MOVING).exists():
        for new in sorted((path / MOVING).iterdir(), key=lambda new: new.name == DATABASE):
            new.rename(path / new.name)
        (path / MOVING).rmdir()


def chroma_settings() -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False)
