"""`mlx_cc coach`: coaching plans, printed or as e-mail drafts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import CENTRE, FILE, FOLDER, JSON

if TYPE_CHECKING:
    from mlx_cc.agents.coaching_plan import Plan, Write
    from mlx_cc.conversation import Conversation


@click.command()
@click.argument("agents", metavar="[AGENT]...", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="All agents with something to work on.")
@click.option("--team", help="All agents of this team with something to work on.")
@click.option(
    "--profiles",
    type=FOLDER,
    default=Path("data/agent_profiles"),
    show_default=True,
    help="Folder that `mlx_cc fingerprint` wrote.",
)
@click.option(
    "--input",
    "source",
    type=FILE,
    help="Conversations of the profiles; else the file named in their summary.",
)
@click.option("--model", help="Model that writes advice about a contact for each step (slow); else rules and numbers.")
@CENTRE
@click.option("--email", is_flag=True, help="Write .eml drafts; nothing is sent.")
@click.option(
    "--addresses",
    type=FILE,
    help="With --email: CSV with the columns agent and email. Without it, drafts have no recipient.",
)
@click.option(
    "--output-dir",
    "folder",
    type=FOLDER,
    default=Path("coaching"),
    show_default=True,
    help="With --email: folder for the drafts.",
)
@JSON
def command(
    agents: tuple[str, ...],
    model: str | None,
    email: bool,
    addresses: Path | None,
    folder: Path,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write coaching plans: skills by expected gain, with the agent's own contacts and good contacts of colleagues.

    Each contact is cited with a turn. A recommendation of the model is left out where it cites no turn of the agent,
    is not a sentence, copies what was agreed, or asks for what the agent already did in that contact.

    --json prints one object a line.

    \b
    Examples:
      mlx_cc coach agent_042
      mlx_cc coach agent_042 agent_007 --model models/mistral-7b-contact-center
      mlx_cc coach --team team_03 --email --addresses staff.csv --output-dir coaching
      mlx_cc coach --all --json > plans.jsonl
    """
    import msgspec

    from mlx_cc.agents.run import coach, read_addresses, write_draft
    from mlx_cc.terminal import counted, progress

    done = coach(agents, write=_writer(model) if model else None, **settings)
    if done.missing:
        click.echo(f"{done.source}: {done.missing} of the contacts that the profiles name are missing", err=True)
    mails = read_addresses(addresses) if addresses else {}
    for plan in progress(done.plans, "coaching", len(done.agents)):
        if email:
            write_draft(plan, folder, mails.get(plan["agent_id"]))
        if as_json:
            click.echo(msgspec.json.encode(plan).decode())
        elif not email:
            _print(plan)
    if email:
        drafts = counted(len(done.agents), "draft")
        click.echo(f"{folder}: {drafts}. Nothing was sent: read them, then send them yourself.", err=as_json)


def _writer(model: str) -> "Write":
    from mlx_cc.commands.analyze import load_analyst

    analyst = load_analyst(model)

    def write(conversation: "Conversation", priority: Mapping[str, Any], turns: Sequence[int]) -> dict[str, Any]:
        return analyst.advise(conversation, priority["skill"], priority["reason"], priority["action"], turns)

    return write


def _print(plan: "Plan") -> None:
    from mlx_cc.terminal import counted

    click.echo(plan["text"])
    for fault, count in plan["rejected"].items():
        click.echo(f"{counted(count, 'recommendation')} of the model left out: {fault}", err=True)
    click.echo()
