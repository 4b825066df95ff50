"""The data door: exports in, conversations out. A file here is a format; adding one is adding a file.

A format module exports `FORMAT`. Which one reads a file is decided by the file's content. What
can't be read is never lost and never stops the rest: it is handed on as a `Reject` with the reason.
"""

import gzip
import importlib
import os
import pkgutil
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

import msgspec

from mlx_cc.conversation import Conversation, Provenance, Role, Turn, check
from mlx_cc.errors import UserError
from mlx_cc.files import lines, written_whole

if TYPE_CHECKING:
    from mlx_cc.ingest.jsonl_map import ColumnMap

HEAD_BYTES = 1 << 16


class Reject(NamedTuple):
    """A file or record that was set aside."""

    file: str
    line: int | None
    """Counted from 1; None when the whole file, or a file of one record, is meant."""
    reason: str

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f', line {self.line}'}: {self.reason}"


@dataclass(frozen=True)
class Reading:
    """What the caller says about files that do not say it themselves, and what was noticed on the way."""

    default_role: Role | None = None
    """Role of speakers whose label is not known; None makes such a label an error."""
    timezone: str | None = None
    """IANA zone of conversations that name none; local times without an offset are in it."""
    country: str | None = None
    columns: "ColumnMap | None" = None
    ignored: Counter[str] = field(default_factory=Counter)
    """Key that no field of the record takes -> how often it was met."""
    advance: Callable[[int], Any] = lambda read_bytes: None
    """Told how many more bytes of the input files were read."""


@dataclass(frozen=True)
class File:
    """An input file: its path and how it starts (UTF-8, unzipped, without byte-order mark)."""

    path: Path
    head: bytes
    utf16: bool = False
    whole: bool = False
    """The head is all there is."""
    advance: Callable[[int], Any] = lambda read_bytes: None

    @property
    def stem(self) -> str:
        """The name without .gz and the suffix before it."""
        return self.path.name.removesuffix(".gz").removesuffix(suffix(self.path))

    @property
    def suffix(self) -> str:
        """The suffix before .gz, lower case."""
        return suffix(self.path).lower()

    def text(self) -> str:
        """The whole text; every line ends in a line feed alone.

        Raises:
            UserError: it is neither UTF-8 nor UTF-16 with a byte-order mark, or has null bytes.
        """
        if self.whole:
            self.advance(len(self.head))
            return decoded(self.head).replace("\r\n", "\n").replace("\r", "\n")
        data = self.path.read_bytes()
        self.advance(len(data))
        if self.path.suffix == ".gz":
            try:
                data = gzip.decompress(data)
            except (OSError, EOFError, zlib.error) as fault:
                raise UserError(f"can't be unzipped ({fault}). Check the file.") from fault
        return decoded(data).replace("\r\n", "\n").replace("\r", "\n")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The non-blank lines (UTF-8, unchecked) with their numbers; streamed."""
        if self.utf16:
            for number, line in enumerate(self.text().split("\n"), 1):
                if line.strip():
                    yield number, line.encode()
            return
        zipped = self.path.suffix == ".gz"
        unsaid = 0
        for number, line in lines(self.path):
            unsaid += 0 if zipped else len(line)
            if unsaid > 1 << 20:
                self.advance(unsaid)
                unsaid = 0
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        self.advance(self.path.stat().st_size if zipped else unsaid)


@dataclass(frozen=True)
class Format:
    """One kind of export."""

    name: str
    recognise: Callable[[Path, bytes], bool]
    """Whether a file is of this format, from its path and how it starts."""
    read: Callable[[File, Reading], Iterator[Conversation | Reject]]
    """Its conversations; a Reject for a record that can't be read, UserError for the whole file."""
    order: int = 50
    """Formats are asked in this order; the general ones come last."""


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
            file = open_file(path, reading)
            chosen = choose(file) if format == "auto" else all_formats()[format]
            for found in chosen.read(file, reading):
                if isinstance(found, Reject):
                    rejects(found)
                    continue
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


def input_files(paths: Iterable[Path | str], skip: Collection[Path | str] = ()) -> list[Path]:
    """The files to read, in name order.

    Raises:
        UserError: a path does not exist, or there is no file.
    """
    skipped = {os.path.realpath(path) for path in skip}
    named = [Path(path) for path in paths]
    found: list[Path] = []
    for path in named:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder. Check the path.")
        if path.is_file():
            found.append(path)
            continue
        for folder, folders, names in os.walk(path):
            real = os.path.realpath(folder)

            def is_input(name: str, real: str = real) -> bool:
                hidden = name.startswith(".") or name.endswith(".part")
                return not hidden and f"{real}{os.sep}{name}" not in skipped

            folders[:] = sorted(filter(is_input, folders))
            found.extend(Path(folder, name) for name in sorted(filter(is_input, names)))
    if not found:
        raise UserError(f"{', '.join(map(str, named))}: no files here. Pass the folder that holds the transcripts.")
    return found


