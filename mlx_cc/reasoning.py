"""The reasoning chain: its structure, the grammar that guarantees it, and the questions that ask for it.

Three blocks: `<thinking>` with five steps of four points, `<analysis>` with the metric lines,
`<insights>` with three recommendations. The chain comes after the answers and explains them;
it cites turn ids ([T3]), which code resolves to text. For comparison, a chain can also be asked for before the answers.

The structure is declared once, as lines with a fixed beginning and something to fill in. The grammar, the reading of
a chain and the restructuring of free text all follow from it.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation, Reasoning
from mlx_cc.tasks import all_tasks

NAME = "reasoning"
"""Name of the branch that asks for a chain."""

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


class Slot(NamedTuple):
    """What is filled in on a line before its text."""

    value: str
    """A regular expression."""
    before_text: str
    """What stands between the value and the text."""
    shown: str
    """The value in a form to be filled in."""
    high: int | None = None
    """The highest score; None for words."""

    def in_free_text(self) -> re.Pattern[str]:
        """The value as people write it."""
        if self.high is None:
            return re.compile(rf"\b(?P<value>{self.value})\b(?P<bare>)", re.I)
        score = rf"\(?(?P<value>{self.value})(?:\.\d+)?\s*(?:/|out of)\s*{self.high}\)?"
        return re.compile(rf"{score}|^\W*(?P<bare>{self.value})\b")


SLOTS = {
    "quality": Slot("100|[0-9][0-9]?", "/100 because ", "0-100", 100),
    "csat": Slot("[1-5]", "/5 due to ", "1-5", 5),
    "resolved": Slot("Achieved|Not Achieved", " - ", "Achieved or Not Achieved"),
    "effort": Slot("High|Medium|Low", " - ", "High, Medium, Low"),
}
SCORES = tuple(name for name, slot in SLOTS.items() if slot.high)
"""Slots whose value is the answer to the task of the same name."""


class Line(NamedTuple):
    """A line of the chain: its fixed beginning, what is filled in, and what it is for, as a teacher reads it."""

    fixed: str
    slot: str = ""
    """A name of `SLOTS`, `text` for a text alone, or empty."""
    hint: str = ""


def _lines() -> tuple[Line, ...]:
    thinking = [Line("<thinking>")]
    for number, (step, points) in enumerate(STEPS.items(), 1):
        thinking.append(Line(f"Step {number} - {step}:"))
        thinking += [Line(f"- {point}: ", "text") for point in points]
    return (
        *thinking,
        Line("</thinking>"),
        Line(""),
        Line("<analysis>"),
        Line("Quality Metrics:"),
        Line("- Overall Quality Score: ", "quality", "the reasons"),
        Line("- CSAT Prediction: ", "csat", "what shows it"),
        Line("- First Call Resolution: ", "resolved", "why"),
        Line("- Customer Effort: ", "effort", "why"),
        Line(""),
        Line("Key Strengths: ", "text", "three, with turns"),
        Line("Critical Issues: ", "text", "up to three, with their severity and turns"),
        Line("Patterns & Trends: ", "text", "what it means for operations"),
        Line("</analysis>"),
        Line(""),
        Line("<insights>"),
        Line("Immediate Coaching Recommendations:"),
        *(Line(f"{number}. ", "text", "a skill, an action, the outcome expected") for number in (1, 2, 3)),
        Line(""),
        Line("Process Improvements: ", "text", "what to change in the process"),
        Line("Business Actions: ", "text", "priority, action, follow-up"),
        Line("Long-term Strategic Insights: ", "text", "trends and training"),
        Line("</insights>"),
    )


LINES = _lines()

BLOCKS = "Write <thinking>, then <analysis>, then <insights>."
QUESTION = "Explain these answers step by step, citing turns like [T3]: {answers}. " + BLOCKS
FIRST = "Think this conversation through step by step before it is judged, citing turns like [T3]. " + BLOCKS


def question(values: Mapping[str, Any], centre: Centre) -> str:
    """The question for a chain that explains answers (task name -> value); without any, for one that comes first."""
    answers = said(values, centre)
    return QUESTION.format(answers=answers) if answers else FIRST


def labels(conversation: Conversation) -> dict[str, Any]:
    """The labelled answers (task name -> value) that a conversation's chain explains."""
    tasks = all_tasks().values()
    return {t.name: conversation.label(t.name) for t in tasks if t.answers and t.name in conversation.labels}


