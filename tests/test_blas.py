"""MLX's CPU products: fast where the machine allows it, and right whatever happens."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_cc.model import blas, machine

linux_cpu = pytest.mark.skipif(
    sys.platform != "linux" or machine.prepare().backend != "cpu", reason="MLX on a Linux CPU is meant"
)


def in_fresh_process(code: str, **environment: str) -> dict:
    """What `code` prints as JSON in its last line, in a process of its own."""
    kept = {k: v for k, v in os.environ.items() if k != "MLX_CC_BLAS"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return {**json.loads(run.stdout.splitlines()[-1]), "stderr": run.stderr}


PREPARED = """
import json
from mlx_cc.model import blas, machine
found = machine.prepare().blas
print(json.dumps({**found._asdict(), "exact": blas.products_are_exact()}))
"""


def slot_values() -> dict[str, int]:
    maps = blas._memory_maps("libmlx.so")
    offsets = blas._jump_slots(maps[0].path)
    return {name: ctypes.c_uint64.from_address(maps[0].start + at[0]).value for name, at in offsets.items()}


@linux_cpu
def test_mlx_calls_the_fast_library_and_multiplies_exactly():
    found = blas.use_fast_blas()
    if found.library is None:
        pytest.skip(f"no fast BLAS in this run: {found.warning or found.how}")
    handle = ctypes.CDLL(found.library)
    prefix = "scipy_" if found.how == "scipy" else ""
    for name, address in slot_values().items():
        assert address == ctypes.cast(getattr(handle, prefix + name), ctypes.c_void_p).value
    assert blas.products_are_exact()


@linux_cpu
def test_a_second_call_changes_nothing():
    before = slot_values()
    assert machine.prepare() is machine.prepare()
    assert blas.use_fast_blas.__wrapped__() == blas.use_fast_blas()
    assert slot_values() == before


@linux_cpu
def test_the_reference_blas_can_be_asked_for_without_a_warning():
    found = in_fresh_process(PREPARED, MLX_CC_BLAS="reference")
    assert (found["library"], found["how"], found["warning"]) == (None, "reference", None)
    assert found["exact"]
    assert found["stderr"] == ""


@linux_cpu
def test_scipy_can_be_asked_for_after_mlx_was_imported():
    pytest.importorskip("scipy")
    found = in_fresh_process("import mlx.core\n" + PREPARED, MLX_CC_BLAS="scipy")
    assert found["how"] == "scipy"
    assert "libscipy_openblas" in found["library"]
    assert found["exact"]


@linux_cpu
def test_a_wrong_name_for_the_blas_is_said_in_one_line():
    found = in_fresh_process(PREPARED, MLX_CC_BLAS="sytem")
    assert "MLX_CC_BLAS=sytem is not system, scipy or reference" in found["warning"]
    assert found["stderr"].count("\n") == 1


@linux_cpu
def test_a_library_that_multiplies_wrongly_is_taken_out_again():
    # getpid in the place of a GEMM: it computes no product, so every one is wrong
    code = """
import ctypes, json
from mlx_cc.model import blas
true_scipy = blas._scipy
class Wrong:
    def __init__(self, handle): self.cblas_sgemm = self.cblas_dgemm = handle.getpid
blas._system = lambda: iter([blas.Fast("libwrong.so", "system", Wrong(ctypes.CDLL(None)), "")])
blas._system.__name__ = "_system"
blas._scipy = lambda: iter([])
blas._scipy.__name__ = "_scipy"
found = blas.use_fast_blas()
print(json.dumps({**found._asdict(), "exact": blas.products_are_exact()}))
"""
    found = in_fresh_process(code)
    assert found["how"] == "reference"
    assert "libwrong.so multiplies wrongly" in found["warning"]
    assert "\n" not in found["warning"]
    assert found["exact"]


@linux_cpu
def test_an_unreadable_libmlx_leaves_mlx_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    before = slot_values()
    broken = tmp_path / "libmlx.so"
    mlx = Path(blas._memory_maps("libmlx.so")[0].path).read_bytes()
    jump_slots = blas._jump_slots
    for content in (b"", b"#!/bin/sh\n", mlx[:20], mlx[:100_000], mlx[:64] + bytes(100_000)):
        broken.write_bytes(content)
        monkeypatch.setattr(blas, "_jump_slots", lambda _: jump_slots(str(broken)))
        found = blas.use_fast_blas.__wrapped__()
        assert found.how == "reference"
        assert found.warning is not None
        assert "\n" not in found.warning
    monkeypatch.undo()
    assert slot_values() == before


@linux_cpu
def test_a_slot_outside_libmlx_is_never_written():
    maps = blas._memory_maps("libmlx.so")
    with pytest.raises(OSError, match="unexpected place"):
        blas._write_pointer(maps[-1].end + 4096, 1, maps)


def test_a_mac_needs_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert blas.use_fast_blas.__wrapped__() == blas.Blas(None, "not needed")


def test_a_wrong_product_is_noticed(monkeypatch: pytest.MonkeyPatch):
    import mlx.core as mx

    right = mx.addmm
    monkeypatch.setattr(mx, "addmm", lambda c, a, b: right(c, a, b) + 1)
    assert not blas.products_are_exact()


def test_the_machine_counts_memory_and_cores_this_process_may_use():
    this = machine.prepare()
    assert 1 <= this.cores <= (os.cpu_count() or 1)
    assert this.memory_bytes > 1e9


def test_peak_memory_counts_from_the_last_reset():
    import mlx.core as mx

    mx.eval(mx.ones((1000, 1000)))
    machine.reset_peak_memory()
    mx.eval(mx.ones((500, 500)))
    assert 1_000_000 <= machine.peak_memory_bytes() < 4_000_000


def test_the_wired_limit_is_no_concern_without_metal(monkeypatch: pytest.MonkeyPatch):
    import mlx.core as mx

    monkeypatch.setattr(mx.metal, "is_available", lambda: False)
    monkeypatch.setattr(mx, "set_wired_limit", lambda _: pytest.fail("set"))
    with machine.wired_limit():
        pass


def test_the_wired_limit_is_put_back_and_can_be_switched_off(monkeypatch: pytest.MonkeyPatch):
    import mlx.core as mx

    limits = [0]
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": 24_000_000_000})
    monkeypatch.setattr(mx, "set_wired_limit", lambda new: (limits.append(new), limits[-2])[1])
    with machine.wired_limit():
        assert limits[-1] == 24_000_000_000
    assert limits[-1] == 0
    monkeypatch.setenv("MLX_CC_NO_WIRED_LIMIT", "1")
    with machine.wired_limit():
        assert limits[-1] == 0
