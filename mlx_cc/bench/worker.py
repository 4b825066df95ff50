"""The process of one contender: does a unit of work, says what it took, waits to be asked for the next.

    python -m mlx_cc.bench.worker train tree

The first line of standard input is the job; every further line asks for one more unit, and its end ends the
process. Standard output answers with JSON lines: `About`, the first unit (a warm-up; its peak memory may be that of
loading the model), then a unit a line; or an error. What libraries print goes to standard error.
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
    """Where a contender runs and on what."""

    mlx: str
    mlx_lm: str
    device: str
    memory_bytes: int
    blas: str
    """Matrix products of the CPU: the library and how it came."""
    threads: int | None
    """Of the BLAS; None where a GPU does the work."""
    attention: str
    """The module of the attention that models call."""
    swiglu: str
    """Likewise."""
    dtype: str
    """Of the weights models compute in."""


class Unit(Struct):
    """What one unit of work took."""

    seconds: float
    peak_memory_mb: float
    """The most MLX's arrays held while it was done, weights included."""
    loss: float | None = None
    """Before the update, in nats per answer token (training)."""


class Fault(Struct):
    """Why there will be no answer, in one line."""

    error: str


def main() -> None:
    """Serve one contender until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    bench, name = sys.argv[1:]
    module: Any = importlib.import_module(f"mlx_cc.bench.{bench}")
    contender = next(c for c in module.CONTENDERS if c.name == name)
    said = 0

    def say(message: Struct) -> None:
        answers.write(msgspec.json.encode(message) + b"\n")

    def done(seconds: float, loss: float | None = None) -> None:
        nonlocal said
        from mlx_cc.model import machine

        if not said:
            say(about())
        said += 1
        say(Unit(seconds, machine.peak_memory_bytes() / 1e6, loss))
        if not sys.stdin.readline():
            raise SystemExit
        machine.reset_peak_memory()

    try:
        contender.run(msgspec.json.decode(sys.stdin.readline(), type=module.Job), done)
    except UserError as fault:
        say(Fault(str(fault)))


def about() -> About:
    """What this process computes with, looked up where it is used."""
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
