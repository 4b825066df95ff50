"""Input files: found, opened, told apart from folders, and read as text or lines, zipped or not."""

import gzip
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mlx_cc.errors import UserError
from mlx_cc.files import lines

HEAD_BYTES = 1 << 16


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


def open_file(path: Path) -> File:
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
    return File(path, head, utf16, whole, lambda read_bytes: None)


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
