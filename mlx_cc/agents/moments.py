"""Which turn of a contact to go to for a skill: rules by the shape of the talk, the same in every language."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlx_cc.conversation import Conversation

CONCERN_WORDS = 5
"""A customer's turn of so many words is taken to state the concern."""


class Moment(NamedTuple):
    """A turn worth going to."""

    turn: int
    """Its number; the first is 1."""
    quote: str
    why: str


def moment(conversation: Conversation, measure: str) -> Moment | None:
    """The agent's turn to go to for what a measure says; None where the agent says nothing.

    A turn that the contact's coaching label names for the skill comes first.
    """
    spoken = [number for number, turn in enumerate(conversation.turns, 1) if turn.role == "agent" and turn.text.strip()]
    if not spoken:
        return None
    labelled = _labelled(conversation, measure, spoken)
    if labelled is not None:
        return Moment(labelled, conversation.turns[labelled - 1].text, "named in the contact's coaching label")
    rule, why = RULES.get(measure, RULES["quality"])
    turn = rule(conversation, spoken)
    return Moment(turn, conversation.turns[turn - 1].text, why)


def agent_turns(conversation: Conversation) -> list[int]:
    """Numbers of the agent's turns."""
    return [number for number, turn in enumerate(conversation.turns, 1) if turn.role == "agent"]


def customer_words(conversation: Conversation) -> str:
    """All the customer says, as one text."""
    return " ".join(turn.text for turn in conversation.turns if turn.role == "customer")


def _labelled(conversation: Conversation, measure: str, spoken: Sequence[int]) -> int | None:
    value = conversation.label("coaching")
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict) and item.get("skill") == measure and item.get("turn") in spoken:
            return item["turn"]
    return None


def _first_reply(conversation: Conversation, spoken: Sequence[int]) -> int:
    for number, turn in enumerate(conversation.turns, 1):
        if turn.role == "customer" and len(turn.text.split()) >= CONCERN_WORDS:
            return next((place for place in spoken if place > number), spoken[-1])
    return spoken[0]


def _longest(conversation: Conversation, spoken: Sequence[int]) -> int:
    return max(spoken, key=lambda place: (len(conversation.turns[place - 1].text), -place))


def _longest_after_greeting(conversation: Conversation, spoken: Sequence[int]) -> int:
    return _longest(conversation, spoken[1:] or spoken)


def _longest_late(conversation: Conversation, spoken: Sequence[int]) -> int:
    return _longest(conversation, spoken[len(spoken) // 2 :])


def _last(conversation: Conversation, spoken: Sequence[int]) -> int:
    return spoken[-1]


def _after_silence(conversation: Conversation, spoken: Sequence[int]) -> int:
    turns = conversation.turns

    def silence(place: int) -> float:
        start, end = turns[place - 1].start_s, turns[place - 2].end_s if place > 1 else None
        return 0.0 if start is None or end is None else start - end

    longest = max(spoken, key=lambda place: (silence(place), -place))
    return longest if silence(longest) > 0 else _longest(conversation, spoken)


Rule = Callable[[Conversation, Sequence[int]], int]
RULES: dict[str, tuple[Rule, str]] = {
    "empathy": (_first_reply, "the first reply after the customer states the concern"),
    "technical_skill": (_longest_late, "the longest explanation of the second half"),
    "communication": (_longest_after_greeting, "the longest turn after the greeting"),
    "fcr": (_last, "the agent's last turn"),
    "handle_time_s": (_after_silence, "after the longest silence (or the longest turn, without timings)"),
    "dead_air": (_after_silence, "after the longest silence (or the longest turn, without timings)"),
    "quality": (_first_reply, "the first reply after the customer states the concern"),
}
"""Measure -> the rule for it, and what the rule is in words; those of quality for any other."""
