"""Read exports of contact-centre platforms into conversations. Each file here is one format.

A format module exports `FORMAT`; the file's content decides which format reads it. A file or record
that can't be read becomes a `Reject` with the reason, and the rest is read.
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from mlx_cc.conversation import Conversation, Provenance
from mlx_cc.conversation import replace as conversation_with
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import ContactFormat, Format, Incoming, Reading, Reject
from mlx_cc.ingest.record import zone
from mlx_cc.ingest.roles import resolve
from mlx_cc.ingest.source import HEAD_BYTES, File, decoded, input_files, open_file
from mlx_cc.redact.key import pseudonymous

Kind = TypeVar("Kind", Format, ContactFormat)


@cache
def all_formats() -> dict[str, Format]:
    """Name -> transcript format, in the order in which they are tried."""
    return _exported("FORMAT")


@cache
def all_contact_formats() -> dict[str, ContactFormat]:
    """Name -> contact report format, in the order in which they are tried."""
    return _exported("CONTACTS")


def _exported(name: str) -> dict[str, Any]:
    """The objects that the modules here export under a name."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    formats = [getattr(module, name) for module in modules if hasattr(module, name)]
    return {found.name: found for found in sorted(formats, key=lambda found: (found.order, found.name))}


def read_folder(
    paths: Iterable[Path | str],
    reading: Reading | None = None,
    *,
    rejects: Callable[[Reject], Any],
    format: str = "auto",
    skip: Collection[Path | str] = (),
    processes: int = 1,
) -> Iterator[Conversation]:
    """Stream the conversations of files and folders (searched to any depth, in name order).

    Args:
        paths: files, which are always read, and folders.
        reading: defaults for what the files do not say.
        rejects: called with every file or record that can't be read, and with every record whose
            id occurred before (the first is kept).
        format: a format's name; `auto` decides by content.
        skip: files and folders inside `paths` that are not input. Hidden ones never are.
        processes: number of reading processes; more than one pays off for large input.

    Raises:
        UserError: there is no such path or format, or no file at all.
    """
    reading = reading or Reading()
    if format != "auto" and format not in all_formats():
        raise UserError(f"no format '{format}'. Known formats: auto, {', '.join(all_formats())}.")
    if reading.timezone is not None:
        zone(reading.timezone)
    if format == "auto" and reading.columns is not None:
        format = "jsonl"
    files = input_files(paths, skip)
    if processes > 1:
        from mlx_cc.ingest.processes import read

        stream = read(files, reading, format, processes)
    else:
        stream = (found for path in files for found in read_file(path, reading, format))
    seen: dict[int, str] = {}
    """Hash of an id -> the file it was read from."""
    for found in stream:
        if isinstance(found, Reject):
            rejects(found)
            continue
        place = found.provenance or Provenance("")
        if hash(found.id) in seen:
            reason = f"the id '{found.id}' was already read from {seen[hash(found.id)]}; the first one is kept."
            rejects(Reject(place.file, place.line, reason))
            continue
        seen[hash(found.id)] = sys.intern(place.file)
        yield found


def read_file(path: Path, reading: Reading, format: str, file: File | None = None) -> Iterator[Conversation | Reject]:
    """The finished conversations of one file, or a Reject where it can't be read.

    Args:
        path: path of the file.
        reading: defaults for what it does not say.
        format: a format's name, or `auto`.
        file: the open file, or a part of it.
    """
    try:
        file = file or replace(open_file(path), advance=reading.advance)
        chosen = choose(file) if format == "auto" else all_formats()[format]
        for found in chosen.read(file, reading):
            yield found if isinstance(found, Reject) else finish(found, reading)
    except UserError as fault:
        yield Reject(str(path), None, str(fault).removeprefix(f"{path}: "))
    except OSError as fault:
        yield Reject(str(path), None, f"{(fault.strerror or str(fault)).lower()}. Check the file.")


def finish(found: Conversation | Incoming, reading: Reading) -> Conversation:
    """The conversation of a parsed record: joined with its contact record, roles resolved, redacted."""
    if isinstance(found, Conversation):
        found = Incoming(found)
    if reading.contacts is not None:
        found = reading.contacts.join(found)
    conversation = resolve(found, reading)
    place = conversation.provenance or Provenance("")
    if reading.redactor is None:
        if not reading.keep_personal_data or place.redacted:
            return conversation
        return conversation_with(conversation, provenance=conversation_with(place, personal_data_kept=True))
    if found.names or not place.redacted:
        conversation = reading.redactor.redact(conversation, found.names)
    customer = conversation.customer_id
    if customer is not None and reading.pseudonym_key is not None:
        customer = pseudonymous(customer, reading.pseudonym_key)
    place = conversation_with(place, redacted=True, personal_data_kept=False)
    return conversation_with(conversation, customer_id=customer, provenance=place)


def choose(file: File, formats: Mapping[str, Kind] | None = None) -> Kind:
    """The first format that recognises the file.

    Args:
        file: with its first bytes.
        formats: formats to choose from; None for transcript formats.

    Raises:
        UserError: no format does.
    """
    reports = {} if formats is not None else all_contact_formats()
    formats = formats or cast("Mapping[str, Kind]", all_formats())
    chosen = next((found for found in formats.values() if found.recognise(file.path, file.head)), None)
    for report in reports.values():
        if (chosen is None or report.order < chosen.order) and report.recognise(file.path, file.head):
            raise UserError(f"is a report about contacts ({report.name}), not a transcript. Pass it with --contacts.")
    if chosen is not None:
        return chosen
    decoded(file.head[:-4] if len(file.head) > HEAD_BYTES - 4 else file.head, cut=True)
    raise UserError(f"is in no known format ({', '.join(formats)}). Name one with --format, or leave the file out.")
