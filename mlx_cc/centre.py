"""Settings of one contact centre, kept in one YAML file.

Issue classes, journey types, effectiveness bands, agents' skills, opening hours, holidays and peak seasons, and the
queues or teams that differ. The defaults work as they are; `configs/centre.yaml` lists them.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from mlx_cc.files import settle, write_text
from mlx_cc.settings import read_settings

Clock = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
SeasonDay = Annotated[str, Meta(pattern=r"^(\d{4}-)?\d{2}-\d{2}$")]
Weekday = Annotated[int, Meta(ge=0, le=6)]
Seasons = dict[str, tuple[SeasonDay, SeasonDay]]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_]*$", description="lower case, digits and underscores")]


class Hours(Struct, frozen=True, forbid_unknown_fields=True):
    """Opening hours, in the site's local time."""

    open: Clock = "09:00"
    """Time of day, HH:MM."""
    close: Clock = "17:00"
    """Time of day, HH:MM; 24:00 is midnight. A time that is not after `open` is on the next day."""
    days: tuple[Weekday, ...] = (0, 1, 2, 3, 4)
    """Days of the week with these hours; Monday is 0."""
    other_days: dict[Weekday, tuple[Clock, Clock]] = {}
    """Day of the week -> its own opening and closing time."""


class Queue(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Settings of one queue or team; the centre's apply to the rest."""

    timezone: str | None = None
    """IANA time zone of its site; goes before a conversation's own."""
    country: str | None = None
    """ISO 3166-1; goes before a conversation's own."""
    subdivision: str | None = None
    """ISO 3166-2 subdivision without the country."""
    hours: Hours | None = None
    """Its opening hours."""
    holidays: tuple[Day, ...] | None = None
    """Its days off besides the public holidays, in place of the centre's."""
    peak_seasons: Seasons | None = None
    """Its peak seasons, in place of the centre's."""


ISSUES: dict[str, tuple[str, ...]] = {
    "billing": ("billing_error", "refund_request", "payment_problem"),
    "account": ("account_access",),
    "technical": ("technical_fault", "service_outage"),
    "orders": ("delivery_delay", "wrong_or_damaged_item"),
    "plans": ("plan_change", "product_question"),
    "retention": ("cancellation",),
    "complaint": ("service_complaint",),
    "appointment": ("appointment",),
    "fraud": ("fraud_report",),
    "other": ("other",),
}


class Skill(Struct, frozen=True, forbid_unknown_fields=True):
    """A skill in which an agent can be strong or weak."""

    measure: str
    """The measure that shows it, such as `empathy` or `fcr`."""
    better: Literal["more", "less"]
    """Whether more or less of the measure is better."""
    action: str
    """What to practise, in one sentence."""
    done_by: tuple[str, ...] = ()
    """Phrases of an agent that show that the action was taken in a contact already."""

    @property
    def sign(self) -> int:
        """1 when more is better, -1 when less is."""
        return 1 if self.better == "more" else -1


SKILLS: dict[str, Skill] = {
    "empathy": Skill(
        "empathy",
        "more",
        "Name the customer's concern in one sentence before the first question, then say what happens next.",
        ("i'm sorry", "i can hear", "that must be", "i'd be upset", "how frustrating"),
    ),
    "technical_skill": Skill(
        "technical_skill",
        "more",
        "Go through these contacts with a product expert and write down the check that was missed.",
    ),
    "communication": Skill(
        "communication",
        "more",
        "Explain in short steps, ask whether each one worked, and sum up what was agreed before closing.",
        ("to sum up", "to recap", "so just to be clear", "does that make sense"),
    ),
    "resolution": Skill(
        "fcr",
        "more",
        "Before closing, ask what could make the customer call again; settle it, or set a date and an owner.",
        ("anything else", "what else could", "is there something more"),
    ),
    "efficiency": Skill(
        "handle_time_s",
        "less",
        "Open with two questions that narrow the issue, and note the answers while talking, not after.",
    ),
    "consistency": Skill(
        "quality_deviation",
        "less",
        "Compare one of these contacts with a good one about the same issue, and keep a checklist of the differences.",
    ),
}


class Centre(Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of one contact centre."""

    issues: dict[str, tuple[Annotated[str, Meta(min_length=1)], ...]] = msgspec.field(
        default_factory=lambda: dict(ISSUES)
    )
    """Two levels: topic -> issue classes. `other` is always an allowed answer."""
    journeys: tuple[Name, ...] = (
        "pre_sales",
        "onboarding",
        "usage_support",
        "billing_account",
        "service_recovery",
        "retention_cancellation",
        "renewal_upgrade",
        "win_back",
    )
    """Stages of a customer's relationship with the centre."""
    contact_roles: tuple[Name, ...] = ("first_contact", "follow_up", "escalation", "transfer")
    """Roles of a contact within its case."""
    effectiveness: dict[str, Annotated[int, Meta(ge=0, le=100)]] = msgspec.field(
        default_factory=lambda: {"excellent": 90, "good": 75, "fair": 60, "poor": 0}
    )
    """Band -> lowest quality score in it."""
    skills: dict[Name, Skill] = msgspec.field(default_factory=lambda: dict(SKILLS))
    """Name -> skill in which agents can be strong or weak."""
    timezone: str | None = None
    """IANA time zone of the site, for conversations that name none."""
    country: str | None = None
    """ISO 3166-1 country of the site, such as `US`, for its public holidays."""
    subdivision: str | None = None
    """ISO 3166-2 subdivision without the country, such as `CA`."""
    hours: Hours = Hours()
    """Opening hours, in the site's local time."""
    holidays: tuple[Day, ...] = ()
    """Days off besides the public holidays of the country and subdivision."""
    peak_seasons: Seasons = msgspec.field(
        default_factory=lambda: {"holiday_shopping": ("11-20", "12-31"), "tax_season": ("03-15", "04-15")}
    )
    """Name -> first and last day, `MM-DD` for every year or `YYYY-MM-DD` for one year."""
    queues: dict[str, Queue] = {}
    """Name of a queue, else of a team, in any case -> its own settings."""

    @property
    def issue_classes(self) -> tuple[str, ...]:
        """Every issue class, in order, `other` last."""
        classes = [issue for group in self.issues.values() for issue in group if issue != "other"]
        return (*dict.fromkeys(classes), "other")

    def topic(self, issue: str) -> str:
        """The first-level topic of an issue class; `other` when it is in none."""
        return next((topic for topic, group in self.issues.items() if issue in group), "other")

    def band(self, quality: float) -> str:
        """The effectiveness band of a quality score (0-100)."""
        ordered = sorted(self.effectiveness.items(), key=lambda item: -item[1])
        return next((name for name, lowest in ordered if quality >= lowest), ordered[-1][0])


def read_centre(path: Path | str | None) -> Centre:
    """The centre's settings; the defaults when there is no file."""
    if path is None:
        return Centre()
    settle(Path(path).parent)
    return read_settings(path, Centre)


def write_centre(path: Path | str, centre: Centre) -> None:
    """Write the settings as YAML, to keep them beside the results that were made with them."""
    write_text(path, yaml.safe_dump(msgspec.to_builtins(centre), sort_keys=False, allow_unicode=True))
