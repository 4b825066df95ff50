"""Progress of a run, counted from its journal by the run itself or by `generate status`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mlx_cc.errors import UserError
from mlx_cc.files import read_json
from mlx_cc.generate.journal import RUN, About, Entry, Place, entries, folder_of, is_final, is_held

RECENT_S = 300.0
"""Window over which the speed is measured."""


class State(NamedTuple):
    """Progress of a run."""

    about: About
    running: bool
    done: int
    """Conversations whose chain is final: kept, or rejected after the last attempt."""
    kept: int
    rejected: int
    written: int
    """Chains of all attempts."""
    tokens_per_s: float | None
    """Over the last `RECENT_S`; None before there are two chains."""
    seconds_left: float | None

    def __str__(self) -> str:
        share = f", {self.kept / self.done:.0%} kept" if self.done else ""
        speed = f", {self.tokens_per_s:,.0f} tokens/s" if self.tokens_per_s else ""
        hours, rest = divmod(round(self.seconds_left or 0), 3600)
        duration = f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"
        left = f", {duration} left" if self.seconds_left else ""
        return f"{self.done:,} of {self.about.conversations:,}{share}{speed}{left}"


class Progress:
    """Reads what all processes of a run write; calls `show` on every update."""

    def __init__(self, about: About, folder: Path, show: Callable[[State], None] = lambda state: None) -> None:
        self._about, self._folder, self._show = about, folder, show
        self._places: dict[Path, Place] = {}
        self._final: dict[str, bool] = {}
        self._recent: list[tuple[float, int]] = []
        self._written = 0
        self._began = time.time()

    def update(self) -> None:
        """Read what was written since the last call."""
        for entry in entries(self._folder, self._places):
            self._count(entry)
        self._show(self.state())

    def _count(self, entry: Entry) -> None:
        self._written += 1
        if entry.at >= self._began - RECENT_S:
            self._recent.append((entry.at, entry.tokens))
        if is_final(entry, self._about.attempts):
            self._final[entry.conversation_id] = not entry.faults

    def state(self, running: bool = True) -> State:
        """State as of the last `update`."""
        recent = [(at, tokens) for at, tokens in self._recent if at >= self._recent[-1][0] - RECENT_S]
        speed = left = None
        done, kept = len(self._final), sum(self._final.values())
        if len(recent) > 1 and recent[-1][0] > recent[0][0]:
            seconds = recent[-1][0] - recent[0][0]
            speed = sum(tokens for _, tokens in recent[1:]) / seconds
            each = self._written / done if done else self._about.attempts
            left = max(0, self._about.conversations - done) * each * seconds / (len(recent) - 1)
        return State(self._about, running, done, kept, done - kept, self._written, speed, left)


def status(output: Path) -> State:
    """Progress of the run that writes an output.

    Raises:
        UserError: there is no such run.
    """
    folder = folder_of(output)
    if not (folder / RUN).exists():
        raise UserError(f"{folder}: no run is recorded there. Start one with `mlx_cc generate --output {output}`.")
    progress = Progress(read_json(folder / RUN, About), folder)
    progress.update()
    return progress.state(running=is_held(output))
