"""Simulated chains for a prepared train split, to measure what a chain is worth as training signal without a teacher.

Each point is a sentence by rule from the labels of a simulated conversation, citing a turn and a word of it. The
chains pass the checks of `mlx_cc generate` and say nothing that a model could learn of real conversations.

mlx_cc simulate --conversations 800 --agents 40 --turns 10 --out data/chains.jsonl
mlx_cc prepare data/chains.jsonl --output-dir data/chains
python scripts/measure_chains.py data/chains           # writes data/chains/train_reasoning.jsonl
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mlx_cc import reasoning  # noqa: E402
from mlx_cc.agents.moments import moment  # noqa: E402
from mlx_cc.conversation import Conversation, replace  # noqa: E402
from mlx_cc.files import read_conversations, write_conversations  # noqa: E402
from mlx_cc.generate.checks import code, faults  # noqa: E402

MODEL = "simulated"
LEVELS = ("low", "middling", "high")

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
            "quality": f"{conversation.label('quality')['score']:.0f}/100 because ",
            "csat": f"{conversation.label('csat')}/5 due to ",
            "resolved": f"{'Achieved' if conversation.label('resolution') == 'resolved' else 'Not Achieved'} - ",
            "effort": f"{('Low', 'Medium', 'High')[_level(float(words['wait']), 3, 8)]} - ",
        }
        lines.append(f"{line.fixed}{before.get(line.slot, '')}{text}.")
    return "\n".join(lines)


def _words(conversation: Conversation) -> dict[str, str]:
    label = conversation.label
    spoken = {name: moment(conversation, measure) for name, measure in MOMENTS.items()}
    customer = [n for n, turn in enumerate(conversation.turns, 1) if turn.role == "customer" and turn.text]
    places = {name: found.turn if found else 1 for name, found in spoken.items()}
    places |= {"concern": customer[0] if customer else 1, "farewell": customer[-1] if customer else 1}
    skills = {name: float(label(name)) for name in ("empathy", "technical_skill", "communication")}
    levels = {name: LEVELS[_level(value, 60, 78)] for name, value in skills.items()}
    named = {"empathy": "empathy", "technical_skill": "knowledge", "communication": "explaining"}
    worst, best = min(skills, key=skills.__getitem__), max(skills, key=skills.__getitem__)
    csat, churn, solved = float(label("csat")), float(label("churn")), label("resolution") == "resolved"
    words = {name: _word(conversation.turns[place - 1].text) for name, place in places.items()}
    return {
        **words,
        **{f"at_{name}": f"[T{place}]" for name, place in places.items()},
        "empathy": levels["empathy"],
        "technical": levels["technical_skill"],
        "communication": levels["communication"],
        "mood": "upset" if csat <= 2 else "tense" if csat == 3 else "calm",
        "end": "displeased" if csat <= 2 else "unmoved" if csat == 3 else "pleased",
        "csat_level": LEVELS[_level(csat, 3, 4)],
        "churn_level": LEVELS[_level(churn, 30, 60)],
        "issue": str(label("issue")).replace("_", " "),
        "queue": str(conversation.queue or "general").replace("_", " "),
        "wait": f"{(conversation.queue_wait_s or 0) / 60:.0f}",
        "turns": str(len(conversation.turns)),
        "resolution": str(label("resolution")),
        "resolution_why": "it worked" if solved else "it did not work this time",
        "cause": "the agent's knowledge" if skills["technical_skill"] < 60 or solved else "the system behind the agent",
        "repeat": "no" if solved else "one",
        "safe": "safe" if churn < 60 else "not safe",
        "best": named[best],
        "worst": named[worst],
        "advice": {"empathy": "naming the concern", "technical_skill": "checking the history"}.get(worst, "a summary"),
        "priority": LEVELS[_level(churn, 30, 60)],
    }


MOMENTS = {"reply": "empathy", "longest": "communication", "fix": "technical_skill", "last": "fcr"}


def _word(text: str) -> str:
    """A long word of a turn, which ties a point to it."""
    found = [word for word in re.findall(r"[A-Za-z]{4,}", text)]
    return max(found, key=lambda word: (len(word), word), default="little").lower()


def _level(value: float, middle: float, high: float) -> int:
    return (value >= middle) + (value >= high)


def _choice(name: str, number: int, count: int) -> int:
    return int.from_bytes(blake2b(f"{name}:{number}".encode(), digest_size=4).digest()) % count


def main(folder: Path) -> None:
    found: Counter[str] = Counter()

    def with_chains() -> Iterator[Conversation]:
        for conversation in read_conversations(folder / "train_chatml.jsonl"):
            text = chain(conversation)
            values = {name: conversation.label(name) for name in ("quality", "csat")}
            wrong = faults(text, True, conversation, values, "", "en")
            found.update({code(fault) for fault in wrong} or {"kept"})
            yield conversation if wrong else replace(conversation, reasoning=reasoning.parse(text, MODEL))

    count = write_conversations(folder / "train_reasoning.jsonl", with_chains())
    print(f"{folder / 'train_reasoning.jsonl'}: {count} conversations; {dict(found)}; chains are simulated")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
