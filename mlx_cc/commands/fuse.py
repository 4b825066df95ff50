"""`mlx_cc fuse`."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from mlx_cc.commands.options import JSON, PATH

if TYPE_CHECKING:
    from mlx_cc.train.fuse import Quantization


@click.command(name="fuse")
@click.argument("adapter", type=PATH)
@click.option("--output", type=PATH, help="Folder to write (default: output_dir of the run's settings).")
@click.option(
    "--data",
    type=PATH,
    help="Conversations to compare on (default: the run's test or validation split).",
)
@click.option(
    "--rows",
    "count",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="How many conversations to compare.",
)
@click.option(
    "--quantize",
    type=click.Choice(["none", "4bit", "8bit"]),
    default="none",
    show_default=True,
    help="Quantise the fused weights.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Type of the weights written (default: bfloat16 on a GPU, the base's own on a CPU).",
)
@click.option("--accept-loss", is_flag=True, help="Keep a quantised model even when its answers differ.")
@click.option("--overwrite", is_flag=True, help="Replace a model that is in the output folder.")
@JSON
def command(
    adapter: Path,
    output: Path | None,
    data: Path | None,
    count: int,
    quantize: str,
    dtype: str | None,
    accept_loss: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Merge an adapter into its base model and check that the answers stay the same.

    The new folder is an ordinary mlx-lm model. It is kept only when its answer probabilities are those of
    the adapter; with --quantize, when it gives the same most probable answer nine times out of ten.

    \b
    Examples:
      mlx_cc fuse adapters/mistral-7b-contact-center
      mlx_cc fuse adapters/mistral-7b-contact-center --quantize 4bit --output models/mistral-4bit --rows 64
      mlx_cc fuse adapters/star --data held_out.jsonl --overwrite --json
    """
    import msgspec

    from mlx_cc.terminal import status
    from mlx_cc.train.fuse import fuse, output_of, rows

    output = output or output_of(adapter)
    conversations = rows(adapter, data, count)
    with status("loading") as tell:
        made = fuse(adapter, output, conversations, cast("Quantization", quantize), dtype, accept_loss, overwrite, tell)
    if as_json:
        click.echo(msgspec.json.encode({**made._asdict(), "folder": str(made.folder)}).decode())
        return
    weights = made.dtype if quantize == "none" else f"{quantize} ({made.dtype} scales)"
    same = ", ".join(f"{name} {share:.0%}" for name, share in made.agreement.items())
    size = f"{made.size_bytes / 1e6:,.0f} MB"
    click.echo(
        f"{made.folder}: {made.layers} layers merged, {weights}, {size}, {made.seconds:.0f} s\n"
        f"Compared with the adapter on {made.conversations} conversations: answer probabilities differ by at most "
        f"{made.max_difference:.1e}; same most probable answer: {same}\n"
        f"\nNext:  mlx_cc analyze FILE --model {made.folder}"
    )
