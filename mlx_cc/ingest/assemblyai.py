"""AssemblyAI: the JSON of a finished transcript. Its times are milliseconds.

Utterances are read where the file has speaker labels or several channels, else words, else the text.
"""

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

MS = 1000
JOB = re.compile(rb'"(?:audio_url|acoustic_model|speech_model|speech_models|audio_duration|language_model)"\s*:')
SPEECH = re.compile(rb'"(?:utterances|words)"\s*:')


class Piece(Struct):
    """An utterance or a word."""

    text: str = ""
    start: Any = None
    end: Any = None
    speaker: int | str | None = None
    channel: int | str | None = None


class Transcript(Struct):
    id: str | None = None
    status: str | None = None
    error: str | None = None
    text: str | None = None
    words: list[Piece] | None = None
    utterances: list[Piece] | None = None
    language_code: str | None = None


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a job's keys with words or utterances."""
    return JOB.search(head) is not None and SPEECH.search(head) is not None and b'"alternatives"' not in head


def read(file: File, reading: Reading) -> Iterator[Incoming]:
    """The one conversation of the file."""
    found = shaped(from_json(file.text()), Transcript)
    if not (found.utterances or found.words or found.text):
        fault = f" ({found.error})" if found.error else ""
        raise UserError(f"has no speech: its status is {found.status!r}{fault}. Export it when it is completed.")
    pieces = found.utterances or found.words or [Piece(found.text or "")]
    yield conversation_of(
        (
            segment(
                piece.text,
                piece.channel if piece.speaker is None else piece.speaker,
                seconds(piece.start, MS),
                seconds(piece.end, MS),
            )
            for piece in pieces
        ),
        file,
        reading,
        FORMAT.name,
        channel="voice",
        language=language(found.language_code),
        keys=(found.id,) if found.id else (),
    )


FORMAT = Format("assemblyai", recognise, read)
