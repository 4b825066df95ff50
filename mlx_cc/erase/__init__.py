"""Erasing: a conversation, or all of a customer's, from every file under some folders.

A record goes where it is found: a line of JSON lines, an item or a document of JSON, a transcript's
file. An index is copied without it. What can't be taken out (weights that learned from it, a page, an export that
holds others too) is named instead, after a search of every file for its ids.

Files that tell which conversations are a customer's change last, so that an erasure that was
interrupted finds the rest when it is run again.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlx_cc.erase.target import Target, aliases_of, hash_of, names_target, note
from mlx_cc.erase.walk import (
    UNREADABLE,
    Find,
    delete,
    files_under,
    holds,
    holds_lines,
    names,
    opened,
    rewritten,
)
from mlx_cc.errors import UserError
from mlx_cc.files import locked, read_json
from mlx_cc.folders import AgentsFolder, DataFolder, ModelFolder, RunFolder
from mlx_cc.ingest import all_contact_formats, choose, read_folder
from mlx_cc.ingest.format import Reading, Reject
from mlx_cc.ingest.source import open_file
from mlx_cc.retrieve import rewrite
from mlx_cc.retrieve.check import faults_since_closed
from mlx_cc.retrieve.folder import DATABASE, INDEX_FILES, MOVING, REWRITTEN
from mlx_cc.retrieve.folder import holding as holding_index

PLACES = ("data", "adapters", "models", "demo", "rejects", "coaching")
FILES = (DataFolder.conversations.name, DataFolder.zipped.name, DataFolder.rejects.name)
"""Where a project keeps what mlx_cc writes, in its own folder."""
CITING = ("evidence", "conversation_ids")
"""Keys whose lists hold ids of conversations."""
STATES = "states-*.npy"
INDEX = Path(DATABASE).suffix
NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Change(NamedTuple):
    """What erasing does to one file."""

    path: Path
    entries: int
    """Lines or entries that go or change; 0 when the file itself goes."""
    tells_customer: bool = False
    """It is needed to know which conversations are the customer's."""

    @property
    def aggregate(self) -> bool:
        """Whether figures stay in it that were computed with the conversation: those of agents' profiles."""
        return bool(self.entries) and self.path.name == AgentsFolder.profiles.name

    def __str__(self) -> str:
        one, more = ("entry", "entries") if self.path.suffix in (".json", INDEX) else ("line", "lines")
        what = f"{self.entries} {one if self.entries == 1 else more}" if self.entries else "the whole file"
        return f"{self.path}: {what}"


