"""An index: one Chroma collection, in a folder or on a server.

Vectors always come with the call: Chroma's own embedder, which downloads, is never used.
"""

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlx_cc.errors import UserError
from mlx_cc.retrieve.embed import Embedder, same
from mlx_cc.retrieve.entries import Entry, Metadata
from mlx_cc.retrieve.filters import Where
from mlx_cc.retrieve.folder import chroma_faults, chroma_settings, opened_folder

FORMAT = 1
EMBEDDER, DIMENSION, FORM, STATE = "mlx_cc_embedder", "mlx_cc_dimension", "mlx_cc_format", "mlx_cc_state"
"""Keys of a collection's own metadata."""
REPLACES, COMPLETE = "mlx_cc_replaces", "mlx_cc_complete"
"""Keys of a collection that is made to replace another: that one's name, and whether it may take its place."""
NEXT, OLD = ".next", ".old"
"""Endings of a collection's name: made anew, and about to be replaced."""
BATCH = 5000
"""Rows of one call; Chroma takes 5,461 at most."""


class Nearest(NamedTuple):
    """Rows nearest to a vector, nearest first."""

    ids: list[str]
    similarities: list[float]
    """Cosine."""


class Index:
    """An open collection. Close it, or use it in a `with` block: until then no other process can open its folder."""

    def __init__(self, client: Any, collection: Any, where: str, release: ExitStack):
        self._client, self._collection, self._release = client, collection, release
        self.where = where
        """Place and collection, for messages."""

    def take_place(self) -> None:
        """Replace the collection it was made to replace, if any. After a kill, the next writer finishes this."""
        if REPLACES in self.about:
            with chroma_faults(self.where):
                self._collection.modify(metadata=self.about | {COMPLETE: True})
                _take_place(self._client, self._collection)

    def replaced(self) -> "Index | None":
        """The collection it was made to replace; None where there is none."""
        with chroma_faults(self.where):
            old = _collections(self._client).get(str(self.about.get(REPLACES)))
        return Index(self._client, old, self.where, ExitStack()) if old else None

    def half_made(self) -> int:
        """Rows of a rebuild that was not finished."""
        with chroma_faults(self.where):
            made = _next(_collections(self._client), self.name)
            return int(made.count()) if made else 0

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder or the connection; a second call does nothing."""
        self._release.close()

    @property
    def name(self) -> str:
        """Name of the collection."""
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
        """Number of rows."""
        with chroma_faults(self.where):
            return int(self._collection.count())

    def nearest(self, vector: np.ndarray, most: int, ids: Sequence[str] | None = None) -> Nearest:
        """At most `most` rows by cosine similarity, among `ids`; None allows all rows."""
        if ids is not None and not ids:
            return Nearest([], [])
        most = min(most, max(1, self.count() if ids is None else len(ids)))
        with chroma_faults(self.where):
            found = self._collection.query(
                query_embeddings=[vector.tolist()],
                n_results=most,
                ids=None if ids is None else list(ids),
                include=["distances"],
            )
        return Nearest(list(found["ids"][0]), [1.0 - float(distance) for distance in found["distances"][0]])

    def ids(self, where: Where | None = None) -> list[str]:
        """Ids of the rows that `where` allows."""
        with chroma_faults(self.where):
            return list(self._collection.get(where=where, include=[])["ids"])

    def rows(self, ids: Sequence[str]) -> dict[str, tuple[str, Metadata]]:
        """Id -> text and metadata; ids that are not in the index are left out."""
        found: dict[str, tuple[str, Metadata]] = {}
        for some in _batches(ids):
            with chroma_faults(self.where):
                got = self._collection.get(ids=some, include=["documents", "metadatas"])
            found |= zip(got["ids"], zip(got["documents"], got["metadatas"], strict=True), strict=True)
        return found

    def metadata(self, ids: Sequence[str]) -> dict[str, Metadata]:
        """Id -> metadata; ids that are not in the index are left out."""
        with chroma_faults(self.where):
            got = self._collection.get(ids=list(ids), include=["metadatas"])
        return dict(zip(got["ids"], got["metadatas"], strict=True))

    def vectors(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Id -> vector; ids that are not in the index are left out."""
        found: dict[str, np.ndarray] = {}
        for some in _batches(ids):
            with chroma_faults(self.where):
                got = self._collection.get(ids=some, include=["embeddings"])
            found |= zip(got["ids"], (np.asarray(vector, np.float32) for vector in got["embeddings"]), strict=True)
        return found

    def all_rows(self, *include: str) -> Iterator[dict[str, Any]]:
        """All rows, a batch at a time, with the columns asked for."""
        ids = self.ids()
        for some in _batches(ids):
            with chroma_faults(self.where):
                yield self._collection.get(ids=some, include=list(include))

    def add(self, entries: Sequence[Entry], vectors: np.ndarray) -> None:
        """Write new or changed rows. They survive a kill once this returns."""
        for places in _batches(range(len(entries))):
            some = [entries[place] for place in places]
            with chroma_faults(self.where):
                self._collection.upsert(
                    ids=[entry.id for entry in some],
                    embeddings=vectors[list(places)],
                    documents=[entry.text for entry in some],
                    metadatas=[entry.metadata for entry in some],
                )

    def update(self, ids: Sequence[str], metadata: Sequence[Mapping[str, Any]]) -> None:
        """Change metadata only; a value of None removes the key."""
        with chroma_faults(self.where):
            self._collection.update(ids=list(ids), metadatas=list(metadata))

    def remove(self, ids: Sequence[str]) -> None:
        """Delete rows."""
        for some in _batches(ids):
            with chroma_faults(self.where):
                self._collection.delete(ids=some)

    def mark_changed(self) -> None:
        """Give the collection a new state: what was computed from its rows before is out of date."""
        with chroma_faults(self.where):
            self._collection.modify(metadata=self.about | {STATE: uuid.uuid4().hex})


