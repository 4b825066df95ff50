"""What a page or a table says of a conversation and of an agent, gathered from the files other commands wrote."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlx_cc.agents.contact_table import agent_of
from mlx_cc.agents.fingerprint import AgentFingerprinter
from mlx_cc.agents.measures import MEASURES
from mlx_cc.centre import Skill
from mlx_cc.conversation import Conversation, Temporal
from mlx_cc.errors import UserError
from mlx_cc.files import read_json
from mlx_cc.temporal import TemporalFeatureEnhancer


class Facts(NamedTuple):
    """One conversation with what follows from it."""

    conversation: Conversation
    temporal: Temporal
    agent: str | None
    """The agent for whom it counts."""
    fcr: bool | None
    """Resolved, and no other contact in the data names it as its previous one; None without a resolution label."""
    talk_ratio: float | None
    handle_time_s: float | None


def followed(conversations: Iterable[Conversation]) -> set[str]:
    """Ids of conversations that another one names as its previous contact."""
    named = ((c.id, c.previous_contact_id) for c in conversations)
    return {previous for name, previous in named if previous is not None and previous != name}


def facts_of(
    conversations: Iterable[Conversation], came_back: Collection[str], enhancer: TemporalFeatureEnhancer
) -> Iterator[Facts]:
    """The facts of a stream of conversations; temporal features are computed where the record has none.

    Args:
        came_back: what `followed` says of all of them.
    """
    for conversation in conversations:
        resolved = MEASURES["fcr"].value_of(conversation)
        yield Facts(
            conversation,
            conversation.temporal or enhancer.temporal_of(conversation),
            agent_of(conversation),
            None if resolved is None else bool(resolved) and conversation.id not in came_back,
            MEASURES["talk_ratio"].value_of(conversation),
            MEASURES["handle_time_s"].value_of(conversation),
        )


class Agents(NamedTuple):
    """What `mlx_cc fingerprint` found out about the agents."""

    profiles: Mapping[str, Any]
    clusters: Mapping[str, Any]
    summary: Mapping[str, Any]
    origin: str
    """Where the profiles are from, in words."""


def read_agents(folder: Path) -> Agents:
    """The three files of a folder that `mlx_cc fingerprint` wrote.

    Raises:
        UserError: one is missing or isn't what it should be.
    """
    found = [read_json(folder / f"agent_{name}.json", dict[str, Any]) for name in ("profiles", "clusters", "summary")]
    profiles, clusters, summary = found
    faulty = next((agent for agent, p in profiles.items() if not isinstance(p, dict) or "metrics" not in p), None)
    if faulty is not None or "assignments" not in clusters or "centre" not in summary:
        raise UserError(f"{folder}: not what `mlx_cc fingerprint` writes. Make it again with that command.")
    return Agents(profiles, clusters, summary, f"{folder}, made of {summary.get('input', 'an unnamed file')}")


def profile_agents(conversations: Iterable[Conversation], skills: Mapping[str, Skill]) -> Agents:
    """Profiles of the agents of these very conversations, by the centre's skills."""
    fingerprinter = AgentFingerprinter(skills=skills)
    profiles = fingerprinter.compute_agent_profiles(conversations)
    clusters = fingerprinter.cluster_agents(profiles)
    return Agents(profiles, clusters, fingerprinter.summary(profiles), "computed from these conversations")