class Left(NamedTuple):
    """What still holds it, and the way out."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def project() -> list[Path]:
    """Where mlx_cc keeps its files, in the current folder.

    Raises:
        UserError: there is nothing of the kind.
    """
    found = [path for name in (*PLACES, *FILES) if (path := Path(name)).exists()]
    if not found:
        known = ", ".join((*PLACES, *FILES))
        raise UserError(f"none of {known} is here. Run it in the project's folder, or name PATHs.")
    return found


@contextmanager
def held(paths: Sequence[Path]) -> Iterator[None]:
    """Hold every training run under the paths, and every journal of chains.

    Raises:
        UserError: one of them is being written.
    """

    def refuse(folder: Path) -> None:
        what = "generate" if folder.suffix == ".journal" else "a training run"
        raise UserError(f"{folder}: {what} is writing there. Erase when it has ended, or stop it.")

    runs = {
        path.parent
        for path in files_under(paths)
        if path.name in (RunFolder.config.name, RunFolder.manifest.name) or path.parent.suffix == ".journal"
    }
    with ExitStack() as stack:
        for folder in sorted(runs):
            stack.enter_context(locked(folder, partial(refuse, folder)))
        yield


# What goes


def resolve(paths: Sequence[Path], conversations: Collection[str], customers: Collection[str]) -> Target:
    """The conversations, with those whose record or export names one of the customers.

    Raises:
        UserError: a path does not exist.
    """
    known: dict[str, set[str]] = {alias: set() for customer in customers for alias in aliases_of(customer)}
    finds = Target(frozenset(known)).finder()
    hashes = {hash_of(alias): alias for alias in known}
    for path in files_under(paths) if known else ():
        if path == RunFolder(path.parent).erased:
            for digest, ids in read_json(path, dict[str, list[str]]).items():
                known.get(hashes.get(digest, ""), set()).update(ids)
        elif _is_index(path):
            _add(known, _rows_of(path))
        elif not _is_in_index(path) and names(path, finds):
            _add(known, _ids_in(path, finds))
    of_customers = {alias: frozenset(ids) for alias, ids in known.items()}
    return Target(frozenset(conversations).union(*of_customers.values()), frozenset(known), of_customers)


def _add(known: Mapping[str, set[str]], found: Iterable[tuple[str, str | None]]) -> None:
    for conversation, customer in found:
        known.get(str(customer), set()).add(conversation)


def plan(paths: Sequence[Path], target: Target) -> list[Change]:
    """The files that hold the target and what is to happen to each, in the order to do it."""
    finds, tells = target.finder(), Target(frozenset(), target.customers).finder() if target.customers else None
    changes: list[Change] = []
    caches: list[Change] = []
    known = False
    for path in files_under(paths):
        if _is_index(path):
            rows = list(_rows_of(path))
            if meant := sum(target.covers(*ids) for ids in rows):
                changes.append(Change(path, meant, any(target.covers(None, customer) for _, customer in rows)))
        elif _is_in_index(path):
            continue
        elif path.match(STATES):
            caches.append(Change(path, 0))
        elif path == RunFolder(path.parent).erased:
            continue
        elif _is_manifest(path):
            known |= _trained_on(path, target)
        elif finds(os.fsencode(path.name)) or names(path, finds):
            entries = _entries(path, target, finds)
            if entries is not None:
                changes.append(Change(path, entries, tells is not None and names(path, tells)))
    if not (known or changes):
        return []
    return [*caches, *sorted(changes, key=lambda change: change.tells_customer)]


def erase(paths: Sequence[Path], changes: Sequence[Change], target: Target) -> None:
    """Make the changes. Each file changes whole or not at all; the rest of it keeps its bytes or its values.

    First the customers' conversations are noted beside each model that learned from them: afterwards nothing else
    says whose they were, and a later erasure must still name the model.
    """
    for manifest in filter(_is_manifest, files_under(paths)) if target.of_customers else ():
        note(RunFolder(manifest.parent), target.of_customers)
    finds = target.finder()
    for change in changes:
        path = change.path
        if path.name == DATABASE:
            rewrite.rewrite(path.parent, target.covers)
        elif not change.entries:
            delete(path)
        elif path.suffix == ".json":
            with rewritten(path) as file:
                kept = _without(msgspec.json.decode(path.read_bytes()), target)
                file.write(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
        else:
            left = 0
            with rewritten(path) as file:
                for _, line in _lines_without(path, target, finds):
                    left += len(line)
                    file.write(line)
            if not left and path.name == DataFolder.rejects.name:
                delete(path)  # as if nothing had been rejected


def _entries(path: Path, target: Target, finds: Find) -> int | None:
    """How many lines or entries of a file go or change; 0 for the file itself, None when nothing can be taken out."""
    if holds_lines(path):
        if changed := sum(line is not before for before, line in _lines_without(path, target, finds)):
            return changed
    elif path.suffix == ".json":
        try:
            tree = msgspec.json.decode(path.read_bytes())
            if isinstance(tree, dict) and _is_meant(tree, target):
                return 0
            if changed := _differences(tree, _without(tree, target)):
                return changed
        except NO_JSON:
            pass
    return 0 if _is_export_of(path, target) else None


def _is_export_of(path: Path, target: Target) -> bool:
    """Whether a file is an export that `ingest` reads, and all its transcripts or contacts are meant."""
    only_meant = False
    for read in (_transcripts, _contacts):
        rejects: list[Reject] = []
        found = False
        for ids in read(path, rejects):
            if not target.covers(*ids):
                return False
            found = True
        only_meant |= found and not rejects
    return only_meant


def _lines_without(path: Path, target: Target, finds: Find) -> Iterator[tuple[bytes, bytes]]:
    """Every line, and what is left of it: itself, its changed bytes or none."""
    with opened(path) as file:
        for line in file:
            yield line, _line_without(line, target, finds) if finds(line) else line


def _line_without(line: bytes, target: Target, finds: Find) -> bytes:
    try:
        tree = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"))
        reject = isinstance(tree, dict) and tree.keys() == set(Reject._fields) and names_target(tree, target, finds)
        if reject or (isinstance(tree, dict) and _is_meant(tree, target)):
            return b""
        kept = _without(tree, target)
    except NO_JSON:
        return line
    return line if kept == tree else msgspec.json.encode(kept) + b"\n"


def _is_meant(record: dict[str, Any], target: Target) -> bool:
    """Whether an object is a record, a row, an answer or an analysis of the target."""
    inner = record.get("conversation")
    customer = (inner if isinstance(inner, dict) else record).get("customer_id")
    return target.covers(record.get("conversation_id", record.get("id")), customer)


def _without(tree: Any, target: Target, top: bool = True) -> Any:
    """A JSON value without the items about the target and without citations of it; everything else equal."""
    if isinstance(tree, list):
        return [
            _without(item, target, False)
            for item in tree
            if not (isinstance(item, dict) and (top or "conversation_id" in item) and _is_meant(item, target))
        ]
    if not isinstance(tree, dict):
        return tree
    kept: dict[str, Any] = {}
    for key, value in tree.items():
        if key in CITING and isinstance(value, list):
            value = [item for item in value if not (isinstance(item, str) and item in target.conversations)]
        kept[key] = _without(value, target, False)
    if kept.get("previous_contact_id") in target.conversations:
        del kept["previous_contact_id"]
        if kept.get("is_followup") is None:
            kept["is_followup"] = True  # what is known of it without the id
    return kept


def _differences(before: Any, after: Any) -> int:
    """How many items and keys of `before` are not in `after`, or changed."""
    if isinstance(before, dict) and isinstance(after, dict):
        return sum(_differences(value, after.get(key)) for key, value in before.items())
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return sum(map(_differences, before, after))
    return max(1, len(before) - len(after)) if isinstance(before, list) and before != after else int(before != after)


def _is_index(path: Path) -> bool:
    """Whether a file is an index's database, and not that of a copy which was interrupted."""
    return path.name == DATABASE and path.parent.name not in (rewrite.PART, REWRITTEN, MOVING)


