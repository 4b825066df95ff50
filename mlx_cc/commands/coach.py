"""`mlx_cc coach`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.folders import AgentsFolder

if TYPE_CHECKING:
    from mlx_cc.agents.coaching_plan import Plan, Write
    from mlx_cc.conversation import Conversation


@click.command()
@click.argument("agents", metavar="[AGENT]...", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every agent with something to work on.")
@click.option("--team", help="Every agent of this team with something to work on.")
@click.option(
    "--profiles",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data/agent_profiles"),
    show_default=True,
    help="Folder that `mlx_cc fingerprint` wrote.",
)
@click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Conversations the profiles were made from; else the file named in their summary.",
)
@click.option("--model", help="Has this model write about a contact of each step (slow); else rules and numbers.")
@click.option("--centre", "centre_file", type=click.Path(path_type=Path), help="The centre's settings (YAML): skills.")
@click.option("--email", is_flag=True, help="Write .eml drafts; nothing is sent.")
@click.option(
    "--addresses",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="With --email: CSV with the columns agent and email; else drafts have no To.",
)
@click.option(
    "--output-dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("coaching"),
    show_default=True,
    help="With --email: where the drafts go.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for each agent.")
def command(
    agents: tuple[str, ...],
    everyone: bool,
    team: str | None,
    profiles: Path,
    source: Path | None,
    model: str | None,
    centre_file: Path | None,
    email: bool,
    addresses: Path | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Coaching plans: what to work on by what it is worth, with the agent's own contacts and colleagues' good ones.

    Each contact is cited with the turn to go to. A model's recommendation is left out where it cites no turn of the
    agent, is no sentence, copies what was agreed, or asks for what was done in that contact already.

    \b
    Examples:
      mlx_cc coach agent_042
      mlx_cc coach agent_042 agent_007 --model models/mistral-7b-contact-center
      mlx_cc coach --team team_03 --email --addresses staff.csv --output-dir coaching
      mlx_cc coach --all --json > plans.jsonl
    """
    import msgspec

    from mlx_cc.agents.coaching_plan import coaching_plan, contacts_to_load
    from mlx_cc.centre import read_centre
    from mlx_cc.errors import UserError
    from mlx_cc.terminal import progress

    known = _read(AgentsFolder(profiles).profiles)
    source = source or Path(_read(AgentsFolder(profiles).summary)["input"])
    chosen = _chosen(known, agents, everyone, team)
    needed = contacts_to_load(known, chosen)
    conversations = _conversations(source, needed)
    if missing := len(needed) - len(conversations):
        click.echo(f"{source}: {missing} of {len(needed)} contacts the profiles name are not there", err=True)
    skills = read_centre(centre_file).skills
    write = _writer(model) if model else None
    plans = (coaching_plan(agent, known, conversations, skills, write) for agent in chosen)
    mails = _addresses(addresses) if addresses else {}
    drafts = 0
    for found in progress(plans, "coaching", len(chosen)):
        if failed := [name for name, passed in found["checks"].items() if not passed]:
            raise UserError(
                f"{found['agent_id']}: the plan does not keep to {', '.join(failed)}; {source} has changed "
                "since the profiles were made. Run mlx_cc fingerprint again."
            )
        if email:
            drafts += _draft(found, mails.get(found["agent_id"]), folder)
        if as_json:
            click.echo(msgspec.json.encode(found).decode())
        elif not email:
            _tell(found)
    if email:
        click.echo(f"{folder}: {drafts} drafts; open, read and send them yourself", err=as_json)


def _writer(model: str) -> "Write":
    from mlx_cc.commands.analyze import load_analyst

    analyst = load_analyst(model)

    def write(conversation: "Conversation", priority: Mapping[str, Any], turns: Sequence[int]) -> dict[str, Any]:
        return analyst.advise(conversation, priority["skill"], priority["reason"], priority["action"], turns)

    return write


def _read(path: Path) -> dict[str, Any]:
    import msgspec

    from mlx_cc.errors import UserError

    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError as fault:
        raise UserError(f"{path}: not there. Run mlx_cc fingerprint, or name its folder with --profiles.") from fault
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: {fault}. Run mlx_cc fingerprint again.") from fault


def _chosen(known: Mapping[str, Any], agents: tuple[str, ...], everyone: bool, team: str | None) -> list[str]:
    from mlx_cc.errors import UserError

    if sum((bool(agents), everyone, team is not None)) != 1:
        raise UserError("whom to coach? Name agents, or a --team, or pass --all.")
    if agents:
        return list(dict.fromkeys(agents))
    teams = {profile["team"] for profile in known.values()}
    if team is not None and team not in teams:
        named = sorted(str(name) for name in teams - {None})
        raise UserError(f"no team {team!r}. Teams are {', '.join(named[:12])}{', …' if len(named) > 12 else ''}.")
    return [
        agent
        for agent, profile in known.items()
        if profile["coaching_priorities"] and (team is None or profile["team"] == team)
    ]


def _conversations(source: Path, needed: set[str]) -> dict[str, "Conversation"]:
    from mlx_cc.files import count_conversations
    from mlx_cc.redact import read_redacted
    from mlx_cc.terminal import progress

    stream = progress(read_redacted(source), source.name, count_conversations(source))
    return {one.id: one for one in stream if one.id in needed}


def _addresses(path: Path) -> dict[str, str]:
    import csv

    from mlx_cc.errors import UserError

    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if rows and not {"agent", "email"} <= rows[0].keys():
        raise UserError(f"{path}: has the columns {', '.join(map(str, rows[0]))}. It needs agent and email.")
    found = {row["agent"]: (row["email"] or "").strip() for row in rows}
    for agent, address in found.items():
        if not address.isascii() or address.count("@") != 1 or any(c in address for c in " ,;<>\r\n"):
            raise UserError(f"{path}: {address!r} for {agent} is no e-mail address.")
    return found


def _draft(found: "Plan", address: str | None, folder: Path) -> int:
    from zlib import crc32

    from mlx_cc.agents.coaching_email import draft
    from mlx_cc.files import written_whole

    agent = found["agent_id"]
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in agent)
    if name != agent:
        name = f"{name[:100]}-{crc32(agent.encode()):08x}"
    with written_whole(folder / f"{name}.eml") as file:
        file.write(draft(found, address))
    return 1


def _tell(found: "Plan") -> None:
    click.echo(found["text"])
    for fault, count in found["rejected"].items():
        click.echo(f"{count} of the model's recommendations left out: {fault}", err=True)
    click.echo()
