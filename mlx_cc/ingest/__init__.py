"""The data door: exports in, conversations out. A file here is a format; adding one is adding a file.

A format module exports `FORMAT`. Which one reads a file is decided by the file's content. What
can't be read is never lost and never stops the rest: it is handed on as a `Reject` with the reason.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from mlx_cc.conversation import Conversation, Provenance
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.record import zone
from mlx_cc.ingest.source import HEAD_BYTES, File, decoded, input_files, open_file


@cache
def all_formats() -> dict[str, Format]:
    """Format name -> format, in the order they are asked."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    formats = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {found.name: found for found in sorted(formats, key=lambda found: (found.order, found.name))}


def read_folder(
    paths: Iterable[Path | str],
    reading: Reading | None = None,
    *,
    rejects: Callable[[Reject], Any],
    format: str = "auto",
    skip: Collection[Path | str] = (),
) -> Iterator[Conversation]:
    """Stream the conversations of files and folders (searched to any depth, in name order).

    Args:
        paths: files, which are read in any case, and folders.
        reading: what the files do not say themselves.
        rejects: called with every file or record that can't be read, and with every record whose
            id was met before (the first is kept).
        format: a format's name; `auto` decides by content.
        skip: files and folders inside `paths` that are not input. Hidden ones never are.

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
    seen: dict[str, str] = {}
    for path in input_files(paths, skip):
        try:
            file = replace(open_file(path), advance=reading.advance)
            chosen = choose(file) if format == "auto" else all_formats()[format]
            for found in chosen.read(file, reading):
                if isinstance(found, Reject):
                    rejects(found)
                    continue
                if isinstance(found, Incoming):
                    found = found.conversation
                place = found.provenance or Provenance(str(path))
                if found.id in seen:
                    reason = f"the id '{found.id}' was already read from {seen[found.id]}; the first one is kept."
                    rejects(Reject(str(path), place.line, reason))
                    continue
                seen[found.id] = str(path)
                yield found
        except UserError as fault:
            rejects(Reject(str(path), None, str(fault).removeprefix(f"{path}: ")))
        except OSError as fault:
            rejects(Reject(str(path), None, f"{(fault.strerror or str(fault)).lower()}. Check the file."))


def choose(file: File) -> Format:
    """The first format that recognises the file.

    Raises:
        UserError: none does.
    """
    for found in all_formats().values():
        if found.recognise(file.path, file.head):
            return found
    decoded(file.head[:-4] if len(file.head) > HEAD_BYTES - 4 else file.head, cut=True)
    raise UserError(
        f"is in no known format ({', '.join(all_formats())}). Name one with --format, or leave the file out."
    )
