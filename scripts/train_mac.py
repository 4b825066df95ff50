"""Tune a model on a Mac with Apple silicon: `mlx_cc train` under its original name.

python scripts/train_mac.py --config configs/mistral_7b_mac.yaml
"""

from mlx_cc.analyst import load_model
from mlx_cc.cli import run
from mlx_cc.commands.train import command

__all__ = ["load_model"]

if __name__ == "__main__":
    run(command)
