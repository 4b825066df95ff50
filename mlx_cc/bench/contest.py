"""A contest: ways to do the same work, each in a process of its own, measured in turns.

One works at a time, in rounds A B C, A B C, ...: whatever else the machine does falls on all of them. In the first
round each is alone. Then, where half of memory holds them all, they stay loaded; else each starts anew for its turn.
The first contender is the one the others are compared with, round by round.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Struct

from mlx_cc.bench.worker import About, Fault, Unit
from mlx_cc.children import how_it_ended, start
from mlx_cc.cores import cores
from mlx_cc.errors import UserError
from mlx_cc.terminal import bars

Done = Callable[..., None]
"""`done(seconds, loss=None)` says what a unit of work took and returns when the next one is wanted."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work."""

    name: str
    says: str
    """What it does, for the table."""
    kernels: Literal["mlx_cc", "stock"]
    """Whether attention and SwiGLU may be those of `mlx_cc.model.cpu_kernels`."""
    run: Callable[[Any, Done], None]
    """Works on a job, unit after unit; runs in the contender's process."""


class Ratio(Struct):
    """How many times as fast: the ratio of medians, and the least and most of the paired rounds."""

    ratio: float
    low: float
    high: float


class Entry(Struct):
    """What was measured of a contender."""

    name: str
    says: str
    kernels: str
    runs_on: tuple[str, str]
    """The modules of the attention and the SwiGLU in its process."""
    seconds: list[float]
    """Of each round."""
    median_s: float
    per_s: float
    """Examples, conversations or tokens a second at the median."""
    peak_memory_mb: float
    """Of MLX's arrays; 0 for a contender that computes without MLX."""
    first_loss: float | None
    faster: Ratio | None
    """How many times as fast the first contender is; None for itself."""
    memory_share: float | None
    """The first contender's peak memory as a share of this one's; None where that computes without MLX."""


class Contest(Struct):
    """All contenders on one job."""

    about: About
    """The first contender's process; the others differ in their kernels alone."""
    together: bool
    """Whether all models stayed loaded."""
    entries: list[Entry]


