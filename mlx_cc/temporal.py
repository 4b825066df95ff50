"""The 18 temporal features of a contact, by the clock and calendar of its site."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from mlx_cc.centre import Centre, Hours
from mlx_cc.conversation import Conversation, Temporal, replace
from mlx_cc.errors import UserError

if TYPE_CHECKING:
    from holidays import HolidayBase

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SEASONS = ("winter", "spring", "summer", "autumn")
DAY_PARTS = ("night",) * 6 + ("morning",) * 6 + ("afternoon",) * 5 + ("evening",) * 4 + ("late_evening",) * 3
"""Hour 0-23 -> part of the day."""

OpeningMinutes = tuple[tuple[int, int] | None, ...]
"""Weekday -> opening and closing time in minutes of the day, None where closed."""


@dataclass(frozen=True)
class QueueCalendar:
    """Time zone, country, hours and holidays of a queue or team; None where the centre's apply."""

    timezone: str | None = None
    country: str | None = None
    subdivision: str | None = None
    opening: OpeningMinutes | None = None
    holidays: Sequence[str] | None = None
    peak_seasons: Mapping[str, Sequence[str]] | None = None


NO_CALENDAR = QueueCalendar()


class TemporalFeatureEnhancer:
    """Computes the features of `mlx_cc.conversation.Temporal`.

    Local features need the site's local time. The time zone is taken from the argument, the centre's
    `queues`, the conversation, the enhancer or the centre, in that order. A time without an offset is
    local time already. For a time with an offset but without a time zone, `timestamp` is in UTC and every
    local feature is None.

    Opening hours, holidays and peak seasons are those of the conversation's queue, else of its team,
    where the centre has an entry for it under `queues`.

    Attributes:
        holidays: days off (`2025-12-25`) besides the public holidays; may be extended.
        peak_seasons: name -> [first day, last day], both `MM-DD` (every year, may run past the
            year's end) or both `YYYY-MM-DD` (once). Where seasons overlap, the one added last names the day.

    Raises:
        UserError: unknown time zone, country or subdivision, or a date that does not exist.
    """

    def __init__(
        self,
        centre: Centre = Centre(),  # noqa: B008 - frozen
        *,
        timezone: str | None = None,
        country: str | None = None,
        subdivision: str | None = None,
    ) -> None:
        self.timezone = timezone or centre.timezone
        self.country, self.subdivision = _country_and_subdivision(
            country, subdivision, centre.country, centre.subdivision
        )
        self.holidays: list[str] = list(centre.holidays)
        self.peak_seasons: dict[str, Any] = {name: list(days) for name, days in centre.peak_seasons.items()}
        self._opening = _opening_minutes(centre.hours)
        self._queues = self._queue_calendars(centre)
        if self.timezone is not None:
            _zone(self.timezone)
        if self.country is not None:
            _public_holidays(self.country, self.subdivision)

    def extract_temporal_features(
        self,
        timestamp: datetime | str | float,
        timezone: str | None = None,
        queue_wait_s: float | None = None,
        is_followup: bool | None = None,
        country: str | None = None,
        subdivision: str | None = None,
        queue: str | None = None,
    ) -> dict[str, Any]:
        """The 18 features of one time, with the keys of `Temporal`.

        Args:
            timestamp: aware or naive datetime, ISO 8601 text, or seconds since 1970 (UTC). A naive
                one is the site's local time: a time that the clocks skip in spring is moved past
                the gap, one that occurs twice in autumn is the first (`fold=1`: the second).
            timezone: IANA name of the site's zone.
            queue_wait_s: seconds waited before an agent answered.
            is_followup: whether this contact follows an earlier one; None when unknown.
            country: ISO 3166-1 alpha-2.
            subdivision: ISO 3166-2, with or without the country (`SCT`, `GB-SCT`).
            queue: name of a queue or team, for its own time zone, hours and holidays.
        """
        own = self._queues.get(queue.casefold(), NO_CALENDAR) if queue else NO_CALENDAR
        country, subdivision = _country_and_subdivision(country, subdivision, own.country, own.subdivision)
        moment, timezone = _parsed_time(timestamp), timezone or own.timezone
        features = self._features(moment, own, timezone, queue_wait_s, is_followup, country, subdivision)
        return msgspec.structs.asdict(features)

    def temporal_of(self, conversation: Conversation) -> Temporal:
        """The features of one conversation, by the time zone and country of its queue, else its own."""
        own = self._calendar_of(conversation) if self._queues else NO_CALENDAR
        country, subdivision = conversation.country, conversation.subdivision
        if own.country:
            country, subdivision = _country_and_subdivision(own.country, own.subdivision, country, subdivision)
        is_followup = conversation.is_followup
        if is_followup is None and conversation.previous_contact_id is not None:
            is_followup = True
        try:
            return self._features(
                conversation.started_at,
                own,
                own.timezone or conversation.timezone,
                conversation.queue_wait_s,
                is_followup,
                country,
                subdivision,
            )
        except UserError as fault:
            raise UserError(f"conversation {conversation.id}: {fault}") from fault

    def transform(self, conversations: Iterable[Conversation]) -> Iterator[Conversation]:
        """Fill `temporal`, and nothing else, of each conversation."""
        for conversation in conversations:
            yield replace(conversation, temporal=self.temporal_of(conversation))

    def _calendar_of(self, conversation: Conversation) -> QueueCalendar:
        for name in (conversation.queue, conversation.team):
            if name is not None and (found := self._queues.get(name.casefold())) is not None:
                return found
        return NO_CALENDAR

    def _queue_calendars(self, centre: Centre) -> dict[str, QueueCalendar]:
        """Name in lower case -> its calendar, checked."""
        calendars: dict[str, QueueCalendar] = {}
        for name, queue in centre.queues.items():
            if name.casefold() in calendars:
                raise UserError(f"queues: two entries are named {name!r} in different case. Remove one.")
            country, subdivision = queue.country, queue.subdivision
            if country or subdivision:
                country, subdivision = _country_and_subdivision(country, subdivision, self.country, self.subdivision)
            try:
                if queue.timezone is not None:
                    _zone(queue.timezone)
                if country is not None:
                    _public_holidays(country, subdivision)
            except UserError as fault:
                raise UserError(f"queue {name!r}: {fault}") from fault
            opening = None if queue.hours is None else _opening_minutes(queue.hours)
            calendars[name.casefold()] = QueueCalendar(
                queue.timezone, country, subdivision, opening, queue.holidays, queue.peak_seasons
            )
        return calendars

    def _features(
        self,
        moment: datetime | None,
        own: QueueCalendar,
        timezone: str | None,
        queue_wait_s: float | None,
        is_followup: bool | None,
        country: str | None,
        subdivision: str | None,
    ) -> Temporal:
        operational: dict[str, Any] = {
            "queue_wait_seconds": queue_wait_s,
            "queue_wait_minutes": None if queue_wait_s is None else round(queue_wait_s / 60, 2),
            "is_first_contact": None if is_followup is None else not is_followup,
            "is_followup": is_followup,
        }
        if moment is None:
            return Temporal(**operational)
        timezone = timezone or self.timezone
        local = _local(moment, timezone)
        if local is None:
            return Temporal(timestamp=moment.astimezone(UTC).isoformat(), **operational)
        country, subdivision = _country_and_subdivision(country, subdivision, self.country, self.subdivision)
        calendar = (
            country,
            subdivision,
            country or timezone,
            tuple(map(str, self.holidays if own.holidays is None else own.holidays)),
            tuple(
                (name, *map(str, days))
                for name, days in (self.peak_seasons if own.peak_seasons is None else own.peak_seasons).items()
            ),
        )
        today = local.date()
        day = _day(today, *calendar)
        return Temporal(
            timestamp=local.isoformat(),
            time_of_day=DAY_PARTS[local.hour],
            hour=local.hour,
            is_business_hours=_is_open(own.opening or self._opening, local, day, calendar),
            **day._asdict(),
            **operational,
        )


