"""The record: one conversation between a customer and a contact centre, and what is known of it.

`Conversation` is the only noun that crosses rooms. On disk it is one JSON object a line
(`files.py`). Structure is checked when a line is decoded; what a label's value may be is
the business of the task that owns the label (`tasks/`).
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

    Records hold no cycles, so the garbage collector need not track them.
    """


class Turn(Record, frozen=True):
    """One utterance. Its id is its place: the first turn is T1."""

    role: Role
    text: str
    start_s: Seconds | None = None
    """Seconds from the start of the conversation; None when the export has no timings."""
    end_s: Seconds | None = None
    agent_id: Identifier | None = None
    """Which agent spoke, where a conversation has several."""
    role_confidence: Share | None = None
    """None when the file itself says who spoke."""


class Label(Record, frozen=True):
    """A value somebody other than our model gave, and who that was."""

    value: Any
    source: Source
    scale: tuple[float, float] | None = None
    """Lowest and highest of the scale its source used, where that is not the task's own."""
    given: float | None = None
    """The value on that scale; `value` is converted to the task's."""


class Temporal(Record, frozen=True):
    """The 18 temporal features. Local-time features are None when the site's time zone is unknown."""

    timestamp: str | None = None
    """Start in the site's time zone, ISO 8601; in UTC when no time zone is known."""
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
    """Name of the peak season the date falls in; None when in none (or date unknown)."""
    queue_wait_seconds: float | None = None
    queue_wait_minutes: float | None = None
    is_first_contact: bool | None = None
    is_followup: bool | None = None


class Reasoning(Record, frozen=True):
    """A teacher's chain in the three blocks of the format; turn citations are [T3]."""

    thinking: str
    analysis: str
    insights: str
    model: str
    rationalised: bool = False
    """Whether the teacher was told labels that it had not come to by itself."""
    own_thoughts: str | None = None
    """What a teacher that thinks before it answers thought, where that is kept."""


class Provenance(Record, frozen=True):
    """Where the conversation was read from."""

    file: str
    line: int | None = None
    format: str | None = None
    redacted: bool = False
    """Whether personal data was replaced by placeholders on the way in."""
    personal_data_kept: bool = False
    """Whether personal data was left in on purpose (`--no-redact --keep-personal-data`)."""


class Conversation(Record, frozen=True):
    """One contact: identity, time, turns, labels, and what each stage found out."""

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
    """None when neither the export nor the contact chain says."""
    labels: dict[str, Label] = {}
    """Task (or measure) name -> label. A model's own answer is never stored here."""
    provenance: Provenance | None = None
    flags: tuple[str, ...] = ()
    """What a person should know before trusting it, such as `roles_unknown`."""
    temporal: Temporal | None = None
    reasoning: Reasoning | None = None

    def label(self, name: str) -> Any:
        """The value of a label, or None when the conversation has no such label."""
        found = self.labels.get(name)
        return None if found is None else found.value


Kind = TypeVar("Kind", bound=Record)


def check(conversation: Conversation) -> None:
    """Raise UserError for what the field types alone cannot express.

    At least one turn with text, times that do not run backwards inside a turn.
    """
    for turn in conversation.turns:
        end = turn.end_s
        if end is not None and turn.start_s is not None and end < turn.start_s:
            place = conversation.turns.index(turn) + 1
            raise UserError(
                f"conversation {conversation.id}: turn {place} ends at {end:g} s, "
                f"before it starts at {turn.start_s:g} s. Correct the times or leave them out."
            )
    if not any(turn.text for turn in conversation.turns):
        raise UserError(f"conversation {conversation.id} has no turn with text. Leave it out or restore its turns.")


def replace(record: Kind, **changes: Any) -> Kind:
    """A copy of a record, or of a part of one, with some fields changed."""
    return msgspec.structs.replace(record, **changes)