def said(values: Mapping[str, Any], centre: Centre) -> str:
    """Answers in words: `quality 85; csat 4`; coaching is left out."""
    tasks = all_tasks()
    return "; ".join(f"{n} {tasks[n].write(value, centre)}" for n, value in values.items() if tasks[n].answers)


def form() -> str:
    """The form of a chain with what belongs on each line in brackets, for a teacher model not trained on it."""
    filled = {"": "", "text": "[{}]"}
    filled |= {name: f"[{slot.shown}]{slot.before_text}[{{}}]" for name, slot in SLOTS.items()}
    lines = (line.fixed + filled[line.slot].format(line.hint or "one short sentence") for line in LINES)
    return "\n".join(lines)


def grammar(values: Mapping[str, Any], turns: int | None = None, point_characters: int = 90) -> str:
    """A Lark grammar (llguidance) of a chain that explains these answers (task name -> value), with their scores.

    Args:
        values: the model chooses a score that is not among them.
        turns: number of turns, so that no other can be cited; None allows any number.
        point_characters: the most characters of a single point or line.
    """
    cited = "[0-9]+" if turns is None else f"({'|'.join(map(str, range(turns, 0, -1)))})"
    text = rf'/[^\s<>\[\]*#0-9.:-]([^<>\[\]\n]|\[T{cited}\]){{2,{point_characters - 1}}}/ "\n"'
    filled = {"": r'"\n"', "text": "text"}
    for name, slot in SLOTS.items():
        number = all_tasks()[name].number if name in SCORES and values.get(name) is not None else None
        value = _quoted(f"{number(values[name]):.0f}") if number else f"/{slot.value}/"
        filled[name] = f"{value} {_quoted(slot.before_text)} text"
    parts = [f"{_quoted(line.fixed)} {filled[line.slot]}" if line.fixed else filled[""] for line in LINES[:-1]]
    return f"start: {' '.join(parts)} {_quoted(LINES[-1].fixed)}\ntext: {text}\n"


def _quoted(text: str) -> str:
    return f'"{text}"'


# Reading chains


class Point(NamedTuple):
    """What a chain says on one of its lines."""

    line: Line
    text: str
    value: str | None = None
    """The score or the word before the text."""


_FILLED = {
    "text": re.compile("(?P<value>)(?P<text>[^<>]+)"),
    **{n: re.compile(f"(?P<value>{slot.value}){slot.before_text}(?P<text>[^<>]+)") for n, slot in SLOTS.items()},
}


def points(text: str) -> list[Point]:
    """The filled lines of a chain.

    Raises:
        ValueError: names the first line that does not follow the structure.
    """
    written = text.strip().split("\n")
    points = []
    for number, line in enumerate(LINES):
        row = written[number].rstrip() if number < len(written) else None
        wanted = line.fixed.strip() or "an empty line"
        if row is None:
            raise ValueError(f"ends before '{wanted}'")
        if not line.slot:
            if row != line.fixed:
                raise ValueError(f"line {number + 1} is not '{wanted}'")
            continue
        match = _FILLED[line.slot].fullmatch(row.removeprefix(line.fixed)) if row.startswith(line.fixed) else None
        if match is None:
            raise ValueError(f"line {number + 1} is not '{wanted} ...'")
        points.append(Point(line, match["text"].strip(), match["value"] or None))
    if len(written) > len(LINES):
        raise ValueError(f"goes on after '{LINES[-1].fixed}'")
    return points


