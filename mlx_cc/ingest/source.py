"""Find and open input files, compressed or not, and read them as text or lines.

A `.zip` is read like a folder: `export.zip/calls/1.json` is the path of a file in it.
Nothing is unpacked to disk, and nothing larger than the limits below is held in memory.
"""

import glob
import gzip
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from mlx_cc.errors import UserError
from mlx_cc.files import LONGEST_LINE

HEAD_BYTES = 1 << 16
LARGEST_DOCUMENT = 256 << 20
"""Most bytes of a file that is read in one piece; lines have at most LONGEST_LINE."""
UNPACKED_BYTES = 64 << 20
"""Bytes that can be unpacked whatever the packed size; above this the ratio is checked."""
UNPACKED_RATIO = 200
UNPACKED_TOTAL = 1 << 38
"""Most bytes that an archive or a compressed file can unpack to."""

PACKED_FAULTS = (
    OSError, EOFError, zlib.error, zipfile.BadZipFile, struct.error, NotImplementedError, RuntimeError, ValueError
)  # fmt: skip
KINDS = {
    b"PK\x03\x04": "an archive (or an office document) inside an archive, or a .zip under another name",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
}
"""First bytes of files that have to be unpacked first."""
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")


LONG_LINE = b"\0too long\n"
"""Stands for a line above the limit; no text has such a line. `from_json` turns it into an error."""


@dataclass(frozen=True)
class File:
    """An input file: its path and its first bytes (UTF-8, unpacked, without byte-order mark)."""

    path: Path
    head: bytes
    utf16: bool = False
    whole: bool = False
    """Whether the head is the whole file."""
    advance: Callable[[int], Any] = lambda read_bytes: None
    opened: Callable[[], IO[bytes]] | None = None
    """Opens the unpacked content; None opens `path` itself."""
    packed: int | None = None
    """Bytes on disk when it is compressed, else None."""
    first_line: int = 1
    """Number of its first line, for a part of a file."""

    @property
    def stem(self) -> str:
        """The name without .gz and the suffix before it."""
        return self.path.name.removesuffix(".gz").removesuffix(suffix(self.path))

    @property
    def suffix(self) -> str:
        """The suffix before .gz, lower case."""
        return suffix(self.path).lower()

    def text(self) -> str:
        """The whole text; every line ends in a line feed.

        Raises:
            UserError: it is neither UTF-8 nor UTF-16 with a byte-order mark, has null bytes, or is
                too large to be one document.
        """
        return decoded(self.data()).replace("\r\n", "\n").replace("\r", "\n")

    def data(self) -> bytes:
        """The whole content, unpacked.

        Raises:
            UserError: it can't be unpacked, or is too large to be one document.
        """
        if self.whole:
            self.advance(len(self.head) if self.packed is None else self.packed)
            return self.head
        with reported(), self._open() as stream:
            data = stream.read(LARGEST_DOCUMENT + 1)
        if len(data) > LARGEST_DOCUMENT:
            raise UserError(
                f"is longer than {LARGEST_DOCUMENT >> 20} MB in one piece. Split it, or export it as JSON lines "
                "(.jsonl) or CSV, which are read line by line."
            )
        self.advance(len(data) if self.packed is None else self.packed)
        return data

    def lines(self, blank: bool = False) -> Iterator[tuple[int, bytes]]:
        """The lines (UTF-8, unchecked) with their numbers; streamed. LONG_LINE stands for one above the limit.

        Args:
            blank: also give lines of white space only.
        """
        unsaid = 0
        with reported(), self._open() as stream:
            for number, line in enumerate(limited(self._pieces(stream)), self.first_line):
                if self.packed is None:
                    unsaid += len(line)
                    if unsaid > 1 << 20:
                        self.advance(unsaid)
                        unsaid = 0
                if number == self.first_line:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if blank or (line and not line.isspace()):
                    yield number, line
        self.advance(unsaid if self.packed is None else self.packed)

    def _open(self) -> IO[bytes]:
        return self.opened() if self.opened else self.path.open("rb")

    def _pieces(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Lines; long ones come in several pieces."""
        if not self.utf16 and (b"\r" not in self.head or b"\n" in self.head):
            yield from iter(partial(stream.readline, LONGEST_LINE), b"")
            return
        encoding, errors = ("utf-16", "replace") if self.utf16 else ("utf-8", "surrogateescape")
        text = io.TextIOWrapper(stream, encoding, errors)
        for piece in iter(partial(text.readline, LONGEST_LINE), ""):
            yield piece.encode("utf-8", "replace" if self.utf16 else errors)


def limited(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines from pieces; LONG_LINE for those in more than one piece."""
    for piece in pieces:
        if len(piece) < LONGEST_LINE or piece.endswith(b"\n"):
            yield piece
            continue
        while piece and not piece.endswith(b"\n"):
            piece = next(pieces, b"")
        yield LONG_LINE


@contextmanager
def reported() -> Iterator[None]:
    """A block in which a damaged file becomes a UserError."""
    try:
        yield
    except PACKED_FAULTS as fault:
        raise UserError(f"can't be read to the end ({_words(fault)}). Check the file.") from fault


def _words(fault: BaseException) -> str:
    return fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)


