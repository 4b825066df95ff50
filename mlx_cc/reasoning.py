"""The reasoning chain: its structure, the grammar that guarantees it, and the question that asks for it.

Three blocks: `<thinking>` with five steps of four points, `<analysis>` with the metric lines,
`<insights>` with three recommendations. The chain comes after the answers and explains them;
what it cites are turn ids ([T3]), resolved to text in code.
"""

import re
from collections.abc import Mapping
from typing import Any

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation, Reasoning
from mlx_cc.tasks import all_tasks

STEPS: dict[str, tuple[str, str, str, str]] = {
    "Customer Sentiment Analysis": (
        "Emotional indicators",
        "Sentiment evolution",
        "Trigger phrases",
        "Satisfaction trajectory",
    ),
    "Agent Performance Evaluation": (
        "Communication",
        "Technical knowledge",
        "Protocol adherence",
        "Improvement opportunities",
    ),
    "Interaction Quality Assessment": ("First-call resolution", "Efficiency", "Process compliance", "Customer effort"),
    "Root Cause Analysis": ("Agent skill or system", "Process or policy", "Broader trend", "Prevention"),
    "Business Impact Analysis": ("Retention risk", "Operational efficiency", "Revenue", "Brand perception"),
}

QUESTION = (
    "Explain these answers step by step, citing turns like [T3]: {answers}. "
    "Write <thinking>, then <analysis>, then <insights>."
)


def question(values: Mapping[str, Any], centre: Centre) -> str:
    """The branch that asks for a chain explaining the given answers (task name -> value)."""
    known = all_tasks()
    said = [f"{name} {known[name].write(value, centre)}" for name, value in values.items() if name != "coaching"]
    return QUESTION.format(answers="; ".join(said))


def grammar(quality: float, csat: float, point_characters: int = 90) -> str:
    """A Lark grammar (llguidance) of the chain, the scores fixed to the answers it explains.

    Args:
        point_characters: the most a single point or line may take.
    """
    text = f'/[A-Za-z][^<>\\n]{{2,{point_characters - 1}}}/ "\\n"'
    lines = ['"<thinking>\\n"']
    for number, (step, points) in enumerate(STEPS.items(), 1):
        lines.append(f'"Step {number} - {step}:\\n"')
        lines += [f'"- {point}: " text' for point in points]
    lines.append('"</thinking>\\n\\n<analysis>\\nQuality Metrics:\\n"')
    lines.append(f'"- Overall Quality Score: {quality:.0f}/100 because " text')
    lines.append(f'"- CSAT Prediction: {csat:.0f}/5 due to " text')
    lines.append('"- First Call Resolution: " ("Achieved" | "Not Achieved") " - " text')
    lines.append('"- Customer Effort: " ("High" | "Medium" | "Low") " - " text')
    lines += [f'"{head}: " text' for head in ("\\nKey Strengths", "Critical Issues", "Patterns & Trends")]
    lines.append('"</analysis>\\n\\n<insights>\\nImmediate Coaching Recommendations:\\n"')
    lines += [f'"{number}. " text' for number in (1, 2, 3)]
    lines += [
        f'"{head}: " text' for head in ("\\nProcess Improvements", "Business Actions", "Long-term Strategic Insights")
    ]
    lines.append('"</insights>"')
    return "start: " + " ".join(lines) + f"\ntext: {text}\n"


_BLOCKS = re.compile(
    r"<thinking>\n(.*?)</thinking>\s*<analysis>\n(.*?)</analysis>\s*<insights>\n(.*?)</insights>", re.DOTALL
)


def parse(text: str, model: str) -> Reasoning:
    """A chain from its text.

    Raises:
        ValueError: one of the three blocks is missing.
    """
    found = _BLOCKS.search(text)
    if found is None:
        raise ValueError("the chain lacks one of <thinking>, <analysis>, <insights>")
    thinking, analysis, insights = (block.strip() for block in found.groups())
    return Reasoning(thinking=thinking, analysis=analysis, insights=insights, model=model)


def citations(text: str, conversation: Conversation) -> dict[str, str]:
    """Turn ids cited in the text -> what was said there; ids that do not exist are left out."""
    cited = sorted({int(number) for number in re.findall(r"\[T(\d+)\]", text)})
    return {f"T{n}": conversation.turns[n - 1].text for n in cited if 1 <= n <= len(conversation.turns)}
