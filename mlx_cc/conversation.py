"""The record: one conversation between a customer and a contact centre, with its facts and labels.

All rooms exchange `Conversation`. On disk it is one JSON object per line (`files.py`). Decoding a
line checks its structure; the task that owns a label (`tasks/`) checks the label's value.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from mlx_cc.errors import UserError

Role = Literal["agent", "customer", "bot", "system", "unknown"]
Channel = Literal["voice", "chat", "email", "sms", "social", "unknown"]
Source = Literal["human_qa", "survey", "platform", "teacher", "simulated"]
SOURCES: tuple[str, ...] = get_args(Source)

Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Share = Annotated[float, Meta(ge=0, le=1)]
Identifier = Annotated[str, Meta(min_length=1, max_length=512)]
Moment = Annotated[datetime, Meta(tz=True)]


class Record(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Settings shared by every struct of the record: frozen, compact, strict.

    Records have no reference cycles, so the garbage collector does not track them.
    """


class Turn(Record, frozen=True):
    """One utterance. Its id is its number: the first turn is T1."""

    role: Role
    text: str
    start_s: Seconds | None = None
    """Seconds from the start of the conversation; None when the export has no timings."""
    end_s: Seconds | None = None
    agent_id: Identifier | None = None
    """The agent who spoke, where a conversation has several."""
    role_confidence: Share | None = None
    """Confidence of a guessed role; None for a role from the file."""


class Label(Record, frozen=True):
    """A value that a source other than our model gave."""

    value: Any
    source: Source
    scale: tuple[float, float] | None = None
    """Lowest and highest value of the source's scale, where it is not the task's."""
    given: float | None = None
    """The value on the source's scale; `value` is on the task's."""


class Temporal(Record, frozen=True):
    """The 18 temporal features. Local-time features are None when the site's time zone is unknown."""

    timestamp: str | None = None
    """Start in the site's time zone, ISO 8601; in UTC when the time zone is unknown."""
    date: str | None = None
    time_of_day: str | None = None
    """night 0-5, morning 6-11, afternoon 12-16, evening 17-20, late_evening 21-23."""
    hour: int | None = None
    day_of_week: str | None = None
    day_of_week_num: int | None = None
    """Monday is 0."""
    week_of_year: int | None = None
    """ISO 8601 week, 1-53."""
    month: int | None = None
    quarter: int | None = None
    season: str | None = None
    """Meteorological season of the site's hemisphere."""
    is_business_hours: bool | None = None
    is_weekend: bool | None = None
    is_holiday: bool | None = None
    peak_season: str | None = None
    """Name of the peak season of the date; None when there is none, or the date is unknown."""
    queue_wait_seconds: float | None = None
    queue_wait_minutes: float | None = None
    is_first_contact: bool | None = None
    is_followup: bool | None = None


class Reasoning(Record, frozen=True):
    """A teacher's reasoning chain in the three blocks of the format; turn citations are [T3]."""

    thinking: str
    analysis: str
    insights: str
    model: str
    rationalised: bool = False
    """Whether the teacher was given labels that it had not found by itself."""
    own_thoughts: str | None = None
    """The thinking of a teacher that thinks before it answers, where it is kept."""


class Provenance(Record, frozen=True):
    """The file from which the conversation was read."""

    file: str
    line: int | None = None
    format: str | None = None
    redacted: bool = False
    """Whether personal data was replaced with placeholders."""
    personal_data_kept: bool = False
    """Whether personal data was left in on purpose (`--no-redact --keep-personal-data`)."""


class Conversation(Record, frozen=True):
    """One contact: identity, time, turns, labels, and the results of each stage."""

    id: Identifier
    turns: tuple[Turn, ...]
    platform: str | None = None
    channel: Channel = "unknown"
    language: str | None = None
    """BCP 47, for example `en` or `es-MX`."""
    customer_id: Identifier | None = None
    """A pseudonym; never a name, number or address."""
    agents: tuple[Identifier, ...] = ()
    team: str | None = None
    queue: str | None = None
    started_at: Moment | None = None
    timezone: str | None = None
    """IANA name of the site's zone, for example `America/Chicago`."""
    country: str | None = None
    """ISO 3166-1 alpha-2, for the holiday calendar."""
    subdivision: str | None = None
    queue_wait_s: Seconds | None = None
    hold_s: Seconds | None = None
    after_call_work_s: Seconds | None = None
    handle_time_s: Seconds | None = None
    disposition: str | None = None
    previous_contact_id: Identifier | None = None
    is_followup: bool | None = None
    """None when unknown from the export and from earlier contacts."""
    labels: dict[str, Label] = {}
    """Task (or measure) name -> label. A model's own answer is never stored here."""
    provenance: Provenance | None = None
    flags: tuple[str, ...] = ()
    """Warnings about the data, such as `roles_unknown`."""
    temporal: Temporal | None = None
    reasoning: Reasoning | None = None

    def label(self, name: str) -> Any:
        """The value of a label, or None when the conversation has no such label."""
        label = self.labels.get(name)
        return None if label is None else label.value


AnyRecord = TypeVar("AnyRecord", bound=Record)


def check(conversation: Conversation) -> None:
    """Raise UserError for a conversation without text, or a turn that ends before it starts."""
    for number, turn in enumerate(conversation.turns, 1):
        end = turn.end_s
        if end is not None and turn.start_s is not None and end < turn.start_s:
            raise UserError(
                f"conversation {conversation.id}: turn {number} ends at {end:g} s, "
                f"before it starts at {turn.start_s:g} s. Correct the times or remove them."
            )
    if not any(turn.text for turn in conversation.turns):
        raise UserError(f"conversation {conversation.id} has no turn with text. Remove it or restore its turns.")


def replace(record: AnyRecord, **changes: Any) -> AnyRecord:
    """A copy of a record, or of a part of one, with some fields changed."""
    return msgspec.structs.replace(record, **changes)
