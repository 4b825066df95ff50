"""No process of ours outlives the one that started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

LIMIT_S = 60.0


def of_group(group: int) -> list[int]:
    """The processes of a process group."""
    listed = subprocess.check_output(["ps", "-A", "-o", "pid=,pgid="], text=True, timeout=LIMIT_S).split()
    return [int(pid) for pid, its in zip(listed[::2], listed[1::2], strict=True) if int(its) == group]


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("code", "processes"),
    [
        ("from mlx_cc.children import start\nstart('http.server', '0', stderr=-3).wait()", 2),
        ("from mlx_cc.cli import main\nmain()", 4),  # itself, two workers, the resource tracker of Python
    ],
    ids=["a child", "the workers of ingest"],
)
def test_children_end_when_their_parent_is_killed(code: str, processes: int, tmp_path: Path):
    export = tmp_path / "export.jsonl"
    with export.open("w") as file:
        for n in range(30_000):
            file.write(
                f'{{"id": "c{n}", "turns": [{{"role": "agent", "text": "Hello, this is John Smith speaking."}}]}}\n'
            )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, "ingest", str(export), "--out", str(tmp_path / "out.jsonl"), "--workers", "2"],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(of_group(parent.pid)) == processes or parent.poll() is not None)
        time.sleep(1)  # until they have started; a child that waits for its first order ends by itself
        assert parent.poll() is None
        parent.kill()
        parent.wait(LIMIT_S)
        wait_until(lambda: not of_group(parent.pid))
    finally:
        if of_group(parent.pid):
            os.killpg(parent.pid, signal.SIGKILL)
