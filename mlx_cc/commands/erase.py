"""`mlx_cc erase`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlx_cc.commands.options import JSON, PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlx_cc.erase import Change, Left, Target


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=PATH)
@click.option("--conversation", "conversations", multiple=True, metavar="ID", help="Conversation to erase. Repeatable.")
@click.option(
    "--customer",
    "customers",
    multiple=True,
    metavar="ID",
    help="Customer whose conversations to erase; the id as in the export. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing; list what would be erased and what would be left.")
@click.option("--yes", is_flag=True, help="Erase without asking.")
@JSON
@click.pass_context
def command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    conversations: tuple[str, ...],
    customers: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase a conversation, or all conversations of a customer, from everything made of them.

    Goes through the files and folders PATH, else through data, adapters, models and demo here: conversations,
    training files, analyses, answers, agents' evidence, rejects, and transcripts of this conversation alone. Then
    searches every file for the id and lists those that still have it, such as adapters that were trained on it; the
    exit status is then 3. Run it again after an interruption.

    \b
    Examples:
      mlx_cc erase --conversation call-17 --dry-run
      mlx_cc erase --customer "+1 555 0100"
      mlx_cc erase --customer cust_000042 data adapters exports --yes
    """
    import msgspec

    from mlx_cc import erase
    from mlx_cc.errors import UserError
    from mlx_cc.terminal import counted

    if not (conversations or customers) or "" in (*conversations, *customers):
        raise UserError("nothing to erase. Pass --conversation ID or --customer ID.")
    scope = list(paths) or erase.project()
    with erase.held(scope):
        target = erase.resolve(scope, conversations, customers)
        changes = erase.plan(scope, target)
        if not as_json:
            _print_plan(target, changes)
        if changes and not dry_run:
            if not yes and not sys.stdin.isatty():
                raise UserError("would change the files that --dry-run lists. Add --yes when nobody can be asked.")
            if not yes:
                click.confirm(f"Erase from {counted(len(changes), 'file')}?", abort=True, err=True)
            erase.erase(scope, changes, target)
        left = list(erase.search(scope, target, [change.path for change in changes] if dry_run else ()))
    if as_json:
        summary = {
            "conversations": sorted(target.conversations),
            "dry_run": dry_run,
            "changed": [{"file": str(c.path), "entries": c.entries, "deleted": not c.entries} for c in changes],
            "make_again": [str(change.path) for change in changes if change.aggregate],
            "left": [{"path": str(file.path), "reason": file.reason} for file in left],
        }
        click.echo(msgspec.json.encode(summary))
    else:
        _print(changes, left, dry_run)
    if left and not dry_run:
        ctx.exit(3)


def _print(changes: "Sequence[Change]", left: "Sequence[Left]", dry_run: bool) -> None:
    from mlx_cc.terminal import counted

    if changes:
        click.echo(f"{'Would be erased' if dry_run else 'Erased'} from {counted(len(changes), 'file')}.")
    if aggregates := [str(change.path) for change in changes if change.aggregate]:
        click.echo(f"Figures that still count it (run `mlx_cc fingerprint` again): {', '.join(aggregates)}")
    for file in left:
        click.echo(f"Still there: {file}")


def _print_plan(target: "Target", changes: "Sequence[Change]") -> None:
    """Print the conversations and the changes, before anything is done."""
    from mlx_cc.terminal import counted

    if not changes:
        click.echo("No file that can be changed holds it.")
        return
    ids = sorted(target.conversations)
    click.echo(f"{counted(len(ids), 'conversation')}: {', '.join(ids)}")
    for change in changes:
        click.echo(f"  {change}")
