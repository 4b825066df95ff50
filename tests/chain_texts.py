"""A conversation and chains about it, for tests."""

from collections.abc import Callable

from mlx_cc import reasoning
from mlx_cc.conversation import Conversation, Label, Turn

TALK = Conversation(
    id="c",
    language="en",
    turns=(
        Turn(role="agent", text="Thank you for calling, how can I help?"),
        Turn(role="customer", text="My refund never arrived and I am quite upset about the delay."),
        Turn(role="agent", text="I have issued the refund again, it takes two days."),
    ),
    labels={
        "quality": Label(value={"score": 85}, source="simulated"),
        "csat": Label(value=4, source="simulated"),
        "churn": Label(value=20, source="simulated"),
    },
)
ENDINGS = (
    "the customer was upset about a missing refund [T2]",
    "the agent issued the refund again [T3] without being asked",
    "the delay was named early and dealt with [T2]",
    "a clear time was given for the money, two days [T3]",
    "it began with an open question and a friendly tone",
    "nobody had told them why the payment was late",
)


def chain(
    quality: int = 85, csat: int = 4, say: Callable[[int], str] = lambda n: f"{OPENINGS[n]} {ENDINGS[n % len(ENDINGS)]}"
) -> str:
    """A chain that says something on every line."""
    text = {
        "": "",
        "text": "{}",
        "quality": f"{quality}/100 because {{}}",
        "csat": f"{csat}/5 due to {{}}",
        "resolved": "Achieved - {}",
        "effort": "Low - {}",
    }
    slots = iter(range(len(reasoning.LINES)))
    return "\n".join(
        line.fixed + (text[line.slot].format(say(next(slots))) if line.slot else "") for line in reasoning.LINES
    )


OPENINGS = [
    f"{who} {how}"
    for who in (
        "In this part",
        "At first",
        "By the end",
        "On the whole",
        "Looking closer",
        "For the team",
        "Later on",
        "Above all",
    )
    for how in ("it shows that", "we can see how", "one notices that", "it is clear that", "it helped that")
]
