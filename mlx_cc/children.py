"""Processes of ours: all are started here, and none outlives the process that started it.

A child runs as `python -m mlx_cc.children MODULE ARGUMENT...`, which watches its parent beside the module. The kernel
can't do that on macOS, and on Linux it watches the thread that made the child, not the process.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

PARENT = "MLX_CC_PARENT"
"""Environment variable with the process id of the one that starts a child."""
MEANT = (signal.SIGINT, signal.SIGTERM)
"""Signals that somebody sent on purpose."""
LOOK_S = 0.5
"""Seconds between two looks at the parent."""


def start(
    module: str,
    *arguments: str,
    threads: int | None = None,
    environment: Mapping[str, str] = {},  # noqa: B006  read only
    **streams: Any,
) -> subprocess.Popen[Any]:
    """Start `python -m MODULE ARGUMENT...`, which gets SIGTERM when this process is gone.

    Args:
        threads: for its matrix products, where OPENBLAS_NUM_THREADS does not say; None leaves that to it.
        environment: what differs in its environment.
        streams: `stdin`, `stdout` and `stderr` of `subprocess.Popen`.
    """
    changed = {**os.environ, **environment, PARENT: str(os.getpid())}
    if threads is not None:
        changed.setdefault("OPENBLAS_NUM_THREADS", str(threads))
    return subprocess.Popen([sys.executable, "-m", "mlx_cc.children", module, *arguments], env=changed, **streams)


def end_with(parent: int) -> None:
    """Send this process SIGTERM as soon as `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def how_it_ended(status: int, log: IO[bytes]) -> str:
    """The name of the signal that ended a child, or its exit status and the last line of what it wrote to `log`."""
    if status < 0:
        return signal.Signals(-status).name
    log.seek(0)
    return f"status {status}: {log.read().decode(errors='replace').strip().rpartition(chr(10))[2]}"


class Restarted:
    """A child that is started again when a signal kills it that nobody sent: a GPU fault, or memory ran short."""

    def __init__(
        self, start: Callable[[], subprocess.Popen[Any]], restarts: int, on_restart: Callable[[str, int], None]
    ) -> None:
        """Start it.

        Args:
            restarts: the most there may be.
            on_restart: called before each with the name of the signal and the number of the restart, from 1.
        """
        self._start, self._restarts, self._on_restart = start, restarts, on_restart
        self._count, self._stopped = 0, False
        self.process = start()

    def poll(self, wait_s: float = 0) -> int | None:
        """Its exit status, or minus the signal that killed it, once it has ended for good; None before."""
        try:
            status = self.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return None
        if status >= 0 or -status in MEANT or self._stopped or self._count == self._restarts:
            return status
        self._count += 1
        self._on_restart(signal.Signals(-status).name, self._count)
        self.process = self._start()
        return None

    def terminate(self) -> None:
        """Ask it to end; it is not started again."""
        self._stopped = True
        self.process.terminate()


if __name__ == "__main__":
    end_with(int(os.environ.pop(PARENT)))  # popped: a child of the child has another parent
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
