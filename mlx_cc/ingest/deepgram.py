"""Deepgram: the JSON response for a recorded call.

Utterances are read where the file has them, else words, else the transcript of each channel. A voice's
label is the channel in a file of several channels, else the speaker's number.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading
from mlx_cc.ingest.shapes.objects import shaped
from mlx_cc.ingest.shapes.utterances import Utterance, seconds
from mlx_cc.ingest.shapes.voices import conversation_of, language, segment
from mlx_cc.ingest.source import File, from_json

METADATA = re.compile(rb'"request_id"|"model_info"|"transaction_key"')
CHANNELS = re.compile(rb'"channels"\s*:\s*\[\s*\{')
WORDS = re.compile(rb'"alternatives"\s*:\s*\[|"punctuated_word"')


class Said(Struct):
    transcript: str = ""
    start: Any = None
    end: Any = None
    channel: int | str | None = None
    speaker: int | str | None = None


class Word(Struct):
    word: str = ""
    punctuated_word: str | None = None
    start: Any = None
    end: Any = None
    speaker: int | str | None = None


class Alternative(Struct):
    transcript: str = ""
    words: list[Word] | None = None


class ChannelResult(Struct):
    alternatives: list[Alternative]
    detected_language: str | None = None


class Results(Struct):
    channels: list[ChannelResult] | None = None
    utterances: list[Said] | None = None


class Metadata(Struct):
    request_id: str | None = None


class Answer(Struct):
    results: Results
    metadata: Metadata | None = None


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a request's metadata, or by channels with alternatives, whichever comes first."""
    asked = METADATA.search(head) is not None and b'"sha256"' in head
    return asked or (CHANNELS.search(head) is not None and WORDS.search(head) is not None)


def read(file: File, reading: Reading) -> Iterator[Incoming]:
    """The one conversation of the file; `metadata.created` is the job's time, so its start is not known."""
    document = from_json(file.text())
    if not isinstance(document, dict) or "results" not in document:
        raise UserError("has no results. Export the whole answer of Deepgram again.")
    answer = shaped(document, Answer)
    channels = answer.results.channels or []
    request = answer.metadata and answer.metadata.request_id
    yield conversation_of(
        _segments(answer.results, channels),
        file,
        reading,
        FORMAT.name,
        channel="voice",
        language=next((code for found in channels if (code := language(found.detected_language))), None),
        keys=(request,) if request else (),
    )


def _segments(results: Results, channels: list[ChannelResult]) -> Iterator[Utterance]:
    several = len(channels) > 1
    if results.utterances:
        several = several or len({found.channel for found in results.utterances}) > 1
        for found in results.utterances:
            voice = found.channel if several else found.speaker
            yield segment(found.transcript, voice, seconds(found.start), seconds(found.end))
        return
    for number, channel in enumerate(channels):
        if not channel.alternatives:
            continue
        best = channel.alternatives[0]
        for word in best.words or ():
            voice = number if several else word.speaker
            yield segment(word.punctuated_word or word.word, voice, seconds(word.start), seconds(word.end))
        if not best.words:
            yield segment(best.transcript, number if several else None)


FORMAT = Format("deepgram", recognise, read)
