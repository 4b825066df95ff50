"""Contact records: what a platform's reports know of a contact and its transcript does not."""

from msgspec import Struct

from mlx_cc.conversation import Channel, Identifier, Label, Moment, Seconds


class Contact(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One contact as a report tells it. Fields that `Conversation` has mean the same here."""

    id: Identifier
    keys: tuple[str, ...] = ()
    """Other ids under which a transcript may know it (a call's, a recording's, a segment's)."""
    names: tuple[str, ...] = ()
    """Of the agents and the customer, as the report spells them: to be redacted, never written."""
    updated_at: Moment | None = None
    """Of the record; of several with one id the newest counts, the later in the file where none says."""
    platform: str | None = None
    channel: Channel = "unknown"
    language: str | None = None
    customer_id: str | None = None
    """As the report has it, a telephone number perhaps; it becomes a pseudonym before anything is written."""
    agents: tuple[Identifier, ...] = ()
    team: str | None = None
    queue: str | None = None
    started_at: Moment | None = None
    timezone: str | None = None
    queue_wait_s: Seconds | None = None
    hold_s: Seconds | None = None
    after_call_work_s: Seconds | None = None
    handle_time_s: Seconds | None = None
    disposition: str | None = None
    previous_contact_id: Identifier | None = None
    is_followup: bool | None = None
    labels: dict[str, Label] = {}
