"""`mlx_cc evaluate`."""

from pathlib import Path
from typing import Any

import click

from mlx_cc.commands.options import FOLDER, HELD_OUT, JSON, LIMIT, MODEL, PATH, names


@click.command(name="evaluate")
@MODEL
@HELD_OUT
@click.option("--train", type=PATH, help="Train split for the baselines; else the one beside the held-out file.")
@click.option(
    "--baselines",
    default="constant,tfidf",
    show_default=True,
    help="Fitted on the train split: constant, tfidf and frozen (the base model's states), comma-separated, or none.",
)
@click.option(
    "--limit-train",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="At most this many train conversations for the frozen baseline.",
)
@click.option("--base", default="auto", show_default=True, help="Model or adapter to compare with; `none` for none.")
@click.option("--tasks", help="Comma-separated tasks; all when left out.")
@LIMIT
@click.option(
    "--coaching",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Conversations whose coaching is decoded too (slow).",
)
@click.option(
    "--reasoning",
    default="none",
    show_default=True,
    help="Compare answers without a chain (none), with one after and with one first: comma-separated.",
)
@click.option(
    "--reasoning-limit",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="At most this many conversations get chains (slow).",
)
@click.option(
    "--rag",
    "index",
    type=FOLDER,
    help="Index: compare answers with and without similar cases of its train split.",
)
@click.option("--similar", type=click.IntRange(min=1), default=3, show_default=True, help="Cases shown with --rag.")
@click.option("--no-calibration", is_flag=True, help="Do not apply the calibration kept beside the model.")
@click.option(
    "--output",
    type=FOLDER,
    help="Folder for the report; else evaluation/ in the model's.",
)
@JSON
def command(
    model: str,
    data: Path | None,
    train: Path | None,
    baselines: str,
    base: str,
    tasks: str | None,
    reasoning: str,
    index: Path | None,
    no_calibration: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure each task on held-out conversations, beside the base model and baselines fitted on the train split.

    Answers and chains are kept as they come, with a hash of what was asked. Run the same command again to continue.

    \b
    Examples:
      mlx_cc evaluate --model adapters/mistral-7b-contact-center
      mlx_cc evaluate --model models/mistral-7b-contact-center --base none --data data/test_chatml.jsonl
      mlx_cc evaluate --model adapters/star --tasks issue --limit 300 --json
      mlx_cc evaluate --model adapters/star --base none --baselines constant,tfidf,frozen
      mlx_cc evaluate --model adapters/star --base none --baselines none --reasoning none,after,first
      mlx_cc evaluate --model adapters/star --base none --rag data/index
    """
    import msgspec

    from mlx_cc.evaluate.run import evaluate
    from mlx_cc.evaluate.tables import cases_table, reasoning_table, table
    from mlx_cc.retrieve.rag import ContactCenterRAG
    from mlx_cc.terminal import console

    report = evaluate(
        model,
        data,
        train or "auto",
        names(tasks),
        None if base == "none" else base,
        calibrated=not no_calibration,
        baselines=[] if baselines == "none" else names(baselines),
        reasoning=names(reasoning),
        rag=ContactCenterRAG(index) if index else None,
        **settings,
    )
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
        return
    for part, shown in (("tasks", table), ("reasoning", reasoning_table), ("cases", cases_table)):
        if part in report:
            console().print(shown(report))
