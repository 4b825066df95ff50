"""`mlx_cc evaluate`."""

from pathlib import Path

import click

from mlx_cc.folders import DataFolder


@click.command(name="evaluate")
@click.option("--model", required=True, help="Adapter folder, fused model or base model.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Held-out file; else test_* in the folder it was prepared in."
)
@click.option(
    "--train",
    "train_file",
    type=click.Path(path_type=Path),
    help="Train split for the baselines; else found beside.",
)
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
    help="At most this many train conversations for frozen.",
)
@click.option("--base", default="auto", show_default=True, help="Model or adapter to compare with; `none` for none.")
@click.option("--tasks", help="Comma-separated tasks; all when left out.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many conversations.")
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
    help="Compare answers without a chain, with one after them, with one first: none, after, first, comma-separated.",
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
    type=click.Path(path_type=Path, file_okay=False),
    help="Index: compare answers with and without similar cases of its train split.",
)
@click.option("--similar", type=click.IntRange(min=1), default=3, show_default=True, help="Cases shown with --rag.")
@click.option("--no-calibration", is_flag=True, help="Leave out the calibration kept beside the model.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the report; else evaluation/ in the model's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    model: str,
    data: Path | None,
    train_file: Path | None,
    baselines: str,
    limit_train: int,
    base: str,
    tasks: str | None,
    limit: int | None,
    coaching: int,
    reasoning: str,
    reasoning_limit: int,
    index: Path | None,
    similar: int,
    no_calibration: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure each task on held-out conversations, beside the base model and baselines fitted on the train split.

    Answers and chains are kept as they come; the same command continues a run that was stopped.

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

    from mlx_cc.evaluate.session import cases_table, evaluate, reasoning_table, table
    from mlx_cc.model.load import data_folder
    from mlx_cc.retrieve.rag import ContactCenterRAG
    from mlx_cc.terminal import console

    folder = data.parent if data else data_folder(model)
    held_out = data or DataFolder(folder).split("test")
    if train_file is None:
        train_file = next(iter(DataFolder(folder).every("train")), None)
    names = [name.strip() for name in tasks.split(",")] if tasks else trained_tasks(model)
    plain_base = None if base == "none" else base
    report = evaluate(
        model,
        held_out,
        train_file,
        names,
        plain_base,
        limit,
        coaching,
        output,
        calibrated=not no_calibration,
        baselines=[] if baselines == "none" else [name.strip() for name in baselines.split(",")],
        limit_train=limit_train,
        reasoning=[name.strip() for name in reasoning.split(",")],
        reasoning_limit=reasoning_limit,
        rag=ContactCenterRAG(index) if index else None,
        similar=similar,
    )
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
        return
    out = console()
    out.print(table(report))
    if "reasoning" in report:
        out.print(reasoning_table(report))
    if "cases" in report:
        out.print(cases_table(report))


def trained_tasks(model: str) -> list[str]:
    """The tasks an adapter was trained on; all for other models."""
    from mlx_cc.model.load import run_settings

    settings = run_settings(model)
    return list((settings or {}).get("training", {}).get("tasks", ()))
