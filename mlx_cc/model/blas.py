"""A real BLAS for MLX on Linux CPUs.

MLX's Linux wheels multiply float32 matrices with the reference BLAS, some thirty times slower than
the processor allows. Here the entries of libmlx.so's own table of imported functions (its jump
slots) for `cblas_sgemm` and `cblas_dgemm` are pointed at a fast library instead: OpenBLAS, BLIS
or MKL where the system has one, else the OpenBLAS that scipy's wheel carries. No compiler, no
LD_PRELOAD, no change on disk, and no other library in the process is touched, whether or not MLX
has been imported before. x86-64 and arm64.

`MLX_CC_BLAS=system|scipy|reference` forces the choice; `OPENBLAS_NUM_THREADS`, `BLIS_NUM_THREADS`,
`MKL_NUM_THREADS` or `OMP_NUM_THREADS` set the threads, else there is one for each core this
process may use. Where other work keeps those cores busy, the threads of a product wait for each
other, so `machine.suit_threads` goes down to one thread while that is faster.
"""

import ctypes
import functools
import importlib.util
import mmap
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from mlx_cc.cores import cores

FUNCTIONS = ("cblas_sgemm", "cblas_dgemm")

# A library counts as fast by a function that only it has; Debian's libblas.so.3 may be the reference one.
SYSTEM_LIBRARIES = {
    "libopenblas.so.0": "openblas_get_config",
    "libopenblasp.so.0": "openblas_get_config",
    "libopenblas.so": "openblas_get_config",
    "libblis.so.4": "bli_info_get_version_str",
    "libblis-mt.so.4": "bli_info_get_version_str",
    "libblis.so.3": "bli_info_get_version_str",
    "libmkl_rt.so.3": "mkl_get_version_string",
    "libmkl_rt.so.2": "mkl_get_version_string",
}


class Blas(NamedTuple):
    """The library that MLX's CPU matrix products run on."""

    library: str | None
    """Its path or the name it was loaded by; None when MLX keeps its own."""
    how: Literal["system", "scipy", "reference", "not needed"]
    """"not needed" on macOS (Accelerate) and where a GPU does the work."""
    warning: str | None = None
    """One line with the remedy when products will be slow; None when all is well or was asked for."""


class Fast(NamedTuple):
    """A loaded library with a fast GEMM."""

    name: str
    how: Literal["system", "scipy"]
    handle: ctypes.CDLL
    prefix: str
    """What the library puts before every symbol: "" or "scipy_"."""


@functools.cache
def use_fast_blas() -> Blas:
    """Give MLX the fastest BLAS there is on this machine; later calls return the first one's answer.

    The library is kept only if it multiplies small whole numbers exactly, in float32 and float64,
    over several shapes and transposes. Whatever goes wrong leaves MLX as it was, with a warning.
    """
    if sys.platform != "linux":
        return Blas(None, "not needed")
    import mlx.core as mx

    if mx.default_device() != mx.cpu:
        return Blas(None, "not needed")
    wish = os.environ.get("MLX_CC_BLAS", "")
    if wish == "reference":
        return Blas(None, "reference")
    failures = []
    if wish not in ("", "system", "scipy"):
        failures.append(f"MLX_CC_BLAS={wish} is not system, scipy or reference")
    for find in (_system, _scipy):
        if wish in ("system", "scipy") and find.__name__ != f"_{wish}":
            continue
        try:
            for fast in find():
                put_back = _point_mlx_at(fast)
                if products_are_exact():
                    warning = "; ".join(failures) + "." if failures else None
                    _in_use.append(fast)
                    return Blas(fast.name, fast.how, warning)
                put_back()
                failures.append(f"{fast.name} multiplies wrongly")
        except Exception as fault:  # foreign binaries: any surprise must leave MLX as it was
            failures.append(f"{find.__name__[1:]}: {fault}")
    reason = "; ".join(failures) or "no OpenBLAS, BLIS or MKL found"
    return Blas(
        None,
        "reference",
        f"Matrix products run on the slow reference BLAS ({reason}). "
        "Run `pip install scipy`, or install libopenblas0 with the system's package manager.",
    )


