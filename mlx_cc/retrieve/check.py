"""What an index holds, and whether it can be read whole."""

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
from mlx_cc.retrieve.folder import (
    DATABASE,
    chroma_faults,
    client_of,
    holding,
    is_as_closed,
    is_held_here,
    note_closed,
)
from mlx_cc.retrieve.index import DIMENSION, EMBEDDER, NEXT, Index, open_index
from mlx_cc.splits import unit_interval
from mlx_cc.terminal import status

PROBES = 50
"""About how many entries must be found by their own vector."""
WIDE = 500
"""Rows that such a search asks for: it is approximate, and one for a single row can miss where many texts are equal."""
READING = "reading collection "
"""Printed before each collection: the last line names the one that crashed the process."""
SHOWN = 12
"""Most values of a field that are counted one by one."""


class CheckReport(msgspec.Struct):
    """Result of checking an index."""

    where: str
    entries: int
    faults: list[str]


def check_in_child(place: Path | str, collection: str) -> CheckReport:
    """`check` in a process of its own: a damaged graph of vectors ends the process that reads it.

    Raises:
        UserError: there is no such index, or another process holds it.
    """
    return _in_child("server" if isinstance(place, str) else "folder", str(place), collection)


def faults_since_closed(place: Path, next_alone: str | None = None) -> list[str]:
    """Faults in the vectors of a folder; looks only where a process was killed or wrote since the folder was closed.

    Args:
        next_alone: a collection that is to be made anew; only what an earlier rebuild of it left is looked at.

    Raises:
        UserError: another process holds it.
    """
    if not (place / DATABASE).exists() or is_held_here(place) or is_as_closed(place):
        return []
    with status(f"{place} was not closed when it was last used: checking it"):
        return _in_child("vectors", str(place), next_alone or "").faults


def _in_child(what: str, place: str, collection: str) -> CheckReport:
    child = start("mlx_cc.retrieve.check", what, place, collection, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, log = (data.decode() for data in child.communicate())
    if child.returncode < 0:
        read = [line.removeprefix(READING) for line in log.splitlines() if line.startswith(READING)]
        named = read[-1] if read else collection
        if child.returncode == -signal.SIGKILL:
            fault = f"reading collection {named} was killed, perhaps for lack of memory"
        else:
            fault = _make_anew(named, "Chroma crashes when it reads the vectors")
        return CheckReport(f"{place}, collection {named}", 0, [fault])
    if child.returncode:
        raise UserError(log.strip().rpartition("\n")[2].removeprefix("Error: "))
    return msgspec.json.decode(out, type=CheckReport)


def _make_anew(collection: str, fault: str) -> str:
    name = collection.removesuffix(NEXT)
    return f"collection {collection}: {fault}. Make it anew: mlx_cc rag index PATH --rebuild --collection {name}"


def check_vectors(place: Path, next_alone: str) -> CheckReport:
    """Check the vectors of a folder's collections; if all were checked and are sound, the folder is noted as closed."""
    faults: list[str] = []
    with holding(place):
        try:
            with closing(client_of(place)) as client, chroma_faults(str(place)):
                for found in client.list_collections():
                    if EMBEDDER in (found.metadata or {}) and (not next_alone or found.name == next_alone + NEXT):
                        print(f"{READING}{found.name}", file=sys.stderr, flush=True)
                        index = Index(client, found, f"{place}, collection {found.name}", ExitStack())
                        faults += [_make_anew(found.name, fault) for fault in unfindable(index)]
        except UserError as fault:
            faults.append(str(fault).removeprefix(f"{place}: ").removesuffix("."))
        if not faults and not next_alone:
            note_closed(place)
    return CheckReport(str(place), 0, faults)


def stats(index: Index) -> dict[str, Any]:
    """What an index holds: conversations, entries, embedder, entries of an unfinished rebuild (`half_made`), fields.

    A field has n (conversations with it); few values are counted one by one; numbers have the lowest and the highest.
    """
    known: dict[str, list[Any]] = {}
    parts: Counter[str] = Counter()
    for rows in index.all_rows("metadatas"):
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
        "fields": {name: _summary(name, values) for name, values in known.items()},
    }


def _summary(name: str, values: list[Any]) -> dict[str, Any]:
    if FIELDS[name].kind != "text":
        return {"n": len(values), "lowest": min(values), "highest": max(values)}
    counted = Counter(values)
    summary: dict[str, Any] = {"n": len(values), "different": len(counted)}
    return summary if len(counted) > SHOWN else {**summary, "values": dict(counted.most_common())}


def check(index: Index) -> list[str]:
    """The faults of an index; empty when it is whole.

    Reads every row. Each conversation must have its three entries, each vector the index's size and unit length, and
    a sample of entries must be found by their own vectors.
    """
    faults: list[str] = []
    parts: dict[str, set[str]] = {}
    size = index.about.get(DIMENSION)
    if not index.embedder:
        return ["not an index of mlx_cc: it names no embedder"]
    wrong = lengths = 0
    try:
        for rows in index.all_rows("embeddings", "documents", "metadatas"):
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
    if incomplete := [name for name, there in parts.items() if there != set(PARTS)]:
        faults.append(f"{len(incomplete)} conversations lack an entry, such as {incomplete[0]}: index them again")
    return faults + [_make_anew(index.name, fault) for fault in unfindable(index)]


def unfindable(index: Index) -> list[str]:
    """A fault when entries of a sample are not found by their own vectors; empty when all are."""
    share = PROBES / max(1, index.count())
    vectors = index.vectors([name for name in index.ids() if unit_interval(name) < share])
    # equal texts have equal vectors, so another entry may come first: its similarity is what counts
    missed = [name for name, vector in vectors.items() if index.nearest(vector, WIDE).similarities[0] < 0.999]
    if not missed:
        return []
    return [f"{len(missed)} of {len(vectors)} entries are not found by their own vectors, such as {missed[0]}"]


def main() -> None:
    """Check the index that the arguments name, and print what was found as JSON."""
    what, place, collection = sys.argv[1:]
    try:
        if what == "vectors":
            found = check_vectors(Path(place), collection)
        else:
            with open_index(place if what == "server" else Path(place), collection) as index:
                found = CheckReport(index.where, index.count(), check(index))
    except UserError as fault:
        print(f"Error: {fault}", file=sys.stderr)
        sys.exit(2)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
