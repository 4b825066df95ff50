"""The 18 temporal features follow the site's own clock and calendar."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from conftest import run_python

from mlx_cc.centre import Centre, Hours, Queue, read_centre, write_centre
from mlx_cc.commands.temporal import command
from mlx_cc.conversation import Conversation, Label, Temporal, Turn, replace
from mlx_cc.errors import UserError
from mlx_cc.export import write_chatml
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.ingest.contacts import Contacts
from mlx_cc.ingest.format import Incoming
from mlx_cc.temporal import TemporalFeatureEnhancer

EIGHTEEN = [
    "timestamp",
    "date",
    "time_of_day",
    "hour",
    "day_of_week",
    "day_of_week_num",
    "week_of_year",
    "month",
    "quarter",
    "season",
    "is_business_hours",
    "is_weekend",
    "is_holiday",
    "peak_season",
    "queue_wait_seconds",
    "queue_wait_minutes",
    "is_first_contact",
    "is_followup",
]


def contact(**fields) -> Conversation:
    return Conversation(**{"id": "c1", "turns": (Turn(role="customer", text="Hello?"),), **fields})


def test_the_readme_example_works_as_written():
    timestamp = "2025-07-04T10:30:00"
    enhancer = TemporalFeatureEnhancer()
    enhancer.holidays.extend(["2025-07-04", "2025-12-25"])
    enhancer.peak_seasons["summer_sale"] = ["2025-06-01", "2025-08-31"]
    features = enhancer.extract_temporal_features(timestamp)
    assert list(features) == EIGHTEEN
    assert features == {
        "timestamp": "2025-07-04T10:30:00",
        "date": "2025-07-04",
        "time_of_day": "morning",
        "hour": 10,
        "day_of_week": "Friday",
        "day_of_week_num": 4,
        "week_of_year": 27,
        "month": 7,
        "quarter": 3,
        "season": "summer",
        "is_business_hours": False,
        "is_weekend": False,
        "is_holiday": True,
        "peak_season": "summer_sale",
        "queue_wait_seconds": None,
        "queue_wait_minutes": None,
        "is_first_contact": None,
        "is_followup": None,
    }


def test_a_holiday_added_after_the_first_extraction_counts():
    enhancer = TemporalFeatureEnhancer(country="US")
    assert enhancer.extract_temporal_features("2025-07-07T10:00")["is_holiday"] is False
    enhancer.holidays.append("2025-07-07")
    features = enhancer.extract_temporal_features("2025-07-07T10:00")
    assert (features["is_holiday"], features["is_business_hours"]) == (True, False)


@pytest.mark.parametrize(
    "timestamp",
    [datetime(2025, 3, 10, 19, 5, tzinfo=UTC), "2025-03-10T20:05:00+01:00", "2025-03-10T19:05Z", 1741633500],
)
def test_every_way_to_write_a_moment_gives_the_site_s_wall_clock(timestamp):
    features = TemporalFeatureEnhancer(timezone="America/Chicago").extract_temporal_features(timestamp)
    assert (features["timestamp"], features["hour"]) == ("2025-03-10T14:05:00-05:00", 14)


def test_without_a_zone_an_aware_time_has_no_local_features():
    features = TemporalFeatureEnhancer(country="US").extract_temporal_features(
        "2025-07-04T10:30:00+02:00", queue_wait_s=90
    )
    known = {name: value for name, value in features.items() if value is not None}
    assert known == {"timestamp": "2025-07-04T08:30:00+00:00", "queue_wait_seconds": 90, "queue_wait_minutes": 1.5}


def test_a_reading_inside_the_spring_gap_moves_past_it_and_the_autumn_hour_follows_fold():
    chicago = TemporalFeatureEnhancer(timezone="America/Chicago")
    assert chicago.extract_temporal_features("2025-03-09T02:30")["timestamp"] == "2025-03-09T03:30:00-05:00"
    twice = datetime(2025, 11, 2, 1, 30)
    assert chicago.extract_temporal_features(twice)["timestamp"] == "2025-11-02T01:30:00-05:00"
    assert chicago.extract_temporal_features(twice.replace(fold=1))["timestamp"] == "2025-11-02T01:30:00-06:00"


@pytest.mark.parametrize(
    ("reading", "fold", "shown"),
    [
        ("2025-10-05T02:15", 0, "2025-10-05T02:45:00+11:00"),  # half an hour was skipped
        ("2025-04-06T01:45", 0, "2025-04-06T01:45:00+11:00"),  # half an hour came twice
        ("2025-04-06T01:45", 1, "2025-04-06T01:45:00+10:30"),
    ],
)
def test_where_the_clocks_move_by_half_an_hour_a_reading_follows_them(reading, fold, shown):
    howe = TemporalFeatureEnhancer(timezone="Australia/Lord_Howe")
    moment = datetime.fromisoformat(reading).replace(fold=fold)
    assert howe.extract_temporal_features(moment)["timestamp"] == shown


def test_opening_hours_are_those_of_the_wall_clock_on_both_sides_of_a_change():
    london = TemporalFeatureEnhancer(Centre(timezone="Europe/London", hours=Hours(days=(0, 1, 2, 3, 4, 5, 6))))
    opens = {"2025-03-29": "09:00Z", "2025-03-30": "08:00Z", "2025-10-25": "08:00Z", "2025-10-26": "09:00Z"}
    for day, at in opens.items():
        moment = datetime.fromisoformat(f"{day}T{at}")
        assert london.extract_temporal_features(moment)["is_business_hours"] is True
        assert london.extract_temporal_features(moment - timedelta(seconds=1))["is_business_hours"] is False


def test_an_hour_that_comes_twice_lies_in_the_night_shift_twice():
    nights = TemporalFeatureEnhancer(Centre(timezone="America/Chicago", hours=Hours("22:00", "06:00", (5,))))
    found = [nights.extract_temporal_features(f"2025-11-02T{hour:02}:30Z") for hour in range(3, 13)]
    assert [f["is_business_hours"] for f in found] == [True] * 9 + [False]  # from 22:30 to 05:30, with 01:30 twice


def test_a_half_hour_zone_can_change_the_date():
    features = TemporalFeatureEnhancer().extract_temporal_features("2025-01-31T18:45Z", timezone="Asia/Kolkata")
    assert (features["timestamp"], features["date"], features["hour"], features["month"]) == (
        "2025-02-01T00:15:00+05:30",
        "2025-02-01",
        0,
        2,
    )


def test_an_observed_holiday_is_a_holiday():
    features = TemporalFeatureEnhancer(country="US").extract_temporal_features("2026-07-03T11:00")
    assert (features["is_holiday"], features["is_weekend"], features["is_business_hours"]) == (True, False, False)


@pytest.mark.parametrize(("subdivision", "holiday"), [("SCT", True), ("GB-SCT", True), ("ENG", False), (None, False)])
def test_the_second_of_january_is_a_holiday_in_scotland_only(subdivision, holiday):
    features = TemporalFeatureEnhancer().extract_temporal_features(
        "2026-01-02T11:00", country="gb", subdivision=subdivision
    )
    assert features["is_holiday"] is holiday


def test_the_home_subdivision_is_not_looked_up_in_another_country():
    enhancer = TemporalFeatureEnhancer(country="US", subdivision="CA")
    assert enhancer.extract_temporal_features("2026-01-02T11:00", country="GB")["is_holiday"] is False


def test_without_a_country_or_list_a_holiday_is_unknown():
    features = TemporalFeatureEnhancer().extract_temporal_features("2025-12-25T10:00")
    assert (features["is_holiday"], features["is_business_hours"]) == (None, True)


@pytest.mark.parametrize(
    ("day", "week"),
    [
        ("2026-12-31", 53),
        ("2027-01-03", 53),
        ("2027-01-04", 1),
        ("2020-12-31", 53),
        ("2021-01-01", 53),
        ("2021-01-04", 1),
        ("2024-12-30", 1),
        ("2025-12-28", 52),
    ],
)
def test_weeks_are_iso_weeks_and_some_years_have_53(day, week):
    assert TemporalFeatureEnhancer().extract_temporal_features(f"{day}T10:00")["week_of_year"] == week


@pytest.mark.parametrize(
    ("country", "subdivision", "day", "holiday"),
    [
        ("US", None, "2021-12-31", True),  # New Year's Day 2022 is a Saturday, observed in the year before
        ("US", None, "2023-01-02", True),  # a Sunday, observed on the Monday
        ("GB", "ENG", "2026-12-28", True),  # Boxing Day is a Saturday
        ("AU", "NSW", "2025-01-27", True),  # Australia Day is a Sunday
        ("AU", "VIC", "2025-11-04", True),  # Melbourne Cup
        ("AU", "NSW", "2025-11-04", False),
        ("IN", "KA", "2025-11-01", True),  # Kannada Rajyotsava
        ("IN", "DL", "2025-11-01", False),
    ],
)
def test_observed_and_regional_holidays_are_those_of_the_place(country, subdivision, day, holiday):
    enhancer = TemporalFeatureEnhancer(country=country, subdivision=subdivision)
    assert enhancer.extract_temporal_features(f"{day}T11:00")["is_holiday"] is holiday


@pytest.mark.parametrize(
    ("place", "season"),
    [
        ({"country": "AU"}, "summer"),
        ({"country": "GB"}, "winter"),
        ({"timezone": "Australia/Sydney"}, "summer"),
        ({}, "winter"),
    ],
)
def test_seasons_follow_the_hemisphere(place, season):
    assert TemporalFeatureEnhancer().extract_temporal_features("2025-01-15T10:00", **place)["season"] == season


def test_a_year_in_the_south_has_its_seasons_the_other_way_round():
    north, south = (TemporalFeatureEnhancer(country=country) for country in ("GB", "NZ"))
    days = ["2025-01-15T10:00", "2025-04-15T10:00", "2025-07-15T10:00", "2025-10-15T10:00"]
    assert [north.extract_temporal_features(day)["season"] for day in days] == ["winter", "spring", "summer", "autumn"]
    assert [south.extract_temporal_features(day)["season"] for day in days] == ["summer", "autumn", "winter", "spring"]


def test_the_weekend_is_the_country_s():
    friday = "2025-01-10T10:00"
    assert TemporalFeatureEnhancer(country="SA").extract_temporal_features(friday)["is_weekend"] is True
    assert TemporalFeatureEnhancer(country="US").extract_temporal_features(friday)["is_weekend"] is False


def test_hours_past_midnight_belong_to_the_day_they_opened_on():
    nights = TemporalFeatureEnhancer(Centre(hours=Hours(open="18:00", close="02:00"), holidays=("2025-03-12",)))

    def is_open(timestamp):
        return nights.extract_temporal_features(timestamp)["is_business_hours"]

    assert is_open("2025-03-14T18:00")  # Friday evening
    assert is_open("2025-03-15T01:59")  # Friday's night, on Saturday's date
    assert not is_open("2025-03-15T02:00")
    assert not is_open("2025-03-15T19:00")  # Saturday
    assert not is_open("2025-03-17T01:00")  # Sunday's night, on Monday's date
    assert not is_open("2025-03-12T19:00")  # a holiday
    assert not is_open("2025-03-13T01:00")  # the holiday's night


def test_a_closing_time_of_midnight_keeps_the_last_minute():
    late = TemporalFeatureEnhancer(Centre(hours=Hours(open="08:00", close="24:00")))
    assert late.extract_temporal_features("2025-03-10T23:59")["is_business_hours"] is True
    assert late.extract_temporal_features("2025-03-11T00:00")["is_business_hours"] is False


@pytest.mark.parametrize(
    ("day", "season"),
    [
        ("2024-12-20", "gifts"),
        ("2025-01-06", "gifts"),
        ("2025-01-07", None),
        ("2024-12-19", None),
        ("2025-03-15", "tax_season"),
    ],
)
def test_a_peak_season_may_wrap_the_year_s_end(day, season):
    enhancer = TemporalFeatureEnhancer()
    del enhancer.peak_seasons["holiday_shopping"]
    enhancer.peak_seasons["gifts"] = ["12-20", "01-06"]
    assert enhancer.extract_temporal_features(f"{day}T10:00")["peak_season"] == season


def test_where_seasons_overlap_the_one_added_last_names_the_day():
    enhancer = TemporalFeatureEnhancer()
    enhancer.peak_seasons["black_friday"] = ["2025-11-28", "2025-11-28"]
    assert enhancer.extract_temporal_features("2025-11-28T10:00")["peak_season"] == "black_friday"
    assert enhancer.extract_temporal_features("2026-11-28T10:00")["peak_season"] == "holiday_shopping"


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (["2025-08-31", "2025-06-01"], "ends before it starts"),
        (["06-01", "2025-08-31"], "both MM-DD or both YYYY-MM-DD"),
        (["06-01", "06-31"], "is no date"),
    ],
)
def test_a_faulty_peak_season_is_named(span, message):
    enhancer = TemporalFeatureEnhancer()
    enhancer.peak_seasons["sale"] = span
    with pytest.raises(UserError, match=f"'sale'.*{message}"):
        enhancer.extract_temporal_features("2025-01-01T10:00")


def test_an_unknown_zone_country_or_subdivision_is_named():
    with pytest.raises(UserError, match=r"'America/Chicgo'. Did you mean America/Chicago\?"):
        TemporalFeatureEnhancer(timezone="America/Chicgo")
    with pytest.raises(UserError, match="conversation c1: unknown time zone 'Mars'"):
        TemporalFeatureEnhancer().temporal_of(contact(started_at=datetime(2025, 1, 1, tzinfo=UTC), timezone="Mars"))
    with pytest.raises(UserError, match="'ZZ'"):
        TemporalFeatureEnhancer(country="ZZ")
    with pytest.raises(UserError, match="'XX'.*SCT"):
        TemporalFeatureEnhancer(country="GB", subdivision="XX")
    with pytest.raises(UserError, match=r"'XX' in the holiday calendar of MC. Leave it out\.$"):
        TemporalFeatureEnhancer(country="MC", subdivision="XX")


@pytest.mark.parametrize("timestamp", ["2025-07-04", "soon", 1.7e12, float("nan")])
def test_what_is_no_moment_is_refused(timestamp):
    with pytest.raises(UserError, match="is no date and time"):
        TemporalFeatureEnhancer().extract_temporal_features(timestamp)


def test_the_conversation_s_own_place_comes_before_the_centre_s():
    enhancer = TemporalFeatureEnhancer(Centre(timezone="America/Chicago", country="US"))
    hogmanay = datetime(2026, 1, 2, 0, 30, tzinfo=UTC)
    assert enhancer.temporal_of(contact(started_at=hogmanay)).date == "2026-01-01"
    there = contact(started_at=hogmanay, timezone="Europe/London", country="GB", subdivision="SCT")
    assert (enhancer.temporal_of(there).date, enhancer.temporal_of(there).is_holiday) == ("2026-01-02", True)


TWO_SITES = Centre(
    timezone="America/Chicago",
    country="US",
    holidays=("2025-03-11",),
    queues={
        "Billing": Queue(hours=Hours("08:00", "20:00", (0, 1, 2, 3, 4), {5: ("10:00", "14:00")})),
        "sydney": Queue("Australia/Sydney", "AU", "NSW", None, (), {"new_year": ("12-26", "01-06")}),
        "nights": Queue(hours=Hours("22:00", "06:00"), holidays=()),
        "edinburgh": Queue("Europe/London", "GB", "SCT"),
        "california": Queue(subdivision="CA"),
    },
)


@pytest.mark.parametrize(
    ("queue", "at", "open_"),
    [
        ("billing", "2025-03-10T19:59", True),
        ("BILLING", "2025-03-10T20:00", False),
        ("billing", "2025-03-15T13:59", True),  # Saturday's own hours
        ("billing", "2025-03-15T14:00", False),
        ("billing", "2025-03-16T11:00", False),
        ("billing", "2025-03-11T11:00", False),  # the centre's holiday
        ("nights", "2025-03-11T05:59", True),  # which this queue does not have
        ("nights", "2025-03-11T06:00", False),
        ("nights", "2025-03-11T22:00", True),
        ("nights", "2025-03-15T05:00", True),  # Friday's night
        ("nights", "2025-03-17T05:00", False),  # Sunday's
        ("sales", "2025-03-10T19:00", False),  # the centre's hours
        (None, "2025-03-10T16:59", True),
    ],
)
def test_a_queue_has_its_own_hours_and_days(queue, at, open_):
    moment = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("America/Chicago"))
    features = TemporalFeatureEnhancer(TWO_SITES).temporal_of(contact(started_at=moment, queue=queue))
    assert features.is_business_hours is open_


def test_a_queue_s_place_decides_the_clock_the_holidays_and_the_seasons():
    new_year = contact(started_at=datetime(2025, 12, 31, 23, 0, tzinfo=UTC), queue="Sydney", timezone="America/Chicago")
    there = TemporalFeatureEnhancer(TWO_SITES).temporal_of(new_year)
    assert (there.timestamp, there.season, there.peak_season) == ("2026-01-01T10:00:00+11:00", "summer", "new_year")
    assert (there.is_holiday, there.is_business_hours) == (True, False)
    here = TemporalFeatureEnhancer(TWO_SITES).temporal_of(replace(new_year, queue="sales"))
    assert (here.timestamp, here.season, here.peak_season) == (
        "2025-12-31T17:00:00-06:00",
        "winter",
        "holiday_shopping",
    )


def test_the_second_of_january_differs_between_the_queues_of_two_countries():
    enhancer = TemporalFeatureEnhancer(TWO_SITES)
    day = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
    found = {queue: enhancer.temporal_of(contact(started_at=day, queue=queue)) for queue in ("edinburgh", "billing")}
    assert {queue: features.is_holiday for queue, features in found.items()} == {"edinburgh": True, "billing": False}


def test_a_queue_s_subdivision_is_one_of_the_centre_s_country():
    chavez = datetime(2025, 3, 31, 18, 0, tzinfo=UTC)  # a holiday in California, not in the rest of the country
    enhancer = TemporalFeatureEnhancer(TWO_SITES)
    assert enhancer.temporal_of(contact(started_at=chavez, queue="california")).is_holiday is True
    assert enhancer.temporal_of(contact(started_at=chavez, queue="billing")).is_holiday is False


def test_a_team_counts_where_its_queue_has_nothing_of_its_own():
    enhancer = TemporalFeatureEnhancer(TWO_SITES)
    at = datetime(2025, 3, 10, 12, 0, tzinfo=UTC)
    by_team = enhancer.temporal_of(contact(started_at=at, queue="sales", team="Edinburgh"))
    by_queue = enhancer.temporal_of(contact(started_at=at, queue="Sydney", team="Edinburgh"))
    assert (by_team.hour, by_queue.hour) == (12, 23)


def test_an_argument_comes_before_the_queue_s_own():
    enhancer = TemporalFeatureEnhancer(TWO_SITES)
    at = "2026-01-02T12:00Z"
    assert enhancer.extract_temporal_features(at, queue="edinburgh")["is_holiday"] is True
    features = enhancer.extract_temporal_features(at, timezone="Asia/Tokyo", country="US", queue="edinburgh")
    assert (features["hour"], features["is_holiday"]) == (21, False)


def test_queues_are_read_from_yaml_and_written_back(tmp_path):
    written = tmp_path / "centre.yaml"
    write_centre(written, TWO_SITES)
    assert read_centre(written) == TWO_SITES
    written.write_text("queues: {sydney: {timezon: Australia/Sydney}}")
    with pytest.raises(UserError, match=r"'queues.sydney.timezon'. Did you mean 'queues.sydney.timezone'\?"):
        read_centre(written)
    written.write_text("queues: {sydney: {hours: {opens: '08:00'}}}")
    with pytest.raises(UserError, match=r"'queues.sydney.hours.opens'. Did you mean 'queues.sydney.hours.open'\?"):
        read_centre(written)
    written.write_text("hours: {other_days: {7: ['10:00', '14:00']}}")
    with pytest.raises(UserError, match="<= 6"):
        read_centre(written)


@pytest.mark.parametrize(
    ("queues", "message"),
    [
        ({"sydney": Queue("Australia/Sidney")}, "queue 'sydney': .*Did you mean Australia/Sydney"),
        ({"sydney": Queue(country="AU", subdivision="SCT")}, "queue 'sydney': no subdivision 'SCT'"),
        ({"Sydney": Queue(), "sydney": Queue()}, "'sydney' in different case"),
    ],
)
def test_a_faulty_queue_is_named_before_the_first_conversation(queues, message):
    with pytest.raises(UserError, match=message):
        TemporalFeatureEnhancer(Centre(queues=queues))


@pytest.mark.parametrize(
    ("fields", "first", "followup"),
    [
        ({"is_followup": False}, True, False),
        ({"is_followup": True}, False, True),
        ({"previous_contact_id": "c0"}, False, True),
        ({}, None, None),
    ],
)
def test_a_first_contact_is_one_known_not_to_follow_another(fields, first, followup):
    features = TemporalFeatureEnhancer().temporal_of(contact(**fields))
    assert (features.is_first_contact, features.is_followup) == (first, followup)


def test_waits_and_follow_ups_come_from_the_joined_contact_records(tmp_path):
    (tmp_path / "report.csv").write_text(
        "contact_id,previous_contact_id,queue,queue_wait_s\nc1,,Sydney,210\nc2,c1,sales,0\nc3,,sales,\n"
    )
    rejects = []
    contacts = Contacts([tmp_path / "report.csv"], rejects=rejects.append)
    at = datetime(2025, 3, 10, 0, 30, tzinfo=UTC)
    incoming = [Incoming(replace(contact(started_at=at), id=name)) for name in ("c1", "c2", "c3")]
    joined = [contacts.join(found).conversation for found in incoming]
    first, second, third = (found.temporal for found in TemporalFeatureEnhancer(TWO_SITES).transform(joined))
    assert rejects == []
    assert (first.queue_wait_seconds, first.queue_wait_minutes, first.hour) == (210, 3.5, 11)  # Sydney's hour
    assert (first.is_first_contact, first.is_followup) == (True, False)  # another says that it followed this one
    assert (second.queue_wait_seconds, second.is_first_contact, second.is_followup, second.hour) == (0, False, True, 19)
    assert (third.queue_wait_seconds, third.is_first_contact, third.is_followup) == (None, None, None)


def test_transform_fills_temporal_and_nothing_else():
    before = contact(started_at=datetime(2025, 3, 10, 14, 5, tzinfo=UTC), queue_wait_s=210)
    (after,) = TemporalFeatureEnhancer(timezone="UTC").transform([before])
    assert [name for name in Conversation.__struct_fields__ if getattr(before, name) != getattr(after, name)] == [
        "temporal"
    ]
    assert after.temporal is not None and after.temporal.queue_wait_minutes == 3.5


def test_the_command_adds_the_features_to_records_and_says_what_is_missing(tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    monday = datetime(2025, 3, 10, 14, 5, tzinfo=UTC)
    write_conversations(
        source, [contact(started_at=monday, timezone="Europe/London"), contact(id="c2", started_at=monday)]
    )
    arguments = ["--input", str(source), "--output", str(target)]
    result = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    summary = json.loads(result.stdout)
    assert (summary["conversations"], summary["present"]["timestamp"], summary["present"]["hour"]) == (2, 1, 0.5)
    assert summary["true"]["is_business_hours"] == 1
    assert [c.temporal and c.temporal.hour for c in read_conversations(target)] == [14, None]
    shown = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert "1 of 2 conversations have no known local time" in shown.output


def test_of_a_folder_every_split_there_gets_the_features_and_stays_chatml(tmp_path):
    labels = {"csat": Label(value=4, source="survey"), "churn": Label(value=20, source="simulated")}
    labelled = contact(started_at=datetime(2025, 3, 10, 14, 5, tzinfo=UTC), labels=labels)
    for split in ("train", "test"):
        write_chatml(tmp_path / f"{split}_chatml.jsonl", [labelled], Centre())
    arguments = ["--input", str(tmp_path), "--output", str(tmp_path / "out"), "--timezone", "America/Chicago", "--json"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert [file["rows"] for file in json.loads(result.stdout)["files"]] == [2, 2]
    written = tmp_path / "out" / "train_temporal.jsonl"
    assert [json.loads(row)["task"] for row in written.read_text().splitlines()] == ["csat", "churn"]
    (after,) = read_conversations(written)
    assert after.temporal is not None and after.temporal.hour == 9
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test_temporal.jsonl", "train_temporal.jsonl"]


def test_a_folder_without_chatml_files_is_an_error_that_names_them(tmp_path):
    result = CliRunner().invoke(command, ["--input", str(tmp_path), "--output", str(tmp_path)])
    assert isinstance(result.exception, UserError)
    assert "train_chatml.jsonl" in str(result.exception)


def test_temporal_features_need_no_model_library():
    program = (
        "import sys; from mlx_cc.temporal import TemporalFeatureEnhancer;"
        "TemporalFeatureEnhancer(country='US').extract_temporal_features('2025-07-04T10:30');"
        "print({'mlx', 'torch', 'transformers'} & set(sys.modules))"
    )
    assert run_python("-c", program).stdout == "set()\n"


def test_the_record_has_exactly_the_eighteen_features():
    assert list(Temporal.__struct_fields__) == EIGHTEEN