def _system() -> Iterator[Fast]:
    os.environ.setdefault("BLIS_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", str(cores())))  # else BLIS uses one
    for name, proof in SYSTEM_LIBRARIES.items():
        for candidate in (name, f"{sys.prefix}/lib/{name}"):  # the second: conda, and MKL from pip
            try:
                handle = ctypes.CDLL(candidate)
            except OSError:
                continue
            if hasattr(handle, proof) and all(hasattr(handle, function) for function in FUNCTIONS):
                _bound_threads(handle, "")
                yield Fast(candidate, "system", handle, "")


def _scipy() -> Iterator[Fast]:
    spec = importlib.util.find_spec("scipy")  # finds the folder without importing it
    if spec is None or spec.origin is None:
        raise OSError("not installed")
    folder = Path(spec.origin).parent.with_name("scipy.libs")
    libraries = sorted(folder.glob("libscipy_openblas-*.so*"))
    if not libraries:
        raise OSError(f"no OpenBLAS in {folder}")
    handle = ctypes.CDLL(str(libraries[0]))
    _bound_threads(handle, "scipy_")
    yield Fast(str(libraries[0]), "scipy", handle, "scipy_")


_in_use: list[Fast] = []


def thread_setter() -> Callable[[int], None] | None:
    """The function that sets the threads of the library in use; None where it has none or the environment sets them."""
    if not _in_use or "OPENBLAS_NUM_THREADS" in os.environ or "OMP_NUM_THREADS" in os.environ:
        return None
    fast = _in_use[0]
    return getattr(fast.handle, f"{fast.prefix}openblas_set_num_threads", None)


def _bound_threads(handle: ctypes.CDLL, prefix: str) -> None:
    """Limit OpenBLAS to the cores of this process: it starts a thread for every core of the machine."""
    if {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"} & os.environ.keys():
        return
    get = getattr(handle, f"{prefix}openblas_get_num_threads", None)
    if get is not None and get() > cores():
        getattr(handle, f"{prefix}openblas_set_num_threads")(cores())


def _point_mlx_at(fast: Fast) -> Callable[[], None]:
    """Write the library's functions into libmlx's jump slots; returns what puts the old ones back."""
    maps = _memory_maps("libmlx.so")
    offsets = _jump_slots(maps[0].path)
    base = maps[0].start
    wanted = {
        base + offset: ctypes.cast(getattr(fast.handle, fast.prefix + function), ctypes.c_void_p).value or 0
        for function in FUNCTIONS
        for offset in offsets[function]
    }
    replaced: dict[int, int] = {}

    def put_back() -> None:
        for slot, address in replaced.items():
            _write_pointer(slot, address, maps)

    try:
        for slot, address in wanted.items():
            replaced[slot] = _write_pointer(slot, address, maps)
    except OSError:
        put_back()
        raise
    return put_back


class _Map(NamedTuple):
    start: int
    end: int
    writable: bool
    path: str


def _memory_maps(file: str) -> list[_Map]:
    """Where a loaded library lies in this process's memory."""
    maps = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        columns = line.split(maxsplit=5)
        if len(columns) == 6 and columns[5].endswith(f"/{file}"):
            start, end = (int(a, 16) for a in columns[0].split("-"))
            maps.append(_Map(start, end, "w" in columns[1], columns[5]))
    if not maps:
        raise OSError(f"{file} is not loaded from a file of that name")
    return maps


def _write_pointer(slot: int, value: int, maps: list[_Map]) -> int:
    """Write one pointer into a library's data; returns the one it replaces."""
    home = next((m for m in maps if m.start <= slot <= m.end - 8), None)
    if home is None or slot % 8:
        raise OSError("libmlx.so has its jump slots in an unexpected place")
    page = slot & -mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)

    def protect(mode: int) -> None:
        if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), mode):
            raise OSError(ctypes.get_errno(), "libmlx.so's jump slots can't be made writable")

    if not home.writable:
        protect(mmap.PROT_READ | mmap.PROT_WRITE)
    pointer = ctypes.c_uint64.from_address(slot)
    replaced, pointer.value = pointer.value, value
    if not home.writable:
        protect(mmap.PROT_READ)
    return replaced


