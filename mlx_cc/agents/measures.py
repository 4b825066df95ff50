"""What one conversation says about its agent, and which of it is a skill."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError


@dataclass(frozen=True)
class Measure:
    """A number one conversation says about its agent, averaged over the agent's conversations."""

    words: str
    of: Callable[[Conversation], float | None]
    low: float = -inf
    high: float = inf
    """Ends of the scale; intervals are cut there. Infinite where the labels set the scale."""
    is_share: bool = False
    unit: str = ""
    method: str = "mean of the label over the agent's contacts that carry it"


@dataclass(frozen=True)
class Skill:
    """Something an agent can be strong or weak in: a measure, and which way is better."""

    measure: str
    better: int
    """1 when more is better, -1 when less is."""


def _label(name: str) -> Callable[[Conversation], float | None]:
    def read(conversation: Conversation) -> float | None:
        value = conversation.label(name)
        if isinstance(value, dict):
            value = value.get("score")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"conversation {conversation.id}: label {name} is {value!r}. Give a number.")
        return float(value)

    return read


def _resolved(conversation: Conversation) -> float | None:
    value = conversation.label("resolution")
    if value is None:
        return None
    if value not in ("resolved", "partial", "unresolved"):
        raise UserError(
            f"conversation {conversation.id}: label resolution is {value!r}. Use resolved, partial or unresolved."
        )
    return float(value == "resolved")


def _talk_ratio(conversation: Conversation) -> float | None:
    spoken = {"agent": 0.0, "customer": 0.0}
    for turn in conversation.turns:
        if turn.role in spoken and turn.start_s is not None and turn.end_s is not None:
            spoken[turn.role] += turn.end_s - turn.start_s
    both = spoken["agent"] + spoken["customer"]
    return spoken["agent"] / both if both else None


def _handle_time(conversation: Conversation) -> float | None:
    if conversation.handle_time_s is not None:
        return conversation.handle_time_s
    last = max((turn.end_s for turn in conversation.turns if turn.end_s is not None), default=None)
    return None if last is None else last + (conversation.after_call_work_s or 0.0)


MEASURES = {
    "quality": Measure("quality", _label("quality"), 0, 100),
    "csat": Measure("CSAT", _label("csat"), 1, 5),
    "empathy": Measure("empathy", _label("empathy")),
    "technical_skill": Measure("technical skill", _label("technical_skill")),
    "communication": Measure("communication", _label("communication")),
    "fcr": Measure(
        "first-contact resolution",
        _resolved,
        0,
        1,
        is_share=True,
        method="of the agent's contacts with a resolution label, the share that were resolved and that no other "
        "contact in the same data names as its previous contact; partial counts as not resolved",
    ),
    "talk_ratio": Measure(
        "talk ratio",
        _talk_ratio,
        0,
        1,
        method="agent's speaking time over agent's and customer's, averaged over contacts with timed turns",
    ),
    "handle_time_s": Measure(
        "handle time",
        _handle_time,
        0,
        unit="s",
        method="mean seconds of handle time; where the record has none, end of the last turn plus after-call work. "
        "Not adjusted for the mix of issues",
    ),
    "quality_deviation": Measure(
        "spread of quality",
        lambda _: None,
        0,
        unit="points",
        method="mean distance of an agent's quality scores from the agent's own mean, times sqrt(n / (n - 1))",
    ),
}
"""`quality_deviation` is worked out from `quality` once an agent's mean is known."""

SKILLS = {
    "empathy": Skill("empathy", 1),
    "technical_skill": Skill("technical_skill", 1),
    "communication": Skill("communication", 1),
    "resolution": Skill("fcr", 1),
    "efficiency": Skill("handle_time_s", -1),
    "consistency": Skill("quality_deviation", -1),
}
"""The six types of strength and weakness."""
