"""What `mlx_cc analyze --json` wrote: one object a line, one line a conversation."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from mlx_cc.errors import UserError
from mlx_cc.files import lines

Score = Annotated[float, Meta(ge=0, le=100)]
Probability = Annotated[float, Meta(ge=0, le=1)]


class Advice(Struct, frozen=True):
    """One coaching recommendation of a model, about one turn."""

    skill: str
    action: str
    turn: Annotated[int, Meta(ge=1)]
    expected_outcome: str = ""


class Analysis(Struct, frozen=True):
    """A model's answers about one conversation; what it was not asked is absent. Other keys are let through."""

    conversation_id: str
    quality_score: Score | None = None
    csat_score: Annotated[float, Meta(ge=1, le=5)] | None = None
    issue: str | None = None
    churn_risk: Score | None = None
    journey_type: str | None = None
    contact_role: str | None = None
    coaching: tuple[Advice, ...] = ()
    confidence: dict[str, Probability] = {}
    """Task -> probability of the answer given."""
    interval: dict[str, tuple[float, float]] = {}
    """Score task -> the shortest run of answers that holds 80% of the probability."""
    likely: dict[str, tuple[str, ...]] = {}
    """Class task -> the fewest answers that hold 80%."""
    needs_review: bool = False
    review: tuple[str, ...] = ()
    reasoning: dict[str, Any] | None = None
    """`thinking`, `analysis`, `insights`, all text."""
    model: str | None = None


FORMAT = (
    "one JSON object a line with conversation_id and any of quality_score (0-100), csat_score (1-5), issue, "
    "churn_risk (0-100), journey_type, contact_role, coaching (list of {skill, action, expected_outcome, turn}), "
    "confidence, interval and likely (by task), needs_review, review, reasoning and model"
)
"""The format in words, for --help."""

_decode = msgspec.json.Decoder(Analysis).decode


def read_answers(path: Path | str) -> dict[str, Analysis]:
    """Conversation id -> its analysis; of several for one conversation, the last.

    Raises:
        UserError: there is no such file, or a line is no analysis.
    """
    found: dict[str, Analysis] = {}
    for number, line in lines(path):
        try:
            analysis = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise UserError(f"{path}:{number}: {fault}. Give the lines `mlx_cc analyze --json` prints.") from fault
        found[analysis.conversation_id] = analysis
    return found