def _jump_slots(library: str) -> dict[str, list[int]]:
    """Offsets from the load address of the slots for each of `FUNCTIONS`, read from the ELF file.

    Follows what the dynamic loader follows (program headers, dynamic section), which stripping keeps.

    Raises:
        OSError: not a little-endian 64-bit ELF file, or a function without a slot.
        struct.error, ValueError, KeyError, StopIteration: a file that breaks off.
    """
    with Path(library).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as elf:
        if elf[:6] != b"\x7fELF\x02\x01":
            raise OSError(f"{library} is not a little-endian 64-bit ELF file")
        (header_at,) = struct.unpack_from("<Q", elf, 0x20)
        header_size, header_count = struct.unpack_from("<HH", elf, 0x36)
        headers = [struct.unpack_from("<IIQQQQQQ", elf, header_at + i * header_size) for i in range(header_count)]
        loads = [(vaddr, offset, size) for segment, _, offset, vaddr, _, size, *_ in headers if segment == 1]  # PT_LOAD
        first = min(vaddr for vaddr, _, _ in loads) & -mmap.PAGESIZE

        def at(vaddr: int) -> int:
            return next(offset + vaddr - start for start, offset, size in loads if start <= vaddr < start + size)

        _, _, offset, _, _, size, *_ = next(h for h in headers if h[0] == 2)  # PT_DYNAMIC
        dynamic = dict(struct.iter_unpack("<qQ", elf[offset : offset + size]))
        names, symbols = at(dynamic[5]), at(dynamic[6])  # DT_STRTAB, DT_SYMTAB
        tables = [(23, 2), (7, 8)]  # (DT_JMPREL, DT_PLTRELSZ), (DT_RELA, DT_RELASZ)
        slots: dict[str, list[int]] = {function: [] for function in FUNCTIONS}
        for table, length in tables:
            if table not in dynamic:
                continue
            start = at(dynamic[table])
            for vaddr, info, _ in struct.iter_unpack("<QQq", elf[start : start + dynamic[length]]):
                if info & 0xFFFFFFFF not in (6, 7, 1025, 1026):  # GLOB_DAT and JUMP_SLOT of x86-64 and arm64
                    continue
                name_at = names + struct.unpack_from("<I", elf, symbols + (info >> 32) * 24)[0]
                name = elf[name_at : name_at + 16].split(b"\0")[0].decode("ascii", "replace")
                if name in slots:
                    slots[name].append(vaddr - first)
    if not all(slots.values()):
        raise OSError("libmlx.so imports no cblas_sgemm and cblas_dgemm")
    return slots


def products_are_exact() -> bool:
    """Whether MLX's CPU multiplies small whole numbers exactly, as a correct BLAS does.

    float32 and float64; single rows, odd and blocked shapes, transposes of either side, a batch,
    and a product added to a matrix. Compared with sums of elementwise products, which use no BLAS.
    """
    import mlx.core as mx

    def whole(rows: int, columns: int, dtype: mx.Dtype) -> mx.array:
        return ((mx.arange(rows * columns) * 7919) % 13 - 6).astype(dtype).reshape(rows, columns)

    def product(a: mx.array, b: mx.array) -> mx.array:
        return (a[:, :, None] * b[None]).sum(1)

    with mx.stream(mx.cpu):
        right = []
        shapes = [
            (1, 64, 33, mx.float32),
            (37, 53, 29, mx.float32),
            (96, 80, 100, mx.float32),
            (19, 23, 17, mx.float64),
        ]
        for m, k, n, dtype in shapes:
            a, b, c = whole(m, k, dtype), whole(k, n, dtype), whole(m, n, dtype)
            a_t, b_t = mx.contiguous(a.T).T, mx.contiguous(b.T).T  # the same numbers, stored the other way
            want = product(a, b)
            right += [mx.array_equal(x @ y, want) for x in (a, a_t) for y in (b, b_t)]
            right.append(mx.array_equal(mx.addmm(c, a, b), c + want))
            right.append(mx.array_equal(mx.stack([a, -a]) @ b, mx.stack([want, -want])))
        return bool(mx.all(mx.stack(right)).item())
