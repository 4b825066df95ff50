"""`mlx_cc demo`."""

from pathlib import Path

import click

from mlx_cc.commands.options import FOLDER


@click.command(name="demo")
@click.option("--folder", type=FOLDER, default=Path("demo"), show_default=True, help="Folder for the demo's files.")
@click.option("--fresh", is_flag=True, help="Do every step again, also those already done.")
def command(folder: Path, fresh: bool) -> None:
    """Run the whole pipeline on the sample data and write a page about it.

    Ingests, prepares, adds temporal features, profiles agents, tunes SmolLM2-135M, measures it beside its base,
    fuses it, analyses one held-out conversation and draws the dashboard; about eight minutes on two CPU cores.

    \b
    Examples:
      mlx_cc demo
      mlx_cc demo --folder /tmp/demo --fresh
    """
    from rich.table import Table

    from mlx_cc.demo import program, run_demo
    from mlx_cc.evaluate.compare import in_words
    from mlx_cc.files import read_json
    from mlx_cc.folders import RunFolder
    from mlx_cc.metrics import Estimate
    from mlx_cc.terminal import console

    page = run_demo(folder, fresh)
    overall = read_json(RunFolder(Path("adapters/demo")).evaluation.report)["overall"]
    shown = Table("log loss of held-out answers (lower is better)", "value [95%]", "n")
    for model, e in overall["log loss"].items():
        shown.add_row(model, in_words(Estimate(**e)), str(e["n"]))
    for model, e in overall["difference"].items():
        shown.add_row(f"tuned - {model}", in_words(Estimate(**e)), str(e["n"]))
    console().print(shown)
    click.echo(f"The page: {page}\nTalk to it: {program()} chat {folder}/one.jsonl --model models/demo")
