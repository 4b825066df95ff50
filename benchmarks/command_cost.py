"""Time and memory of a command of mlx_cc in a process of its own."""

import os
import subprocess
import sys
import tempfile
import time

from mlx_cc.children import how_it_ended, start
from mlx_cc.errors import UserError


def run(arguments: list[str]) -> tuple[float, float]:
    """Seconds that a command takes, and peak memory (MB) of the largest of its processes.

    Raises:
        UserError: the command failed.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = start("mlx_cc", *arguments, environment={"NO_COLOR": "1"}, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise UserError(f"mlx_cc {arguments[0]} ended with {how_it_ended(process.returncode, errors)}")
    return seconds, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