def written(points: Mapping[Line, Point]) -> str:
    """A chain's text from its points."""
    lines = []
    for line in LINES:
        point = points[line] if line.slot else None
        value = f"{point.value}{SLOTS[line.slot].before_text}" if point and line.slot in SLOTS else ""
        lines.append(line.fixed + value + (point.text if point else ""))
    return "\n".join(lines)


_HEAD = re.compile(r"[\s>*#•_-]*(?P<head>[^:\n]{1,60}?)[\s*_]*:[\s*_]*(?P<rest>.*)")
_NUMBERED = re.compile(r"[\s>*_]*(?P<number>[123])[.)][\s*_]*(?P<rest>.*)")


def restructured(text: str) -> str:
    """Rewrite free text that has every point of a chain in the chain's structure.

    Accepts markdown, other bullets, missing tags and points of several lines; invents nothing.

    Raises:
        ValueError: names a point that is missing or empty.
    """
    wanted = [line for line in LINES if line.slot]
    keys = [_letters(line.fixed) or line.fixed[0] for line in wanted]
    texts: dict[Line, list[str]] = {}
    last = -1
    for row in text.split("\n"):
        match = _NUMBERED.match(row)
        head = match["number"] if match else None
        if match is None and (match := _HEAD.match(row)):
            head = _letters(match["head"])
        if match and head in keys[last + 1 :]:
            last = keys.index(head, last + 1)
            texts[wanted[last]] = [match["rest"]]
        elif (
            last >= 0
            and row.strip()
            and not re.match(r"\W*(?:</?\w+>|step \d|quality metrics|immediate coaching)", row, re.I)
        ):
            texts[wanted[last]].append(row)
    points: dict[Line, Point] = {}
    for line in wanted:
        rest = " ".join(" ".join(re.sub(r"^[\s>*•-]+|[<>]|\*\*|__", " ", part) for part in texts.get(line, [])).split())
        value = None
        if line.slot in SLOTS:
            match = SLOTS[line.slot].in_free_text().search(rest)
            if match is None:
                raise ValueError(f"'{line.fixed.strip()}' has no {line.slot}")
            value = str(match["value"] or match["bare"]).title()
            rest = re.sub(r"^\W*(?:because|due to)?\W*", "", rest[match.end() :], flags=re.I)
        if len(rest) < 3:
            raise ValueError(f"'{line.fixed.strip()}' says nothing")
        points[line] = Point(line, rest, value)
    return written(points)


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def text_of(chain: Reasoning) -> str:
    """A chain as the grammar writes it; `parse` reads it back."""
    blocks = {"thinking": chain.thinking, "analysis": chain.analysis, "insights": chain.insights}
    return "\n\n".join(f"<{name}>\n{block}\n</{name}>" for name, block in blocks.items())


_BLOCKS = re.compile(
    r"<thinking>\n(.*?)</thinking>\s*<analysis>\n(.*?)</analysis>\s*<insights>\n(.*?)</insights>", re.DOTALL
)


def parse(text: str, model: str) -> Reasoning:
    """A chain from its text.

    Raises:
        ValueError: one of the three blocks is missing.
    """
    blocks = _BLOCKS.search(text)
    if blocks is None:
        raise ValueError("the chain lacks one of <thinking>, <analysis>, <insights>")
    thinking, analysis, insights = (block.strip() for block in blocks.groups())
    return Reasoning(thinking=thinking, analysis=analysis, insights=insights, model=model)


CITATION = re.compile(r"\[T(\d+)\]")


def citations(text: str, conversation: Conversation) -> dict[str, str]:
    """Turn ids cited in the text -> text of the turn; ids that do not exist are left out."""
    cited = sorted({int(number) for number in CITATION.findall(text)})
    return {f"T{n}": conversation.turns[n - 1].text for n in cited if 1 <= n <= len(conversation.turns)}
