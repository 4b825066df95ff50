"""Erasing conversations from an index, bytes included.

Chroma only marks rows as deleted: their words stay in the database's free pages and log, their vectors in the graph.
So the whole folder is copied without them, and the copy replaces it. After a kill the folder holds all of the old or
all of the new, and the next process that opens it finishes the replacement.
"""

import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlx_cc.retrieve.folder import REWRITTEN, chroma_faults, client_of, finish_move, holding

PART = ".rewriting.part"
PAGE = 2000

Covers = Callable[[Any, Any], bool]
"""(conversation id, customer id): whether such a row is to be erased."""


def ids_in(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Conversation and customer id of every row of every collection.

    Raises:
        UserError: another process uses the index, or it can't be read.
    """
    with _opened(folder) as client:
        for collection in client.list_collections():
            for page in _pages(collection, ["metadatas"]):
                for row in page["metadatas"]:
                    if row and "conversation_id" in row:
                        yield str(row["conversation_id"]), row.get("customer_id")


def count(folder: Path, covers: Covers) -> int:
    """How many rows are to be erased."""
    return sum(covers(*ids) for ids in ids_in(folder))


def rewrite(folder: Path, covers: Covers) -> None:
    """Erase rows from all collections of a Chroma folder; all other rows stay as they are.

    A chain of follow-ups whose first contact is erased is named after one of its contacts that stay.

    Raises:
        UserError: another process uses the index, or it can't be read.
    """
    with holding(folder):
        part = folder / PART
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        with _opened(folder) as old, _opened(part) as new:
            for collection in old.list_collections():
                _copy(collection, new, covers)
        for header in part.glob("*/header.bin"):
            _clear_unused(header)
        part.rename(folder / REWRITTEN)
        finish_move(folder)


def _copy(collection: Any, client: Any, covers: Covers) -> None:
    hnsw = (collection.configuration or {}).get("hnsw") or {"space": "l2"}
    copy = client.create_collection(
        collection.name,
        embedding_function=None,
        configuration={"hnsw": {"space": hnsw["space"]}},
        metadata=collection.metadata,
    )
    threads: dict[str, str] = {}
    for page in _pages(collection, ["embeddings", "documents", "metadatas"]):
        kept = [
            place
            for place, row in enumerate(page["metadatas"])
            if not covers((row or {}).get("conversation_id"), (row or {}).get("customer_id"))
        ]
        if not kept:
            continue
        for place in kept:
            row = page["metadatas"][place] or {}
            if (thread := row.get("thread")) is not None and covers(thread, None):
                row["thread"] = threads.setdefault(thread, row["conversation_id"])
        copy.add(
            ids=[page["ids"][place] for place in kept],
            embeddings=page["embeddings"][kept],
            documents=[page["documents"][place] for place in kept],
            metadatas=[page["metadatas"][place] for place in kept],
        )


def _clear_unused(header: Path) -> None:
    """Zero the space for further vectors: hnswlib writes it as it was in memory, where erased words may have been."""
    version, _, most, used, size = struct.unpack_from("<iQQQQ", header.read_bytes())
    for name, each in (("data_level0.bin", size), ("length.bin", 4)):
        path = header.with_name(name)
        if version == 1 and path.exists() and path.stat().st_size == most * each:
            with path.open("r+b") as file:
                file.truncate(used * each)
                file.truncate(most * each)


@contextmanager
def _opened(folder: Path) -> Iterator[Any]:
    with holding(folder):
        client = client_of(folder)
        try:
            with chroma_faults(str(folder)):
                yield client
        finally:
            client.close()


def _pages(collection: Any, include: list[str]) -> Iterator[dict[str, Any]]:
    for start in range(0, collection.count(), PAGE):
        yield collection.get(limit=PAGE, offset=start, include=include)
