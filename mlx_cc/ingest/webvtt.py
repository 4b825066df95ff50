"""WebVTT subtitles (.vtt). Speakers are voice spans, `<v Speaker 0>`, or as in `subtitles.py`."""

import re
from collections.abc import Iterator
from pathlib import Path

from mlx_cc.ingest.format import Format, Incoming, Reading
from mlx_cc.ingest.shapes.subtitles import conversation_of_cues, cues
from mlx_cc.ingest.source import File

COMMENT = re.compile(r"(?:\A|(?<=\n\n))(?:NOTE|STYLE|REGION)(?:[ \t].*)?\n(?:.+\n)*")


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by WEBVTT at the start."""
    return head.startswith(b"WEBVTT") and head[6:7] in (b"", b" ", b"\t", b"\r", b"\n")


def read(file: File, reading: Reading) -> Iterator[Incoming]:
    """The one conversation of the file. A `Created` note is the job's time, so its start is not known."""
    text = COMMENT.sub(lambda found: "\n" * found[0].count("\n"), file.text() + "\n")
    yield conversation_of_cues(cues(text), file, reading, FORMAT.name)


FORMAT = Format("webvtt", recognise, read)
