"""Walking through files: which there are, which of them name something, and replacing one."""

import gzip
import html
import json
import mmap
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mlx_cc.errors import UserError
from mlx_cc.files import written_whole

UNSEARCHABLE = (".safetensors", ".gguf", ".npy", ".npz", ".png", "tokenizer.json", "vocab.json")
"""How files end that are not looked into: weights, pictures, a base model's vocabulary."""
UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError)

Find = Callable[[Any], bool]
"""Whether bytes, or a memory map of them, name what is looked for."""


def finder(words: Collection[str]) -> Find:
    """Finds any of the words that stands as a whole word: as text, as JSON or HTML writes it, or in UTF-16."""
    narrow: set[bytes] = set()
    wide: set[bytes] = set()
    for word in words:
        escaped = json.dumps(word)[1:-1]
        spelled = (word, html.escape(word), escaped, escaped.replace("/", "\\/"))
        narrow |= {found.encode() for found in (*spelled, json.dumps(word, ensure_ascii=False)[1:-1])}
        if len(word) > 1:
            wide.add(word.encode("utf-16-le")[:-1])  # cut so, it stands in big-endian text too

    def finds(data: Any) -> bool:
        return any(_stands_alone(word, data, 1) for word in narrow) or (
            data.find(b"\0") >= 0 and any(_stands_alone(word, data, 2) for word in wide)
        )

    return finds


def _stands_alone(word: bytes, data: Any, width: int) -> bool:
    """Whether `word` is somewhere in `data` with no letter or digit, of `width` bytes, on either side."""
    at = data.find(word)
    while at >= 0:
        end = at + len(word)
        before, after = data[max(0, at - width) : at], data[end : end + width]
        if width == 2:  # zero bytes stand between the letters
            before, after = before.removesuffix(b"\0"), after.removeprefix(b"\0")
            before, after = before if len(before) == 1 else b"", after if len(after) == 1 else b""
        if not (before.isalnum() or after.isalnum()):
            return True
        at = data.find(word, at + 1)
    return False


def files_under(paths: Sequence[Path]) -> Iterator[Path]:
    """Every file, hidden ones and linked folders included, each once, in name order.

    Raises:
        UserError: a path does not exist, or a folder can't be listed.
    """

    def refuse(fault: OSError) -> None:
        raise UserError(
            f"{fault.filename}: {(fault.strerror or str(fault)).lower()}, so it can't be searched. Make it readable."
        )

    seen: set[str] = set()
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder. Check the path.")
        one_file = [(str(path.parent), [], [path.name])]
        walk = os.walk(path, onerror=refuse, followlinks=True) if path.is_dir() else one_file
        for folder, folders, found in walk:
            folders[:] = sorted(name for name in folders if name != ".git" and _is_new(Path(folder, name), seen))
            yield from (Path(folder, name) for name in sorted(found) if _is_new(Path(folder, name), seen))


def _is_new(path: Path, seen: set[str]) -> bool:
    real = os.path.realpath(path)
    new = real not in seen and path.exists()
    seen.add(real)
    return new


def names(path: Path, finds: Find) -> bool:
    """Whether a file's content names it, as far as it can be read."""
    try:
        return holds(path, finds)
    except UNREADABLE:
        return False


def holds(path: Path, finds: Find) -> bool:
    """Whether a file's content names it; of weights, pictures and vocabularies, False.

    Raises:
        UNREADABLE: it can't be read to the end.
    """
    if path.name.endswith(UNSEARCHABLE) or not path.stat().st_size:
        return False
    if path.suffix == ".gz":
        with opened(path) as file:
            return any(map(finds, file))
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    if finds(name.encode()) or any(map(finds, file)):
                        return True
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return finds(content)


def holds_lines(path: Path) -> bool:
    """Whether a file is JSON lines by its name."""
    return path.name.removesuffix(".gz").endswith(".jsonl")


def opened(path: Path) -> IO[bytes]:
    """A file's content, unzipped."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def delete(path: Path) -> None:
    """Delete a file, and what it links to.

    Raises:
        UserError: it can't be deleted.
    """
    try:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
    except OSError as fault:
        raise UserError(f"{path}: can't be deleted ({(fault.strerror or str(fault)).lower()}). Delete it.") from fault


@contextmanager
def rewritten(path: Path) -> Iterator[Any]:
    """Open a file to be replaced whole, zipped where it was and with its permissions; of a link, what it leads to."""
    with written_whole(path.resolve()) as file:
        os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", fileobj=file) as zipped:
                yield zipped
        else:
            yield file