def open_file(path: Path, reading: Reading | None = None) -> File:
    """A file with its first bytes read.

    Raises:
        UserError: it is empty or can't be unzipped.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as fault:
        raise UserError(f"can't be unzipped ({fault}). Check the file.") from fault
    if not head.strip():
        raise UserError("the file is empty.")
    whole = len(head) < HEAD_BYTES
    utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    head = head.decode("utf-16", "ignore").encode() if utf16 else head.removeprefix(b"\xef\xbb\xbf")
    return File(path, head, utf16, whole, reading.advance if reading else lambda read_bytes: None)


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


def decoded(data: bytes, cut: bool = False) -> str:
    """Bytes to text: UTF-8 (with or without byte-order mark) or UTF-16 with one.

    Raises:
        UserError: they are neither, or hold null bytes.
    """
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as fault:
        if not (cut and fault.start > len(data) - 4):
            raise UserError(
                f"is not UTF-8 (byte 0x{data[fault.start]:02x} at {fault.start}). Save it as UTF-8, "
                "for example: iconv -f WINDOWS-1252 -t UTF-8."
            ) from fault
        text = ""
    if "\0" in text:
        raise UserError(
            "has null bytes: not a text file, or UTF-16 without a byte-order mark. Export it as UTF-8 text."
        )
    return text


def suffix(path: Path) -> str:
    """The suffix before .gz, as it is written."""
    stem, dot, last = path.name.removesuffix(".gz").rpartition(".")
    return dot + last if stem else ""


def from_json(data: bytes | str) -> Any:
    """Parsed JSON.

    Raises:
        UserError: it is not JSON.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        if isinstance(data, bytes):
            decoded(data)
        raise UserError(f"is not JSON ({fault}). Mend it or export it again.") from fault


# Who spoke

ROLES: dict[str, Role] = {
    **dict.fromkeys(("agent", "rep", "advisor", "representative"), "agent"),
    **dict.fromkeys(("customer", "caller", "client", "member"), "customer"),
    **dict.fromkeys(("bot", "ivr", "virtual assistant"), "bot"),
    "system": "system",
}
_NUMBER_OR_NAME = re.compile(r"\s*(?:#?\d+|\([^)]*\))$")


@lru_cache(maxsize=4096)
def role_of(label: str) -> Role | None:
    """The role a speaker label stands for, whatever its case: `Rep`, `Agent 2`, `Caller (Ann)`; None when unknown."""
    return ROLES.get(_NUMBER_OR_NAME.sub("", label.strip()).casefold())


def unknown_speaker(label: Any) -> UserError:
    """The error for a speaker nobody knows."""
    return UserError(f"unknown speaker {label!r}. Write Agent, Customer, Bot or System, or pass --default-role.")


# From an object to a record

FIELDS = {found.name for found in msgspec.structs.fields(Conversation)} - {"provenance"}
ALIASES = {"conversation_id": "id", "transcript": "turns", "agent_id": "agents"}
TURN_FIELDS = {found.name for found in msgspec.structs.fields(Turn)}
TURN_ALIASES = {"speaker": "role", "content": "text", "utterance": "text"}


