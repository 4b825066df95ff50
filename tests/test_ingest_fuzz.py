"""Damaged files: whatever is in them is read or set aside with a reason, and never ends the run."""

import json
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_seeds import SEEDS

from mlx_cc import ingest
from mlx_cc.conversation import Conversation, check
from mlx_cc.errors import UserError
from mlx_cc.ingest import choose, read_folder
from mlx_cc.ingest.contacts import Contact
from mlx_cc.ingest.format import Reading, Reject
from mlx_cc.ingest.source import open_file
from mlx_cc.redact import Redactor

SAMPLES = Path(__file__).parent.parent.parent / "shared" / "samples"
LARGEST_SAMPLE = 1 << 15
CPU_S = 5.0
"""Of the processor's time that one small file may take; what others do meanwhile does not count."""

FORMATS = ingest.all_formats()
CONTACTS = ingest.all_contact_formats()
FILES = {
    **SEEDS,
    **{
        f"sample_{path.name}": path.read_bytes()
        for path in sorted(SAMPLES.glob("*/*.*"))
        if path.stat().st_size < LARGEST_SAMPLE
    },
}
READINGS = [
    Reading(),
    Reading(timezone="America/Chicago", country="US", default_role="unknown"),
    Reading(timezone="UTC", redactor=Redactor("US"), pseudonym_key=b"k" * 32),
    Reading(
        roles={"0": "agent", "speaker 1": "customer", "acme.example": "agent"}, swap=True, timezone="Europe/Berlin"
    ),
]