def open_index(
    place: Path | str, name: str, make: Embedder | None = None, rebuild: bool = False, go_on: bool = True
) -> Index:
    """Open a collection of a Chroma folder, or of a server named `HOST:PORT`.

    Args:
        make: embedder of a collection that is made where there is none; None only opens.
        rebuild: make it anew beside the old one, which stays until `Index.take_place`. An unfinished rebuild with the
            same embedder is continued.
        go_on: False starts an unfinished rebuild from the beginning.

    Raises:
        UserError: there is no such index, another process holds it, it can't be read, or no server answers.
    """
    if name.endswith((NEXT, OLD)):
        raise UserError(f"collection {name}: names that end in {NEXT} or {OLD} are mlx_cc's own. Choose another.")
    where = f"{place}, collection {name}"
    release = ExitStack()
    try:
        client = release.enter_context(_server(place) if isinstance(place, str) else opened_folder(place, bool(make)))
        with chroma_faults(where):
            there = _collections(client)
            new = _next(there, name)
            if new and new.metadata.get(COMPLETE):
                if make:
                    _take_place(client, new)
                    there[name] = new
                elif name not in there:
                    there[name] = new  # another process is about to finish the replacement
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
                known = f"It holds: {', '.join(others)}." if others else "It has none."
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
    """Replace a collection. Both are found by their ids, so that two processes that do this through a server at once
    agree.
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


@contextmanager
def _server(address: str) -> Iterator[Any]:
    """A client of a Chroma server."""
    import chromadb

    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--chroma-host {address}: write HOST:PORT, such as localhost:8000.")
    try:
        client: Any = chromadb.HttpClient(host=host, port=int(port), settings=chroma_settings())
    except Exception as fault:  # no answer, a wrong protocol, no Chroma: each has its own kind
        reason = " ".join(str(fault).split())[:120]
        raise UserError(
            f"{address}: no Chroma server answers ({reason}). Start one: chroma run --path FOLDER --port {port}."
        ) from fault
    try:
        yield client
    finally:
        client.close()


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rows = iter(rows)
    while some := list(itertools.islice(rows, BATCH)):
        yield some
