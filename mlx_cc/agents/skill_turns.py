"""Choose the agent's turn of a contact that shows a skill, by rules on the shape of the talk, in any language."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlx_cc.conversation import Conversation

CONCERN_WORDS = 5
"""A customer's turn of this many words counts as stating the concern; greetings and yes or no are shorter."""


class SkillTurn(NamedTuple):
    """A turn that shows a skill."""

    turn: int
    """Its number; the first turn is 1."""
    quote: str
    why: str


def skill_turn(conversation: Conversation, measure: str) -> SkillTurn | None:
    """The agent's turn that shows what a measure is about; None where the agent says nothing.

    A turn that the contact's coaching label names for the measure comes before the rules.
    """
    turns = [number for number in agent_turns(conversation) if conversation.turns[number - 1].text.strip()]
    if not turns:
        return None
    turn, why = _labelled(conversation, measure, turns), "named in the contact's coaching label"
    if turn is None:
        rule, why = RULES.get(measure, RULES["quality"])
        turn = rule(conversation, turns)
    return SkillTurn(turn, conversation.turns[turn - 1].text, why)


def agent_turns(conversation: Conversation) -> list[int]:
    """Numbers of the agent's turns."""
    return [number for number, turn in enumerate(conversation.turns, 1) if turn.role == "agent"]


def customer_words(conversation: Conversation) -> str:
    """All the customer says, as one text."""
    return " ".join(turn.text for turn in conversation.turns if turn.role == "customer")


def _labelled(conversation: Conversation, measure: str, turns: Sequence[int]) -> int | None:
    value = conversation.label("coaching")
    for item in value if isinstance(value, list) else []:
        if isinstance(item, dict) and item.get("skill") == measure and item.get("turn") in turns:
            return item["turn"]
    return None


def _first_reply(conversation: Conversation, turns: Sequence[int]) -> int:
    for number, turn in enumerate(conversation.turns, 1):
        if turn.role == "customer" and len(turn.text.split()) >= CONCERN_WORDS:
            return next((reply for reply in turns if reply > number), turns[-1])
    return turns[0]


def _longest(conversation: Conversation, turns: Sequence[int]) -> int:
    return max(turns, key=lambda number: (len(conversation.turns[number - 1].text), -number))


def _longest_after_greeting(conversation: Conversation, turns: Sequence[int]) -> int:
    return _longest(conversation, turns[1:] or turns)


def _longest_of_second_half(conversation: Conversation, turns: Sequence[int]) -> int:
    return _longest(conversation, turns[len(turns) // 2 :])


def _last(conversation: Conversation, turns: Sequence[int]) -> int:
    return turns[-1]


def _after_silence(conversation: Conversation, turns: Sequence[int]) -> int:
    def silence_s(number: int) -> float:
        start = conversation.turns[number - 1].start_s
        end = conversation.turns[number - 2].end_s if number > 1 else None
        return 0.0 if start is None or end is None else start - end

    longest = max(turns, key=lambda number: (silence_s(number), -number))
    return longest if silence_s(longest) > 0 else _longest(conversation, turns)


Rule = Callable[[Conversation, Sequence[int]], int]
RULES: dict[str, tuple[Rule, str]] = {
    "empathy": (_first_reply, "the first reply after the customer states the concern"),
    "technical_skill": (_longest_of_second_half, "the longest explanation of the second half"),
    "communication": (_longest_after_greeting, "the longest turn after the greeting"),
    "fcr": (_last, "the agent's last turn"),
    "handle_time_s": (_after_silence, "after the longest silence (or the longest turn, without timings)"),
    "dead_air": (_after_silence, "after the longest silence (or the longest turn, without timings)"),
    "quality": (_first_reply, "the first reply after the customer states the concern"),
}
"""Measure -> rule and its description; any other measure takes the rule of quality."""
