"""`mlx_cc.fingerprint` and `mlx_cc.coach`: from files of conversations to files of profiles, plans and drafts."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from mlx_cc.agents.coaching_email import draft
from mlx_cc.agents.coaching_plan import Plan, Write, coaching_plan, contacts_to_load
from mlx_cc.agents.contact_table import Fcr
from mlx_cc.agents.fingerprint import AgentFingerprinter, Profile
from mlx_cc.centre import Centre, read_centre
from mlx_cc.errors import UserError
from mlx_cc.files import count_conversations, read_conversations, read_json, write_json, written_together, written_whole
from mlx_cc.folders import AgentsFolder
from mlx_cc.redact import read_redacted
from mlx_cc.terminal import progress


class Fingerprints(NamedTuple):
    """Results of `fingerprint`, as written."""

    profiles: dict[str, Profile]
    """Agent id -> profile."""
    clusters: dict[str, Any]
    summary: dict[str, Any]


def fingerprint(
    source: Path | str,
    folder: Path | str,
    *,
    clusters: int = 5,
    min_conversations: int = 5,
    fcr: Fcr = "auto",
    repeat_days: int = 7,
    centre: Centre | Path | str | None = None,
) -> Fingerprints:
    """Profile every agent of a file of conversations and write the profiles, groups and summary into a folder.

    Args:
        source: conversations or ChatML rows with labels; use the train split.
        folder: where agent_profiles.json, agent_clusters.json and agent_summary.json go.
        clusters: groups of agents with similar profiles.
        min_conversations: an estimate from fewer contacts is left out.
        fcr: definition of first-contact resolution, see `contact_table.FCR_METHODS`.
        repeat_days: with `fcr="repeat"`: days in which another contact counts as a repeat.
        centre: the centre's settings or their file, for its skills.

    Raises:
        UserError: there is no such file, or no conversation names its agent.
    """
    source, folder = Path(source), Path(folder)
    settings = centre if isinstance(centre, Centre) else read_centre(centre)
    fingerprinter = AgentFingerprinter(min_conversations, settings.skills, fcr, repeat_days)
    conversations = progress(read_conversations(source), source.name, count_conversations(source))
    profiles = fingerprinter.compute_agent_profiles(conversations)
    if not profiles:
        raise UserError(f"{source}: no conversation names its agent. Ingest with agent ids (`agents`) and try again.")
    groups = fingerprinter.cluster_agents(profiles, clusters)
    summary = {
        "input": str(source),
        **fingerprinter.summary(profiles),
        "groups": {name: group["n"] for name, group in groups["groups"].items()},
        "silhouette": groups["silhouette"],
        "stability": groups["stability"],
    }
    with written_together(AgentsFolder(folder).profiles) as part:
        made = AgentsFolder(part)
        write_json(made.profiles, profiles)
        write_json(made.clusters, groups)
        write_json(made.summary, summary)
    return Fingerprints(profiles, groups, summary)


class Coaching(NamedTuple):
    """The plans of several agents."""

    agents: list[str]
    plans: Iterator[Plan]
    """In the order of the agents; each is made when it is needed."""
    missing: int
    """Contacts that the profiles name and `source` does not have."""
    source: Path
    """The file of conversations that was read."""


def coach(
    agents: Sequence[str] = (),
    *,
    everyone: bool = False,
    team: str | None = None,
    profiles: Path | str = "data/agent_profiles",
    source: Path | str | None = None,
    centre: Centre | Path | str | None = None,
    write: Write | None = None,
) -> Coaching:
    """Coaching plans of named agents, of a team, or of everyone with something to work on.

    Args:
        agents: agent ids.
        profiles: folder that `fingerprint` wrote.
        source: conversations that the profiles were made from; None takes the file named in their summary.
        centre: the centre's settings or their file, for its skills.
        write: asks a model for a recommendation about a contact of each step; None needs no model.

    Raises:
        UserError: not exactly one of agents, team and everyone is given, or there is no such agent, team or file.
            While plans are made: the conversations have changed since the profiles were.
    """
    folder = AgentsFolder(Path(profiles))
    by_agent = _read(folder.profiles)
    path = Path(source or _read(folder.summary).get("input", ""))
    if source is None and not path.is_file():
        raise UserError(f"{path}, from which {folder.summary} was made, is not there. Pass its new path with --input.")
    chosen = _choose(by_agent, agents, everyone, team)
    needed = contacts_to_load(by_agent, chosen)
    stream = progress(read_redacted(path), path.name, count_conversations(path))
    conversations = {one.id: one for one in stream if one.id in needed}
    skills = (centre if isinstance(centre, Centre) else read_centre(centre)).skills

    def plans() -> Iterator[Plan]:
        for agent in chosen:
            plan = coaching_plan(agent, by_agent, conversations, skills, write)
            if failed := [name for name, passed in plan["checks"].items() if not passed]:
                raise UserError(
                    f"{agent}: the plan fails the check {', '.join(failed)}; {path} has changed "
                    "since the profiles were made. Run mlx_cc fingerprint again."
                )
            yield plan

    return Coaching(chosen, plans(), len(needed) - len(conversations), path)


def _choose(by_agent: dict[str, Any], agents: Sequence[str], everyone: bool, team: str | None) -> list[str]:
    if sum((bool(agents), everyone, team is not None)) != 1:
        raise UserError("whom to coach? Name agents, or a --team, or pass --all.")
    if agents:
        return list(dict.fromkeys(agents))
    teams = {profile["team"] for profile in by_agent.values()}
    if team is not None and team not in teams:
        named = sorted(str(name) for name in teams - {None})
        raise UserError(f"no team {team!r}. Use one of {', '.join(named[:12])}{', …' if len(named) > 12 else ''}.")
    return [
        agent
        for agent, profile in by_agent.items()
        if profile["coaching_priorities"] and (team is None or profile["team"] == team)
    ]


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path}: not found. Run mlx_cc fingerprint, or name its folder with --profiles.")
    return read_json(path, dict[str, Any])


def read_addresses(path: Path | str) -> dict[str, str]:
    """Agent id -> e-mail address, from a CSV file with the columns agent and email.

    Raises:
        UserError: the file can't be read, or an address is invalid.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise UserError(f"{path}: can't be read ({fault}). Save it as CSV in UTF-8.") from fault
    if rows and not {"agent", "email"} <= rows[0].keys():
        raise UserError(f"{path}: has no columns agent and email. Make its first line: agent,email")
    addresses = {row["agent"]: (row["email"] or "").strip() for row in rows}
    for agent, address in addresses.items():
        if not address.isascii() or address.count("@") != 1 or any(c in address for c in " ,;<>\r\n"):
            raise UserError(f"{path}: {address!r} for {agent} is no e-mail address.")
    return addresses


def write_draft(plan: Plan, folder: Path | str, address: str | None = None) -> Path:
    """Write a plan as an .eml draft into a folder, named after the agent; returns the file."""
    agent = plan["agent_id"]
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in agent)
    if name != agent:
        name = f"{name[:100]}-{crc32(agent.encode()):08x}"
    path = Path(folder) / f"{name}.eml"
    with written_whole(path) as file:
        file.write(draft(plan, address))
    return path
