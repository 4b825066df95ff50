"""Conversations into an index: new ones added, changed ones written again, the others left alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.folders import DataFolder, split_of_file
from mlx_cc.redact import read_redacted
from mlx_cc.retrieve.embed import Embedder
from mlx_cc.retrieve.entries import PARTS, Entry, conversation_of, entries, entry_id, thread_of
from mlx_cc.retrieve.index import Index
from mlx_cc.splits import SPLITS

CHUNK = 128
"""Conversations written together: the most that a kill can cost."""


class Source(NamedTuple):
    """A file of conversations."""

    path: Path
    split: str | None
    """From the file's name, as `prepare` names it."""
    rest: bool = False
    """Take only conversations that the files before do not have."""


class Indexed(NamedTuple):
    """Counts of one run of indexing."""

    conversations: int
    added: int
    changed: int
    """Number of conversations whose text or fields changed."""
    embedded: int
    """Number of entries whose vectors were computed."""
    removed: int = 0


def sources(paths: Iterable[str | Path]) -> list[Source]:
    """The files of conversations that paths name; of a data folder, its splits and what else is in
    `conversations.jsonl`: conversations without labels are in no split.

    Raises:
        UserError: there are none, or something is not a path.
    """
    found: list[Source] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if not isinstance(path, str | Path):
            raise UserError(f"index_files takes paths, not {path!r:.60}. Conversations go to index(conversations).")
        path = Path(path)
        if path.is_dir():
            folder = DataFolder(path)
            here = [Source(file, split) for split in SPLITS if (file := folder.find(split))]
            here += [Source(file, None, rest=True) for file in (folder.conversations, folder.zipped) if file.exists()][
                :1
            ]
            if not here:
                raise UserError(f"{path}: neither train_chatml.jsonl nor conversations.jsonl is there. Name the file.")
            found += here
        else:
            found.append(Source(path, split_of_file(path)))
    return found


def read(files: Sequence[Source]) -> Iterator[tuple[Conversation, str | None]]:
    """The conversations of files, each with its split."""
    seen: set[str] = set()
    for file in files:
        for conversation in read_redacted(file.path):
            if not (file.rest and conversation.id in seen):
                seen.add(conversation.id)
                yield conversation, file.split


def without_split(conversations: Iterable[Conversation]) -> Iterator[tuple[Conversation, None]]:
    """Conversations, each with None for its split.

    Raises:
        UserError: something is not a conversation.
    """
    for one in [conversations] if isinstance(conversations, str | Path | Conversation) else conversations:
        if not isinstance(one, Conversation):
            raise UserError(f"index takes conversations, not {one!r:.60}. Files go to index_files(paths).")
        yield one, None


def index_conversations(
    index: Index,
    embedder: Embedder,
    conversations: Iterable[tuple[Conversation, str | None]],
    previous: dict[str, str] | None = None,
    done: Callable[[int], Any] = lambda _: None,
) -> Indexed:
    """Put (conversation, split) pairs into an index. Run again after a kill, it continues where it was.

    Args:
        previous: id -> id of the contact before; needed where a conversation comes before the one it follows.
        done: called after each batch with the number of conversations so far.

    Raises:
        UserError: the index was made with another embedder, or this one gives no numbers.
    """
    index.check_embedder(embedder)
    previous = {} if previous is None else previous
    seen = added = changed = embedded = 0
    dirty = False
    stream = iter(conversations)
    while some := list(islice(stream, CHUNK)):
        previous |= {c.id: c.previous_contact_id for c, _ in some if c.previous_contact_id}
        threads = _threads(index, [c.id for c, _ in some], previous)
        rows = {e.id: e for c, split in some for e in entries(c, threads[c.id], split)}  # the last of an id counts
        known = index.metadata(list(rows))
        fresh = [e for e in rows.values() if e.id not in known]
        other = [e for e in rows.values() if e.id in known and known[e.id].get("hash") != e.metadata["hash"]]
        if (fresh or other) and not dirty:
            index.mark_changed()
            dirty = True
        said = [e for e in other if known[e.id].get("text_hash") != e.metadata["text_hash"]]
        write = [*fresh, *said]
        if write:
            vectors = _checked(embedder.encode([e.text for e in write]), embedder)
            index.add([_whole(e, known.get(e.id, {})) for e in write], vectors)
        if filed := [e for e in other if e not in said]:
            index.update([e.id for e in filed], [_whole(e, known[e.id]).metadata for e in filed])
        seen += len(some)
        added += len({e.metadata["conversation_id"] for e in fresh})
        changed += len({e.metadata["conversation_id"] for e in other})
        embedded += len(write)
        done(seen)
    if dirty:
        index.mark_changed()
    return Indexed(seen, added, changed, embedded)


def conversations_in(index: Index) -> set[str]:
    """Ids of the conversations of an index."""
    return {conversation_of(name) for name in index.ids()}


def forget_all_but(index: Index, kept: set[str]) -> int:
    """Remove the conversations that are not in `kept` from an index; returns how many."""
    gone = conversations_in(index) - kept
    if gone:
        index.mark_changed()
        index.remove([entry_id(name, part) for name in gone for part in PARTS])
        index.mark_changed()
    return len(gone)


def refuse_to_remove_most(index: Index, kept: set[str], added: int) -> None:
    """Refuse to remove more than half of what an index, or the one that it is to replace, held before this run.

    Args:
        kept: ids of the conversations that stay.
        added: how many of them this run added to `index`.
    """
    old = index.replaced()
    before = conversations_in(old or index)
    gone, count = len(before - kept), len(before) - (0 if old else added)
    if 2 * gone > count:
        raise UserError(
            f"{index.where}: this would remove {gone:,} of its {count:,} conversations, more than half, so none was "
            "removed. Index the other files too, or confirm with --prune-most (Python: prune_most=True)."
        )


def _whole(entry: Entry, known: dict[str, Any]) -> Entry:
    """An entry whose metadata has None for every key that the row has and should lose."""
    lost: Any = {key: None for key in known if key not in entry.metadata}
    return entry._replace(metadata=lost | entry.metadata)


def _threads(index: Index, ids: Sequence[str], previous: dict[str, str]) -> dict[str, str]:
    """Id -> first contact of its chain, also through conversations that are in the index already."""
    threads = {name: thread_of(name, previous) for name in ids}
    beyond = sorted({first for first in threads.values() if first not in threads})
    known = index.metadata([entry_id(first, "problem") for first in beyond]) if beyond else {}
    further = {str(row["conversation_id"]): str(row.get("thread")) for row in known.values()}
    return {name: further.get(first, first) for name, first in threads.items()}


def _checked(vectors: np.ndarray, embedder: Embedder) -> np.ndarray:
    if not np.isfinite(vectors).all():
        raise UserError(f"{embedder.name}: gave a vector that is no number. Check its weights or use another.")
    return vectors
