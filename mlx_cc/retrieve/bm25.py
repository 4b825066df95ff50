"""Word search: BM25 (Robertson and Zaragoza, 2009) over an index's texts, by bm25s."""

import re
import shutil
import uuid
from array import array
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlx_cc.files import read_json, write_json
from mlx_cc.retrieve.entries import PARTS, Part, part_of

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
"""A word, or a character of a script without spaces."""
NOTE = "texts.json"
EMPTY = "\0"
"""Stands for a text without words; no query has it."""


def words(text: str) -> list[str]:
    """Words of a text, in lower case."""
    return WORD.findall(text.lower())


class Words:
    """A word index: ids of texts and a BM25 matrix."""

    def __init__(self, ids: Sequence[str], matrix: Any):
        self.ids = list(ids)
        self._matrix = matrix
        self._rows: dict[str, int] | None = None
        self._parts: np.ndarray | None = None

    @classmethod
    def of(cls, texts: Iterable[tuple[str, str]]) -> "Words":
        """Count the words of (id, text) pairs. Memory holds numbers of words, not texts."""
        import bm25s

        ids: list[str] = []
        counted: list[array[int]] = []
        known: dict[str, int] = {}
        for name, text in texts:
            ids.append(name)
            counted.append(array("i", [known.setdefault(word, len(known)) for word in words(text) or [EMPTY]]))
        matrix = bm25s.BM25()
        if ids:
            matrix.index((counted, known), show_progress=False)
        return cls(ids, matrix)

    def best(
        self,
        query: str,
        most: int,
        parts: Sequence[Part] = PARTS,
        allowed: Sequence[str] | None = None,
        gone: Collection[str] = (),
    ) -> list[str]:
        """Ids of the entries that share words with the query, best first.

        Args:
            allowed: ids to choose from; None allows all entries of `parts`.
            gone: ids to leave out.
        """
        asked = [word for word in words(query) if self.ids and word in self._matrix.vocab_dict]
        if not asked:
            return []
        scores = self._matrix.get_scores(asked)
        seen = self._of(parts) if allowed is None else self._mask(allowed)
        scores = np.where(seen & ~self._mask(gone) if gone else seen, scores, 0.0)
        count = min(most, int((scores > 0).sum()))
        if not count:
            return []
        top = np.argpartition(-scores, count - 1)[:count]
        return [self.ids[place] for place in top[np.lexsort((top, -scores[top]))]]

    def _of(self, parts: Sequence[Part]) -> np.ndarray:
        if self._parts is None:
            self._parts = np.array([PARTS.index(part_of(name)) for name in self.ids], np.int8)  # type: ignore[arg-type]
        return np.isin(self._parts, [PARTS.index(part) for part in parts])

    def _mask(self, allowed: Collection[str]) -> np.ndarray:
        if self._rows is None:
            self._rows = {name: row for row, name in enumerate(self.ids)}
        mask = np.zeros(len(self.ids), dtype=bool)
        mask[[row for name in allowed if (row := self._rows.get(name)) is not None]] = True
        return mask

    def save(self, folder: Path, state: str) -> None:
        """Write it to a folder, which appears whole, with the state of the index it was made from."""
        part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
        part.mkdir(parents=True)
        try:
            if self.ids:
                self._matrix.save(str(part), show_progress=False)
            write_json(part / NOTE, {"state": state, "ids": self.ids})
            shutil.rmtree(folder, ignore_errors=True)
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path, state: str) -> "Words | None":
        """Read it; None when there is none, when it is of another state, or when it is damaged."""
        import bm25s

        try:
            note = read_json(folder / NOTE, dict)
            if note.get("state") != state:
                return None
            matrix = bm25s.BM25.load(str(folder), show_progress=False, mmap=True) if note["ids"] else bm25s.BM25()
            return cls(note["ids"], matrix)
        except Exception:  # a damaged file can raise anything: the words are counted again
            return None