def to_conversation(
    tree: Mapping[str, Any], reading: Reading, file: File, line: int | None, format: str, *, strict: bool = True
) -> Conversation:
    """A record from an object with the record's keys or their aliases.

    Args:
        tree: the object; `turns` is a list of objects or the transcript as text.
        reading: defaults for what it does not say; told of keys that are not used.
        file: where it was read, with `line` (None for a whole file) and the `format`'s name.
        line: counted from 1.
        format: a format's name.
        strict: False also takes numbers, times and booleans that are written as text.

    Raises:
        UserError: a key is missing, or a value is not what its field takes.
    """
    fields: dict[str, Any] = {}
    for key, value in tree.items():
        name = ALIASES.get(key, key)
        if name not in FIELDS:
            reading.ignored[key] += 1
        elif value is not None:
            if name in fields:
                raise UserError(f"has more than one key for {name}. Leave one out.")
            fields[name] = value
    if isinstance(fields.get("id"), int):
        fields["id"] = str(fields["id"])
    if isinstance(fields.get("agents"), str):
        fields["agents"] = [fields["agents"]]
    for name, default in (("timezone", reading.timezone), ("country", reading.country)):
        if default is not None:
            fields.setdefault(name, default)
    if "id" not in fields:
        raise UserError("has no conversation_id (or id).")
    if "turns" not in fields:
        raise UserError("has neither turns nor transcript.")
    if isinstance(fields["turns"], str):
        from mlx_cc.ingest.text import turns_of

        fields["turns"] = turns_of(fields["turns"], reading)
    elif isinstance(fields["turns"], list):
        fields["turns"] = [_turn(n, turn, reading) for n, turn in enumerate(fields["turns"], 1)]
    if fields.get("timezone") is not None:
        zone(fields["timezone"])
    if "started_at" in fields:
        fields["started_at"] = moment(fields["started_at"], fields.get("timezone"))
    fields["provenance"] = {"file": str(file.path), "line": line, "format": format}
    try:
        conversation = msgspec.convert(fields, Conversation, strict=strict)
    except msgspec.ValidationError as fault:
        raise UserError(in_words(fault)) from fault
    return sound(conversation)


def sound(conversation: Conversation) -> Conversation:
    """The conversation as it is.

    Raises:
        UserError: it has no turn with text, times that run backwards or null characters.
    """
    check(conversation)
    for number, turn in enumerate(conversation.turns, 1):
        if "\0" in turn.text:
            raise UserError(f"turn {number} has null characters. Remove them.")
    return conversation


def _turn(number: int, turn: Any, reading: Reading) -> dict[str, Any]:
    if not isinstance(turn, dict):
        raise UserError(f"turn {number} is not an object with role and text.")
    fields: dict[str, Any] = {}
    for key, value in turn.items():
        name = TURN_ALIASES.get(key, key)
        if name in TURN_FIELDS:
            fields[name] = value
        else:
            reading.ignored[f"turns.{key}"] += 1
    label = fields.get("role")
    role = (role_of(label) if isinstance(label, str) else None) or reading.default_role
    if role is None:
        raise UserError(f"turn {number}: {unknown_speaker(label)}")
    fields["role"] = role
    return fields


def in_words(fault: msgspec.ValidationError) -> str:
    """A validation error with turns counted from 1 and the allowed values named."""
    message, _, place = str(fault).partition(" - at `$")
    place = re.sub(r"^\.?turns\[(\d+)\]\.?", lambda found: f"turn {int(found[1]) + 1} ", place.rstrip("`")).lstrip(".")
    hint = get_type_hints(Conversation).get(place)
    allowed = f" (one of {', '.join(get_args(hint))})" if get_origin(hint) is Literal else ""
    return f"{place.strip() or 'record'}: {message[:1].lower()}{message[1:]}{allowed}."


@cache
def zone(name: Any) -> ZoneInfo:
    """The time zone of an IANA name.

    Raises:
        UserError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, TypeError, LookupError) as fault:
        raise UserError(f"no time zone {name!r}. Use an IANA name such as America/Chicago.") from fault


def moment(value: Any, timezone: str | None) -> datetime:
    """An aware time from ISO 8601 text or seconds (or milliseconds) since 1970.

    Raises:
        UserError: it is neither, or is a local time and the zone is not known.
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError, OSError) as fault:
        raise UserError(f"started_at: {value!r} is not a time. Write it as 2025-03-10T14:05:12-05:00.") from fault
    if found.tzinfo is not None:
        return found
    if timezone is None:
        raise UserError(f"started_at: {value} has no time zone. Add its offset, or pass --timezone.")
    return found.replace(tzinfo=zone(timezone))


# What was set aside


@dataclass
class Rejects:
    """Writes rejects and counts them; call it with each."""

    file: IO[bytes]
    count: int = 0
    files: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason, with what is particular to one case left out -> how often."""
    first: Reject | None = None

    def __call__(self, reject: Reject) -> None:
        """Set one aside."""
        self.file.write(msgspec.json.encode(reject._asdict()) + b"\n")
        self.count += 1
        self.files.add(reject.file)
        kind = re.sub(r" from .*; the first", "; the first", reject.reason)
        self.reasons[re.sub(r"'[^']*'|\b\d+\b", "...", kind)] += 1
        self.first = self.first or reject


@contextmanager
def rejects_file(path: Path | str) -> Iterator[Rejects]:
    """`rejects.jsonl`, one {file, line, reason} a line; there is no such file when nothing was rejected."""
    with written_whole(path) as file:
        rejects = Rejects(file)
        yield rejects
    if not rejects.count:
        Path(path).unlink()
