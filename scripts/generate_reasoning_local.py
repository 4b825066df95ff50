"""Reasoning chains by a local teacher; the same as `mlx_cc generate`.

python scripts/generate_reasoning_local.py --input data/train_temporal.jsonl --output data/train_reasoning.jsonl
"""

from mlx_cc.cli import run
from mlx_cc.commands.generate import command

if __name__ == "__main__":
    run(command)
