"""From weaknesses to what to do about them: ranked priorities and a plan in plain words."""

from collections.abc import Sequence
from typing import Any, TypedDict


class Finding(TypedDict):
    """A strength or weakness of an agent."""

    skill: str
    reason: str
    """The number behind it: value, interval, n, and the centre's mean."""
    gap_sd: float
    """Distance from the centre's mean in standard deviations between agents; above 0 is better."""
    evidence: list[str]
    """Up to three conversation ids that show it."""


class Priority(TypedDict):
    """One thing to work on."""

    skill: str
    reason: str
    action: str
    evidence: list[str]


ACTIONS = {
    "empathy": "Name the customer's concern in one sentence before the first question, then say what happens next.",
    "technical_skill": "Go through these contacts with a product expert and write down the check that was missed.",
    "communication": "Explain in short steps, ask whether each one worked, and sum up what was agreed before closing.",
    "resolution": "Before closing, ask what could make the customer call again; settle it, or set a date and an owner.",
    "efficiency": "Open with two questions that narrow the issue, and note the answers while talking, not after.",
    "consistency": "Compare one of these contacts with a good one of its kind and keep a checklist of what differed.",
}
"""Skill -> what to practise."""


def priorities(weaknesses: Sequence[Finding]) -> list[Priority]:
    """What to work on, the widest gap to the centre first."""
    ranked = sorted(weaknesses, key=lambda weakness: weakness["gap_sd"])
    return [
        Priority(
            skill=weakness["skill"],
            reason=weakness["reason"],
            action=ACTIONS[weakness["skill"]],
            evidence=weakness["evidence"],
        )
        for weakness in ranked
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
            lines += [f"- {_words(found['skill'])}", f"   Why: {found['reason']}.{_listen(found['evidence'])}"]
    if coaching_priorities:
        lines.append("Work on")
    for rank, priority in enumerate(coaching_priorities, 1):
        lines += [
            f"{rank}. {_words(priority['skill'])}",
            f"   Why: {priority['reason']}.",
            f"   Do: {priority['action']}{_listen(priority['evidence'])}",
        ]
    if later:
        lines.append(f"Later: {', '.join(_words(skill).lower() for skill in later)}.")
    if not lines:
        lines.append("No skill stands clearly above or below the centre in the contacts seen. Review a few together.")
    return {
        "build_on": [strength["skill"] for strength in strengths],
        "work_on": planned + later,
        "actions": [{"rank": rank, **priority} for rank, priority in enumerate(coaching_priorities, 1)],
        "plan": "\n".join(lines),
    }


def _words(skill: str) -> str:
    return skill.replace("_", " ").capitalize()


def _listen(evidence: Sequence[str]) -> str:
    return f" Go through {', '.join(evidence)}." if evidence else ""
