"""`mlx_cc fairness`."""

from pathlib import Path

import click

from mlx_cc.commands.options import FOLDER, HELD_OUT, JSON, MODEL
from mlx_cc.folders import DataFolder


@click.command()
@MODEL
@HELD_OUT
@click.option("--edit", "names", multiple=True, help="Make only this change. Repeatable.  [default: all]")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="At most this many conversations, each with every change.",
)
@click.option(
    "--output",
    type=FOLDER,
    help="Folder for fairness.json; else evaluation/ in the model's folder.",
)
@JSON
def command(
    model: str, data: Path | None, names: tuple[str, ...], limit: int, output: Path | None, as_json: bool
) -> None:
    """Change who speaks, or slip in an order to the model, and count the answers that change.

    The two versions of a conversation differ in the agent's name, gender, accent or tenure, in the customer's accent,
    manner or gender, or in the agent's history that the model is shown. In others the customer, or a similar case,
    gives the model an order. `control` and `case_control` change nothing that matters. For each change and task: the
    share of decisions that flip and the mean shift of scores, with intervals. Names, accents and phrases are English.
    The same command continues a run that was stopped.

    \b
    Examples:
      mlx_cc fairness --model adapters/mistral-7b-contact-center
      mlx_cc fairness --model models/mistral-7b-contact-center --edit agent_accent --edit control --limit 300
    """
    import msgspec

    from mlx_cc.errors import UserError
    from mlx_cc.evaluate.fairness import fairness, table
    from mlx_cc.model.load import data_folder
    from mlx_cc.redact import read_redacted
    from mlx_cc.terminal import console

    held_out = data or DataFolder(data_folder(model)).split("test")
    conversations = sorted(read_redacted(held_out), key=lambda c: c.id)[:limit]
    if not conversations:
        raise UserError(f"{held_out}: no conversations. Name another file with --data.")
    report = fairness(model, held_out, conversations, names, output)
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
        return
    console().print(table(report))
