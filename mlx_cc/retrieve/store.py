"""An index on disk or on a server: one Chroma collection, opened so that nothing corrupts it.

Two processes in one Chroma folder corrupt it without a word, so a folder is held by a lock from opening to closing,
readers included; several processes share an index through a Chroma server. Chroma's own embedder, which downloads,
is never asked: vectors always come with the call.
"""

import itertools
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlx_cc.errors import UserError
from mlx_cc.files import locked, read_json, write_json
from mlx_cc.retrieve.embed import Embedder, same
from mlx_cc.retrieve.entries import Entry, Metadata
from mlx_cc.retrieve.filters import Where

FORMAT = 1
EMBEDDER, DIMENSION, FORM, STATE = "mlx_cc_embedder", "mlx_cc_dimension", "mlx_cc_format", "mlx_cc_state"
"""Keys of a collection's own metadata."""
REPLACES, COMPLETE = "mlx_cc_replaces", "mlx_cc_complete"
"""Keys of a collection that is made to replace another: that one's name, and whether it may take its place."""
NEXT, OLD = ".next", ".old"
"""Behind a collection's name while it is made anew, and of the one it replaces while it takes its place."""
DATABASE = "chroma.sqlite3"
"""The file that makes a folder a Chroma folder."""
REWRITTEN, MOVING = ".rewritten", ".moving"
"""Inside a folder: a whole copy that is to take its place, and one that is doing so."""
WORDS = "words"
"""Inside a folder: what word indexes are kept in."""
WRITTEN = "written.json"
"""Inside a folder: size and time of the files of vectors when it was last closed."""
VECTORS = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
OWN = re.compile(rf"{re.escape(DATABASE)}.*|{WORDS}|{re.escape(WRITTEN)}|{VECTORS}")
"""How the files and folders are named that make up an index; a collection's vectors are in a folder named by a UUID."""
PATIENCE_S = 3.0
"""How long a process waits for another that holds the folder."""
BATCH = 5000
"""Rows of one call; Chroma takes 5,461 at most."""

_held: dict[Path, tuple[ExitStack, int]] = {}
_holding = threading.Lock()


class Found(NamedTuple):
    """Rows nearest to a vector, nearest first."""

    ids: list[str]
    similarities: list[float]
    """Cosine."""


