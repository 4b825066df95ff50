"""Training in a child process: a GPU fault or the system's memory killer ends a process, not a run.

On Metal an error aborts the process, and Python has no chance to catch it. So the command trains in a
child, and when a signal kills it the child is started again from its last checkpoint. Ctrl-C reaches
the child, which saves and ends; SIGTERM is handed on to it; a child whose parent is gone saves and ends.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mlx_cc.errors import UserError

PARENT = "MLX_CC_SUPERVISOR"
"""Environment variable with the process id of the child's parent."""
MEANT = (signal.SIGINT, signal.SIGTERM)
"""Signals that somebody sent on purpose."""


def is_child() -> bool:
    """Whether this process was started by `supervise`."""
    return PARENT in os.environ


def parent_is_gone() -> bool:
    """Whether this process was started by `supervise` and its parent has ended since."""
    return is_child() and os.getppid() != int(os.environ[PARENT])


def supervise(
    arguments: Sequence[str], checkpoint: Path, restarts: int, tell: Callable[[str], None], pause_s: float = 2.0
) -> int:
    """Run `python -m mlx_cc.train ARGUMENTS`, again with --resume when a signal kills it; returns its exit status.

    Args:
        checkpoint: the file a killed run is continued from; without one it starts anew.
        restarts: the most there may be.
        tell: hears of every restart.
        pause_s: seconds before a restart, for the system to settle.

    Raises:
        UserError: it was killed once more than that.
    """
    again: list[str] = []
    name = ""
    made = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    for started in range(restarts + 1):
        status = _run([sys.executable, "-m", "mlx_cc.train", *arguments, *again])
        if status >= 0 or -status in MEANT:
            return status
        name = signal.Signals(-status).name
        if started < restarts:
            ours = checkpoint.exists() and checkpoint.stat().st_mtime_ns != made
            again = ["--resume"] if ours and "--resume" not in arguments else []
            where = "from its last checkpoint" if ours or "--resume" in arguments else "from the start"
            tell(f"training was killed ({name}); starting again {where}, {started + 1} of {restarts} times")
            time.sleep(pause_s)
    raise UserError(
        f"{checkpoint.parent}: training was killed {restarts + 1} times, last by {name}. Its last checkpoint is kept: "
        "lower per_device_train_batch_size or set gradient_checkpointing, then add --resume."
    )


def _run(command: Sequence[str]) -> int:
    """Run a child to its end; its exit status, or minus the signal that killed it."""
    child = subprocess.Popen(command, env={**os.environ, PARENT: str(os.getpid())})
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),  # the terminal sends it to the child too
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: child.terminate()),
    }
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
