"""Rows of CSV and TSV files, streamed: finds the delimiter and the line of column names, rejects broken rows.

Titles above the column names, a `sep=;` line, repeated lines of names and quoted line breaks are handled.
"""

import csv
import math
import re
from collections.abc import Callable, Hashable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Reject
from mlx_cc.ingest.record import moment
from mlx_cc.ingest.source import LONG_LINE, File, decoded

DELIMITERS = ",;\t|"
NAMES_WITHIN = 20
"""The line of names is looked for in the first rows, up to this many."""
LONGEST_CELL = 16 << 20
HELD = 32 << 20
"""Most characters of unfinished groups in memory."""
LONGEST_S = 31 * 86_400
"""A longer time is an error, not a duration."""

Cells = dict[str, str]
"""Column index (as text) -> cell; empty cells are left out."""


class Layout(NamedTuple):
    """Delimiter, names and dates of a file."""

    delimiter: str
    names: tuple[str, ...]
    line: int
    """Last line of the column names, counted from 1."""
    month_first: bool | None
    """Whether 3/4/2025 is in March; None when the file's start leaves it open."""


class Row(NamedTuple):
    """A row with the line on which it starts."""

    line: int
    cells: Cells


def layout(head: bytes, fits: Callable[[tuple[str, ...]], int]) -> Layout | None:
    """The dialect of a file, from its start; None when no row has fitting column names.

    Args:
        head: its first bytes.
        fits: number of known names among the names, 0 when they are too few for a table.
    """
    text = head.decode("utf-8", "replace")
    lines = [f"{line}\n" for line in text.split("\n" if "\n" in text else "\r")]
    best: tuple[int, Layout] | None = None
    for delimiter in DELIMITERS:
        if delimiter not in text:
            continue
        reader = csv.reader(lines, delimiter=delimiter)
        try:
            for _, row in zip(range(NAMES_WITHIN), reader, strict=False):
                names = tuple(cell.strip() for cell in row)
                known = fits(names) if 1 < len(names) < 1000 and max(map(len, names)) < 200 else 0
                if known > (best[0] if best else 0):
                    best = known, Layout(delimiter, names, reader.line_num, _month_first(text))
        except csv.Error:
            continue
    return best[1] if best else None


def rows(file: File, found: Layout) -> Iterator[Row | Reject]:
    """The rows under the names, without empty ones; a Reject for each that can't be read."""
    csv.field_size_limit(LONGEST_CELL)
    faults: list[str] = []

    def fed() -> Iterator[str]:
        for _, line in file.lines(blank=True):
            if line == LONG_LINE:
                faults.append("is too long for a row. Does the file have line ends?")
            try:
                yield decoded(line)
            except UserError as fault:
                faults.append(str(fault))
                yield line.decode("utf-8", "replace").replace("\0", "")

    reader = csv.reader(fed(), delimiter=found.delimiter, strict=True)
    width = len(found.names)
    while True:
        line = reader.line_num + 1
        fault = None
        try:
            cells = next(reader, None)
        except csv.Error as error:
            cells, fault = [], _words(error, line, reader.line_num)
        if cells is None:
            return
        fault, faults[:] = faults[0] if faults else fault, []
        if reader.line_num <= found.line:
            continue
        if fault is None and any(cell.strip() for cell in cells[width:]):
            fault = f"has {len(cells)} cells, and the names are {width}. Is a quote missing, or the delimiter another?"
        if fault is not None:
            yield Reject(str(file.path), line, fault)
            continue
        filled = {str(place): bare for place, cell in enumerate(cells[:width]) if (bare := cell.strip())}
        if filled and tuple(cell.strip() for cell in cells[:width]) != found.names:
            yield Row(line, filled)


def _words(fault: csv.Error, line: int, last: int) -> str:
    words = str(fault)
    if "unexpected end" in words:
        return f"a quote opens in this row and is not closed up to line {last}, where the file ends. Close it."
    if "field limit" in words:
        return (
            f"has a cell above {LONGEST_CELL >> 20} MB, lines {line} to {last}. Is a quote missing? Correct the file."
        )
    if "expected after" in words:
        return "has a quote inside a quoted cell. Double it, or export the file again."
    return f"is not CSV ({words}). Export the file again."


class Group(NamedTuple):
    """The rows of one key."""

    key: Any
    rows: list[Row]


def grouped(
    found: Iterator[Row | Reject], key: Callable[[Row], Hashable], file: File, name: Callable[[Any], str] = str
) -> Iterator[Group | Reject]:
    """Groups of rows with the same key, which need not be adjacent.

    When unfinished groups have more than HELD characters, the one that has waited longest for a row is
    finished; a later row of it is rejected, once per group.

    Args:
        key: key of a row; raises UserError when it has none.
        name: name of the key in a reject.
    """
    waiting: dict[Hashable, Group] = {}
    """In order of their last row."""
    finished: dict[Hashable, bool] = {}
    """Key -> whether a late row of it was rejected."""
    held = 0
    for row in found:
        if isinstance(row, Reject):
            yield row
            continue
        try:
            its = key(row)
        except UserError as fault:
            yield Reject(str(file.path), row.line, str(fault))
            continue
        if its in finished:
            if not finished[its]:
                finished[its] = True
                reason = (
                    f"a row of '{name(its)[:80]}' comes long after its others. Sort the file by conversation; "
                    "this row and those of it that follow are left out."
                )
                yield Reject(str(file.path), row.line, reason)
            continue
        waiting[its] = waiting.pop(its, None) or Group(its, [])
        waiting[its].rows.append(row)
        held += _size(row)
        while held > HELD:
            oldest = next(iter(waiting))
            group = waiting.pop(oldest)
            held -= sum(map(_size, group.rows))
            finished[oldest] = oldest == its
            if oldest == its:
                reason = (
                    f"'{name(its)[:80]}' has more rows than one conversation can have. Is the column the right one?"
                )
                yield Reject(str(file.path), group.rows[0].line, reason)
            else:
                yield group
    yield from waiting.values()


