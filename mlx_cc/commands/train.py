"""`mlx_cc train`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from mlx_cc.commands.options import CONFIG, JSON
from mlx_cc.folders import RunFolder
from mlx_cc.settings import flags, read_settings
from mlx_cc.train.settings import OFTEN, TrainSettings


@click.command(name="train", context_settings={"show_default": False})
@CONFIG
@click.option("--run", "run_name", help="Name of the run's folder in adapters/ (default: the last part of output_dir).")
@click.option("--resume", is_flag=True, help="Continue the run from its last save.")
@click.option(
    "--in-process",
    is_flag=True,
    help="Train in this process instead of a child process that is restarted when it is killed.",
)
@JSON
@flags(TrainSettings, shown=OFTEN)
def command(
    config: Path | None, run_name: str | None, resume: bool, in_process: bool, as_json: bool, overrides: dict[str, Any]
) -> None:
    """Tune a model with LoRA on the prepared data.

    A flag wins over the file. The settings below are those that people change; every other one is a flag too, such
    as --lora-dropout: docs/commands.md and `mlx_cc schema run` list all. Ctrl-C saves and ends; --resume continues.
    A run that the GPU or the system kills is restarted from its last save.

    \b
    Examples:
      python -m mlx_cc.train --config configs/mistral_7b_mac.yaml
      mlx_cc train --config configs/smollm2_135m_cpu.yaml --num-train-epochs 1
      mlx_cc train --config configs/mistral_7b_mac.yaml --resume
    """
    settings = read_settings(config, TrainSettings, overrides)
    folder = Path("adapters") / (run_name or Path(settings.training.output_dir).name)
    from mlx_cc.train.supervise import supervise

    if not (in_process or settings.training.max_restarts == 0):
        with _resolved(settings) as file:
            arguments = ["--config", str(file), "--run", folder.name]
            arguments += [flag for flag, given in (("--resume", resume), ("--json", as_json)) if given]
            tell = partial(click.echo, err=True)
            sys.exit(supervise(arguments, RunFolder(folder).checkpoint, settings.training.max_restarts, tell))
    from mlx_cc.train.session import train

    report = train(settings, folder, resume=resume)
    if as_json:
        import json

        click.echo(json.dumps({**report.__dict__, "folder": str(report.folder)}))
    else:
        click.echo(f"\nNext:  mlx_cc fuse {folder}\n       mlx_cc evaluate --model {folder}")


@contextmanager
def _resolved(settings: TrainSettings) -> Iterator[Path]:
    """A file with the settings as the child reads them."""
    import tempfile

    import msgspec
    import yaml

    with tempfile.TemporaryDirectory() as scratch:
        file = RunFolder(Path(scratch)).settings
        file.write_text(yaml.safe_dump(msgspec.to_builtins(settings)))
        yield file
