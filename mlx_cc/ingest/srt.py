"""SubRip subtitles (.srt). A speaker (see `subtitles.py`) stays until the next: many files mark only changes."""

import re
from collections.abc import Iterator
from pathlib import Path

from mlx_cc.ingest.format import Format, Incoming, Reading
from mlx_cc.ingest.shapes.subtitles import conversation_of_cues, cues
from mlx_cc.ingest.source import File

FIRST = re.compile(rb"(?:\d{1,9}[ \t]*\r?[\n\r][ \t]*)?(?:\d+:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?[ \t]*-->")


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a cue's number and time, or its time alone, at the start."""
    return FIRST.match(head.lstrip()) is not None


def read(file: File, reading: Reading) -> Iterator[Incoming]:
    """The one conversation of the file."""
    yield conversation_of_cues(cues(file.text()), file, reading, FORMAT.name)


FORMAT = Format("srt", recognise, read)
