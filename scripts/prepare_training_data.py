"""Transcripts and analyses -> training, validation and test files; the same as `mlx_cc prepare`.

python scripts/prepare_training_data.py --transcripts-dir transcripts --analyses-dir analyses --output-dir data
"""

from mlx_cc.commands.prepare import command
from mlx_cc.prepare import Options, prepare

__all__ = ["Options", "prepare"]


def main() -> None:
    """Run the command."""
    from mlx_cc.cli import run

    run(command)


if __name__ == "__main__":
    main()
