"""The 18 temporal features follow the site's own clock and calendar."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from mlx_cc.centre import Centre, Hours
from mlx_cc.commands.temporal import command
from mlx_cc.conversation import Conversation, Label, Temporal, Turn
from mlx_cc.errors import UserError
from mlx_cc.export import write_chatml
from mlx_cc.files import read_conversations, write_conversations
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
    return Conversation(id="c1", turns=(Turn(role="customer", text="Hello?"),), **fields)


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


def test_the_last_days_of_2026_are_in_iso_week_53():
    features = TemporalFeatureEnhancer().extract_temporal_features("2026-12-31T10:00")
    assert (features["week_of_year"], features["quarter"], features["season"]) == (53, 4, "winter")


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
        (["06-01", "06-31"], "is no day"),
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


@pytest.mark.parametrize("timestamp", ["2025-07-04", "soon", 1.7e12, float("nan")])
def test_what_is_no_moment_is_refused(timestamp):
    with pytest.raises(UserError, match="is no moment in time"):
        TemporalFeatureEnhancer().extract_temporal_features(timestamp)


def test_the_conversation_s_own_place_comes_before_the_centre_s():
    enhancer = TemporalFeatureEnhancer(Centre(timezone="America/Chicago", country="US"))
    hogmanay = datetime(2026, 1, 2, 0, 30, tzinfo=UTC)
    assert enhancer.temporal_of(contact(started_at=hogmanay)).date == "2026-01-01"
    there = contact(started_at=hogmanay, timezone="Europe/London", country="GB", subdivision="SCT")
    assert (enhancer.temporal_of(there).date, enhancer.temporal_of(there).is_holiday) == ("2026-01-02", True)


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
    write_conversations(source, [contact(started_at=monday, timezone="Europe/London"), contact(started_at=monday)])
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
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"
    )


def test_the_record_has_exactly_the_eighteen_features():
    assert list(Temporal.__struct_fields__) == EIGHTEEN