class Day(NamedTuple):
    """Calendar features of one local date, with the names in `Temporal`."""

    date: str
    day_of_week: str
    day_of_week_num: int
    week_of_year: int
    month: int
    quarter: int
    season: str
    is_weekend: bool
    is_holiday: bool | None
    """None when neither a country nor any holiday is set."""
    peak_season: str | None


@lru_cache(maxsize=1 << 16)
def _day(
    day: date,
    country: str | None,
    subdivision: str | None,
    hemisphere_of: str | None,
    holidays: tuple[str, ...],
    peak_seasons: tuple[tuple[str, ...], ...],
) -> Day:
    public = None if country is None else _public_holidays(country, subdivision)
    own = {_as_date(text, f"holiday {text!r}") for text in holidays}
    in_season = [name for name, *days in peak_seasons if _in_season(day, name, days)]
    quarter_from_december = day.month % 12 // 3
    return Day(
        date=day.isoformat(),
        day_of_week=WEEKDAYS[day.weekday()],
        day_of_week_num=day.weekday(),
        week_of_year=day.isocalendar().week,
        month=day.month,
        quarter=(day.month + 2) // 3,
        season=SEASONS[(quarter_from_december + 2 * (hemisphere_of in _southern())) % 4],
        is_weekend=day.weekday() >= 5 if public is None else public.is_weekend(day),
        is_holiday=day in own or (None if public is None and not own else public is not None and day in public),
        peak_season=in_season[-1] if in_season else None,
    )


