"""Scorecards filled in by reviewers, as CSV: one row per answer.

    conversation_id,evaluator,question,answer,score,max_score,weight,critical
    call-1,qa-7,Greeted the customer,Yes,1,1,5,
    call-1,qa-7,Verified identity,No,0,1,10,yes
    call-1,qa-7,Offered a callback,N/A,,1,5,

The label is sum(weight x score) / sum(weight x max score) x 100 over the questions that apply. When a
critical question has less than its highest score, quality is 0 and `given` keeps that percentage. A row can
have a percentage in place of score and highest score, or just the answer yes or no. Each evaluation
of a conversation is a record; the newest counts.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mlx_cc.errors import UserError
from mlx_cc.ingest.contacts import Contact, to_contact
from mlx_cc.ingest.format import ContactFormat, Reading, Reject
from mlx_cc.ingest.shapes import headings
from mlx_cc.ingest.shapes.rows import Group, Row, grouped, identifier, layout, number, rows, when
from mlx_cc.ingest.source import File

COLUMNS = {
    "evaluation": "evaluation id,evaluation,review id,form id,scorecard id,assessment id",
    "evaluator": "evaluator,evaluator id,evaluator name,reviewer,reviewer id,assessor,evaluated by,"
    "qa analyst,scored by",
    "evaluated_at": "evaluated at,evaluation date,evaluation time,evaluation timestamp,reviewed at,"
    "review date,scored at,submitted at,submit time,date evaluated,date,timestamp",
    "question": "question,question text,criterion,criteria,question name,item,behavior,behaviour",
    "answer": "answer,response,answer text,choice,selected answer",
    "score": "score,points,question score,points earned,earned,answer score",
    "max_score": "max score,maximum score,max points,maximum,points possible,possible points,possible score,max,out of",
    "percentage": "percentage,percent,score percentage,score percent,question percentage",
    "weight": "weight,question weight,weighting",
    "critical": "critical,auto fail,autofail,fatal,is critical,is fatal,critical question,"
    "auto fail question,kill question",
}
NOT_APPLICABLE = ("n/a", "na", "n.a.", "not applicable", "does not apply")
YES, NO = ("yes", "y", "true", "pass", "passed", "met"), ("no", "n", "false", "fail", "failed", "not met")
CRITICAL = ("yes", "y", "true", "1", "x", "critical", "fatal", "auto fail", "auto-fail", "autofail")
TOTALS = ("total", "total score", "overall", "overall score", "final score")


class Answer(NamedTuple):
    """The result of one question that applies."""

    score: float
    max_score: float
    weight: float
    critical: bool


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by column names for a conversation, a question and a score, percentage or answer."""
    return not head.lstrip().startswith((b"{", b"[")) and layout(head, _fits) is not None


def read(file: File, reading: Reading) -> Iterator[Contact | Reject]:
    """One contact, with its quality label, for every evaluation.

    Raises:
        UserError: the columns are not known.
    """
    found = layout(file.head, _fits)
    if found is None:
        raise UserError("has no line of names with conversation_id, question and score (or percentage, or answer).")
    columns = headings.places(found.names, COLUMNS)
    its_id = str(headings.place(found.names, headings.IDS))
    month_first = found.month_first if reading.country != "US" else True

    def evaluation(row: Row) -> tuple[str, str, str]:
        evaluation, evaluator = (row.cells.get(columns.get(name, ""), "") for name in ("evaluation", "evaluator"))
        return identifier(row, its_id, found), evaluation, evaluator

    for group in grouped(rows(file, found), evaluation, file, lambda key: key[0]):
        if isinstance(group, Reject):
            yield group
            continue
        line = group.rows[0].line
        try:
            fields = {"id": group.key[0], "labels": {"quality": quality(_answers(group, columns))}}
            times = [row.cells[at] for row in group.rows if (at := columns.get("evaluated_at")) in row.cells]
            if times:
                utc = headings.column(found.names[int(columns["evaluated_at"])]).utc
                zone = None if utc else reading.timezone
                # Only compared with other evaluations of the file, so any time zone works.
                fields["updated_at"] = when(times[0], zone or "UTC", month_first)
            yield to_contact(fields)
        except UserError as fault:
            yield Reject(str(file.path), line, str(fault).replace("started_at", "evaluated at", 1))


def quality(answers: list[Answer]) -> dict[str, object]:
    """The label of a scorecard, as the parts of a Label.

    Raises:
        UserError: no question applies, or all weights are 0.
    """
    potential = sum(answer.weight * answer.max_score for answer in answers)
    if potential <= 0:
        raise UserError("no question of the scorecard applies, or none has a weight. Leave the evaluation out.")
    percentage = round(sum(answer.weight * answer.score for answer in answers) / potential * 100, 2)
    label: dict[str, object] = {"value": {"score": percentage}, "source": "human_qa"}
    if any(answer.critical and answer.score < answer.max_score for answer in answers):
        label |= {"value": {"score": 0}, "scale": (0, 100), "given": percentage}
    return label


def _answers(group: Group, columns: dict[str, str]) -> list[Answer]:
    answers = [_answer(row, columns) for row in group.rows]
    return [answer for answer in answers if answer is not None]


def _answer(row: Row, columns: dict[str, str]) -> Answer | None:
    """The result of a row; None when its question does not apply, was not answered or is a total.

    Raises:
        UserError: the score is not a number, or not between 0 and the highest.
    """
    cells = {name: row.cells.get(place, "") for name, place in columns.items()}
    question = cells["question"]
    answer, given, percentage = cells.get("answer", ""), cells.get("score", ""), cells.get("percentage", "")
    if any(said.casefold() in NOT_APPLICABLE for said in (answer, given, percentage)):
        return None
    if question.casefold() in TOTALS:
        return None
    weight = _number("weight", cells.get("weight", "") or "1", row)
    critical = cells.get("critical", "").casefold() in CRITICAL
    if given and "max_score" in columns:
        score, highest = _number("score", given, row), _number("max score", cells["max_score"], row)
    elif percentage or given.endswith("%"):
        score, highest = _number("percentage", percentage or given, row), 100.0
    elif answer.casefold() in YES or answer.casefold() in NO:
        highest = _number("max score", cells.get("max_score", "") or "1", row)
        score = highest if answer.casefold() in YES else 0.0
    elif given:
        raise UserError(f"line {row.line}: a score of {given} without its highest. Add a max_score column.")
    else:
        return None
    if not 0 <= score <= highest or weight < 0:
        raise UserError(f"line {row.line}: a score of {score:g} is not between 0 and {highest:g}, or weighs below 0.")
    return Answer(score, highest, weight, critical)


def _number(name: str, cell: str, row: Row) -> float:
    found = number(cell)
    if found is None:
        raise UserError(
            f"line {row.line}: the {name} {cell!r} is not a number. Correct it, or write N/A as the answer."
        )
    return found


def _fits(names: tuple[str, ...]) -> int:
    found = headings.places(names, COLUMNS)
    if headings.place(names, headings.IDS) is None or "question" not in found:
        return 0
    return len(found) if {"score", "percentage", "answer"} & found.keys() else 0


CONTACTS = ContactFormat("scorecard", recognise, read, order=65)