VALUES = [
    *(
        "null",
        "true",
        "-1",
        "0",
        "1e308",
        "1e999",
        "NaN",
        "-Infinity",
        "9" * 400,
        "1741615512000",
        "253402300800",
        "1e17",
    ),
    *('""', '" "', '"x"', '"None"', '"12"', '"\\u0000"', '"\\ud800"', '"<b>&#x110000;<![x"', f'"{"A" * 5000}"'),
    *('"2025-03-10T14:05:12"', '"2025-13-45T99:99:99Z"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-23:59"'),
    *("[]", "{}", "[null]", "[[]]", '[{"a": 1}]', '{"a": {}}', '"99:99:99"', '"1e400"', '"-5"', '"../../x"'),
    *("[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000),
]
"""Raw JSON that takes the place of a value."""
TOKENS = [
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\r", b"\r\n", b"\n\n", b"\t", b'"', b",", b";"),
    *(b"{", b"}", b"[" * 4000, b"NaN", b"1e999", b"-->", b"<v ", b"</", b"<!--", b"<![", b"&#", b"00:00:99,5 --> 1"),
    *(
        b"From ",
        b"\nFrom x 2025\n",
        b"=?utf-8?b?",
        b"=?x?q?=ZZ?=",
        b"(" * 300,
        b"On 1 Mar 2025, x wrote:\n",
        b"\n> > > x\n",
    ),
    *(b"\nSent: 1\nFrom: x\nSent: y\n", b"---\n", b": ", b"&a [*a]", b"!!python/object", b"[99:99:99:99]", b"9" * 5000),
    *(b"charset=utf-7", b"charset=punycode", b"boundary=cut", b"Date: Mon, 99 Foo 99999 99:99:99 +9999\n", b'""""'),
]


class Hang(Exception):
    """A reader took too long."""


@contextmanager
def watched() -> Iterator[None]:
    def stop(*_):
        raise Hang(f"more than {CPU_S:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def places(tree, path=()):
    """The paths of all values in parsed JSON."""
    yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in children:
        yield from places(value, (*path, key))


def swap_value(data: bytes, a: int, b: int) -> bytes:
    """The JSON with another value in one place, or without it; other files with a number or word replaced."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return insert_token(data, a, b)
    found = list(places(tree))
    *parents, last = found[a % len(found)] or (None,)
    value = VALUES[b % len(VALUES)]
    if last is None:
        return value.encode()
    holder = tree
    for key in parents:
        holder = holder[key]
    if b % 7 == 0:
        del holder[last]
    else:
        holder[last] = "@@here@@"
    return json.dumps(tree).replace('"@@here@@"', value).encode()


def move_value(data: bytes, a: int, b: int) -> bytes:
    """The JSON with the value of one place in another."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return repeat_slice(data, a, b)
    found = list(places(tree))[1:] or [()]
    source, target = found[a % len(found)], found[b % len(found)]
    if not source:
        return data
    value, holder = tree, tree
    for key in source:
        value = value[key]
    for key in target[:-1]:
        holder = holder[key]
    holder[target[-1]] = json.loads(json.dumps(value))
    return json.dumps(tree).encode()


def flip_bits(data: bytes, a: int, b: int) -> bytes:
    chance = random.Random(a)
    changed = bytearray(data)
    for _ in range(1 + b % 8):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut_end(data: bytes, a: int, b: int) -> bytes:
    return data[: a % (len(data) + 1)]


def delete_slice(data: bytes, a: int, b: int) -> bytes:
    start = a % (len(data) + 1)
    return data[:start] + data[start + 1 + b % 200 :]


def repeat_slice(data: bytes, a: int, b: int) -> bytes:
    start = a % (len(data) + 1)
    end = start + 1 + b % 200
    return data[:end] + data[start:end] * (1 + a % 30) + data[end:]


def insert_token(data: bytes, a: int, b: int) -> bytes:
    place = a % (len(data) + 1)
    return data[:place] + TOKENS[b % len(TOKENS)] + data[place:]


def mark_order(data: bytes, a: int, b: int) -> bytes:
    return (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf\xef\xbb\xbf", b"\n \n")[a % 5] + data


def other_newlines(data: bytes, a: int, b: int) -> bytes:
    lines = data.split(b"\n")
    ends = (b"\r\n", b"\r", b"\n", b"\n\n", b"\x0b", b"\xe2\x80\xa8")
    return b"".join(line + ends[(a + number * (b % 3)) % len(ends)] for number, line in enumerate(lines))


def shuffle_lines(data: bytes, a: int, b: int) -> bytes:
    lines = data.splitlines(keepends=True)
    random.Random(a).shuffle(lines)
    return b"".join(lines)


def repeat_line(data: bytes, a: int, b: int) -> bytes:
    lines = data.splitlines(keepends=True) or [b"\n"]
    place = a % len(lines)
    lines[place : place + 1] = lines[place : place + 1] * (2 + b % 300)
    return b"".join(lines)[: 1 << 18]


def other_encoding(data: bytes, a: int, b: int) -> bytes:
    return data.decode("utf-8", "replace").encode(("utf-16", "utf-16-le", "utf-32", "cp1252")[a % 4], "replace")


DAMAGES = [
    *(swap_value, swap_value, swap_value, move_value, flip_bits, cut_end, delete_slice, repeat_slice, insert_token),
    *(mark_order, other_newlines, shuffle_lines, repeat_line, other_encoding),
]
NUMBER = st.integers(0, 1 << 16)
CASES = st.tuples(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.sampled_from(DAMAGES), NUMBER, NUMBER), min_size=1, max_size=4),
    st.sampled_from(range(len(READINGS))),
    st.booleans(),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


def own_format(path: Path) -> str:
    """The format of an undamaged file; `auto` for archives and reports about contacts."""
    try:
        return choose(open_file(path)).name
    except UserError:
        return "auto"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """File name -> its format."""
    sound = tmp_path_factory.mktemp("sound")
    for name, data in FILES.items():
        (sound / name).write_bytes(data)
    return {name: own_format(sound / name) for name in FILES}


def as_contacts(path: Path, reading: Reading) -> Iterator[Contact | Reject]:
    """What every format of reports that recognises a file reads from it."""
    try:
        file = open_file(path)
    except UserError as fault:
        yield Reject(str(path), None, str(fault))
        return
    for contacts in CONTACTS.values():
        try:
            if contacts.recognise(path, file.head):
                yield from contacts.read(file, reading)
        except UserError as fault:
            yield Reject(str(path), None, str(fault))


def read_all(path: Path, reading: Reading, format: str) -> None:
    """Read a file as transcripts and as contacts; everything that comes out must be sound.

    UserError is the one exception allowed.
    """
    rejects: list[Reject] = []
    try:
        for found in read_folder([path], reading, rejects=rejects.append, format=format):
            check(found)
            assert msgspec.json.decode(msgspec.json.encode(found), type=Conversation) == found
    except UserError as fault:
        rejects.append(Reject(str(path), None, str(fault)))
    for found in as_contacts(path, reading):
        if isinstance(found, Reject):
            rejects.append(found)
        else:
            assert msgspec.json.decode(msgspec.json.encode(found), type=Contact) == found
    for reject in rejects:
        assert reject.reason.strip()
        assert "\n" not in reject.reason.strip(), f"not one line: {reject.reason!r}"
        msgspec.json.encode(reject._asdict())


def one(folder, own, case):
    name, damages, reading, forced = case
    data = FILES[name]
    for damage, a, b in damages:
        data = damage(data, a, b)
    path = folder / name
    path.write_bytes(data)
    with watched():
        read_all(path, READINGS[reading], own[name] if forced else "auto")


QUIET = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


@settings(max_examples=2000, derandomize=True, **QUIET)
@given(case=CASES)
def test_a_damaged_file_is_read_or_set_aside(folder, own, case):
    one(folder, own, case)


@pytest.mark.slow
@settings(max_examples=20_000, **QUIET)
@given(case=CASES)
def test_many_damaged_files_are_read_or_set_aside(folder, own, case):
    one(folder, own, case)


MAIL = "From: a@b.c\nDate: x\nSubject: y\n"
CUE = "WEBVTT\n\n00:01.000 --> 00:02.000\n"
RUNS = {
    **{
        "a.json": ("", "[ {", ""),
        "b.json": ('{"segments"', " ", ":"),
        "c.jsonl": ("", '{"a":1}', ""),
        "d.json": ("[", " ", ""),
    },
    **{"a.txt": (".", " ", "x"), "b.txt": ("Agent: ", "a: ", ""), "c.txt": ("---\nid: ", "[", "\n---\nAgent: hi")},
    **{
        "a.vtt": (f"{CUE}<v", " ", ""),
        "b.vtt": (f"{CUE}[", " ", "x"),
        "c.vtt": (CUE, "<v a>b", ""),
        "d.srt": (".", "1", "\n"),
    },
    **{"a.csv": ('speaker,text\n"', "x,", ""), "b.csv": ("speaker,text\n", '"', "")},
    **{"a.mbox": ("From x 2025", "1", ""), "b.mbox": ("", f"From x 2025\n{MAIL}\nHi\n\n", "")},
    **{"a.eml": (f"{MAIL}\nOn 1 ", "a ", ""), "b.eml": (f"{MAIL}\n", "On 1 Mar 2025, x wrote:\n> ", "")},
    **{"c.eml": ("From: ", "(a", f"\n{MAIL}\nHi"), "d.eml": (f"To: {'a, ' * 9}", '"a" <a@b.c>, ', f"\n{MAIL}\nHi")},
    **{
        "e.eml": (f"{MAIL}Content-Type: text/html\n\n", "<!--", ">"),
        "f.eml": (f"{MAIL}Content-Type: text/html\n\n", "<a ", ""),
    },
}


@pytest.mark.parametrize("name", RUNS)
def test_a_long_run_of_one_thing_ends(tmp_path, name):
    start, run, end = RUNS[name]
    (tmp_path / name).write_text(start + run * (60_000 // len(run)) + end)
    with watched():
        read_all(tmp_path / name, READINGS[1], "auto")


@pytest.mark.parametrize("name", [*FORMATS, *CONTACTS])
def test_every_format_has_a_file_among_those_that_are_damaged(tmp_path, name):
    recognised = set()
    for file, data in SEEDS.items():
        path = tmp_path / file
        path.write_bytes(data)
        try:
            opened = open_file(path)
            recognised |= {found.name for found in CONTACTS.values() if found.recognise(path, opened.head)}
            recognised.add(choose(opened).name)
        except UserError:
            continue
    assert name in recognised, "add a small file of this format to tests/ingest_seeds.py"


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_the_undamaged_files_are_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(SEEDS[name])
    rejects: list[Reject] = []
    reading = READINGS[1]
    count = len(list(read_folder([path], reading, rejects=rejects.append)))
    count += sum(isinstance(found, Contact) for found in as_contacts(path, reading))
    assert count, rejects
