"""Measures: the numbers that one conversation gives about its agent."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf

from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.tasks.csat import SATISFIED

DEAD_AIR_S = 5.0
"""A silence of this length or more counts as dead air; shorter ones are pauses for thought."""


@dataclass(frozen=True)
class Measure:
    """A number that one conversation gives about its agent; an agent's value is the mean over contacts."""

    words: str
    value_of: Callable[[Conversation], float | None]
    low: float = -inf
    high: float = inf
    """Ends of the scale; intervals are cut there. Infinite where the labels set the scale."""
    is_share: bool = False
    unit: str = ""
    method: str = "mean of the label over the agent's contacts that carry it"


def number_of(conversation: Conversation, name: str) -> float | None:
    """A label's number, or its score; None when the conversation has no such label.

    Raises:
        UserError: the label is no number.
    """
    value = conversation.label(name)
    if isinstance(value, dict):
        value = value.get("score")
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise UserError(
        f"conversation {conversation.id}: label {name} is {value!r}. Correct it to a number or leave it out."
    )


def _label(name: str) -> Callable[[Conversation], float | None]:
    return partial(number_of, name=name)


def _resolved(conversation: Conversation) -> float | None:
    value = conversation.label("resolution")
    if value is None:
        return None
    if value not in ("resolved", "partial", "unresolved"):
        raise UserError(
            f"conversation {conversation.id}: label resolution is {value!r}. Use resolved, partial or unresolved."
        )
    return float(value == "resolved")


def _satisfied(conversation: Conversation) -> float | None:
    value = number_of(conversation, "csat")
    return None if value is None else float(SATISFIED.holds(value))


def _talk_ratio(conversation: Conversation) -> float | None:
    speaking_s = {"agent": 0.0, "customer": 0.0}
    for turn in conversation.turns:
        if turn.role in speaking_s and turn.start_s is not None and turn.end_s is not None:
            speaking_s[turn.role] += turn.end_s - turn.start_s
    both = speaking_s["agent"] + speaking_s["customer"]
    return speaking_s["agent"] / both if both else None


def _dead_air(conversation: Conversation) -> float | None:
    """Share of the time from the first word to the last in silences of DEAD_AIR_S and more; holds count."""
    timed = _timed_turns(conversation)
    if len(timed) < 2:
        return None
    silent, end = 0.0, timed[0][1]
    for start, stop, _ in timed[1:]:
        silent += start - end if start - end >= DEAD_AIR_S else 0.0
        end = max(end, stop)
    return silent / (end - timed[0][0]) if end > timed[0][0] else None


def _cross_talk(conversation: Conversation) -> float | None:
    """Share of the time in which agent and customer speak at once."""
    timed = _timed_turns(conversation)
    sides = [[(start, stop) for start, stop, role in timed if role == side] for side in ("agent", "customer")]
    if not all(sides):
        return None
    both, first, second = 0.0, 0, 0
    while first < len(sides[0]) and second < len(sides[1]):
        (a, b), (c, d) = sides[0][first], sides[1][second]
        both += max(0.0, min(b, d) - max(a, c))
        first, second = (first + 1, second) if b <= d else (first, second + 1)
    end = max(stop for _, stop, _ in timed)
    return min(1.0, both / (end - timed[0][0])) if end > timed[0][0] else None


def _timed_turns(conversation: Conversation) -> list[tuple[float, float, str]]:
    """Start, end and role of each timed turn of a voice contact, in order of time."""
    if conversation.channel not in ("voice", "unknown"):
        return []
    return sorted(
        (turn.start_s, turn.end_s, turn.role)
        for turn in conversation.turns
        if turn.start_s is not None and turn.end_s is not None
    )


def _handle_time(conversation: Conversation) -> float | None:
    if conversation.handle_time_s is not None:
        return conversation.handle_time_s
    last = max((turn.end_s for turn in conversation.turns if turn.end_s is not None), default=None)
    return None if last is None else last + (conversation.after_call_work_s or 0.0)


MEASURES = {
    "quality": Measure("quality", _label("quality"), 0, 100),
    "csat": Measure("CSAT", _label("csat"), 1, 5),
    "csat_top2": Measure(
        "satisfied customers",
        _satisfied,
        0,
        1,
        is_share=True,
        method="share of the agent's CSAT labels that are 4 or 5 of 5",
    ),
    "empathy": Measure("empathy", _label("empathy")),
    "technical_skill": Measure("technical skill", _label("technical_skill")),
    "communication": Measure("communication", _label("communication")),
    "fcr": Measure("first-contact resolution", _resolved, 0, 1, is_share=True, method="see fcr among the methods"),
    "talk_ratio": Measure(
        "talk ratio",
        _talk_ratio,
        0,
        1,
        method="agent's speaking time over agent's and customer's, averaged over contacts with timed turns",
    ),
    "dead_air": Measure(
        "dead air",
        _dead_air,
        0,
        1,
        method=f"share of a voice contact in silences of {DEAD_AIR_S:.0f} s and more, averaged over contacts with "
        "timed turns; announced holds are silences too",
    ),
    "cross_talk": Measure(
        "cross-talk",
        _cross_talk,
        0,
        1,
        method="share of a voice contact in which agent and customer speak at once, averaged over contacts with timed "
        "turns; needs an export that lets turns overlap",
    ),
    "handle_time_s": Measure(
        "handle time",
        _handle_time,
        0,
        unit="s",
        method="mean seconds of handle time; where the record has none, end of the last turn plus after-call work",
    ),
    "quality_deviation": Measure(
        "variation of quality",
        lambda _: None,
        0,
        unit="points",
        method="mean distance of an agent's quality scores from the agent's own mean, times sqrt(n / (n - 1))",
    ),
}
"""`quality_deviation` is computed from `quality` (`contact_table.quality_deviation`) once an agent's mean is known."""