def _is_in_index(path: Path) -> bool:
    """Whether a file belongs to an index: to its database, a collection's vectors, or the words kept beside them."""
    for folder in list(path.parents)[:3]:
        if (folder / DATABASE).exists():
            return INDEX_FILES.fullmatch(path.relative_to(folder).parts[0]) is not None
    return False


def _rows_of(database: Path) -> Iterator[tuple[str, str | None]]:
    """Conversation and customer id of each row of an index; none of one that can't be read, which is named later.

    Raises:
        UserError: another process uses it.
    """
    if faults_since_closed(database.parent):
        return
    with holding_index(database.parent):
        try:
            yield from rewrite.ids_in(database.parent)
        except UserError:
            return


def _ids_in(path: Path, finds: Find) -> Iterator[tuple[str, str | None]]:
    """Conversation and customer id of a file's records; of JSON lines, those of the lines that are found."""
    if holds_lines(path):
        with opened(path) as file:
            for line in filter(finds, file):
                yield from _ids_of(line)
        return
    if path.suffix == ".json":
        yield from _ids_of(path.read_bytes())
    yield from _transcripts(path, [])
    yield from _contacts(path, [])


def _ids_of(document: bytes) -> Iterator[tuple[str, str | None]]:
    try:
        tree = msgspec.json.decode(document.removeprefix(b"\xef\xbb\xbf"))
    except NO_JSON:
        return
    for record in tree if isinstance(tree, list) else [tree]:
        if isinstance(record, dict) and isinstance(record.get("conversation", record), dict):
            customer = record.get("conversation", record).get("customer_id")
            conversation = record.get("conversation_id", record.get("id"))
            if conversation is not None and customer is not None:
                yield str(conversation), str(customer)


