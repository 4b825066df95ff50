"""Cells of tables and the names of their columns."""

import pytest

from mlx_cc.errors import UserError
from mlx_cc.ingest.shapes.headings import column
from mlx_cc.ingest.shapes.rows import number, seconds, when


@pytest.mark.parametrize(
    ("cell", "value"),
    [("31", 31), ("1,200", 1200), ("4,5", 4.5), ("0:03:21", 201), ("03:21", 201), ("100:00:01", 360001), ("0:00:01.5", 1.5),
     ("-3", None), ("nan", None), ("inf", None), ("1e9", None), ("soon", None), ("", None)],
)  # fmt: skip
def test_durations(cell, value):
    assert seconds(cell) == value


@pytest.mark.parametrize(
    ("cell", "value"), [("85 %", 85), ("-1.5", -1.5), ("1,234,567.5", 1234567.5), ("1e400", None), ("x", None)]
)
def test_numbers(cell, value):
    assert number(cell) == value


@pytest.mark.parametrize(
    ("cell", "month_first", "value"),
    [
        ("2025-03-10 14:05:12", None, "2025-03-10T14:05:12-05:00"),
        ("20250310140512", None, "2025-03-10T14:05:12-05:00"),
        ("1741615512", None, "2025-03-10T14:05:12+00:00"),
        ("3/4/2025 2:05 PM", None, "2025-03-04T14:05:00-06:00"),
        ("3/4/2025 12:05 a.m.", False, "2025-04-03T00:05:00-05:00"),
        ("14/3/25 14:05", None, "2025-03-14T14:05:00-05:00"),
        ("3.4.2025, 14:05:12", True, "2025-04-03T14:05:12-05:00"),
        ("3/4/2025 14:05", None, "may be in month 3 or 4. Pass --country"),
        ("13/13/2025", None, "is not a time"),
        ("31/2/2025", None, "is not a time"),
        ("soon", None, "is not a time"),
    ],
)
def test_times_as_reports_write_them(cell, month_first, value):
    if not value[0].isdigit():
        with pytest.raises(UserError, match=value):
            when(cell, "America/Chicago", month_first)
    else:
        assert when(cell, "America/Chicago", month_first).isoformat() == value


@pytest.mark.parametrize(
    ("name", "words", "unit_s", "utc"),
    [
        ("Hold Time", "holdtime", 1, False),
        ("hold_time_ms", "holdtime", 0.001, False),
        ("Hold Time (min)", "holdtime", 60, False),
        ("holdTimeMillis", "holdtime", 0.001, False),
        ("Start Time (UTC)", "starttime", 1, True),
        ("CONTACT-ID", "contactid", 1, False),
        ("ContactID", "contactid", 1, False),
        ("", "", 1, False),
    ],
)
def test_names_of_columns(name, words, unit_s, utc):
    assert column(name) == (words, unit_s, utc)
