"""Rejects: files and records that can't be read, with the reason."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from mlx_cc.files import ABSENT, written_whole
from mlx_cc.folders import DataFolder
from mlx_cc.ingest.format import Reject


@dataclass
class Rejects:
    """Writes rejects and counts them; call it with each."""

    file: IO[bytes]
    clean: Callable[[str], str] = str
    """Replaces personal data in a reason, which can quote the file."""
    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason without the details of one case -> how often."""
    first: Reject | None = None
    path: Path = Path("rejects.jsonl")

    def __call__(self, reject: Reject) -> None:
        """Write and count one."""
        reject = reject._replace(reason=self.clean(reject.reason))
        self.file.write(msgspec.json.encode(reject._asdict()) + b"\n")
        self.count += 1
        kind = re.sub(r" from .*; the first", "; the first", reject.reason)
        self.reasons[re.sub(r"'[^']*'|\b\d+\b", "...", kind)] += 1
        self.first = self.first or reject


@contextmanager
def rejects_file(part: Path, clean: Callable[[str], str] = str) -> Iterator[Rejects]:
    """The rejects of files that are `written_together`: one {file, line, reason} a line.

    When nothing was rejected there is no such file, and one of an earlier run goes.
    """
    path = DataFolder(part).rejects
    with written_whole(path) as file:
        rejects = Rejects(file, clean, path=DataFolder(part.parent).rejects)
        yield rejects
    if not rejects.count:
        path.rename(path.with_name(path.name + ABSENT))
