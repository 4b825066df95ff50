"""`mlx_cc ingest`: exports in, one conversations file out."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import CENTRE, FILE, JSON, PATH, transcripts

if TYPE_CHECKING:
    from mlx_cc.ingest.rejects import Rejects
    from mlx_cc.ingest.run import Summary


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PATH)
@click.option(
    "--out",
    type=FILE,
    default="conversations.jsonl",
    show_default=True,
    help="The file to write; rejects.jsonl goes beside it.",
)
@CENTRE
@transcripts
@JSON
@click.pass_context
def command(
    ctx: click.Context, paths: tuple[Path, ...], out: Path, centre: Path | None, how: dict[str, Any], as_json: bool
) -> None:
    """Read exports of any known platform into one conversations file.

    Contact records are joined by id, roles are inferred where the files lack them, and personal data is replaced
    by placeholders before anything is written. What can't be read is set aside in rejects.jsonl with the reason; the
    exit status is then 3. Formats and what is read of them: docs/ingest.md.

    \b
    Examples:
      mlx_cc ingest exports/ --contacts ctr/ --timezone America/Chicago --country US
      mlx_cc ingest calls.zip --contacts report.csv --contact-map configs/maps/contacts_example.yaml
      mlx_cc ingest transcripts/ --analyses analyses/ --out conversations.jsonl
      mlx_cc ingest export.jsonl.gz --map configs/maps/star.yaml
      mlx_cc ingest dual-channel/ --role 0=agent --role 1=customer
    """
    from mlx_cc.ingest.run import ingest

    done = ingest(paths, out, centre=centre, **how)
    if as_json:
        click.echo(_json(done))
    else:
        _print(done)
        print_rejects(done.rejects, done.labels_dropped, done.keys_not_used)
    if done.rejects.count:
        ctx.exit(3)


def _json(done: "Summary") -> bytes:
    import msgspec

    rejects = done.rejects
    told: dict[str, Any] = {
        name: dict(value.most_common()) if isinstance(value, Counter) else value
        for name, value in vars(done).items()
        if name != "rejects"
    }
    told |= {
        "rejected": rejects.count,
        "rejects_file": rejects.path if rejects.count else None,
        "reject_reasons": dict(rejects.reasons.most_common()),
    }
    return msgspec.json.encode(told, enc_hook=str)


def _print(done: "Summary") -> None:
    """What was written, joined and redacted."""
    click.echo(f"{done.out}: {done.conversations} conversations")
    if done.contacts:
        click.echo(
            f"  contact records: {done.contacts['matched']} matched, "
            f"{done.contacts['only_transcript']} only a transcript, {done.contacts['only_contact']} only a contact, "
            f"{done.contacts['ambiguous']} ambiguous, {done.contacts['superseded']} older versions left out"
        )
        for group, ids in done.contacts["examples"].items():
            if ids:
                click.echo(f"    {group.replace('_', ' ')}: {', '.join(ids)}")
    for name, counts in (("flags", done.flags), ("redacted", done.redacted), ("labels", done.labels)):
        if counts:
            click.echo(f"  {name}: " + ", ".join(f"{key} {n}" for key, n in counts.most_common()))
    if done.redacted is None:
        click.echo("  NOT redacted: personal data is in the file as the exports have it")


def print_rejects(rejects: "Rejects", dropped: Counter[str], ignored: Counter[str]) -> None:
    """What was set aside, dropped and not used, and why, most frequent first."""
    if rejects.count:
        click.echo(f"  {rejects.count} rejected, in {rejects.path}; the first: {rejects.first}")
        for reason, n in rejects.reasons.most_common(5 if rejects.count > 1 else 0):
            click.echo(f"    {n} x {reason}")
    for reason, n in dropped.most_common(5):
        click.echo(f"  {n} x label dropped: {reason}")
    if len(dropped) > 5:
        click.echo(f"  {sum(dropped.values())} labels dropped in all")
    if ignored:
        click.echo("  keys not used: " + ", ".join(f"{key} ({n})" for key, n in ignored.most_common(8)))
