"""`mlx_cc temporal`: add the 18 temporal features."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import CENTRE, COUNTRY, JSON, PATH, TIMEZONE

if TYPE_CHECKING:
    from mlx_cc.export import TemporalSummary


@click.command()
@click.option(
    "--input",
    "source",
    type=PATH,
    required=True,
    metavar="FILE|FOLDER",
    help="Conversations or ChatML rows; of a folder, its {train,validation,test}_chatml.jsonl.",
)
@click.option(
    "--output",
    "target",
    type=PATH,
    required=True,
    metavar="FILE|FOLDER",
    help="Same kind of file to write; into a folder, as {train,validation,test}_temporal.jsonl.",
)
@CENTRE
@TIMEZONE
@COUNTRY
@click.option("--subdivision", help="ISO 3166-2 subdivision whose holidays count too, for example SCT.")
@JSON
def command(source: Path, target: Path, as_json: bool, **settings: Any) -> None:
    """Add local time, calendar, opening hours and queue wait to conversations.

    Local features need the site's time zone: the conversation's own, --timezone, or the centre's.
    Without one they stay empty rather than guessed.

    \b
    Examples:
      mlx_cc temporal --input data/train_chatml.jsonl --output data/train_temporal.jsonl
      mlx_cc temporal --input data --output data --timezone Europe/London --country GB --subdivision SCT
    """
    from mlx_cc.export import add_temporal_features

    done = add_temporal_features(source, target, **settings)
    _print_json(done) if as_json else _print(done)


def _shares(done: "TemporalSummary") -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Feature -> share of conversations that have it, and of those for which it is true."""
    from mlx_cc.conversation import Temporal

    total, names = done.conversations, Temporal.__struct_fields__
    present = {name: done.present[name] / total if total else None for name in names}
    yes = {name: done.true[name] / done.present[name] if done.present[name] else None for name in names}
    return present, {name: share for name, share in yes.items() if name.startswith("is_")}


def _print_json(done: "TemporalSummary") -> None:
    import msgspec

    present, true = _shares(done)
    files = [file._asdict() for file in done.files]
    summary = {"conversations": done.conversations, "files": files, "present": present, "true": true}
    click.echo(msgspec.json.encode(summary, enc_hook=str))


def _print(done: "TemporalSummary") -> None:
    from rich.table import Table

    from mlx_cc.terminal import console

    present, true = _shares(done)
    table = Table("feature", "present", "true where present")
    for name, share in present.items():
        table.add_row(name, _percent(share), _percent(true.get(name)))
    console().print(table)
    for file in done.files:
        click.echo(f"{file.output}: {file.conversations} conversations, {file.rows} rows")
    if without := done.conversations - done.present["hour"]:
        click.echo(
            f"{without} of {done.conversations} conversations have no known local time. "
            "Pass --timezone if the site's zone is known.",
            err=True,
        )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