class Worker:
    """The process of a contender."""

    def __init__(self, bench: str, contender: Contender) -> None:
        self.bench, self.contender = bench, contender
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self.process = start(
            "mlx_cc.bench.worker",
            bench,
            contender.name,
            threads=int(os.environ.get("OMP_NUM_THREADS", cores())),  # the same for all contenders
            environment={"MLX_CC_KERNELS": "stock" if contender.kernels == "stock" else ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def begin(self, job: Struct) -> tuple[About, Unit]:
        """Load, and do a first unit of work that does not count.

        Raises:
            UserError: it could not, or its process died.
        """
        self._say(msgspec.json.encode(job))
        return self._hear(About), self._hear(Unit)

    def unit(self) -> Unit:
        """One more unit of work.

        Raises:
            UserError: its process died.
        """
        self._say(b"again")
        return self._hear(Unit)

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.communicate()
        self._log.close()

    def _say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it died; `_hear` tells
            pass

    def _hear(self, kind: type[Any]) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise UserError(self._obituary())
        if line.startswith(b'{"error"'):
            raise UserError(msgspec.json.decode(line, type=Fault).error)
        return msgspec.json.decode(line, type=kind)

    def _obituary(self) -> str:
        status = self.process.wait()
        reason = how_it_ended(status, self._log) + ("; memory was short, most likely" if status < 0 else "")
        return (
            f"bench {self.bench}: the process of {self.contender.name} ended with {reason}. "
            "Choose a shorter --trunk, or other contenders with --contender."
        )


def chosen(contenders: Sequence[Contender], names: Sequence[str]) -> list[Contender]:
    """The first contender and the named ones, in their order; all for no names.

    Raises:
        UserError: there is no such contender.
    """
    known = [contender.name for contender in contenders]
    for name in names:
        if name not in known:
            raise UserError(f"--contender: no contender '{name}'. Choose from {', '.join(known)}.")
    return [c for place, c in enumerate(contenders) if not names or not place or c.name in names]


def contest(bench: str, contenders: Sequence[Contender], job: Struct, units: int, rounds: int, title: str) -> Contest:
    """Let contenders do a job in turns; progress goes to stderr.

    Args:
        bench: the module of `mlx_cc.bench` that holds the contenders.
        units: examples, conversations or tokens in one unit of work.

    Raises:
        UserError: a contender can't do the job, or its process died.
    """
    alive: dict[str, Worker] = {}
    first: dict[str, tuple[About, Unit]] = {}
    measured: dict[str, list[Unit]] = {contender.name: [] for contender in contenders}
    expected: dict[str, float] = {}

    def begin(contender: Contender) -> None:
        worker = alive[contender.name] = Worker(bench, contender)
        first.setdefault(contender.name, worker.begin(job))

    def stop() -> None:
        while alive:
            alive.popitem()[1].stop()

    try:
        with bars() as progress:
            bar = progress.add_task(title, total=None)
            together, held = True, 0.0
            for number in range(1, rounds + 1):
                for contender in contenders:
                    progress.update(bar, description=f"{title}: round {number}/{rounds}, {contender.name}")
                    if contender.name not in alive:
                        begin(contender)
                    measured[contender.name].append(alive[contender.name].unit())
                    if number == 1:
                        both = first[contender.name][1], measured[contender.name][0]
                        held += max(unit.peak_memory_mb for unit in both) * 1e6
                    if number == 1 or not together:  # alone, until all are known to fit into memory at once
                        stop()
                    if number > 1:
                        progress.advance(bar, expected[contender.name])
                if number == 1:
                    together = held < first[contenders[0].name][0].memory_bytes / 2
                    expected = {name: warm.seconds * (1 if together else 2) for name, (_, warm) in first.items()}
                    progress.reset(bar, total=(rounds - 1) * sum(expected.values()) or 1)
                times = ", ".join(f"{name} {found[-1].seconds:.2f} s" for name, found in measured.items())
                print(f"{title}: round {number}/{rounds}: {times}", file=sys.stderr)
    finally:
        stop()
    entries = [entry(c, first[c.name], measured[c.name], measured[contenders[0].name], units) for c in contenders]
    return Contest(first[contenders[0].name][0], together, entries)


def entry(
    contender: Contender, first: tuple[About, Unit], found: Sequence[Unit], ours: Sequence[Unit], units: int
) -> Entry:
    """A contender's measurements beside the first one's."""
    seconds = [unit.seconds for unit in found]
    median = statistics.median(seconds)
    peak, own_peak = (max(unit.peak_memory_mb for unit in some) for some in (found, ours))
    return Entry(
        name=contender.name,
        says=contender.says,
        kernels=contender.kernels,
        runs_on=(first[0].attention, first[0].swiglu),
        seconds=seconds,
        median_s=median,
        per_s=units / median,
        peak_memory_mb=peak,
        first_loss=first[1].loss,
        faster=None if found is ours else times_as_fast(seconds, [unit.seconds for unit in ours]),
        memory_share=own_peak / peak if peak else None,
    )


def times_as_fast(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """How many times as fast ours is, from the seconds of paired rounds."""
    pairs = [a / b for a, b in zip(theirs, ours, strict=True)]
    return Ratio(statistics.median(theirs) / statistics.median(ours), min(pairs), max(pairs))


def warn_if_busy() -> None:
    """Say on stderr when other work keeps this machine's cores from being measured."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"Other work keeps this machine busy (load {load:.1f}): times will mislead.", file=sys.stderr)


def table(found: Contest, title: str, unit: str) -> Any:
    """A contest as a table for people."""
    from rich.table import Table

    about = found.about
    same = f"{about.blas}, {about.threads} threads" if about.threads else about.device
    shown = Table(
        title=title,
        title_justify="left",
        caption=f"mlx {about.mlx}, mlx-lm {about.mlx_lm}, {about.dtype}. All have the same matrix products and "
        f"allocator ({same}); with stock kernels nothing else of MLX or mlx-lm is touched. In brackets: least and most "
        "of the paired rounds.",
        caption_justify="left",
        box=None,
    )
    for name in ("contender", "kernels", "what it does"):
        shown.add_column(name)
    first = found.entries[0].name
    for name in ("seconds", unit, "peak MB", f"{first} is faster", "its memory"):
        shown.add_column(name, justify="right")
    for e in found.entries:
        shown.add_row(
            e.name,
            e.kernels,
            e.says,
            f"{e.median_s:.2f} [{min(e.seconds):.2f}, {max(e.seconds):.2f}]",
            f"{e.per_s:.3g}",
            f"{e.peak_memory_mb:,.0f}" if e.peak_memory_mb else "",
            f"{e.faster.ratio:.2f}x [{e.faster.low:.2f}, {e.faster.high:.2f}]" if e.faster else "",
            f"{e.memory_share:.2f}x" if e.faster and e.memory_share is not None else "",
        )
    return shown
