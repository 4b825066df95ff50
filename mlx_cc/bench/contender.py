"""The process of one contender: it does a unit of work, reports it, and waits for the next request.

    python -m mlx_cc.bench.contender mlx_cc.bench.train tree

The first line of stdin is the job. Every further line asks for one more unit; the end of stdin ends the process. The
process writes JSON lines to stdout: `About`, the first unit (a warm-up; its peak memory may be that of loading the
model), then one line for each unit; or an error. Everything that libraries print goes to stderr.
"""

import importlib
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlx_cc.errors import UserError


class About(Struct):
    """The software and hardware that a contender runs on."""

    mlx: str
    mlx_lm: str
    device: str
    memory_bytes: int
    blas: str
    """Library of the CPU's matrix products, and where it was found."""
    threads: int | None
    """Threads of the BLAS; None on a GPU."""
    attention: str
    """Module of the attention that models call."""
    swiglu: str
    """Module of the SwiGLU that models call."""
    dtype: str
    """Type that models compute in."""


class Unit(Struct):
    """The cost of one unit of work."""

    seconds: float
    peak_memory_mb: float
    """Peak memory of MLX's arrays during the unit, weights included."""
    loss: float | None = None
    """Training loss before the update, in nats per answer token."""


class Fault(Struct):
    """Why the contender can't do the job, in one line."""

    error: str


def main() -> None:
    """Run one contender until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    module: Any = importlib.import_module(sys.argv[1])
    name = sys.argv[2]
    contender = next(c for c in module.CONTENDERS if c.name == name)
    reported = 0

    def report(message: Struct) -> None:
        answers.write(msgspec.json.encode(message) + b"\n")

    def done(seconds: float, loss: float | None = None) -> None:
        nonlocal reported
        from mlx_cc.model import machine

        if not reported:
            report(about())
        reported += 1
        report(Unit(seconds, machine.peak_memory_bytes() / 1e6, loss))
        if not sys.stdin.readline():
            raise SystemExit
        machine.reset_peak_memory()

    try:
        contender.run(msgspec.json.decode(sys.stdin.readline(), type=module.Job), done)
    except UserError as fault:
        report(Fault(str(fault)))


def about() -> About:
    """What this process computes with: the functions that models would call now."""
    import mlx.core as mx
    from mlx_lm.models import activations

    from mlx_cc.model import cpu_kernels, machine

    here = machine.prepare()
    threads = os.environ.get("OPENBLAS_NUM_THREADS")
    return About(
        mlx=version("mlx"),
        mlx_lm=version("mlx-lm"),
        device=f"{here.backend}: {here.name}",
        memory_bytes=here.memory_bytes,
        blas=f"{Path(here.blas.library or 'of MLX').name} ({here.blas.how})",
        threads=int(threads) if here.backend == "cpu" and threads else None,
        attention=mx.fast.scaled_dot_product_attention.__module__,
        swiglu=(cpu_kernels if activations.swiglu is cpu_kernels.swiglu else activations).__name__,
        dtype=str(machine.compute_dtype()).removeprefix("mlx.core."),
    )


if __name__ == "__main__":
    main()
