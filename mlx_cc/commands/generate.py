"""`mlx_cc generate` and `mlx_cc generate status`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import CENTRE, JSON, PATH
from mlx_cc.folders import DataFolder
from mlx_cc.generate.settings import GenerateSettings
from mlx_cc.settings import flags

if TYPE_CHECKING:
    from mlx_cc.generate.progress import State


@click.group(name="generate", invoke_without_command=True, context_settings={"show_default": False})
@click.option("--input", "source", type=PATH, help="Conversations or ChatML rows with labels to explain.")
@click.option("--output", type=PATH, help="File to write: the input with chains.")
@click.option("--test", is_flag=True, help="Write the chain of one conversation and show it.")
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
    """Have a local teacher model write reasoning chains that explain the labels, and put them into the training file.

    One chain a conversation, for all its labels. Each is kept as soon as it is written: the same command continues a
    run that was stopped or killed. Chains that fail a check go to OUTPUT_rejects.jsonl with the reason; the figures
    are in OUTPUT_report.json. Without --centre, centre.yaml beside the input counts.

    \b
    Examples:
      mlx_cc generate --input data/train_temporal.jsonl --output data/test_reasoning.jsonl --test
      mlx_cc generate --input data/train_temporal.jsonl --output data/train_reasoning.jsonl
      mlx_cc generate --input data/train_temporal.jsonl --output data/train_reasoning.jsonl --blind --workers 2
      mlx_cc generate status data/train_reasoning.jsonl
    """
    if ctx.invoked_subcommand:
        return
    from mlx_cc.errors import UserError
    from mlx_cc.settings import with_overrides

    if source is None or output is None:
        raise UserError("nothing to do without --input and --output. `mlx_cc generate --help` has examples.")
    from mlx_cc.generate.session import Work

    settings = with_overrides(GenerateSettings, overrides, "flags")
    work = Work(source, output, settings, _centre(source, centre), 1 if test else limit)
    report = generate(ctx, work, workers)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report).decode())
    else:
        _tell(report, work)
    if test:
        _show_chain(work)
    if not report["kept"]:
        ctx.exit(3)


def generate(ctx: click.Context, work: Any, workers: int) -> dict[str, Any]:
    """Write and join, with progress on stderr."""
    from mlx_cc.errors import UserError
    from mlx_cc.generate.join import join
    from mlx_cc.generate.journal import held
    from mlx_cc.generate.ranks import Ranks, is_launched
    from mlx_cc.generate.session import Shard, run, write_shard
    from mlx_cc.terminal import bars

    if work.source.resolve() == work.output.resolve():
        raise UserError(f"--output {work.output} is the input. Name another file.")
    with bars() as shown:
        bar = shown.add_task("writing", total=None)

        def show(state: "State") -> None:
            shown.update(bar, total=state.about.conversations, completed=state.done, description=in_words(state))

        tell = partial(click.echo, err=True)
        ranks = Ranks() if is_launched() else None
        if ranks and ranks.shard.place:
            work.folder.mkdir(parents=True, exist_ok=True)
            write_shard(work, ranks.shard)
            ranks.gather(work)
            ctx.exit(0)
        with held(work.output):
            run(work, workers, tell, show, ranks.shard if ranks else Shard())
            if ranks:
                ranks.gather(work)
            return join(work)


def in_words(state: "State") -> str:
    """How far a run is, in a line."""
    share = f", {state.kept / state.done:.0%} kept" if state.done else ""
    speed = f", {state.tokens_per_s:,.0f} tokens/s" if state.tokens_per_s else ""
    left = f", {_duration(state.seconds_left)} left" if state.seconds_left else ""
    return f"{state.done:,} of {state.about.conversations:,}{share}{speed}{left}"


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


@command.command(name="status")
@click.argument("output", type=PATH)
@JSON
def status_command(output: Path, as_json: bool) -> None:
    """Say how far a run is, from another terminal or afterwards.

    \b
    Examples:
      mlx_cc generate status data/train_reasoning.jsonl
      mlx_cc generate status data/train_reasoning.jsonl --json
    """
    import msgspec

    from mlx_cc.generate.progress import status

    state = status(output)
    if as_json:
        click.echo(msgspec.json.encode(state._asdict()).decode())
        return
    doing = "running" if state.running else "not running"
    click.echo(f"{output}: {in_words(state)}; {doing}, {state.about.model}, {state.about.workers} worker(s)")


def _centre(source: Path, named: Path | None) -> Any:
    from mlx_cc.centre import read_centre

    beside = DataFolder(source.parent).centre
    return read_centre(named or (beside if beside.exists() else None))


def _tell(report: dict[str, Any], work: Any) -> None:
    from mlx_cc.generate.join import REJECTS
    from mlx_cc.generate.journal import beside

    done = report["kept"] + report["rejected"]
    click.echo(f"{work.output}: {report['kept']} of {done} chains kept")
    for reason, count in sorted(report["reasons"].items(), key=lambda item: -item[1]):
        click.echo(f"  {count} {reason}")
    if report["rejected"]:
        click.echo(f"{report['rejected']} rejected, in {beside(work.output, REJECTS)}")


def _show_chain(work: Any) -> None:
    from mlx_cc.generate.journal import latest

    for entry in latest(work.folder).values():
        click.echo(f"\n{entry.text}\n")
        for fault in entry.faults:
            click.echo(f"rejected, {fault}")
