"""One worker process: `python -m mlx_cc.generate WORK NUMBER WORKERS`, started by `run`."""

import sys
from pathlib import Path

from mlx_cc.errors import UserError
from mlx_cc.generate.run import read_work
from mlx_cc.generate.work import Shard, write_shard

if __name__ == "__main__":
    path, number, workers = sys.argv[1:]
    try:
        write_shard(read_work(Path(path)), Shard(int(number), int(workers)))
    except UserError as fault:
        print(f"Error: {fault}", file=sys.stderr)
        sys.exit(2)
