"""Add the 18 temporal features to conversations or ChatML rows: `mlx_cc temporal` under its original name."""

from mlx_cc.cli import run
from mlx_cc.commands.temporal import command
from mlx_cc.temporal import TemporalFeatureEnhancer

__all__ = ["TemporalFeatureEnhancer"]

if __name__ == "__main__":
    run(command)
