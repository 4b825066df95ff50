"""An interleaved comparison of contenders, that is of ways to do the same work, each in a process of its own.

One contender works at a time, in rounds A B C, A B C, ..., so that other work on the machine slows all of them. In the
first round each is alone. If half of the memory holds all of them, they stay loaded after that; otherwise each starts
again for its turn. The other contenders are compared with the first one, round by round.
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

from mlx_cc.bench.contender import About, Fault, Unit
from mlx_cc.children import how_it_ended, start
from mlx_cc.cores import cores
from mlx_cc.errors import UserError
from mlx_cc.terminal import bars

Done = Callable[..., None]
"""`done(seconds, loss=None)` reports a unit of work and returns when the next unit is wanted."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work."""

    name: str
    description: str
    """What it does, for the table."""
    kernels: Literal["mlx_cc", "stock"]
    """Whether attention and SwiGLU may be those of `mlx_cc.model.cpu_kernels`."""
    run: Callable[[Any, Done], None]
    """Does a job, unit after unit, in the contender's process."""


class Ratio(Struct):
    """How many times as fast: ratio of medians, with the lowest and highest ratio of the paired rounds."""

    ratio: float
    low: float
    high: float


class Measured(Struct):
    """The measurements of a contender."""

    name: str
    description: str
    kernels: str
    runs_on: tuple[str, str]
    """Modules of the attention and the SwiGLU that its process calls."""
    seconds: list[float]
    """One value for each round."""
    median_s: float
    per_s: float
    """Examples, conversations or tokens per second at the median."""
    peak_memory_mb: float
    """Peak memory of MLX's arrays; 0 for a contender that computes without MLX."""
    first_loss: float | None
    faster: Ratio | None
    """How many times as fast the first contender is; None for the first contender."""
    memory_share: float | None
    """The first contender's peak memory as a share of this one's; None where this one computes without MLX."""


class Comparison(Struct):
    """All contenders on one job."""

    title: str
    unit: str
    """Unit of `per_s`."""
    job: Any
    about: About
    """The first contender's process; the others differ only in their kernels."""
    together: bool
    """Whether all models stayed loaded."""
    contenders: list[Measured]


class ContenderProcess:
    """The process of a contender."""

    def __init__(self, module: str, contender: Contender) -> None:
        self.module, self.contender = module, contender
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self.process = start(
            "mlx_cc.bench.contender",
            module,
            contender.name,
            threads=int(os.environ.get("OMP_NUM_THREADS", cores())),  # the same for all contenders
            environment={"MLX_CC_KERNELS": "stock" if contender.kernels == "stock" else ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def begin(self, job: Struct) -> tuple[About, Unit]:
        """Load the model and do a first unit of work that does not count.

        Raises:
            UserError: the contender can't do the job, or its process died.
        """
        self._write(msgspec.json.encode(job))
        return self._read(About), self._read(Unit)

    def unit(self) -> Unit:
        """Do one more unit of work.

        Raises:
            UserError: the process died.
        """
        self._write(b"again")
        return self._read(Unit)

    def stop(self) -> None:
        """End the process, even in the middle of its work."""
        self.process.kill()
        self.process.communicate()
        self._log.close()

    def _write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it died; `_read` raises
            pass

    def _read(self, kind: type[Any]) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise UserError(self._last_words())
        if line.startswith(b'{"error"'):
            raise UserError(msgspec.json.decode(line, type=Fault).error)
        return msgspec.json.decode(line, type=kind)

    def _last_words(self) -> str:
        status = self.process.wait()
        reason = how_it_ended(status, self._log) + ("; memory was short, most likely" if status < 0 else "")
        return (
            f"bench: the process of {self.contender.name} ended with {reason}. "
            "Choose a shorter --trunk, or other contenders with --contender."
        )


def chosen(contenders: Sequence[Contender], names: Sequence[str]) -> list[Contender]:
    """The first contender and the named ones, in their order; all contenders when no name is given.

    Raises:
        UserError: there is no such contender.
    """
    known = [contender.name for contender in contenders]
    for name in names:
        if name not in known:
            raise UserError(f"--contender: no contender '{name}'. Choose from {', '.join(known)}.")
    return [c for place, c in enumerate(contenders) if not names or not place or c.name in names]


def compare(
    module: str, contenders: Sequence[Contender], job: Struct, rounds: int, title: str, unit: str, units: int
) -> Comparison:
    """Measure the contenders on a job; progress goes to stderr.

    Args:
        module: name of the module with the contenders (`CONTENDERS`) and the type of the job (`Job`).
        unit: what is counted per second: for example "tokens/s".
        units: how many of these one unit of work has.

    Raises:
        UserError: a contender can't do the job, or its process died.
    """
    alive: dict[str, ContenderProcess] = {}
    first: dict[str, tuple[About, Unit]] = {}
    measured: dict[str, list[Unit]] = {contender.name: [] for contender in contenders}
    expected: dict[str, float] = {}

    def begin(contender: Contender) -> None:
        process = alive[contender.name] = ContenderProcess(module, contender)
        first.setdefault(contender.name, process.begin(job))

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
    ours = measured[contenders[0].name]
    results = [_measured(c, first[c.name], measured[c.name], ours, units) for c in contenders]
    return Comparison(title, unit, job, first[contenders[0].name][0], together, results)


def _measured(
    contender: Contender, first: tuple[About, Unit], found: Sequence[Unit], ours: Sequence[Unit], units: int
) -> Measured:
    seconds = [unit.seconds for unit in found]
    median = statistics.median(seconds)
    peak, own_peak = (max(unit.peak_memory_mb for unit in some) for some in (found, ours))
    return Measured(
        name=contender.name,
        description=contender.description,
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
    """How many times as fast ours is; both have one value for each round."""
    pairs = [a / b for a, b in zip(theirs, ours, strict=True)]
    return Ratio(statistics.median(theirs) / statistics.median(ours), min(pairs), max(pairs))


def warn_if_busy() -> None:
    """Warn on stderr when other work keeps the machine's cores busy."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"Other work keeps this machine busy (load {load:.1f}): the times will be wrong.", file=sys.stderr)


def table(found: Comparison) -> Any:
    """A comparison as a table."""
    from rich.table import Table

    about = found.about
    same = f"{about.blas}, {about.threads} threads" if about.threads else about.device
    shown = Table(
        title=found.title,
        title_justify="left",
        caption=f"mlx {about.mlx}, mlx-lm {about.mlx_lm}, {about.dtype}. All use the same matrix products and "
        f"allocator ({same}); stock kernels are those of MLX and mlx-lm, unchanged. In brackets: lowest and highest of "
        "the paired rounds.",
        caption_justify="left",
        box=None,
    )
    for name in ("contender", "kernels", "what it does"):
        shown.add_column(name)
    first = found.contenders[0].name
    for name in ("seconds", found.unit, "peak MB", f"{first} is faster", "its memory"):
        shown.add_column(name, justify="right")
    for e in found.contenders:
        shown.add_row(
            e.name,
            e.kernels,
            e.description,
            f"{e.median_s:.2f} [{min(e.seconds):.2f}, {max(e.seconds):.2f}]",
            f"{e.per_s:.3g}",
            f"{e.peak_memory_mb:,.0f}" if e.peak_memory_mb else "",
            f"{e.faster.ratio:.2f}x [{e.faster.low:.2f}, {e.faster.high:.2f}]" if e.faster else "",
            f"{e.memory_share:.2f}x" if e.faster and e.memory_share is not None else "",
        )
    return shown
