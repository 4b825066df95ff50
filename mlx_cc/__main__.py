"""`python -m mlx_cc` is `mlx_cc`."""

from mlx_cc.cli import main

main()