READING = Reading(default_role="unknown", timezone="UTC")  # for ids alone


def _transcripts(path: Path, rejects: list[Reject]) -> Iterator[tuple[str, str | None]]:
    """Conversation and customer id of each transcript of an export."""
    for conversation in read_folder([path], READING, rejects=rejects.append):
        yield conversation.id, conversation.customer_id


def _contacts(path: Path, rejects: list[Reject]) -> Iterator[tuple[str, str | None]]:
    """Conversation and customer id of each contact of a report."""
    try:
        file = open_file(path)
        for found in choose(file, all_contact_formats()).read(file, READING):
            if isinstance(found, Reject):
                rejects.append(found)
            else:
                yield found.id, found.customer_id
    except (UserError, *UNREADABLE) as fault:
        rejects.append(Reject(str(path), None, str(fault)))


# What is left


def search(paths: Sequence[Path], target: Target, skip: Collection[Path] = ()) -> Iterator[Left]:
    """Every file under the paths that still holds the target, in its bytes or its name; weights by their manifest.

    Args:
        skip: files that are not looked at.
    """
    finds = target.finder()
    for path in files_under(paths):
        if path in skip:
            continue
        try:
            if path == RunFolder(path.parent).erased:
                continue
            if _is_manifest(path):
                if _trained_on(path, target):
                    yield Left(path.parent, _train_again(path.parent))
            elif finds(os.fsencode(path.name)) or _still_names(path, target, finds):
                yield Left(path, _way_out(path, target, finds))
        except UNREADABLE as fault:
            yield Left(path, f"can't be searched ({fault}). Look into it, or delete it.")


def _train_again(folder: Path) -> str:
    run = RunFolder(folder)
    if not run.config.exists():
        return "merged from an adapter that was trained on it. Train that again without it, then `mlx_cc fuse`."
    return f"trained on it. Train again without it: mlx_cc train --config {run.settings} --run {folder.name}"


def _still_names(path: Path, target: Target, finds: Find) -> bool:
    if holds_lines(path):
        return _first_line(path, target, finds) is not None
    return holds(path, finds) and (path.suffix != ".json" or _document_names(path.read_bytes(), target, finds))


def _document_names(document: bytes, target: Target, finds: Find) -> bool:
    """Whether JSON names the target; what is no JSON, by its bytes."""
    try:
        return finds(document) and names_target(msgspec.json.decode(document), target, finds)
    except NO_JSON:
        return True


def _first_line(path: Path, target: Target, finds: Find) -> int | None:
    with opened(path) as file:
        return next((at for at, line in enumerate(file, 1) if _document_names(line, target, finds)), None)


def _way_out(path: Path, target: Target, finds: Find) -> str:
    if _is_in_index(path):
        return "part of an index that can't be read. Delete its folder and make it again: mlx_cc rag index."
    if path.suffix in (".html", ".eml"):
        return "a page or draft that names it. Make it again, or delete it."
    if path.suffix == ".part":
        return "left by a command that was interrupted. Run that again, or delete the file."
    if holds_lines(path) and (line := _first_line(path, target, finds)):
        return f"line {line} names it in a record of something else. Edit or delete that line."
    return "names it. Edit it, make it again, or delete it."


def _is_manifest(path: Path) -> bool:
    """Whether a file is a model's list of the conversations it was trained on."""
    beside = RunFolder(path.parent).config, ModelFolder(path.parent).config
    return path.name == RunFolder.manifest.name and any(config.exists() for config in beside)


def _trained_on(manifest: Path, target: Target) -> bool:
    return not target.conversations.isdisjoint(RunFolder(manifest.parent).learned_from())
