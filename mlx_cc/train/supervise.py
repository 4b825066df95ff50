"""Training in a child process: a GPU fault or the system's memory killer ends a process, not a run.

On Metal an error aborts the process, and Python has no chance to catch it. So the command trains in a
child, and when a signal kills it the child is started again from its last checkpoint. Ctrl-C reaches
the child, which saves and ends; SIGTERM is handed on to it; a child whose parent is gone gets SIGTERM.
"""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mlx_cc.children import MEANT, Restarted, start
from mlx_cc.errors import UserError


def supervise(
    arguments: Sequence[str], checkpoint: Path, restarts: int, tell: Callable[[str], None], pause_s: float = 2.0
) -> int:
    """Run `python -m mlx_cc.train ARGUMENTS`, again with --resume when a signal kills it; returns its exit status.

    Args:
        checkpoint: the file a killed run is continued from; without one it starts anew.
        restarts: the most there may be.
        tell: called with a line about every restart.
        pause_s: seconds before a restart, for the system to settle.

    Raises:
        UserError: it was killed once more than that.
    """
    made = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    def resumes() -> bool:
        return "--resume" in arguments or (checkpoint.exists() and checkpoint.stat().st_mtime_ns != made)

    def begin():
        again = ["--resume"] if resumes() and "--resume" not in arguments else []
        return start("mlx_cc.train", "--in-process", *arguments, *again)

    def on_restart(killed_by: str, count: int) -> None:
        where = "from its last checkpoint" if resumes() else "from the start"
        tell(f"training was killed ({killed_by}); starting again {where}, {count} of {restarts} times")
        time.sleep(pause_s)

    child = Restarted(begin, restarts, on_restart)
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),  # the terminal sends it to the child too
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: child.terminate()),
    }
    try:
        while (status := child.poll(1)) is None:
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if status >= 0 or -status in MEANT:
        return status
    raise UserError(
        f"{checkpoint.parent}: training was killed {restarts + 1} times, last by {signal.Signals(-status).name}. Its "
        "last checkpoint is kept: lower per_device_train_batch_size or set gradient_checkpointing, then add --resume."
    )
