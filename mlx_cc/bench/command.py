"""A command of mlx_cc in a process of its own, timed."""

import os
import subprocess
import sys
import tempfile
import time

from mlx_cc.errors import UserError


def run(arguments: list[str]) -> tuple[float, float]:
    """Seconds that a command of mlx_cc takes, and peak memory (MB) of the largest of its processes.

    Raises:
        UserError: it failed.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "mlx_cc", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, "NO_COLOR": "1"},
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            fault = said.read().decode(errors="replace").strip()[-300:]
            raise UserError(f"mlx_cc {arguments[0]} ended with status {process.returncode}: {fault}")
    return seconds, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
