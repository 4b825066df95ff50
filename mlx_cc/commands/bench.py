"""`mlx_cc bench`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import FILE

if TYPE_CHECKING:
    from mlx_cc.bench.comparison import Comparison

POSITIVE = click.IntRange(min=1)


def comparison(default_trunk: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of every comparison, with this default for --trunk."""
    options = (
        click.option("--model", default="smollm2-135m", show_default=True, help="Model to measure with."),
        click.option(
            "--trunk",
            "trunks",
            type=click.IntRange(min=8),
            multiple=True,
            default=(default_trunk,),
            show_default=True,
            help="Approximate tokens of a conversation. Repeatable.",
        ),
        click.option(
            "--contender",
            "names",
            multiple=True,
            help="Compare only this one with the first. Repeatable.  [default: all]",
        ),
        click.option("--runs", type=POSITIVE, default=5, show_default=True, help="Timed rounds."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON: an array with one object for each trunk."),
        click.option("--output", type=FILE, help="Also write that JSON to this file."),
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group(name="bench")
def command() -> None:
    """Measure speed on this machine."""


@command.command()
@comparison(default_trunk=1000)
@click.option("--branches", type=click.IntRange(min=2), default=6, show_default=True, help="Questions about it.")
@click.option(
    "--branch-tokens",
    type=click.IntRange(min=2),
    default=60,
    show_default=True,
    help="Tokens of each question with its answer.",
)
@click.option("--answer-tokens", type=POSITIVE, default=30, show_default=True, help="Tokens of each answer.")
def train(
    model: str,
    trunks: tuple[int, ...],
    branches: int,
    branch_tokens: int,
    answer_tokens: int,
    names: tuple[str, ...],
    runs: int,
    **shown: Any,
) -> None:
    """Compare training with unmodified mlx-lm: examples/s and peak memory of an update.

    The contenders run in processes of their own and take turns. Each trains LoRA r=16 on q, k, v and o of all
    layers: the tree, mlx-lm with all rows in a batch and with one row at a time, the same with corrections to
    mlx-lm, and the tree on MLX's own kernels. The default trunk takes minutes on a CPU.

    \b
    Examples:
      mlx_cc bench train --trunk 300 --runs 3
      mlx_cc bench train --trunk 300 --trunk 1000 --trunk 2000 --output train.json
      mlx_cc bench train --contender stock --contender stock-1x --json
    """
    from mlx_cc.bench.comparison import chosen, warn_if_busy
    from mlx_cc.bench.train import CONTENDERS, Job, train_speed

    contenders = chosen(CONTENDERS, names)
    warn_if_busy()
    jobs = [Job(model, trunk, branches, branch_tokens, answer_tokens) for trunk in trunks]
    found = [train_speed(job, contenders, runs) for job in jobs]
    show(found, **shown)
    for one in () if shown["as_json"] else found:
        if share := one.bound_reached:
            click.echo(
                f"Trunk {one.job.trunk}: over the faster corrected rows {share.ratio:.2f} [{share.low:.2f}, "
                f"{share.high:.2f}] of the {one.bound:.2f}x that computing the trunk once can save."
            )


@command.command()
@comparison(default_trunk=1000)
@click.option("--coaching-tokens", type=POSITIVE, default=40, show_default=True, help="Tokens of coaching to decode.")
def analyze(
    model: str, trunks: tuple[int, ...], coaching_tokens: int, names: tuple[str, ...], runs: int, **shown: Any
) -> None:
    """Compare six answers about a conversation with unmodified mlx-lm: conversations/s and peak memory.

    The contenders run in processes of their own and take turns: the tree, six mlx_lm.generate calls,
    mlx_lm.batch_generate, both with the conversation cached once, and the tree on MLX's own kernels.

    \b
    Examples:
      mlx_cc bench analyze
      mlx_cc bench analyze --model adapters/mistral-7b-contact-center --trunk 2000 --runs 3
      mlx_cc bench analyze --contender generate --json
    """
    from mlx_cc.bench.analyze import CONTENDERS, Job, analysis_speed
    from mlx_cc.bench.comparison import chosen, warn_if_busy

    contenders = chosen(CONTENDERS, names)
    warn_if_busy()
    found = [analysis_speed(Job(model, trunk, coaching_tokens), contenders, runs) for trunk in trunks]
    show(found, **shown)


@command.command()
@comparison(default_trunk=600)
@click.option("--tokens", type=POSITIVE, default=200, show_default=True, help="Tokens to decode for each text.")
@click.option("--batch-size", type=POSITIVE, default=16, show_default=True, help="Texts that are decoded at once.")
@click.option("--questions", type=POSITIVE, default=1, show_default=True, help="Texts about each conversation.")
def generate(
    model: str,
    trunks: tuple[int, ...],
    tokens: int,
    batch_size: int,
    questions: int,
    names: tuple[str, ...],
    runs: int,
    **shown: Any,
) -> None:
    """Compare writing reasoning chains with unmodified mlx-lm: decoded tokens/s and peak memory.

    Each text has exactly --tokens tokens; with --questions, several texts share a conversation. The contenders run in
    processes of their own and take turns: mlx_cc's writer, the same under the grammar of a chain, a loop of
    mlx_lm.generate (it writes two of the texts, and its seconds are scaled to all of them), mlx_lm.batch_generate, and
    the writer on MLX's own kernels. A round takes minutes on a CPU.

    \b
    Examples:
      mlx_cc bench generate --runs 2
      mlx_cc bench generate --trunk 2000 --batch-size 32 --contender batch
      mlx_cc bench generate --questions 4 --contender batch
      mlx_cc bench generate --contender loop --json
    """
    from mlx_cc.bench.comparison import chosen, warn_if_busy
    from mlx_cc.bench.generate import CONTENDERS, Job, writing_speed
    from mlx_cc.errors import UserError

    if batch_size % questions:
        raise UserError(f"--questions {questions}: must divide --batch-size {batch_size}.")
    contenders = chosen(CONTENDERS, names)
    warn_if_busy()
    found = [writing_speed(Job(model, trunk, tokens, batch_size, questions), contenders, runs) for trunk in trunks]
    show(found, **shown)


def show(found: "Sequence[Comparison]", as_json: bool, output: Path | None) -> None:
    """Print comparisons as tables or JSON, and write the JSON to a file."""
    import msgspec

    from mlx_cc.bench.comparison import table
    from mlx_cc.files import write_json
    from mlx_cc.terminal import console

    if output:
        write_json(output, found)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for one in found:
        console().print(table(one))