def input_files(paths: Iterable[Path | str], skip: Collection[Path | str] = ()) -> list[Path]:
    """The files to read, in name order, each once, from folders, archives and patterns such as `calls/*.json`.

    Raises:
        UserError: a path does not exist, or there is no file.
    """
    skipped = {os.path.realpath(path) for path in skip}
    named = [Path(path) for path in paths]
    found: list[Path] = []
    for path in named:
        for match in _matches(path):
            if not match.is_dir():
                found.extend(_inside(match))
                continue
            for folder, folders, names in os.walk(match):
                real = os.path.realpath(folder)

                def is_input(name: str, real: str = real) -> bool:
                    hidden = name.startswith(".") or name.endswith(".part")
                    return not hidden and f"{real}{os.sep}{name}" not in skipped

                folders[:] = sorted(filter(is_input, folders))
                for name in sorted(filter(is_input, names)):
                    found.extend(_inside(Path(folder, name)))
    if not found:
        raise UserError(f"{', '.join(map(str, named))}: no files here. Pass the folder that holds the transcripts.")
    return list(dict.fromkeys(found))


def _matches(path: Path) -> list[Path]:
    """The path itself if it exists, else the paths that match it as a pattern."""
    if path.exists() or _archive_of(path) is not None:
        return [path]
    if not glob.has_magic(str(path)):
        raise UserError(f"{path}: no such file or folder. Check the path.")
    fitting = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  (an absolute pattern too)
    if not fitting:
        raise UserError(f"{path}: no file or folder matches this pattern. Check the path.")
    return [Path(name) for name in fitting]


def open_file(path: Path) -> File:
    """Open a file, which can be in an archive, and read its first bytes.

    Raises:
        UserError: it is empty, can't be unpacked, or is above a limit.
    """
    outer = _archive_of(path)
    if outer is not None:
        size, source = _member(outer, path)
    elif path.exists() and not path.is_file():
        raise UserError("is a pipe or a device. Save its content to a file first.")
    else:
        size, source = path.stat().st_size, cast("Callable[[], IO[bytes]]", partial(path.open, "rb"))
    opened, zipped = source, path.suffix == ".gz"
    try:
        with source() as stream:
            head = stream.read(HEAD_BYTES)
        zipped = zipped or head.startswith(b"\x1f\x8b")
        if zipped:
            opened = partial(_unzipped, source, size)
            with opened() as stream:
                head = stream.read(HEAD_BYTES)
    except PACKED_FAULTS as fault:
        if outer is None and not zipped:
            raise
        raise UserError(f"can't be unzipped ({_words(fault)}). Check the file.") from fault
    _refuse_packed(path, head)
    whole = len(head) < HEAD_BYTES
    utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if utf16:
        head = decoded(head).encode() if whole else head.decode("utf-16", "ignore").encode()
    head = head.removeprefix(b"\xef\xbb\xbf")
    if not head.strip():
        raise UserError("the file is empty.")
    return File(path, head, utf16, whole, opened=opened, packed=size if zipped or outer is not None else None)


def size_on_disk(path: Path) -> int:
    """Bytes of an input file on disk; in an archive, its compressed size."""
    outer = _archive_of(path)
    return path.stat().st_size if outer in (None, path) else _members(outer)[path].compress_size


def _refuse_packed(path: Path, head: bytes) -> None:
    if path.suffix.lower() in WORKBOOKS and head.startswith((b"PK", b"\xd0\xcf\x11\xe0")):
        raise UserError("is a workbook. Save its sheet as CSV UTF-8.")
    kind = next((kind for start, kind in KINDS.items() if head.startswith(start)), None)
    if kind is None and head[257:262] == b"ustar":
        kind = "a tar archive"
    if kind is not None:
        raise UserError(f"is {kind}. Unpack it first, or pack the files themselves as .zip or .gz.")


# Archives


class _Archive(NamedTuple):
    """An open archive and its files."""

    file: zipfile.ZipFile
    members: dict[Path, zipfile.ZipInfo]
    """Displayed path, in name order -> member. Directories and hidden files are left out."""


def _archive_of(path: Path) -> Path | None:
    """The archive that a path is or lies in; None for an ordinary file."""
    for place in (path, *path.parents):
        try:
            if place.exists():
                return place if place.suffix.lower() == ".zip" and place.is_file() else None
        except OSError:
            continue  # such as a name in an archive that is too long for the disk
    return None


def _inside(path: Path) -> list[Path]:
    """The files of an archive; the path itself for another file or an unreadable archive."""
    if _archive_of(path) != path:
        return [path]
    try:
        return list(_members(path)) or [path]
    except UserError:
        return [path]


def _members(path: Path) -> dict[Path, zipfile.ZipInfo]:
    return _archive(path).members


def _archive(path: Path) -> _Archive:
    state = path.stat()
    return _opened_archive(path, state.st_size, state.st_mtime_ns, os.getpid())


