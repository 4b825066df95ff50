"""Simulated chains for a prepared train split, to measure what a chain is worth as training signal without a teacher.

Each point is a sentence by rule from a conversation's labels, citing a turn and a word of it; what has no label is
called unrated, and its score in the chain is the middle one. The chains pass the checks of `mlx_cc generate`. They name
words of real conversations, but nobody has thought about these.

mlx_cc simulate --conversations 800 --agents 40 --turns 10 --out data/chains.jsonl
mlx_cc prepare data/chains.jsonl --output-dir data/chains
python -m benchmarks.chains data/chains           # writes data/chains/train_reasoning.jsonl
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from mlx_cc import reasoning
from mlx_cc.agents.skill_turns import skill_turn
from mlx_cc.conversation import Conversation, replace
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.folders import DataFolder
from mlx_cc.generate.checks import code, faults

MODEL = "simulated"
LEVELS = ("low", "middling", "high")
UNRATED = "unrated"
MIDDLE = {"quality": 50, "csat": 3}
"""The score in the chain of a conversation without that label."""

OPENING = ("It shows that", "One sees that", "Here", "In this contact", "From the words", "On the whole", "Plainly")

SAID = {
    "Emotional indicators": "the customer speaks of {concern} and is {mood} {at_concern}",
    "Sentiment evolution": "the mood goes from {mood} at {concern} to {end} at {farewell} {at_farewell}",
    "Trigger phrases": "it is {concern} that matters to the customer {at_concern}",
    "Satisfaction trajectory": "satisfaction ends {csat_level} once {farewell} is said {at_farewell}",
    "Communication": "the agent's explaining is {communication}, as {longest} tells {at_longest}",
    "Technical knowledge": "what the agent knows of {fix} is {technical} {at_fix}",
    "Protocol adherence": "the agent opens with {reply} in a {empathy} tone {at_reply}",
    "Improvement opportunities": "{advice} would have helped when {reply} came up {at_reply}",
    "First-call resolution": "the {issue} matter is {resolution} after {last} {at_last}",
    "Efficiency": "the contact takes {turns} turns for {issue}",
    "Process compliance": "{fix} is dealt with as the {queue} desk does {at_fix}",
    "Customer effort": "the customer waited {wait} minutes and explained {concern} {at_concern}",
    "Agent skill or system": "{cause} decides about {fix} {at_fix}",
    "Process or policy": "the {queue} desk handles {issue} and {resolution_why}",
    "Broader trend": "{issue} is what this {queue} desk hears of {concern} {at_concern}",
    "Prevention": "{advice} and settling {concern} early would prevent a repeat {at_concern}",
    "Retention risk": "the signal of leaving is {churn_level} after {farewell} {at_farewell}",
    "Operational efficiency": "a {resolution} matter costs {repeat} further contact about {issue}",
    "Revenue": "with a {churn_level} risk the revenue behind {issue} is {safe}",
    "Brand perception": "a {csat_level} satisfaction is what they will tell of {concern} {at_concern}",
    "Overall Quality Score": "empathy is {empathy}, knowledge {technical} and explaining {communication}",
    "CSAT Prediction": "the customer is {end} and the matter {resolution}",
    "First Call Resolution": "the {issue} matter is {resolution}",
    "Customer Effort": "{wait} minutes of waiting and {turns} turns",
    "Key Strengths": "{best} is the best of this agent, see {longest} {at_longest}",
    "Critical Issues": "{worst} is the weakest, see {reply} {at_reply}",
    "Patterns & Trends": "{issue} at the {queue} desk, {resolution} here",
    "1": "{advice} when {reply} comes up, so that the customer stays calm {at_reply}",
    "2": "explain {fix} in short steps, so that nothing is asked twice {at_fix}",
    "3": "close {last} with a date and an owner, so that nobody calls again {at_last}",
    "Process Improvements": "give the {queue} desk a checklist for {issue}",
    "Business Actions": "{priority} priority: follow up on {concern} within a week {at_concern}",
    "Long-term Strategic Insights": "train {worst} on {issue} contacts of the {queue} desk",
}


def chain(conversation: Conversation) -> str:
    """The chain of a simulated conversation, in the structure of `reasoning.LINES`."""
    words = _words(conversation)
    lines = []
    for number, line in enumerate(reasoning.LINES):
        if not line.slot:
            lines.append(line.fixed)
            continue
        key = line.fixed.strip(" -:.")
        text = " ".join(SAID[key].format(**words).split())
        if line.slot == "text":
            text = f"{OPENING[_choice(conversation.id, number, len(OPENING))]} {text}"
        before = {
            "quality": f"{_scores(conversation)['quality']:.0f}/100 because ",
            "csat": f"{_scores(conversation)['csat']:.0f}/5 due to ",
            "resolved": f"{'Achieved' if conversation.label('resolution') == 'resolved' else 'Not Achieved'} - ",
            "effort": f"{('Low', 'Medium', 'High')[_level(float(words['wait']), 3, 8)]} - ",
        }
        lines.append(f"{line.fixed}{before.get(line.slot, '')}{text}.")
    return "\n".join(lines)


def _words(conversation: Conversation) -> dict[str, str]:
    label = conversation.label
    spoken = {name: skill_turn(conversation, measure) for name, measure in MOMENTS.items()}
    said = [n for n, turn in enumerate(conversation.turns, 1) if turn.role == "customer" and turn.text]
    if None in spoken.values():  # the customer's turns alone are there, and many of those are a number or "ok"
        said = [n for n in said if _word(conversation.turns[n - 1].text)]
    said = said or [1]
    longest = max(said, key=lambda n: len(_word(conversation.turns[n - 1].text)))
    places = {name: found.turn if found else longest for name, found in spoken.items()}
    places |= {"concern": said[0], "farewell": said[-1]}
    skills = {name: _number(label(name)) for name in ("empathy", "technical_skill", "communication")}
    levels = {name: _named(value, 60, 78) for name, value in skills.items()}
    named = {"empathy": "empathy", "technical_skill": "knowledge", "communication": "explaining"}
    rated = {name: value for name, value in skills.items() if value is not None} or dict.fromkeys(skills, 0.0)
    worst, best = min(rated, key=rated.__getitem__), max(rated, key=rated.__getitem__)
    csat, churn = _number(label("csat")), _number(label("churn"))
    known, solved = "resolution" in conversation.labels, label("resolution") == "resolved"
    weak = (skills["technical_skill"] or 60) < 60
    words = {name: _word(conversation.turns[place - 1].text) or "little" for name, place in places.items()}
    return {
        **words,
        **{f"at_{name}": f"[T{place}]" for name, place in places.items()},
        "empathy": levels["empathy"],
        "technical": levels["technical_skill"],
        "communication": levels["communication"],
        "mood": UNRATED if csat is None else ("upset", "tense", "calm")[_level(csat, 3, 4)],
        "end": UNRATED if csat is None else ("displeased", "unmoved", "pleased")[_level(csat, 3, 4)],
        "csat_level": _named(csat, 3, 4),
        "churn_level": _named(churn, 30, 60),
        "issue": str(label("issue")).replace("_", " "),
        "queue": str(conversation.queue or "general").replace("_", " "),
        "wait": f"{(conversation.queue_wait_s or 0) / 60:.0f}",
        "turns": str(len(conversation.turns)),
        "resolution": str(label("resolution")) if known else UNRATED,
        "resolution_why": "it worked" if solved else "it did not work this time" if known else "how it went is unrated",
        "cause": "the agent's knowledge" if weak or solved else "the system behind the agent",
        "repeat": "no" if solved else "one" if known else "perhaps one",
        "safe": UNRATED if churn is None else "safe" if churn < 60 else "not safe",
        "best": named[best],
        "worst": named[worst],
        "advice": {"empathy": "naming the concern", "technical_skill": "checking the history"}.get(worst, "a summary"),
        "priority": LEVELS[_level(churn or 0, 30, 60)],
    }


MOMENTS = {"reply": "empathy", "longest": "communication", "fix": "technical_skill", "last": "fcr"}


def _word(text: str) -> str:
    """A long word of a turn, which ties a point to it; nothing where it has none."""
    found = re.findall(r"[A-Za-z]{4,}", text)
    return max(found, key=lambda word: (len(word), word), default="").lower()


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _named(value: float | None, middle: float, high: float) -> str:
    return UNRATED if value is None else LEVELS[_level(value, middle, high)]


def _scores(conversation: Conversation) -> dict[str, float]:
    """Of quality and CSAT, as the chain says them."""
    quality, csat = conversation.label("quality"), conversation.label("csat")
    return MIDDLE | ({"quality": quality["score"]} if quality else {}) | ({"csat": csat} if csat else {})


def _level(value: float, middle: float, high: float) -> int:
    return (value >= middle) + (value >= high)


def _choice(name: str, number: int, count: int) -> int:
    return int.from_bytes(blake2b(f"{name}:{number}".encode(), digest_size=4).digest()) % count


def main(folder: Path) -> None:
    found: Counter[str] = Counter()

    def with_chains() -> Iterator[Conversation]:
        for conversation in read_conversations(DataFolder(folder).chatml("train")):
            text = chain(conversation)
            wrong = faults(text, True, conversation, _scores(conversation), "", "en")
            found.update({code(fault) for fault in wrong} or {"kept"})
            yield conversation if wrong else replace(conversation, reasoning=reasoning.parse(text, MODEL))

    count = write_conversations(DataFolder(folder).reasoning("train"), with_chains())
    print(f"{DataFolder(folder).reasoning('train')}: {count} conversations; {dict(found)}; chains are simulated")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
