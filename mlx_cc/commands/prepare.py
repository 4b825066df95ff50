"""`mlx_cc prepare`: transcripts and analyses -> training, validation and test files."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from mlx_cc.commands.options import CENTRE, FOLDER, JSON, PATH, names, transcripts


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=PATH)
@click.option("--input", "inputs", multiple=True, type=PATH, help="Conversations file or transcripts, like PATH.")
@click.option("--transcripts-dir", type=PATH, help="Folder of transcripts, like PATH.")
@click.option(
    "--output-dir", "folder", type=FOLDER, default="data", show_default=True, help="Folder for the files made."
)
@CENTRE
@click.option(
    "--issues",
    type=click.Choice(["centre", "auto"]),
    default="centre",
    show_default=True,
    help="Issue classes: the centre's, or (auto) those that occur in the labels.",
)
@click.option("--tasks", help="Comma-separated tasks that get rows; the six when left out.")
@click.option(
    "--split-by",
    type=click.Choice(["conversation", "agent", "customer"]),
    default="conversation",
    show_default=True,
    help="Keep all conversations of one agent (or customer) in the same split.",
)
@click.option(
    "--shares",
    nargs=2,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=(0.8, 0.1),
    show_default=True,
    metavar="TRAIN VALIDATION",
    help="Shares of the training and validation split; the rest is test.",
)
@click.option("--train-limit", type=click.IntRange(min=1), help="Keep only N training conversations.")
@click.option(
    "--customer-turns",
    type=click.IntRange(min=0),
    default=0,
    help="Show only the customer's first N turns; 0 shows all.",
)
@click.option("--tokenizer", metavar="MODEL", help="Count lengths in tokens of this model; else in words.")
@transcripts
@JSON
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    inputs: tuple[Path, ...],
    transcripts_dir: Path | None,
    folder: Path,
    tasks: str | None,
    tokenizer: str | None,
    issues: str,
    customer_turns: int,
    how: dict[str, Any],
    as_json: bool,
    **options: Any,
) -> None:
    """Make training, validation and test files from transcripts and analyses.

    Writes {train,validation,test}_chatml.jsonl, conversations.jsonl, centre.yaml and
    statistics.json. Personal data is replaced by placeholders where `mlx_cc ingest` has not done
    so. What can't be read is set aside in rejects.jsonl; the exit status is then 3.

    \b
    Examples:
      mlx_cc prepare --transcripts-dir transcripts --analyses-dir analyses --output-dir data
      mlx_cc prepare conversations.jsonl --output-dir data --split-by agent --train-limit 500
      mlx_cc prepare export.jsonl --map configs/maps/star.yaml --issues auto --output-dir data
    """
    import msgspec

    from mlx_cc.commands.ingest import print_rejects
    from mlx_cc.prepare import class_hint, prepare_files
    from mlx_cc.prompt import PromptSettings

    done = prepare_files(
        [*paths, *inputs, *([transcripts_dir] if transcripts_dir else [])],
        folder,
        tasks=names(tasks),
        encoder=_encoder(tokenizer) if tokenizer else None,
        issues_from_labels=issues == "auto",
        prompt=PromptSettings(customer_turns=customer_turns),
        **options,
        **how,
    )
    if as_json:
        click.echo(msgspec.json.encode(done.statistics))
    else:
        _table(done.statistics, folder)
        dropped = Counter(done.statistics["labels_dropped"])
        print_rejects(done.rejects, dropped, done.keys_not_used)
        if hint := class_hint(dropped):
            click.echo(f" {hint}")
    if done.rejects.count:
        ctx.exit(3)


def _encoder(name: str):
    """The tokenizer of a model, for lengths."""
    from transformers import AutoTokenizer

    from mlx_cc.model.pull import resolve
    from mlx_cc.prompt import Encoder

    return Encoder(AutoTokenizer.from_pretrained(resolve(name)))


def _table(statistics: dict[str, Any], folder: Path) -> None:
    """Print what was made: rows per task and split, lengths, and the baselines to beat."""
    from rich.table import Table

    from mlx_cc.splits import SPLITS
    from mlx_cc.terminal import console

    rows, lengths, baselines = statistics["rows"], statistics["lengths"], statistics["baselines"]
    table = Table("rows", *SPLITS, "constant answer", "its score (95%)", title=f"{folder}", title_justify="left")
    for task in statistics["label_sources"]:
        base = baselines.get(task)
        score = ""
        if base:
            main, (low, high) = next(iter(base["interval"].items()))
            number = base["metrics"][main]
            inside = "" if low is None else f" [{low:.2f}, {high:.2f}]"
            score = "" if number is None else f"{main} {number:.2f}{inside}, n={base['n']}"
        table.add_row(
            task, *(str(rows[split].get(task, 0)) for split in SPLITS), _short(base["answer"]) if base else "", score
        )
    table.add_row("all", *(str(rows[split]["total"]) for split in SPLITS), "", "", end_section=True)
    table.add_row("conversations", *(str(statistics["conversations"][split]) for split in SPLITS), "", "")
    for name in ("p50", "p95", "max"):
        cells = (str(lengths[split][name]) if split in lengths else "" for split in SPLITS)
        table.add_row(f"{lengths['unit']} a row, {name}", *cells, "", "")
    console().print(table)
    if lengths["unit"] == "words":
        click.echo("Lengths are in words; pass --tokenizer MODEL for tokens.")
    agents = statistics["agents"]
    if agents["in_several_splits"]:
        click.echo(
            f"{agents['in_several_splits']} of {agents['total']} agents are in several splits "
            "(--split-by agent keeps them apart)."
        )
    for reason, n in statistics["left_out"].items():
        click.echo(f"{n} conversations without rows: {reason}")


def _short(answer) -> str:
    """A constant answer in a few words."""
    if isinstance(answer, dict):
        return ", ".join(str(value) for value in answer.values())
    if isinstance(answer, list):
        return ", ".join(item["skill"] for item in answer)
    return f"{answer:g}" if isinstance(answer, int | float) else str(answer)
