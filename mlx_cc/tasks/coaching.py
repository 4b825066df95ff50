"""What to coach the agent on: up to three recommendations, each about one turn."""

import json
from typing import Annotated, NotRequired, TypedDict

from msgspec import Meta

from mlx_cc.tasks import Part, Task

ORDER = 6

KEYS = ("skill", "action", "expected_outcome", "turn")
LONGEST = {"skill": 40, "action": 200, "expected_outcome": 120}
"""Characters allowed per text field in a decoded answer."""
CASE = "case"
"""Key of the similar case that a recommendation follows: its number, or None. Only where cases are shown."""


class Advice(TypedDict):
    """One recommendation, as it must be to be shown."""

    skill: str
    action: str
    expected_outcome: NotRequired[str]
    turn: Annotated[int, Meta(ge=1)]


def write(value, centre):
    return json.dumps([{key: item[key] for key in KEYS} for item in value[:3]], ensure_ascii=False)


def parse(text, centre):
    try:
        items = json.loads(text)
    except json.JSONDecodeError as fault_:
        raise ValueError(f"not JSON: {fault_}") from fault_
    if not isinstance(items, list) or any(not isinstance(i, dict) or set(i) - {CASE} != set(KEYS) for i in items):
        raise ValueError(f"not a list of objects with {', '.join(KEYS)}")
    return items


def fault(value, centre, turns):
    if not isinstance(value, list) or not 1 <= len(value) <= 3:
        return "not a list of one to three recommendations"
    for item in value:
        if not isinstance(item, dict) or set(KEYS) - item.keys():
            return f"a recommendation lacks one of {', '.join(KEYS)}"
        if any(not isinstance(item[key], str) or not item[key].strip() for key in LONGEST):
            return "a recommendation has an empty field"
        if isinstance(item["turn"], bool) or not isinstance(item["turn"], int) or not 1 <= item["turn"] <= turns:
            return f"turn {item['turn']!r} does not exist (the conversation has {turns})"
    return None


def schema(turns, cases):
    text = {key: {"type": "string", "minLength": 3, "maxLength": longest} for key, longest in LONGEST.items()}
    followed = {CASE: {"enum": [None, *range(1, cases + 1)]}} if cases else {}
    item = {
        "type": "object",
        "properties": {**text, "turn": {"type": "integer", "minimum": 1, "maximum": turns}, **followed},
        "required": [*KEYS, *followed],
        "additionalProperties": False,
    }
    return {"type": "array", "items": item, "minItems": 1, "maxItems": 3}


def advice_question(skill: str, reason: str, action: str) -> str:
    """Asks for one recommendation about this contact, of an agent whose profile shows a need. Only coaching sees it."""
    return (
        f"Over many contacts this agent's {skill.replace('_', ' ')} is below the centre's ({reason}). Agreed to "
        f"practise: {action} Coach the agent on that in this contact: a JSON object with action (one sentence, "
        "something the agent did not do here), expected_outcome and turn (the number of the agent's turn it is about)."
    )


def advice_schema(turns):
    """JSON schema of one recommendation about one of these turns."""
    text = {
        key: {"type": "string", "minLength": 3, "maxLength": LONGEST[key]} for key in ("action", "expected_outcome")
    }
    return {
        "type": "object",
        "properties": {**text, "turn": {"enum": list(turns)}},
        "required": ["action", "expected_outcome", "turn"],
        "additionalProperties": False,
    }


def turn_hit(gold, predicted):
    """Share of conversations where some recommendation is about a turn that a reference one is about."""
    return _share(bool(_turns(g) & _turns(p)) for g, p in zip(gold, predicted, strict=True))


def skill_hit(gold, predicted):
    """Share of conversations where some recommendation shares a skill word with a reference one."""
    return _share(bool(_words(g) & _words(p)) for g, p in zip(gold, predicted, strict=True))


def distinct(gold, predicted):
    """Share of conversations whose recommendations all differ in their action."""
    return _share(len({i["action"] for i in p}) == len(p) > 0 for p in predicted)


def _share(hits):
    found = list(hits)
    return sum(found) / len(found) if found else float("nan")


def _turns(value):
    return {item["turn"] for item in value}


def _words(value):
    return {word for item in value for word in item["skill"].lower().split()}


TASK = Task(
    name="coaching",
    words="coaching",
    keys=("coaching", "coaching_recommendations"),
    question=lambda centre: (
        "Coach the agent: one to three recommendations as a JSON list of objects with skill, action, "
        "expected_outcome and turn (the number of the turn it is about)."
    ),
    write=write,
    parse=parse,
    fault=fault,
    metrics={"skill hit": skill_hit, "turn hit": turn_hit, "distinct actions": distinct},
    constant=lambda values: [_most_frequent_item(values)],
    schema=schema,
    parts=(Part("coaching", kind=list, column="coaching", check=list[Advice]),),
)


def _most_frequent_item(values):
    from collections import Counter

    items = [item for value in values for item in value]
    skill = Counter(item["skill"] for item in items).most_common(1)[0][0]
    turn = Counter(item["turn"] for item in items).most_common(1)[0][0]
    return {**next(item for item in items if item["skill"] == skill), "turn": turn}
