"""`mlx_cc generate` and `mlx_cc generate status`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import CENTRE, JSON, PATH
from mlx_cc.generate.settings import GenerateSettings
from mlx_cc.settings import flags

if TYPE_CHECKING:
    from mlx_cc.generate.progress import State


@click.group(name="generate", invoke_without_command=True, context_settings={"show_default": False})
@click.option("--input", "source", type=PATH, help="Conversations or ChatML rows with labels to explain.")
@click.option("--output", type=PATH, help="File for the input with its chains.")
@click.option("--test", is_flag=True, help="Write the chain of the first conversation and print it.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many conversations, the first of the file.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes on this machine.")
@CENTRE
@JSON
@flags(GenerateSettings)
@click.pass_context
def command(
    ctx: click.Context,
    source: Path | None,
    output: Path | None,
    test: bool,
    limit: int | None,
    workers: int,
    centre: Path | None,
    as_json: bool,
    overrides: dict[str, Any],
) -> None:
    """Let a local teacher model write reasoning chains that explain the labels, and put them into the training file.

    Each conversation gets one chain for all its labels. A chain is on disk as soon as it is written: the same command
    continues a run that was stopped or killed. Chains that fail a check go to OUTPUT_rejects.jsonl with the reason;
    the figures are in OUTPUT_report.json. Without --centre, centre.yaml beside the input is used.

    \b
    Examples:
      mlx_cc generate --input data/train_temporal.jsonl --output data/test_reasoning.jsonl --test
      mlx_cc generate --input data/train_temporal.jsonl --output data/train_reasoning.jsonl
      mlx_cc generate --input data/train_temporal.jsonl --output data/train_reasoning.jsonl --blind --workers 2
      mlx_cc generate status data/train_reasoning.jsonl
    """
    if ctx.invoked_subcommand:
        return
    import msgspec

    from mlx_cc.centre import read_centre
    from mlx_cc.errors import UserError
    from mlx_cc.generate.run import generate
    from mlx_cc.settings import with_overrides
    from mlx_cc.terminal import bars

    if source is None or output is None:
        raise UserError("nothing to do without --input and --output. `mlx_cc generate --help` has examples.")
    settings = with_overrides(GenerateSettings, overrides, "flags")
    with bars() as shown:
        bar = shown.add_task("writing", total=None)

        def show(state: "State") -> None:
            shown.update(bar, total=state.about.conversations, completed=state.done, description=str(state))

        given = read_centre(centre) if centre else None
        tell = partial(click.echo, err=True)
        report = generate(source, output, settings, given, 1 if test else limit, workers, show, tell)
    if report is None:  # another rank has it
        return
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        _print_report(report, output)
    if test:
        _print_chain(output)
    if not report["kept"]:
        ctx.exit(3)


@command.command(name="status")
@click.argument("output", type=PATH)
@JSON
def status_command(output: Path, as_json: bool) -> None:
    """Show the progress of a run, from another terminal or afterwards.

    \b
    Examples:
      mlx_cc generate status data/train_reasoning.jsonl
      mlx_cc generate status data/train_reasoning.jsonl --json
    """
    import msgspec

    from mlx_cc.generate.progress import status
    from mlx_cc.terminal import counted

    state = status(output)
    if as_json:
        click.echo(msgspec.json.encode(state._asdict()).decode())
        return
    running = "running" if state.running else "not running"
    click.echo(f"{output}: {state}; {running}, {state.about.model}, {counted(state.about.workers, 'worker')}")


def _print_report(report: dict[str, Any], output: Path) -> None:
    from mlx_cc.generate.join import REJECTS
    from mlx_cc.generate.journal import beside

    done = report["kept"] + report["rejected"]
    click.echo(f"{output}: {report['kept']} of {done} chains kept")
    for reason, count in sorted(report["reasons"].items(), key=lambda item: -item[1]):
        click.echo(f"  {count} {reason}")
    if report["rejected"]:
        click.echo(f"{report['rejected']} rejected, in {beside(output, REJECTS)}")


def _print_chain(output: Path) -> None:
    from mlx_cc.generate.journal import folder_of, latest

    for entry in latest(folder_of(output)).values():
        click.echo(f"\n{entry.text}\n")
        for fault in entry.faults:
            click.echo(f"rejected, {fault}")