def _size(row: Row) -> int:
    return 300 + sum(map(len, row.cells.values()))


# Cells

THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
ISO = re.compile(r"\s*\d{4}-\d\d-\d\d")
CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d{1,6})?)")
DATE = re.compile(
    r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})"
    r"(?:,?[ T]+(\d{1,2}:\d{2}(?::\d{2})?)(?:\.\d+)?(?:\s*([AaPp])\.?[Mm]\.?)?)?"
)
ROUNDED = re.compile(r"\d[.,]\d+E\+\d+")
BLANK = {"-", "--", "n/a", "na", "null", "none", "nan", "nil", "[none]", "[deleted]", "(none)", "(blank)"}


def identifier(row: Row, place: str, found: Layout) -> str:
    """The id in a row.

    Raises:
        UserError: it is missing, or a spreadsheet rounded it.
    """
    cell = row.cells.get(place, "")
    if not cell or is_blank(cell):
        raise UserError(f"has no {found.names[int(place)]}. Leave the row out if it is a title or a total.")
    if ROUNDED.fullmatch(cell):
        raise UserError(
            f"the id {cell!r} was rounded by a spreadsheet. Export the file again and do not save it there."
        )
    return " ".join(cell.split())


def is_blank(cell: str) -> bool:
    """Whether a cell is a placeholder for a missing value."""
    return cell.casefold() in BLANK


def number(cell: str) -> float | None:
    """A number: `1,234.5`, `4,5` (a decimal comma), `85 %`; None for anything else."""
    bare = cell.strip().removesuffix("%").rstrip()
    if "," in bare:
        if THOUSANDS.fullmatch(bare):
            bare = bare.replace(",", "")
        elif DECIMAL_COMMA.fullmatch(bare):
            bare = bare.replace(",", ".")
    try:
        found = float(bare)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def seconds(cell: str, unit_s: float = 1) -> float | None:
    """A duration: a number of units, `h:mm:ss` or `mm:ss`; None for anything else, below 0 or above 31 days."""
    clock = CLOCK.fullmatch(cell.strip())
    if clock:
        found = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3].replace(",", "."))
    else:
        units = number(cell)
        found = None if units is None else units * unit_s
    return found if found is not None and 0 <= found <= LONGEST_S else None


def when(cell: str, timezone: str | None, month_first: bool | None = None, time_format: str | None = None) -> datetime:
    """An aware time from ISO 8601, seconds since 1970, a date with day and month in numbers, or a format.

    Raises:
        UserError: it is none of these, the time zone is unknown, or day and month can't be told apart.
    """
    bare = cell.strip()
    if time_format is not None:
        try:
            return moment(datetime.strptime(bare, time_format), timezone)
        except ValueError as fault:
            raise UserError(f"started_at: {cell!r} is not a time written as {time_format}. Correct the map.") from fault
    if ISO.match(bare):
        return moment(bare, timezone)
    if re.fullmatch(r"20\d{10}(?:\d\d)?", bare):
        bare = f"{bare[:8]}T{bare[8:]}"
    units = number(bare)
    if units is not None and units >= 1e8:
        return moment(units, timezone)
    date = DATE.fullmatch(bare)
    if date is None:
        return moment(bare, timezone)
    first, separator, second, year, clock, half = date.groups()
    if separator == ".":
        month_first = False
    elif half and month_first is None:
        month_first = True
    if int(first) > 12 or int(second) > 12:
        month_first = int(second) > 12
    if month_first is None and first != second:
        raise UserError(
            f"started_at: {cell!r} may be in month {first} or {second}. Pass --country, or time_format in a map."
        )
    order = f"{first}/{second}" if month_first else f"{second}/{first}"
    pattern = f"%m/%d/{'%y' if len(year) == 2 else '%Y'} {'%I' if half else '%H'}:%M:%S{' %p' if half else ''}"
    clock = clock or "0:00"
    written = f"{order}/{year} {clock}{'' if clock.count(':') == 2 else ':00'}{f' {half}M' if half else ''}"
    try:
        return moment(datetime.strptime(written, pattern), timezone)
    except ValueError as fault:
        raise UserError(f"started_at: {cell!r} is not a time. Write it as 2025-03-10 14:05:12.") from fault


def _month_first(text: str) -> bool | None:
    """Order of day and month in the dates of a text: True for month first, None when they leave it open."""
    told = set()
    for first, second in re.findall(r"\b(\d{1,2})[/-](\d{1,2})[/-](?:\d{4}|\d{2})\b", text):
        if int(first) > 12 >= int(second):
            told.add(False)
        elif int(second) > 12 >= int(first):
            told.add(True)
    return told.pop() if len(told) == 1 else None
