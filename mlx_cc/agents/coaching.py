"""Coaching priorities of an agent, ranked by expected effect, and a plan in plain text from a profile alone."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

OUTCOMES = {"csat": "CSAT", "quality": "quality points"}


class Finding(TypedDict):
    """A strength or weakness of an agent."""

    skill: str
    reason: str
    """The numbers behind it: value, interval, n, and the centre's mean."""
    gap_sd: float
    """Distance of the shrunk value from the centre's mean in standard deviations between agents; above 0 is better."""
    evidence: list[str]
    """Up to three conversation ids that show it."""


class Effect(TypedDict):
    """Effect size: the difference in an outcome that goes with the agent's distance to the centre's mean."""

    outcome: str
    """`csat` or `quality`."""
    change: float
    low: float
    high: float
    """95% interval, in points of the outcome."""


class Priority(TypedDict):
    """One skill to work on."""

    skill: str
    reason: str
    action: str
    expected_effect: Effect | None
    """None where there are too few contacts to estimate it."""
    evidence: list[str]


def priorities(
    weaknesses: Sequence[Finding], actions: Mapping[str, str], effects: Mapping[str, Effect | None]
) -> list[Priority]:
    """Skills to work on: the largest expected effect first; without effects, the widest gap to the centre first.

    Args:
        actions: skill -> what to practise.
        effects: skill -> the effect expected of reaching the centre's mean.
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
        `build_on` and `work_on`: names of skills, the most important first; `actions`: the
        priorities with their rank; `plan`: the whole plan in plain text.
    """
    planned = [priority["skill"] for priority in coaching_priorities]
    later = [weakness["skill"] for weakness in weaknesses if weakness["skill"] not in planned]
    lines = []
    if strengths:
        lines.append("Build on")
        for strength in strengths:
            lines += [
                f"- {heading(strength['skill'])}",
                f"   Why: {strength['reason']}.{_review(strength['evidence'])}",
            ]
    if coaching_priorities:
        lines.append("Work on")
    for rank, priority in enumerate(coaching_priorities, 1):
        lines += [
            f"{rank}. {heading(priority['skill'])}",
            f"   Why: {priority['reason']}.",
            f"   Do: {priority['action']}{_review(priority['evidence'])}",
        ]
        if effect := priority.get("expected_effect"):
            lines.append(f"   Expected effect: {effect_text(effect)}.")
    if later:
        lines.append(f"Later: {', '.join(heading(skill).lower() for skill in later)}.")
    if not lines:
        lines.append("No skill is clearly above or below the centre's mean. Review a few contacts together.")
    return {
        "build_on": [strength["skill"] for strength in strengths],
        "work_on": planned + later,
        "actions": [{"rank": rank, **priority} for rank, priority in enumerate(coaching_priorities, 1)],
        "plan": "\n".join(lines),
    }


def effect_text(effect: Effect) -> str:
    """An expected effect in words."""
    return (
        f"{effect['change']:+.2f} {OUTCOMES[effect['outcome']]} (95% {effect['low']:+.2f} to {effect['high']:+.2f}) "
        "with this skill at the centre's mean; an association, not a promise"
    )


def heading(skill: str) -> str:
    """The name of a skill as a heading."""
    return skill.replace("_", " ").capitalize()


def _review(evidence: Sequence[str]) -> str:
    return f" Review {', '.join(evidence)}." if evidence else ""
