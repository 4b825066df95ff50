"""The machine a model runs on: its device, memory and BLAS.

All code that differs between Metal, CUDA and the CPU is here. Every module that uses MLX calls
`prepare()` first.
"""

import ctypes
import functools
import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlx_cc.cores import cores
from mlx_cc.model.blas import Blas, thread_setter, use_fast_blas

if TYPE_CHECKING:
    import mlx.core as mx


class Machine(NamedTuple):
    """The machine that models run on."""

    backend: Literal["metal", "cuda", "cpu"]
    name: str
    """The chip's name, as the system gives it."""
    memory_bytes: int
    """Memory that models may fill: unified memory (Metal), the card's (CUDA), main memory (CPU)."""
    cores: int
    """Processor cores this process may use."""
    blas: Blas


@functools.cache
def prepare() -> Machine:
    """Make MLX ready on this machine, once; later calls return the first one's answer.

    On Linux CPUs: a fast BLAS (`mlx_cc.model.blas`) and an allocator that keeps freed pages. Logs one
    warning line when matrix products will be slow. Costs nothing on a GPU.
    """
    import mlx.core as mx

    blas = use_fast_blas()
    if blas.warning:
        logging.getLogger(__name__).warning(blas.warning)
    info = mx.device_info()
    if mx.default_device() == mx.cpu:
        _keep_freed_pages()
        from mlx_cc.model.cpu_kernels import use_fast_attention

        use_fast_attention()
        return Machine("cpu", str(info.get("device_name") or platform.processor()), _main_memory(), cores(), blas)
    backend = "metal" if mx.metal.is_available() else "cuda"
    memory = info.get("memory_size") or info.get("total_memory") or 0
    return Machine(backend, str(info.get("device_name", backend)), int(memory), cores(), blas)


def suit_threads() -> int:
    """Let matrix products use all cores, or one while other work keeps the cores busy; returns the threads.

    Times a small product both ways (a few milliseconds), so call it between units of work of a second
    or more. Does nothing on a GPU, on one core, or where the environment sets the threads
    (OPENBLAS_NUM_THREADS=1 also makes results the same to the last bit from run to run).
    """
    machine = prepare()
    set_threads = thread_setter()
    if set_threads is None or machine.cores == 1:
        return machine.cores
    seconds = {}
    for threads in (1, machine.cores):
        set_threads(threads)
        seconds[threads] = 1 / gemm_gflops(384, runs=5)
    best = machine.cores if seconds[machine.cores] < 0.8 * seconds[1] else 1  # set by hand: a close result is chance
    set_threads(best)
    return best


def _main_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _keep_freed_pages() -> None:
    """Make glibc keep freed memory: MLX allocates its buffers again in each step, and zeroing fresh pages is slow."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: large blocks from the heap too
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never give the heap's top back


def compute_dtype() -> "mx.Dtype":
    """The dtype models compute in: float32 on a CPU, whose fast BLAS has no 16-bit products, else bfloat16."""
    import mlx.core as mx

    return mx.float32 if mx.default_device() == mx.cpu else mx.bfloat16


def peak_memory_bytes() -> int:
    """The most memory that MLX's arrays took since the start or the last `reset_peak_memory`."""
    import mlx.core as mx

    return mx.get_peak_memory()


def reset_peak_memory() -> None:
    """Start `peak_memory_bytes` again from what is in use now."""
    import mlx.core as mx

    mx.reset_peak_memory()


@contextmanager
def wired_limit() -> Iterator[None]:
    """Keep a model's weights resident while the block runs; only Metal needs it.

    Otherwise macOS pages large weights out between uses. `MLX_CC_NO_WIRED_LIMIT=1` switches it off.
    """
    import mlx.core as mx

    if not mx.metal.is_available() or os.environ.get("MLX_CC_NO_WIRED_LIMIT") == "1":
        yield
        return
    before = mx.set_wired_limit(int(mx.device_info()["max_recommended_working_set_size"]))
    try:
        yield
    finally:
        mx.synchronize()
        mx.set_wired_limit(before)


def gemm_gflops(size: int = 1024, runs: int = 5) -> float:
    """The median speed of a float32 product of two `size` x `size` matrices, in GFLOP/s (1e9 per second)."""
    import statistics
    import time

    import mlx.core as mx

    a, b = mx.ones((size, size)), mx.ones((size, size))
    mx.eval(a, b, a @ b)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        mx.eval(a @ b)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds) / 1e9
