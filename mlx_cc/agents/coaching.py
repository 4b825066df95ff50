"""From weaknesses to what to do about them: ranked priorities and a plan in plain words."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

OUTCOMES = {"csat": "CSAT", "quality": "points of quality"}


class Finding(TypedDict):
    """A strength or weakness of an agent."""

    skill: str
    reason: str
    """The number behind it: value, interval, n, and the centre's mean."""
    gap_sd: float
    """Distance of the shrunk value from the centre's mean in standard deviations between agents; above 0 is better."""
    evidence: list[str]
    """Up to three conversation ids that show it."""


class Effect(TypedDict):
    """What an outcome would gain if the agent came up to the centre's mean."""

    outcome: str
    """`csat` or `quality`."""
    change: float
    low: float
    high: float
    """95% interval, in points of the outcome."""


class Priority(TypedDict):
    """One thing to work on."""

    skill: str
    reason: str
    action: str
    expected_effect: Effect | None
    """None where the data don't tell what the skill is worth."""
    evidence: list[str]


def priorities(
    weaknesses: Sequence[Finding], actions: Mapping[str, str], effects: Mapping[str, Effect | None]
) -> list[Priority]:
    """What to work on: the largest expected effect first, then, where none is known, the widest gap to the centre.

    Args:
        actions: skill -> what to practise.
        effects: skill -> what coming up to the centre's mean goes with.
    """

    def rank(weakness: Finding) -> tuple[float, float]:
        effect = effects.get(weakness["skill"])
        return -effect["change"] if effect else 0.0, weakness["gap_sd"]

    return [
        Priority(
            skill=weakness["skill"],
            reason=weakness["reason"],
            action=actions[weakness["skill"]],
            expected_effect=effects.get(weakness["skill"]),
            evidence=weakness["evidence"],
        )
        for weakness in sorted(weaknesses, key=rank)
    ]


def generate_coaching(
    strengths: Sequence[Finding], weaknesses: Sequence[Finding], coaching_priorities: Sequence[Priority]
) -> dict[str, Any]:
    """A coaching plan from an agent's profile; the same profile always gives the same plan.

    Returns:
        `build_on` and `work_on`: names of skills, the first to take up first; `actions`: the
        priorities with their rank; `plan`: the whole in plain text.
    """
    planned = [priority["skill"] for priority in coaching_priorities]
    later = [weakness["skill"] for weakness in weaknesses if weakness["skill"] not in planned]
    lines = []
    if strengths:
        lines.append("Build on")
        for found in strengths:
            lines += [f"- {words(found['skill'])}", f"   Why: {found['reason']}.{_listen(found['evidence'])}"]
    if coaching_priorities:
        lines.append("Work on")
    for rank, priority in enumerate(coaching_priorities, 1):
        lines += [
            f"{rank}. {words(priority['skill'])}",
            f"   Why: {priority['reason']}.",
            f"   Do: {priority['action']}{_listen(priority['evidence'])}",
        ]
        if effect := priority.get("expected_effect"):
            lines.append(f"   Worth: {worth(effect)}.")
    if later:
        lines.append(f"Later: {', '.join(words(skill).lower() for skill in later)}.")
    if not lines:
        lines.append("No skill stands clearly above or below the centre in the contacts seen. Review a few together.")
    return {
        "build_on": [strength["skill"] for strength in strengths],
        "work_on": planned + later,
        "actions": [{"rank": rank, **priority} for rank, priority in enumerate(coaching_priorities, 1)],
        "plan": "\n".join(lines),
    }


def worth(effect: Effect) -> str:
    """What a priority is worth, in words."""
    return (
        f"{effect['change']:+.2f} {OUTCOMES[effect['outcome']]} (95% {effect['low']:+.2f} to {effect['high']:+.2f}) in "
        "contacts as good as the centre's in this; an association, no promise"
    )


def words(skill: str) -> str:
    """The name of a skill as a heading."""
    return skill.replace("_", " ").capitalize()


def _listen(evidence: Sequence[str]) -> str:
    return f" Go through {', '.join(evidence)}." if evidence else ""