@lru_cache(maxsize=4)
def _opened_archive(path: Path, size: int, _changed: int, _process: int) -> _Archive:
    try:
        file = zipfile.ZipFile(path)
    except PACKED_FAULTS as fault:
        raise UserError(f"can't be unzipped ({fault}). Check the file.") from fault
    total = sum(info.file_size for info in file.infolist())
    _check_size(total, size)
    members: dict[Path, zipfile.ZipInfo] = {}
    for info in file.infolist():
        parts = _shown(info.filename)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts) or info.filename.endswith(".part")
        if parts and not hidden and not info.is_dir():
            shown = path.joinpath(*parts)
            if shown in members:
                shown = shown.with_name(f"{len(members)}~{shown.name}")
            members[shown] = info
    return _Archive(file, dict(sorted(members.items())))


def _shown(name: str) -> list[str]:
    """Safe parts of a member's name: no drive, no `..`, no control characters."""
    parts = re.split(r"[/\\]", re.sub(r"^[A-Za-z]:", "", name))
    return ["".join(c if c.isprintable() else "_" for c in part) for part in parts if part not in ("", ".", "..")]


def _member(archive: Path, path: Path) -> tuple[int, Callable[[], IO[bytes]]]:
    """Compressed size of a file in an archive, and a function that opens it."""
    file, members = _archive(archive)
    if path == archive:
        raise UserError("is an archive without files.")
    info = members.get(path)
    if info is None:
        raise UserError("no such file in the archive. Check the path.")
    if info.flag_bits & 1:
        raise UserError("is encrypted. Unpack the archive with its password and pass the folder.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        kind = zipfile.compressor_names.get(info.compress_type, info.compress_type)  # type: ignore[attr-defined]
        raise UserError(f"has an unsupported compression ({kind}). Unpack it and pass the folder.")
    _check_size(info.file_size, info.compress_size)
    return info.compress_size, cast("Callable[[], IO[bytes]]", partial(file.open, info))


def _check_size(unpacked: int, packed: int) -> None:
    """Refuse archives made to fill memory or disk."""
    if unpacked > UNPACKED_TOTAL:
        raise UserError(f"unpacks to more than {UNPACKED_TOTAL >> 30} GB. Unpack it and pass the folder.")
    if unpacked > UNPACKED_BYTES and unpacked > UNPACKED_RATIO * packed:
        raise UserError(
            f"unpacks to more than {UNPACKED_RATIO} times its size, as no transcripts do. "
            "If it is what you want, unpack it and pass the folder."
        )


class _Checked(io.RawIOBase):
    """A gzip stream that raises above the limits."""

    def __init__(self, packed: IO[bytes], size: int):
        self._packed, self._size = packed, size
        self._stream = gzip.GzipFile(fileobj=packed)
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)
        self._read += count
        _check_size(self._read, self._size)
        return count

    def close(self) -> None:
        self._stream.close()
        self._packed.close()
        super().close()


def _unzipped(source: Callable[[], IO[bytes]], size: int) -> IO[bytes]:
    return io.BufferedReader(_Checked(source(), size), 1 << 17)


# Text


def decoded(data: bytes, cut: bool = False) -> str:
    """Decode bytes: UTF-8 (with or without byte-order mark) or UTF-16 with one.

    Raises:
        UserError: they are neither, or have null bytes.
    """
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as fault:
        if not (cut and fault.start > len(data) - 4):
            raise UserError(
                f"is not UTF-8 (byte 0x{data[fault.start]:02x} at {fault.start}). Save it as UTF-8, "
                "for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW."
            ) from fault
        text = ""
    if "\0" in text:
        raise UserError(
            "has null bytes: not a text file, or UTF-16 without a byte-order mark. Export it as UTF-8 text."
        )
    return text


def suffix(path: Path) -> str:
    """The suffix before .gz, as written."""
    stem, dot, last = path.name.removesuffix(".gz").rpartition(".")
    return dot + last if stem else ""


def from_json(data: bytes | str) -> Any:
    """Parsed JSON.

    Raises:
        UserError: it is not JSON, or a line longer than the limit.
    """
    if data == LONG_LINE:
        raise UserError(f"is longer than {LONGEST_LINE >> 20} MB. Write one record per line, or split it.")
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        if isinstance(data, bytes):
            decoded(data)
        raise UserError(f"is not JSON ({_placed(str(fault), data)}). Correct it or export it again.") from fault


def _placed(fault: str, data: bytes | str) -> str:
    """A decoder's fault with line and column in place of its byte; the line only where there are several."""
    found = re.search(r" \(byte (\d+)\)", fault)
    if found is None:
        return fault
    whole = data.encode() if isinstance(data, str) else data
    after = "trailing characters" in fault  # here the decoder names the byte before the fault
    before = whole[: int(found[1]) - after].decode("utf-8", "replace")
    line = f"line {before.count(chr(10)) + 1}, " if b"\n" in whole.strip() else ""
    return f"{fault[: found.start()]} at {line}column {len(before) - before.rfind(chr(10))}"
