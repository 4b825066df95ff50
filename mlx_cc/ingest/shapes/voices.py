"""Speech recognition: timed segments of labelled voices become the turns of one conversation."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from mlx_cc.conversation import Channel, Role
from mlx_cc.ingest.format import Incoming, Reading
from mlx_cc.ingest.roles import name_in, role_of
from mlx_cc.ingest.shapes.utterances import Utterance, incoming
from mlx_cc.ingest.source import File

GAP_S = 1.0
"""A pause of this length within one voice starts a new turn."""

LANGUAGE = re.compile(r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?", re.I)


def segment(text: str | None, voice: Any = None, start_s: float | None = None, end_s: float | None = None) -> Utterance:
    """A piece of speech of a recogniser or a subtitle, with the file's label of the speaker."""
    label = "" if voice is None else str(voice).strip()
    return Utterance(" ".join((text or "").split()), None, label or None, start_s, end_s)


def language(code: Any) -> str | None:
    """A language code as BCP 47 (`en_us` is `en-US`); None for anything else, such as a language's name."""
    found = LANGUAGE.fullmatch(code) if isinstance(code, str) else None
    if found is None:
        return None
    speech, script, region = found.groups()
    return "-".join(filter(None, (speech.lower(), script and script.title(), region and region.upper())))


def conversation_of(
    segments: Iterable[Utterance],
    file: File,
    reading: Reading,
    format: str,
    *,
    channel: Channel,
    language: str | None = None,
    keys: tuple[str, ...] = (),
) -> Incoming:
    """The one conversation of a file, its segments merged into turns.

    A label that names a role gives the role; else the role is unknown and the labels are returned.

    Raises:
        UserError: there is no segment with text.
    """
    turns = [turn._replace(role=role_of_voice(turn.voice, reading)) for turn in merged(segments)]
    voices = dict.fromkeys(turn.voice for turn in turns if turn.voice is not None)
    fields = {"id": file.stem, "channel": channel, "language": language}
    return incoming(turns, fields, reading, file, None, format, names=map(name_in, voices), keys=keys)


def role_of_voice(voice: str | None, reading: Reading) -> Role | None:
    """The role that a label names; None when it names none, or when the caller gives it a role (`roles.resolve`)."""
    return None if voice is None or voice in reading.roles else role_of(voice)


def merged(segments: Iterable[Utterance]) -> Iterator[Utterance]:
    """Segments in order of start; those of one voice with less than `GAP_S` between them are merged.

    Segments without a label are merged only where a sentence goes on.
    """
    held: list[Utterance] = []
    end: float | None = None
    for found in _in_order(segments):
        if held and not (_same_voice(held[-1], found) and _gap(end, found) < GAP_S):
            yield _one(held, end)
            held, end = [], None
        held.append(found)
        if found.end_s is not None:
            end = found.end_s if end is None else max(end, found.end_s)
    if held:
        yield _one(held, end)


def _in_order(segments: Iterable[Utterance]) -> list[Utterance]:
    """Segments with text; one without a start follows the one before it, an end before its start is dropped."""
    placed: list[tuple[float, Utterance]] = []
    place = 0.0
    for found in segments:
        if not found.text:
            continue
        place = place if found.start_s is None else found.start_s
        if found.end_s is not None and found.end_s < place:
            found = found._replace(end_s=None)
        placed.append((place, found))
    return [found for _, found in sorted(placed, key=lambda pair: pair[0])]


def _same_voice(before: Utterance, after: Utterance) -> bool:
    if before.voice is None:
        return after.voice is None and not (before.text or "").endswith((".", "?", "!", "…", "。", "？", "！"))
    return before.voice == after.voice


def _gap(end: float | None, after: Utterance) -> float:
    return GAP_S if end is None or after.start_s is None else after.start_s - end


def _one(held: list[Utterance], end: float | None) -> Utterance:
    return held[0]._replace(text=" ".join(found.text or "" for found in held), end_s=end)