def _is_open(opening: OpeningMinutes, local: datetime, day: Day, calendar: tuple[Any, ...]) -> bool:
    """Whether the site is open. Hours past midnight belong to the day on which they began; holidays are closed."""
    if day.is_holiday:
        return False
    minute = local.hour * 60 + local.minute
    today, yesterday = opening[day.day_of_week_num], opening[day.day_of_week_num - 1]
    if today and today[0] <= minute and (minute < today[1] or today[1] <= today[0]):
        return True
    if yesterday and minute < yesterday[1] <= yesterday[0]:
        return not _day(local.date() - timedelta(days=1), *calendar).is_holiday
    return False


def _opening_minutes(hours: Hours) -> OpeningMinutes:
    every = dict.fromkeys(hours.days, (hours.open, hours.close)) | hours.other_days
    return tuple((_minutes(every[day][0]), _minutes(every[day][1])) if day in every else None for day in range(7))


def _parsed_time(timestamp: datetime | str | float) -> datetime:
    fault = None
    try:
        if isinstance(timestamp, datetime):
            return timestamp
        if isinstance(timestamp, Real) and not isinstance(timestamp, bool):
            return datetime.fromtimestamp(float(timestamp), UTC)
        if isinstance(timestamp, str) and not _is_date(timestamp):
            return datetime.fromisoformat(timestamp)
    except (ValueError, OverflowError, OSError) as error:
        fault = error
    raise UserError(
        f"timestamp {timestamp!r} is no date and time. Give a datetime, ISO 8601 text with a time of day "
        "(2025-07-04T10:30), or seconds since 1970."
    ) from fault


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _local(moment: datetime, timezone: str | None) -> datetime | None:
    """The site's local time; None when its time zone is unknown."""
    if timezone is None:
        return moment if moment.utcoffset() is None else None
    zone = _zone(timezone)
    if moment.utcoffset() is None:
        # Through UTC and back: a time that the clocks skip in spring becomes one that exists.
        moment = moment.replace(tzinfo=zone).astimezone(UTC)
    return moment.astimezone(zone)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as fault:
        import difflib

        near = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f"Did you mean {near[0]}?" if near else "Give an IANA name such as America/Chicago."
        raise UserError(f"unknown time zone {name!r}. {hint}") from fault


def _country_and_subdivision(
    country: str | None, subdivision: str | None, home_country: str | None, home_subdivision: str | None
) -> tuple[str | None, str | None]:
    """Country and subdivision, with the home's as defaults; the home's subdivision counts in its own country only."""
    country = country.upper() if country else home_country
    if subdivision is None and country == home_country:
        subdivision = home_subdivision
    return country, subdivision.removeprefix(f"{country}-") if subdivision else None


@lru_cache(maxsize=1024)
def _public_holidays(country: str, subdivision: str | None) -> "HolidayBase":
    """The public holidays, observed days included; years are computed when needed."""
    import holidays

    calendars = holidays.list_supported_countries()
    if country not in calendars:
        raise UserError(
            f"no holiday calendar for country {country!r}. Use an ISO 3166-1 code such as US or GB, "
            "or leave it out and list the holidays in the centre file."
        )
    if subdivision is not None and subdivision not in calendars[country]:
        raise UserError(
            f"no subdivision {subdivision!r} in the holiday calendar of {country}. Leave it out"
            + (f" or use one of {', '.join(calendars[country])}." if calendars[country] else ".")
        )
    return holidays.country_holidays(country, subdiv=subdivision)


@lru_cache(maxsize=1)
def _southern() -> frozenset[str]:
    """Countries and time zones south of the equator, by the latitudes in the tz database's `zone.tab`.

    A country is in the hemisphere of most of its zones.
    """
    table = (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    south: dict[str, int] = {}
    for country, position, zone, *_ in rows:
        sign = 1 if position.startswith("-") else -1
        south[zone] = sign
        south[country] = south.get(country, 0) + sign
    return frozenset(name for name, count in south.items() if count > 0)


def _as_date(text: str, what: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as fault:
        raise UserError(f"{what} is no date. Write it as YYYY-MM-DD.") from fault


def _in_season(day: date, name: str, days: list[str]) -> bool:
    what = f"peak season {name!r} {days}"
    if len(days) != 2 or {len(edge) for edge in days} not in ({5}, {10}):
        raise UserError(f"{what} needs a first and a last date, both MM-DD or both YYYY-MM-DD.")
    first, last = days
    for edge in days:
        _as_date(edge if len(edge) == 10 else f"2000-{edge}", what)
    here = day.isoformat()[-len(first) :]
    if first <= last:
        return first <= here <= last
    if len(first) == 10:
        raise UserError(f"{what} ends before it starts. Swap the dates.")
    return here >= first or here <= last


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