class Index:
    """An open collection. Close it, or use it in a `with` block: until then no other process can open its folder."""

    def __init__(self, client: Any, collection: Any, where: str, release: ExitStack):
        self._client, self._collection, self._release = client, collection, release
        self.where = where
        """What to call it in a message."""

    def take_place(self) -> None:
        """Take the place of the collection it is to replace, if any. Killed on the way, the next to write goes on."""
        if REPLACES in self.about:
            with told(self.where):
                self._collection.modify(metadata=self.about | {COMPLETE: True})
                _take_place(self._client, self._collection)

    def replaced(self) -> "Index | None":
        """The collection that it is to replace; None where there is none."""
        with told(self.where):
            old = _collections(self._client).get(str(self.about.get(REPLACES)))
        return Index(self._client, old, self.where, ExitStack()) if old else None

    def half_made(self) -> int:
        """Rows of a rebuild that was not finished."""
        with told(self.where):
            made = _next(_collections(self._client), self.name)
            return int(made.count()) if made else 0

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder or the connection; a second time does nothing."""
        self._release.close()

    @property
    def name(self) -> str:
        """Of the collection."""
        return str(self._collection.name)

    @property
    def about(self) -> dict[str, Any]:
        """The collection's own metadata."""
        return dict(self._collection.metadata or {})

    @property
    def embedder(self) -> str:
        """Name of the embedder that made the vectors."""
        return str(self.about.get(EMBEDDER, ""))

    @property
    def state(self) -> str:
        """Changes with every run that writes."""
        return str(self.about.get(STATE, ""))

    def check_embedder(self, embedder: Embedder) -> None:
        """Refuse vectors that can't be compared with those of the index.

        Raises:
            UserError: another embedder made it, or the same under another size.
        """
        made, size = self.about.get(EMBEDDER), self.about.get(DIMENSION)
        if made is None:
            raise UserError(f"{self.where}: not an index of mlx_cc (it names no embedder). Choose another collection.")
        if not same(str(made), embedder.name) or size != embedder.dimension:
            raise UserError(
                f"{self.where}: made with the embedder {made} ({size} numbers a vector), not {embedder.name} "
                f"({embedder.dimension}). Pass --embedder {str(made).rpartition('@')[0]}, or index anew with --rebuild."
            )

    def count(self) -> int:
        """Rows."""
        with told(self.where):
            return int(self._collection.count())

    def nearest(self, vector: np.ndarray, most: int, ids: Sequence[str] | None = None) -> Found:
        """At most `most` rows by cosine similarity, among those named; None allows all."""
        if ids is not None and not ids:
            return Found([], [])
        most = min(most, max(1, self.count() if ids is None else len(ids)))
        with told(self.where):
            found = self._collection.query(
                query_embeddings=[vector.tolist()],
                n_results=most,
                ids=None if ids is None else list(ids),
                include=["distances"],
            )
        return Found(list(found["ids"][0]), [1.0 - float(distance) for distance in found["distances"][0]])

    def ids(self, where: Where | None = None) -> list[str]:
        """Ids of the rows that `where` allows."""
        with told(self.where):
            return list(self._collection.get(where=where, include=[])["ids"])

    def rows(self, ids: Sequence[str]) -> dict[str, tuple[str, Metadata]]:
        """Text and metadata of rows, by id; those that are not there are left out."""
        found: dict[str, tuple[str, Metadata]] = {}
        for some in _parts(ids):
            with told(self.where):
                got = self._collection.get(ids=some, include=["documents", "metadatas"])
            found |= zip(got["ids"], zip(got["documents"], got["metadatas"], strict=True), strict=True)
        return found

    def metadata(self, ids: Sequence[str]) -> dict[str, Metadata]:
        """Metadata of rows, by id; those that are not there are left out."""
        with told(self.where):
            got = self._collection.get(ids=list(ids), include=["metadatas"])
        return dict(zip(got["ids"], got["metadatas"], strict=True))

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Vectors of rows, by id; those that are not there are left out."""
        found: dict[str, np.ndarray] = {}
        for some in _parts(ids):
            with told(self.where):
                got = self._collection.get(ids=some, include=["embeddings"])
            found |= zip(got["ids"], (np.asarray(vector, np.float32) for vector in got["embeddings"]), strict=True)
        return found

    def everything(self, *include: str) -> Iterator[dict[str, Any]]:
        """All rows, a batch at a time, with the columns asked for."""
        ids = self.ids()
        for some in _parts(ids):
            with told(self.where):
                yield self._collection.get(ids=some, include=list(include))

    def add(self, entries: Sequence[Entry], vectors: np.ndarray) -> None:
        """Write rows whole, new or changed. After it returns they survive a kill."""
        for places in _parts(range(len(entries))):
            some = [entries[place] for place in places]
            with told(self.where):
                self._collection.upsert(
                    ids=[entry.id for entry in some],
                    embeddings=vectors[list(places)],
                    documents=[entry.text for entry in some],
                    metadatas=[entry.metadata for entry in some],
                )

    def update(self, ids: Sequence[str], metadata: Sequence[Mapping[str, Any]]) -> None:
        """Change metadata alone; a value of None takes a key off."""
        with told(self.where):
            self._collection.update(ids=list(ids), metadatas=list(metadata))

    def remove(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        for some in _parts(ids):
            with told(self.where):
                self._collection.delete(ids=some)

    def mark_changed(self) -> None:
        """Say that what was computed from its rows is out of date."""
        with told(self.where):
            self._collection.modify(metadata=self.about | {STATE: uuid.uuid4().hex})


def open_index(
    place: Path | str, name: str, make: Embedder | None = None, rebuild: bool = False, go_on: bool = True
) -> Index:
    """Open a collection of a Chroma folder, or of a server named `HOST:PORT`.

    Args:
        make: make it for this embedder where it is not there yet; None opens what is there.
        rebuild: make it anew beside the old one, which stays until `Index.take_place`; what an earlier rebuild with
            the same embedder left half done is gone on with.
        go_on: False begins a rebuild again.

    Raises:
        UserError: there is no such index, another process holds it, it can't be read, or no server answers.
    """
    if name.endswith((NEXT, OLD)):
        raise UserError(f"collection {name}: names that end in {NEXT} or {OLD} are mlx_cc's own. Choose another.")
    where = f"{place}, collection {name}"
    release = ExitStack()
    try:
        client = release.enter_context(_server(place) if isinstance(place, str) else _folder(place, bool(make)))
        with told(where):
            there = _collections(client)
            new = _next(there, name)
            if new and new.metadata.get(COMPLETE):
                if make:
                    _take_place(client, new)
                    there[name] = new
                elif name not in there:
                    there[name] = new  # another process is just about to let it take the place
                new = None
            if make and (left := there.get(name + OLD)) and name in there:
                _ignoring_absence(client.delete_collection, left.name)
            if rebuild and make and name in there:
                if new and not (go_on and same(new.metadata.get(EMBEDDER, ""), make.name)):
                    client.delete_collection(new.name)
                    new = None
                if not new:
                    _create(client, name + NEXT, make, {REPLACES: name})
                named = name + NEXT
            elif name in there:
                named = there[name].name
            elif make:
                _create(client, name, make)
                named = name
            else:
                others = sorted(one for one in there if not one.endswith((NEXT, OLD)))
                known = f"Here are: {', '.join(others)}." if others else "It holds none."
                raise UserError(f"{place}: no collection {name}. {known} `mlx_cc rag index` makes one.")
            return Index(client, client.get_collection(named, embedding_function=None), where, release)
    except BaseException:
        release.close()
        raise


def _collections(client: Any) -> dict[str, Any]:
    """Name -> collection."""
    return {one.name: one for one in client.list_collections()}


def _next(there: Mapping[str, Any], name: str) -> Any:
    """The collection that is made to replace another; None where there is none."""
    new = there.get(name + NEXT)
    return new if new and (new.metadata or {}).get(REPLACES) == name else None


def _create(client: Any, name: str, make: Embedder, more: Mapping[str, Any] = {}) -> None:
    about = {EMBEDDER: make.name, DIMENSION: make.dimension, FORM: FORMAT, STATE: uuid.uuid4().hex, **more}
    client.create_collection(name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}, metadata=about)


def _take_place(client: Any, new: Any) -> None:
    """Let a collection take the place of the one it replaces: both are renamed by what they are, not by their names, so
    that two processes that do it through a server at once do the same.
    """
    name = new.metadata[REPLACES]
    old = _collections(client).get(name)
    if old is not None and old.id != new.id:
        _ignoring_absence(old.modify, name=name + OLD)
    if old is None or old.id != new.id:
        about = {key: value for key, value in new.metadata.items() if key not in (REPLACES, COMPLETE)}
        new.modify(name=name, metadata=about)
    _ignoring_absence(client.delete_collection, name + OLD)


def _ignoring_absence(do: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    from chromadb.errors import NotFoundError

    with suppress(NotFoundError):
        do(*arguments, **named)


def _settings() -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False)


@contextmanager
def _folder(path: Path, make: bool) -> Iterator[Any]:
    """A client of a folder, which is held while it is open."""
    if not any((path / name).exists() for name in (DATABASE, REWRITTEN, MOVING)):
        if not make:
            raise UserError(f"{path}: no index there. `mlx_cc rag index CONVERSATIONS --index {path}` makes one.")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"{path}: not an index, but something else. Name another folder.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise UserError(f"{path}: {(fault.strerror or str(fault)).lower()}. Choose another place.") from fault
    with held(path):
        finish_move(path)
        sound = not (path / DATABASE).exists() or is_as_closed(path)
        if make:
            _drop_unnamed(path)
        troubles = len(_troubles)
        client = client_of(path)
        try:
            yield client
        finally:
            client.close()
            if sound and troubles == len(_troubles):
                note_closed(path)


_troubles: list[str] = []
"""What Chroma could not do in this process: after that nothing is known of how its files are."""


def is_as_closed(path: Path) -> bool:
    """Whether the vectors of a folder are as they were when it was last closed: nobody was killed or wrote since."""
    try:
        return read_json(path / WRITTEN, dict) == _written(path)
    except (UserError, OSError):  # another process may be moving them
        return False


def note_closed(path: Path) -> None:
    """Remember how the vectors of a folder are, which is held."""
    if not is_as_closed(path):
        with suppress(OSError):  # without the note they are looked at next time
            write_json(path / WRITTEN, _written(path))


def _drop_unnamed(path: Path) -> None:
    """Delete vectors of collections that are no more, which Chroma leaves on disk."""
    import sqlite3

    if (path / DATABASE).exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path / DATABASE)) as database:
            named = {str(row[0]) for row in database.execute("select id from segments")}
            for folder in path.iterdir():
                if re.fullmatch(VECTORS, folder.name) and folder.name not in named:
                    shutil.rmtree(folder)


def _written(path: Path) -> dict[str, list[int]]:
    files = (file for folder in path.iterdir() if re.fullmatch(VECTORS, folder.name) for file in folder.iterdir())
    return {f"{f.parent.name}/{f.name}": [f.stat().st_size, f.stat().st_mtime_ns] for f in sorted(files)}


def client_of(path: Path) -> Any:
    """Chroma's client of a folder, which must be held."""
    import chromadb

    with told(str(path)):
        return chromadb.PersistentClient(str(path), _settings())


