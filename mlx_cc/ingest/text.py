"""Plain text: `Agent: ...` and `Customer: ...` lines, with optional times and YAML front matter.

    ---
    id: call-17
    started_at: 2025-03-10T14:05:12-05:00
    ---
    [00:00] Agent: Thank you for calling.
    [00:06] **Customer**: My bill is wrong,
    and it was wrong last month too.

A line without a speaker, or an indented one, continues the turn above. Front matter has the keys
of the record; without an `id` the file's name is the id.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Reading, Reject
from mlx_cc.ingest.record import to_conversation
from mlx_cc.ingest.roles import role_of, unknown_speaker
from mlx_cc.ingest.source import File, suffix

FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
STAMP = re.compile(r"\[(\d+(?::\d+)+(?:\.\d+)?)\][ \t]*")
SPEAKER = re.compile(r"(\*\*)?([^\W\d_][^:*\[\]]{0,39}?)[ \t]*(?:\*\*)?:(?:\*\*)?(?:[ \t]+|$)")

# BaseLoader leaves every value as text, so that `country: NO` is Norway and `id: 0017` keeps its zeros.
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def recognise(path: Path, head: bytes) -> bool:
    """A text suffix, or a line that starts with a known speaker."""
    if suffix(path).lower() in (".txt", ".md"):
        return True
    for line in head.decode("utf-8", "replace").splitlines():
        stamp = STAMP.match(line)
        said = SPEAKER.match(line, stamp.end() if stamp else 0)
        if said and role_of(said[2]):
            return True
    return False


def read(file: File, reading: Reading) -> Iterator[Conversation | Reject]:
    """The one conversation of the file."""
    yield _conversation(file.text(), file, reading)


def parse(text: str, name: str = "transcript") -> Conversation:
    """A transcript that is at hand as text. What no known speaker says is said by an unknown one.

    Raises:
        UserError: the front matter is not sound, or there is no text.
    """
    return _conversation(text, File(Path(name), b""), Reading(default_role="unknown"))


def _conversation(text: str, file: File, reading: Reading) -> Conversation:
    front = FRONT.match(text)
    if front is None and text.startswith("---\n"):
        raise UserError("front matter starts with --- and never ends. Add a second --- line.")
    tree = _front_matter(front[1]) if front else {}
    body = text[front.end() :] if front else text
    tree.setdefault("id", file.stem)
    tree["turns"] = turns_of(body, reading, text.count("\n", 0, front.end()) + 1 if front else 1)
    return to_conversation(tree, reading, file, None, FORMAT.name, strict=False)


def _front_matter(text: str) -> dict[str, Any]:
    try:
        tree = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as fault:
        raise UserError(f"front matter is not YAML ({' '.join(str(fault).split())}).") from fault
    if not isinstance(tree, dict):
        raise UserError("front matter is not a list of `key: value` lines.")
    return {key: value for key, value in tree.items() if value not in ("", "~", "null")}


def turns_of(text: str, reading: Reading, first_line: int = 1) -> list[dict[str, Any]]:
    """The turns of a transcript: role, text and, where lines have times, start_s.

    Raises:
        UserError: a line names an unknown speaker, or text stands before the first speaker, and
            there is no default role.
    """
    turns: list[dict[str, Any]] = []
    if text.lstrip("\n")[:1].isspace():
        text = textwrap.dedent(text)
    for number, line in enumerate(text.split("\n"), first_line):
        if not line.strip():
            continue
        stamp = STAMP.match(line)
        said = SPEAKER.match(line, stamp.end() if stamp else 0)
        role = role_of(said[2]) if said else None
        if said and role is None and (stamp or said[1] or _names_somebody(said[2])):
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
    return turns


def _names_somebody(label: str) -> bool:
    """Whether words before a colon are a speaker rather than the start of a sentence."""
    words = label.split()
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
