"""Plain text: `Agent: ...` and `Customer: ...` lines, with optional times and YAML front matter.

    ---
    id: call-17
    started_at: 2025-03-10T14:05:12-05:00
    ---
    [00:00] Agent: Thank you for calling.
    [00:06] **Customer**: My bill is wrong,
    and it was wrong last month too.

A line without a speaker, or an indented one, continues the turn above. The roles of `Ann:` or `Speaker 1:` are
guessed from their words, where at least two lines have the label or two such labels alternate. Front
matter has the keys of the record; without an `id` the file's name is the id.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mlx_cc.conversation import Conversation, Role
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Incoming, Reading, Reject
from mlx_cc.ingest.record import to_conversation
from mlx_cc.ingest.roles import names_in, resolve, role_of, unknown_speaker
from mlx_cc.ingest.source import File, suffix
from mlx_cc.settings import UniqueKeys

FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
STAMP = re.compile(r"\[(\d+(?::\d+)+(?:\.\d+)?)\][ \t]*")
SPEAKER = re.compile(r"(\*\*)?([^\W\d_][^:：*\[\]]{0,39}?)[ \t]*(?:\*\*)?(?::(?:\*\*)?(?:[ \t]+|$)|：(?:\*\*)?[ \t]*)")
NO_SPEAKERS = {"note", "notes", "nota", "remarque", "hinweis", "anmerkung", "observação", "备注", "summary", "subject"}
"""Words before a colon that are never a speaker, however often they occur."""


# BaseLoader leaves every value as text, so that `country: NO` is Norway and `id: 0017` keeps its zeros.
class _Loader(UniqueKeys, getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]
    pass


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a text suffix, or by a line that starts with a known speaker."""
    if suffix(path).lower() in (".txt", ".md"):
        return True
    for line in head.decode("utf-8", "replace").splitlines():
        stamp = STAMP.match(line)
        said = SPEAKER.match(line, stamp.end() if stamp else 0)
        if said and role_of(said[2]):
            return True
    return False


def read(file: File, reading: Reading) -> Iterator[Conversation | Incoming | Reject]:
    """The one conversation of the file."""
    yield _incoming(file.text(), file, reading)


def parse(text: str, name: str = "transcript") -> Conversation:
    """A transcript given as text. A speaker without a given or clear role is unknown.

    Raises:
        UserError: the front matter is invalid, or there is no text.
    """
    reading = Reading(default_role="unknown")
    return resolve(_incoming(text, File(Path(name), b""), reading), reading)


def _incoming(text: str, file: File, reading: Reading) -> Incoming:
    front = FRONT.match(text)
    if front is None and text.startswith("---\n"):
        raise UserError("front matter starts with --- and never ends. Add a second --- line.")
    tree = _front_matter(front[1]) if front else {}
    body = text[front.end() :] if front else text
    tree.setdefault("id", file.stem)
    first_line = text.count("\n", 0, front.end()) + 1 if front else 1
    tree["turns"], labels = spoken(body, reading, first_line)
    conversation = to_conversation(tree, reading, file, None, FORMAT.name, strict=False)
    unknown = any(turn.role == "unknown" for turn in conversation.turns)
    return Incoming(conversation, names_in(labels), speakers=tuple(labels) if unknown else ())


def _front_matter(text: str) -> dict[str, Any]:
    if len(text) > 10_000:  # deep nesting overflows the parser's stack
        raise UserError(f"front matter has {len(text)} characters, more than 10000. End it with a --- line.")
    try:
        tree = yaml.load("\n" + text, Loader=_Loader)  # the line of --- counts in messages
    except (yaml.YAMLError, RecursionError) as fault:
        raise UserError(f"front matter is not YAML ({' '.join(str(fault).split())}).") from fault
    if not isinstance(tree, dict):
        raise UserError("front matter is not a list of `key: value` lines.")
    return {key: value for key, value in tree.items() if value not in ("", "~", "null")}


def turns_of(text: str, reading: Reading) -> list[dict[str, Any]]:
    """The turns of a transcript, as from `spoken`."""
    return spoken(text, reading)[0]


def spoken(text: str, reading: Reading, first_line: int = 1) -> tuple[list[dict[str, Any]], list[str | None]]:
    """The turns of a transcript (role, text and, where lines have times, start_s) and the label of each.

    Raises:
        UserError: there is no default role, and text comes before the first speaker, or a line's unknown
            label occurs only once.
    """
    turns: list[dict[str, Any]] = []
    labels: list[str | None] = []
    if text.lstrip("\n")[:1].isspace():
        text = textwrap.dedent(text)
    lines = [
        (number, line, stamp, SPEAKER.match(line, stamp.end() if stamp else 0))
        for number, line in enumerate(text.split("\n"), first_line)
        if line.strip()
        for stamp in [STAMP.match(line)]
    ]
    people = _people(Counter(said[2] for _, _, stamp, said in lines if said and _is_label(said, stamp)), reading)
    for number, line, stamp, said in lines:
        role = _role(said[2], reading) if said else None
        if said and role is None and said[2] in people:
            role = "unknown"
        elif said and role is None and _is_label(said, stamp) and "：" not in said[0]:
            role = reading.default_role
            if role is None:
                raise UserError(
                    f"line {number}: {unknown_speaker(said[2])} Indent the line if it continues the turn above it."
                )
        elif role is None:
            said = None
            if turns and not stamp:
                turns[-1]["text"] = f"{turns[-1]['text']}\n{line.strip()}".strip()
                continue
            role = reading.default_role
            if role is None:
                raise UserError(
                    f"line {number}: no speaker. Start the line with one, such as 'Agent:', or pass --default-role."
                )
        start = said.end() if said else stamp.end() if stamp else 0
        turn: dict[str, Any] = {"role": role, "text": line[start:].strip()}
        if stamp:
            turn["start_s"] = _seconds(stamp[1], number)
        turns.append(turn)
        labels.append(said[2] if said else None)
    return turns, labels


def _role(label: str, reading: Reading) -> Role | None:
    """The role of a known label; `resolve` gives the roles that the caller sets."""
    return "unknown" if label in reading.roles else role_of(label)


def _is_label(said: re.Match[str], stamp: re.Match[str] | None) -> bool:
    """Whether the words before a colon are a speaker's label."""
    return bool(stamp or said[1]) or _names_somebody(said[2])


def _people(labels: Counter[str], reading: Reading) -> set[str]:
    """The unknown labels that are speakers: each on two lines or more, or the only two labels."""
    if reading.default_role not in (None, "unknown"):
        return set()
    unknown = {label for label in labels if _role(label, reading) is None and label.casefold() not in NO_SPEAKERS}
    if len(unknown) == len(labels) == 2:
        return unknown
    return {label for label in unknown if labels[label] > 1}


def _names_somebody(label: str) -> bool:
    """Whether words before a colon are a speaker rather than the start of a sentence."""
    words = label.split()
    if label[0] >= "㐀":  # Chinese: a name, not a clause
        return len(label) <= 4
    return len(words) == 1 or (len(words) <= 3 and all(not word[0].islower() for word in words))


def _seconds(clock: str, line: int) -> float:
    parts = [float(part) for part in clock.split(":")]
    if len(parts) > 3 or any(part >= 60 for part in parts[1:]):
        raise UserError(f"line {line}: [{clock}] is not a time. Write [mm:ss] or [hh:mm:ss].")
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + part
    return seconds


FORMAT = Format("text", recognise, read, order=95)
