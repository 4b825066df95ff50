"""Whisper: `segments` with times in seconds (openai-whisper, mlx-whisper, whisper-timestamped), with `speaker` where
WhisperX separated the voices; or a bare list of such segments, as written from faster-whisper.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading
from mlx_cc.ingest.shapes.objects import shaped
from mlx_cc.ingest.shapes.utterances import seconds
from mlx_cc.ingest.shapes.voices import conversation_of, language, segment
from mlx_cc.ingest.source import File, from_json

TIME = rb'"(?:start|end)"\s*:\s*"?[\d.N-]'
SEGMENTS = re.compile(rb'"segments"\s*:\s*\[\s*(?:\]|\{[^{}]*' + TIME + rb")")
LIST = re.compile(rb"\[\s*\{[^{}]*" + TIME)
OTHERS = re.compile(rb'"(?:turns|transcript|messages|role|utterances)"\s*:')


class Piece(Struct):
    """A segment."""

    text: str = ""
    start: Any = None
    end: Any = None
    speaker: int | str | None = None


class Transcription(Struct):
    segments: list[Piece]
    language: Any = None


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by segments, or a list, whose first object has text and a time in seconds."""
    if b'"text"' not in head or OTHERS.search(head):
        return False
    return bool(LIST.match(head.lstrip()) or SEGMENTS.search(head))


def read(file: File, reading: Reading) -> Iterator[Incoming]:
    """The one conversation of the file."""
    document = _document(file.text())
    if isinstance(document, list):
        document = {"segments": document}
    found = shaped(document, Transcription)
    yield conversation_of(
        (segment(one.text, one.speaker, seconds(one.start), seconds(one.end)) for one in found.segments),
        file,
        reading,
        FORMAT.name,
        channel="voice",
        language=language(found.language),
    )


def _document(text: str) -> Any:
    """Parsed JSON. Scores that are NaN, which Python writes and JSON does not have, become null."""
    try:
        return from_json(text)
    except UserError as fault:
        if "NaN" not in text:
            raise
        try:
            return from_json(json.dumps(json.loads(text, parse_constant=lambda name: None)))
        except (ValueError, RecursionError):
            raise fault from None


FORMAT = Format("whisper", recognise, read)
