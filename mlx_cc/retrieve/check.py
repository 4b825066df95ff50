"""What an index holds, and whether it is whole."""

import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mlx_cc.children import start
from mlx_cc.errors import UserError
from mlx_cc.retrieve.entries import FIELDS, PARTS, conversation_of, part_of
from mlx_cc.retrieve.store import (
    DATABASE,
    DIMENSION,
    EMBEDDER,
    NEXT,
    Index,
    client_of,
    held,
    is_as_closed,
    is_held_here,
    note_closed,
    open_index,
    told,
)
from mlx_cc.splits import unit_interval
from mlx_cc.terminal import status

PROBES = 50
"""Entries, about, that have to find themselves."""
READING = "reading collection "
"""Said before each, so that the one that ends the process can be named."""
SHOWN = 12
"""Values of a field that are counted one by one."""


class Checked(msgspec.Struct):
    """What a look at all of an index came to."""

    where: str
    entries: int
    faults: list[str]


def check_apart(place: Path | str, collection: str) -> Checked:
    """`check` in a process of its own: a damaged graph of vectors ends the process that reads it.

    Raises:
        UserError: there is no such index, or another process holds it.
    """
    return _apart("server" if isinstance(place, str) else "folder", str(place), collection)


def look_first(place: Path, next_alone: str | None = None) -> list[str]:
    """Of a folder that somebody was killed in, or wrote to, since it was last closed: see that its vectors can be read.

    Args:
        next_alone: the collection that is to be made anew: look at what a rebuild of it left alone.

    Returns:
        Faults; empty where there are none, or nobody was killed.

    Raises:
        UserError: another process holds it.
    """
    if not (place / DATABASE).exists() or is_held_here(place) or is_as_closed(place):
        return []
    with status(f"{place} was not closed when it was last used: looking at it"):
        return _apart("vectors", str(place), next_alone or "").faults


def _apart(what: str, place: str, collection: str) -> Checked:
    child = start("mlx_cc.retrieve.check", what, place, collection, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, log = (data.decode() for data in child.communicate())
    if child.returncode < 0:
        read = [line.removeprefix(READING) for line in log.splitlines() if line.startswith(READING)]
        named = read[-1] if read else collection
        if child.returncode == -signal.SIGKILL:
            fault = f"reading collection {named} was killed, perhaps for lack of memory"
        else:
            fault = _anew(named, "Chroma crashes when it reads the vectors")
        return Checked(f"{place}, collection {named}", 0, [fault])
    if child.returncode:
        raise UserError(log.strip().rpartition("\n")[2].removeprefix("Error: "))
    return msgspec.json.decode(out, type=Checked)


def _anew(collection: str, fault: str) -> str:
    name = collection.removesuffix(NEXT)
    return f"collection {collection}: {fault}. Make it anew: mlx_cc rag index PATH --rebuild --collection {name}"


def look(place: Path, next_alone: str) -> Checked:
    """Look at the vectors of a folder's collections; where all can be read, and all were looked at, that is noted."""
    faults: list[str] = []
    with held(place):
        try:
            with closing(client_of(place)) as client, told(str(place)):
                for found in client.list_collections():
                    if EMBEDDER in (found.metadata or {}) and (not next_alone or found.name == next_alone + NEXT):
                        print(f"{READING}{found.name}", file=sys.stderr, flush=True)
                        index = Index(client, found, f"{place}, collection {found.name}", ExitStack())
                        faults += [_anew(found.name, fault) for fault in lost(index)]
        except UserError as fault:
            faults.append(str(fault).removeprefix(f"{place}: ").removesuffix("."))
        if not faults and not next_alone:
            note_closed(place)
    return Checked(str(place), 0, faults)


def stats(index: Index) -> dict[str, Any]:
    """What an index holds: conversations, entries, its embedder, the entries of an unfinished rebuild (`half_made`),
    and of each field how many have it.

    Of fields with few values, how often each occurs; of numbers, the lowest and the highest.
    """
    known: dict[str, list[Any]] = {}
    parts: Counter[str] = Counter()
    for rows in index.everything("metadatas"):
        for name, row in zip(rows["ids"], rows["metadatas"], strict=True):
            parts[part_of(name)] += 1
            if part_of(name) == "conversation":
                for field in FIELDS:
                    if field in row and field != "part":
                        known.setdefault(field, []).append(row[field])
    return {
        "conversations": parts["conversation"],
        "entries": sum(parts.values()),
        "embedder": index.embedder,
        "dimension": index.about.get(DIMENSION),
        "half_made": index.half_made(),
        "fields": {name: _told(name, values) for name, values in known.items()},
    }


def _told(name: str, values: list[Any]) -> dict[str, Any]:
    if FIELDS[name].kind != "text":
        return {"n": len(values), "lowest": min(values), "highest": max(values)}
    counted = Counter(values)
    told: dict[str, Any] = {"n": len(values), "different": len(counted)}
    return told if len(counted) > SHOWN else {**told, "values": dict(counted.most_common())}


def check(index: Index) -> list[str]:
    """The faults of an index; empty when it is whole.

    Reads every row: each conversation has its three entries, each vector the size the index names and unit length,
    and entries drawn from all over find themselves.
    """
    faults: list[str] = []
    parts: dict[str, set[str]] = {}
    size = index.about.get(DIMENSION)
    if not index.embedder:
        return ["not an index of mlx_cc: it names no embedder"]
    wrong = lengths = 0
    try:
        for rows in index.everything("embeddings", "documents", "metadatas"):
            for place, name in enumerate(rows["ids"]):
                vector = np.asarray(rows["embeddings"][place], np.float32)
                parts.setdefault(conversation_of(name), set()).add(part_of(name))
                wrong += len(vector) != size
                lengths += abs(float(np.linalg.norm(vector)) - 1) > 1e-3
    except UserError as fault:
        return [str(fault)]
    if wrong:
        faults.append(f"{wrong} vectors don't have {size} numbers")
    if lengths:
        faults.append(f"{lengths} vectors are not of unit length")
    if torn := [name for name, found in parts.items() if found != set(PARTS)]:
        faults.append(f"{len(torn)} conversations lack an entry, such as {torn[0]}: index them again")
    return faults + [_anew(index.name, fault) for fault in lost(index)]


def lost(index: Index) -> list[str]:
    """Entries drawn from all over that don't find themselves by their own vector, as a fault; empty when all do."""
    drawn = PROBES / max(1, index.count())
    vectors = index.vectors([name for name in index.ids() if unit_interval(name) < drawn])
    # texts that are alike have the same vector: what is found need not be the entry itself
    gone = [name for name, vector in vectors.items() if index.nearest(vector, 1).similarities[0] < 0.999]
    if not gone:
        return []
    return [f"{len(gone)} of {len(vectors)} entries don't find themselves, such as {gone[0]}"]


def main() -> None:
    """Check the index that the arguments name, and print what was found as JSON."""
    what, place, collection = sys.argv[1:]
    try:
        if what == "vectors":
            found = look(Path(place), collection)
        else:
            with open_index(place if what == "server" else Path(place), collection) as index:
                found = Checked(index.where, index.count(), check(index))
    except UserError as fault:
        print(f"Error: {fault}", file=sys.stderr)
        sys.exit(2)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
