"""`python -m mlx_cc.train` is `mlx_cc train`."""

from mlx_cc.cli import run
from mlx_cc.commands.train import command

run(command)
