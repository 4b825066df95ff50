"""One process of several: `python -m mlx_cc.generate NOTE PLACE COUNT`, started by `session`."""

import os
import sys
import threading
from pathlib import Path

from mlx_cc.errors import UserError
from mlx_cc.generate.session import Shard, order, write_shard


def end_with_parent() -> None:
    """End when standard input does: the process that started this one is gone. The journal loses nothing by it."""
    while os.read(0, 1):  # not sys.stdin: an end of the interpreter while that is being read aborts the process
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    note, place, count = sys.argv[1:]
    try:
        write_shard(order(Path(note)), Shard(int(place), int(count)))
    except UserError as fault:
        print(f"Error: {fault}", file=sys.stderr)
        sys.exit(2)