def finish_move(path: Path) -> None:
    """Let a rewritten copy inside a folder take the place of the index there, wherever that was interrupted."""
    if (path / REWRITTEN).exists():
        for old in path.iterdir():
            if OWN.fullmatch(old.name):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        (path / REWRITTEN).rename(path / MOVING)
    if (path / MOVING).exists():
        for new in sorted((path / MOVING).iterdir(), key=lambda new: new.name == DATABASE):
            new.rename(path / new.name)
        (path / MOVING).rmdir()


@contextmanager
def _server(address: str) -> Iterator[Any]:
    """A client of a Chroma server."""
    import chromadb

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--chroma-host {address}: write HOST:PORT, such as localhost:8000.")
    try:
        client: Any = chromadb.HttpClient(host=host, port=int(port), settings=_settings())
    except Exception as fault:  # no answer, a wrong protocol, no Chroma: each has its own kind
        reason = " ".join(str(fault).split())[:120]
        raise UserError(
            f"{address}: no Chroma server answers ({reason}). Start one: chroma run --path FOLDER --port {port}."
        ) from fault
    try:
        yield client
    finally:
        client.close()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a Chroma folder against other processes; within this one it can be held several times.

    Raises:
        UserError: another process holds it and goes on doing so.
    """
    path = path.resolve()
    with _holding:
        stack, holders = _held.get(path, (None, 0))
        if stack is None:
            stack = _hold(path)
        _held[path] = stack, holders + 1
    try:
        yield
    finally:
        with _holding:
            stack, holders = _held.pop(path)
            if holders > 1:
                _held[path] = stack, holders - 1
            else:
                stack.close()


def is_held_here(path: Path) -> bool:
    """Whether this process holds a Chroma folder."""
    return path.resolve() in _held


class _Busy(Exception):
    """Another process holds the folder."""


def _refuse() -> None:
    raise _Busy


def _hold(path: Path) -> ExitStack:
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
def told(where: str) -> Iterator[None]:
    """Tell in one line what Chroma says when it can't read, write or reach its data."""
    try:
        yield
    except UserError:
        raise
    except BaseException as fault:
        kind = type(fault)
        if not (kind.__module__.startswith(("chromadb", "httpx", "sqlite3")) or kind.__name__ == "PanicException"):
            raise
        reason = " ".join(str(fault).split())[:200]
        _troubles.append(reason)
        if kind.__name__ == "NotFoundError":
            raise UserError(f"{where}: another process made it anew. Run the same command again.") from fault
        raise UserError(
            f"{where}: Chroma can't read or write it ({reason}). `mlx_cc rag check` looks closer; else delete the "
            "folder and run `mlx_cc rag index` again."
        ) from fault


def _parts(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rows = iter(rows)
    while some := list(itertools.islice(rows, BATCH)):
        yield some
