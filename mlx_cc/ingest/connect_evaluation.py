"""Amazon Connect evaluation forms: a reviewer's score becomes the quality label of its contact.

The score is the form's own percentage. A form that failed automatically scores 0; one that does not
apply gives no label, and questions that do not apply are already left out of the percentage. A form
that was filled in without a person is labelled `platform` rather than `human_qa`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlx_cc.conversation import Label
from mlx_cc.errors import UserError
from mlx_cc.ingest.contacts import Contact, to_contact
from mlx_cc.ingest.format import ContactFormat, Reading, Reject
from mlx_cc.ingest.shapes.exports import each
from mlx_cc.ingest.shapes.objects import shaped
from mlx_cc.ingest.shapes.utterances import named_moment, seconds
from mlx_cc.ingest.source import File

NAME = "connect_evaluation"
KEYS = re.compile(rb'"evaluation(?:DefinitionTitle|DefinitionId|StartTimestamp|SubmitTimestamp)"')


class Score(Struct, frozen=True, rename="camel"):
    percentage: Any = None
    automatic_fail: bool | None = None
    not_applicable: bool | None = None


class Metadata(Struct, frozen=True, rename="camel"):
    contact_id: str
    agent_id: str | None = None
    evaluation_start_timestamp: str | int | float | None = None
    evaluation_submit_timestamp: str | int | float | None = None
    score: Score | None = None
    auto_evaluated: bool | None = None
    evaluation_source: str | None = None
    evaluated_participant_role: str | None = None


class Evaluation(Struct, frozen=True, rename="camel"):
    metadata: Metadata


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a contact id with the keys of an evaluation."""
    return b'"contactId"' in head and KEYS.search(head) is not None


def read(file: File, reading: Reading) -> Iterator[Contact | Reject]:
    """One contact per evaluation."""
    yield from each(file, lambda item: _contact(shaped(item.tree, Evaluation).metadata, reading))


def _contact(metadata: Metadata, reading: Reading) -> Contact:
    if metadata.evaluated_participant_role not in (None, "", "AGENT"):
        raise UserError(f"evaluates the {metadata.evaluated_participant_role} and not the agent. Leave it out.")
    submitted = named_moment(metadata.evaluation_submit_timestamp, "evaluationSubmitTimestamp", reading.timezone)
    label = _quality(metadata)
    return to_contact(
        {
            "id": metadata.contact_id,
            "platform": "amazon_connect",
            "updated_at": submitted
            or named_moment(metadata.evaluation_start_timestamp, "evaluationStartTimestamp", reading.timezone),
            "agents": [metadata.agent_id] if metadata.agent_id else None,
            "labels": {"quality": label} if label else None,
        }
    )


def _quality(metadata: Metadata) -> Label | None:
    score = metadata.score
    if score is None or score.not_applicable:
        return None
    percentage = 0.0 if score.automatic_fail else seconds(score.percentage)
    if percentage is None:
        return None
    if percentage > 100:
        raise UserError(f"its score is {percentage:g} percent. Export it again.")
    automated = metadata.auto_evaluated or metadata.evaluation_source == "AUTOMATED"
    return Label(value={"score": percentage}, source="platform" if automated else "human_qa")


CONTACTS = ContactFormat(NAME, recognise, read)
