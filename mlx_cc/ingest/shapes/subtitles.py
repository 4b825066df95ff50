"""Shared by WebVTT and SubRip subtitles: timed lines and their speakers."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Incoming, Reading
from mlx_cc.ingest.roles import role_of
from mlx_cc.ingest.shapes.utterances import Utterance, seconds
from mlx_cc.ingest.shapes.voices import conversation_of, segment
from mlx_cc.ingest.source import File

CLOCK = r"((?:\d{1,4}:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?)"
TIMING = re.compile(rf"[ \t]*{CLOCK}[ \t]*-->[ \t]*{CLOCK}(?:[ \t].*)?$")
VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^<>\s][^<>]*)>")
TAG = re.compile(r"</?[a-zA-Z0-9][^<>]{0,200}>|</?>|\{\\[^{}]{0,80}\}")
BRACKETED = re.compile(r"[\[(]([^\[\]()]{1,60})[\])]\s*(:?)\s*")
PREFIXED = re.compile(r"([^\W\d_][^:<>\[\]\n]{0,39}?)\s*:\s+(?=\S)")
NUMBERED = re.compile(r"(?:speaker|spk|channel|participant|voice)[\s_#-]*(?:\d+|[a-z])", re.I)


class Cue(NamedTuple):
    """One subtitle: its time and its lines."""

    start_s: float | None
    end_s: float | None
    text: str


def cues(text: str) -> Iterator[Cue]:
    """The cues of a file, without the text before, between and after them.

    Raises:
        UserError: a line with an arrow has no times that can be read.
    """
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if "-->" not in line:
            continue
        timing = TIMING.match(line)
        if timing is None:
            raise UserError(
                f"line {number}: '{line.strip()[:60]}' is not a cue's time. Write 00:01:02.500 --> 00:01:04.000."
            )
        said = []
        while number < len(lines) and lines[number].strip() and "-->" not in lines[number]:
            said.append(lines[number])
            number += 1
        if number < len(lines) and "-->" in lines[number] and said and said[-1].strip().isdecimal():
            said.pop()
        yield Cue(_clock(timing[1]), _clock(timing[2]), "\n".join(said))


def conversation_of_cues(found: Iterable[Cue], file: File, reading: Reading, format: str) -> Incoming:
    """The one conversation of a subtitle file.

    A `<v Ann>` span, or `[speaker 0]` or `Agent:` at the start of a cue, sets the voice until the next
    one. A start counts as a voice when it is numbered, names a role, is in `reading.roles`, or starts two
    cues or more; in brackets, when a colon follows.

    Raises:
        UserError: no cue has text.
    """
    pieces = [(cue, voice, words) for cue in found for voice, words in _voices(cue.text)]
    starts = Counter(start[1] for _, _, words in pieces if (start := PREFIXED.match(words)))
    repeated = {label for label, count in starts.items() if count > 1}
    return conversation_of(_segments(pieces, repeated, reading), file, reading, format, channel="unknown")


def _segments(
    pieces: Iterable[tuple[Cue, str | None, str]], repeated: set[str], reading: Reading
) -> Iterator[Utterance]:
    voice: str | None = None
    for cue, span, words in pieces:
        start = BRACKETED.match(words) or PREFIXED.match(words)
        if span is not None:
            voice = span
        elif start and _is_voice(start, repeated, reading):
            voice, words = start[1].strip(), words[start.end() :]
        yield segment(words, voice, cue.start_s, cue.end_s)


def _voices(text: str) -> Iterator[tuple[str | None, str]]:
    """The (voice, words) of a cue, without markup; voice is None before the first span."""
    voice = None
    for place, part in enumerate(VOICE.split(text)):
        if place % 2:
            voice = html.unescape(part).strip() or None
        elif words := html.unescape(TAG.sub("", part)).strip():
            yield voice, words


def _is_voice(start: re.Match[str], repeated: set[str], reading: Reading) -> bool:
    label = start[1].strip()
    if NUMBERED.fullmatch(label) or label in reading.roles or role_of(label):
        return True
    return start[2] == ":" if start.re is BRACKETED else label in repeated


def _clock(text: str) -> float | None:
    total = 0.0
    for part in text.replace(",", ".").split(":"):
        total = total * 60 + float(part)
    return seconds(round(total, 3))
