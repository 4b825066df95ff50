"""Tune a model on an NVIDIA GPU: `mlx_cc train` under its original name, with MLX's CUDA back-end.

pip install -e ".[cuda]"
python scripts/train_hf.py --config configs/mistral_7b.yaml
"""

from mlx_cc.analyst import load_model
from mlx_cc.cli import run
from mlx_cc.commands.train import command

__all__ = ["load_model"]

if __name__ == "__main__":
    run(command)
