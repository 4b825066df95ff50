"""The record, its files and its splits."""

import gzip
import signal
from datetime import UTC, datetime

import msgspec
import pytest
from conftest import run_python

from benchmarks.records import records
from mlx_cc.conversation import Conversation, Label, Turn, replace
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations, write_conversations, write_text, written_whole
from mlx_cc.splits import split_of, unit_interval

ONE = Conversation(
    id="c1",
    turns=(Turn(role="customer", text="Hello", start_s=0.0, end_s=1.5), Turn(role="agent", text="Hi")),
    started_at=datetime(2025, 3, 1, 12, tzinfo=UTC),
    labels={"csat": Label(value=4, source="survey")},
)


def test_what_is_written_is_read_back_the_same(tmp_path):
    path = tmp_path / "c.jsonl"
    assert write_conversations(path, records(25)) == 25
    assert list(read_conversations(path)) == list(records(25))


def test_gzipped_files_and_blank_lines_are_read(tmp_path):
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(msgspec.json.encode(ONE) + b"\n\n  \n" + msgspec.json.encode(replace(ONE, id="c2"))))
    assert [c.id for c in read_conversations(path)] == ["c1", "c2"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"id":"x","turns":[{"role":"boss","text":"a"}]}', "Invalid enum value 'boss'"),
        ('{"id":"x","turns":[{"role":"agent","text":"a"}],"colour":1}', "unknown field `colour`"),
        ('{"id":"x","turns":[{"role":"agent","text":"a","start_s":5,"end_s":2}]}', "turn 1 ends at 2 s"),
        ('{"id":"x","turns":[{"role":"agent","text":""}]}', "no turn with text"),
        ('{"id":"x","turns":[{"role":"agent","text":"a"}],"started_at":"2025-01-01T10:00:00"}', "timezone"),
        ('{"id":"x","turns":[', "truncated"),
        ('{"id":"","turns":[]}', "length >= 1"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_fault(tmp_path, line, fault):
    path = tmp_path / "bad.jsonl"
    path.write_text(msgspec.json.encode(ONE).decode() + "\n" + line + "\n")
    with pytest.raises(UserError, match="bad.jsonl:2: ") as raised:
        list(read_conversations(path))
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), written_whole(path) as file:
        file.write(b"half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_a_writer_killed_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.jsonl"
    write_conversations(path, records(3))
    code = (
        "import os, signal, sys\nfrom benchmarks.records import records\nfrom mlx_cc.files import write_conversations\n"
        "def doomed():\n    for n, c in enumerate(records(10000)):\n        if n == 5000: os.kill(os.getpid(), signal.SIGKILL)\n        yield c\n"
        "write_conversations(sys.argv[1], doomed())"
    )
    result = run_python("-c", code, path)
    assert result.returncode == -signal.SIGKILL
    assert len(list(read_conversations(path))) == 3


def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    code = (
        "import resource, signal, sys\nfrom mlx_cc.errors import UserError\nfrom mlx_cc.files import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_text(sys.argv[1], 'n' * 100000)\nexcept UserError as fault:\n    print(fault)"
    )
    said = run_python("-c", code, path).stdout
    assert "x.txt: file too large" in said
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_memory_stays_flat_while_streaming(tmp_path):
    code = (
        "import resource, sys\nfrom benchmarks.records import record_speed\n"
        "small = record_speed(2000).memory_mb\nprint(record_speed(20000).memory_mb - small)"
    )
    grown = float(run_python("-c", code).stdout)
    assert grown < 8


def test_splits_depend_on_the_id_alone_and_keep_their_shares():
    found = [split_of(c) for c in records(4000, turns=1)]
    assert found == [split_of(c) for c in records(4000, turns=1)]
    assert 0.77 < found.count("train") / 4000 < 0.83
    assert 0.08 < found.count("test") / 4000 < 0.12
    assert all(0 <= unit_interval(str(n)) < 1 for n in range(1000))


def test_a_split_by_agent_never_straddles_an_agent():
    splits: dict[str, set[str]] = {}
    for c in records(3000, turns=1):
        splits.setdefault(c.agents[0], set()).add(split_of(c, "agent"))
    assert all(len(found) == 1 for found in splits.values())
    with pytest.raises(UserError, match="c1 has no agent"):
        split_of(ONE, "agent")
