"""One process of several: `python -m mlx_cc.generate NOTE PLACE COUNT`, started by `run`."""

import sys
from pathlib import Path

from mlx_cc.errors import UserError
from mlx_cc.generate.run import order
from mlx_cc.generate.work import Shard, write_shard

if __name__ == "__main__":
    note, place, count = sys.argv[1:]
    try:
        write_shard(order(Path(note)), Shard(int(place), int(count)))
    except UserError as fault:
        print(f"Error: {fault}", file=sys.stderr)
        sys.exit(2)
