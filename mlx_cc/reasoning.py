"""The reasoning chain: its structure, the grammar that guarantees it, and the questions that ask for it.

Three blocks: `<thinking>` with five steps of four points, `<analysis>` with the metric lines,
`<insights>` with three recommendations. The chain comes after the answers and explains them;
what it cites are turn ids ([T3]), resolved to text in code. To measure what a chain in front is worth it can also be
asked for before any answer is known.

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
"""Those whose value is the answer to the task of the same name."""


class Line(NamedTuple):
    """A line of the chain: its fixed beginning, what is filled in, and what it is for, as a teacher reads it."""

    fixed: str
    slot: str = ""
    """A name of `SLOTS`, `text` for a text alone, or empty."""
    hint: str = ""


def _lines() -> tuple[Line, ...]:
    found = [Line("<thinking>")]
    for number, (step, points) in enumerate(STEPS.items(), 1):
        found.append(Line(f"Step {number} - {step}:"))
        found += [Line(f"- {point}: ", "text") for point in points]
    return (
        *found,
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
    """The branch that asks for a chain explaining the given answers (task name -> value); without any, for one that
    comes first.
    """
    answers = said(values, centre)
    return QUESTION.format(answers=answers) if answers else FIRST


def labels(conversation: Conversation) -> dict[str, Any]:
    """The labelled answers (task name -> value) that a conversation's chain explains."""
    known = all_tasks().values()
    return {t.name: conversation.label(t.name) for t in known if t.answers and t.name in conversation.labels}


def said(values: Mapping[str, Any], centre: Centre) -> str:
    """Answers in words: `quality 85; csat 4`; coaching is left out."""
    known = all_tasks()
    return "; ".join(f"{n} {known[n].write(value, centre)}" for n, value in values.items() if known[n].answers)


def form() -> str:
    """The form of a chain, with what belongs on each line in brackets: for a teacher that hasn't learned it."""
    filled = {"": "", "text": "[{}]"}
    filled |= {name: f"[{slot.shown}]{slot.before_text}[{{}}]" for name, slot in SLOTS.items()}
    lines = (line.fixed + filled[line.slot].format(line.hint or "one short sentence") for line in LINES)
    return "\n".join(lines)


def grammar(values: Mapping[str, Any], turns: int | None = None, point_characters: int = 90) -> str:
    """A Lark grammar (llguidance) of a chain that explains these answers (task name -> value), with their scores.

    Args:
        values: a score that is not among them is left to the writer.
        turns: how many there are, so that none beyond can be cited; None allows any number.
        point_characters: the most a single point or line may take.
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
    """The score, or the word, in front of it."""


_FILLED = {
    "text": re.compile("(?P<value>)(?P<text>[^<>]+)"),
    **{n: re.compile(f"(?P<value>{slot.value}){slot.before_text}(?P<text>[^<>]+)") for n, slot in SLOTS.items()},
}


def points(text: str) -> list[Point]:
    """The filled lines of a chain that has exactly the structure.

    Raises:
        ValueError: names the first line that is not as it should be.
    """
    written = text.strip().split("\n")
    found = []
    for number, line in enumerate(LINES):
        said = written[number].rstrip() if number < len(written) else None
        wanted = line.fixed.strip() or "an empty line"
        if said is None:
            raise ValueError(f"ends before '{wanted}'")
        if not line.slot:
            if said != line.fixed:
                raise ValueError(f"line {number + 1} is not '{wanted}'")
            continue
        match = _FILLED[line.slot].fullmatch(said.removeprefix(line.fixed)) if said.startswith(line.fixed) else None
        if match is None:
            raise ValueError(f"line {number + 1} is not '{wanted} ...'")
        found.append(Point(line, match["text"].strip(), match["value"] or None))
    if len(written) > len(LINES):
        raise ValueError(f"goes on after '{LINES[-1].fixed}'")
    return found


def written(found: Mapping[Line, Point]) -> str:
    """A chain of its points."""
    lines = []
    for line in LINES:
        point = found[line] if line.slot else None
        value = f"{point.value}{SLOTS[line.slot].before_text}" if point and line.slot in SLOTS else ""
        lines.append(line.fixed + value + (point.text if point else ""))
    return "\n".join(lines)


_HEAD = re.compile(r"[\s>*#•_-]*(?P<head>[^:\n]{1,60}?)[\s*_]*:[\s*_]*(?P<rest>.*)")
_NUMBERED = re.compile(r"[\s>*_]*(?P<number>[123])[.)][\s*_]*(?P<rest>.*)")


def restructured(text: str) -> str:
    """Free text that has every point of a chain, in the structure's own form.

    Forgives markdown, other bullets, missing tags, lines that go on; invents nothing.

    Raises:
        ValueError: a point is missing or says nothing, and which.
    """
    wanted = [line for line in LINES if line.slot]
    keys = [_letters(line.fixed) or line.fixed[0] for line in wanted]
    said: dict[Line, list[str]] = {}
    place = -1
    for row in text.split("\n"):
        match = _NUMBERED.match(row)
        head = match["number"] if match else None
        if match is None and (match := _HEAD.match(row)):
            head = _letters(match["head"])
        if match and head in keys[place + 1 :]:
            place = keys.index(head, place + 1)
            said[wanted[place]] = [match["rest"]]
        elif (
            place >= 0
            and row.strip()
            and not re.match(r"\W*(?:</?\w+>|step \d|quality metrics|immediate coaching)", row, re.I)
        ):
            said[wanted[place]].append(row)
    found: dict[Line, Point] = {}
    for line in wanted:
        rest = " ".join(" ".join(re.sub(r"^[\s>*•-]+|[<>]|\*\*|__", " ", part) for part in said.get(line, [])).split())
        value = None
        if line.slot in SLOTS:
            match = SLOTS[line.slot].in_free_text().search(rest)
            if match is None:
                raise ValueError(f"'{line.fixed.strip()}' has no {line.slot}")
            value = str(match["value"] or match["bare"]).title()
            rest = re.sub(r"^\W*(?:because|due to)?\W*", "", rest[match.end() :], flags=re.I)
        if len(rest) < 3:
            raise ValueError(f"'{line.fixed.strip()}' says nothing")
        found[line] = Point(line, rest, value)
    return written(found)


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
    found = _BLOCKS.search(text)
    if found is None:
        raise ValueError("the chain lacks one of <thinking>, <analysis>, <insights>")
    thinking, analysis, insights = (block.strip() for block in found.groups())
    return Reasoning(thinking=thinking, analysis=analysis, insights=insights, model=model)


CITATION = re.compile(r"\[T(\d+)\]")


def citations(text: str, conversation: Conversation) -> dict[str, str]:
    """Turn ids cited in the text -> what was said there; ids that do not exist are left out."""
    cited = sorted({int(number) for number in CITATION.findall(text)})
    return {f"T{n}": conversation.turns[n - 1].text for n in cited if 1 <= n <= len(conversation.turns)}
