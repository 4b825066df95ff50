"""Input files however they are packed, written or broken: each is read, or set aside with one line that says why."""

import gzip
import io
import json
import os
import struct
import zipfile
from collections import Counter

import pytest
from click.testing import CliRunner

from mlx_cc import files
from mlx_cc.commands.ingest import command
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations
from mlx_cc.ingest import read_folder, source
from mlx_cc.ingest.format import Reading
from mlx_cc.ingest.source import from_json, input_files, open_file, size_on_disk

CALL = "Agent: hi\nCustomer: my bill\n"


def record(id="a", text="hi"):
    return json.dumps({"id": id, "turns": [{"role": "agent", "text": text}]})


def read(*paths, **options):
    """(conversations, reasons of the rejects)."""
    rejects = []
    found = list(read_folder(paths, Reading(**options), rejects=rejects.append))
    lines = [str(reject) for reject in rejects]
    assert not any("\n" in line or len(line) > 1000 for line in lines)
    return found, lines


def zipped(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


# Patterns


def test_a_pattern_the_shell_left_alone_is_expanded(tmp_path):
    for name in ("b.txt", "a.txt", "c.md", "deep/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(CALL)
    assert [path.name for path in input_files([tmp_path / "*.txt"])] == ["a.txt", "b.txt"]
    assert [path.name for path in input_files([tmp_path / "**" / "*.txt"])] == ["a.txt", "b.txt", "d.txt"]
    assert [path.name for path in input_files([tmp_path / "[ac].*"])] == ["a.txt", "c.md"]
    with pytest.raises(UserError, match="no file or folder matches this pattern"):
        input_files([tmp_path / "*.csv"])


def test_a_path_with_a_bracket_that_exists_is_that_path(tmp_path):
    (tmp_path / "call [1].txt").write_text(CALL)
    (call,), _ = read(tmp_path / "call [1].txt")
    assert call.id == "call [1]"


def test_a_file_named_twice_is_read_once(tmp_path):
    (tmp_path / "a.txt").write_text(CALL)
    assert len(input_files([tmp_path, tmp_path / "a.txt", tmp_path / "*.txt"])) == 1


# Archives


def test_the_files_of_an_archive_are_read_in_name_order_and_shown_by_their_path(tmp_path):
    path = zipped(
        tmp_path / "export.zip",
        {
            "calls/2.json": json.dumps({"turns": [{"role": "agent", "text": "b"}]}),
            "calls/1.txt": CALL,
            "calls/": b"",
            "lines.jsonl": f"{record('x')}\n{{broken\n{record('y')}\n",
            "packed.jsonl.gz": gzip.compress(record("z").encode()),
            "__MACOSX/calls/._1.txt": b"\0\0",
            ".DS_Store": b"\0",
        },
    )
    found, rejects = read(tmp_path)
    assert [call.id for call in found] == ["1", "2", "x", "y", "z"]
    assert found[0].provenance.file == str(path / "calls" / "1.txt")
    assert rejects == [rejects[0]]
    assert rejects[0].startswith(f"{path}/lines.jsonl, line 2: is not JSON")
    assert [call.id for call in read(path / "calls" / "1.txt")[0]] == ["1"]


def test_names_that_lead_out_of_an_archive_are_shown_without_the_way_out(tmp_path):
    names = ["../../etc/up.txt", "/abs.txt", "C:\\win\\dos.txt", "a/./b.txt", "bell\a.txt", "x" * 300 + ".txt"]
    path = zipped(tmp_path / "e.zip", dict.fromkeys(names, CALL))
    shown = [str(found.relative_to(path)) for found in input_files([path])]
    assert shown == ["a/b.txt", "abs.txt", "bell_.txt", "etc/up.txt", "win/dos.txt", "x" * 300 + ".txt"]
    found, rejects = read(path)
    assert (len(found), rejects) == (6, [])
    assert [entry.name for entry in tmp_path.iterdir()] == ["e.zip"]


def test_two_members_with_one_name_are_both_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        archive.writestr("a/x.txt", CALL)
        archive.writestr("../a/x.txt", CALL)
    found, _ = read(tmp_path / "e.zip")
    assert len({call.id for call in found}) == 2


def test_an_archive_inside_an_archive_is_set_aside(tmp_path):
    inner = zipped(tmp_path / "inner.zip", {"a.txt": CALL}).read_bytes()
    path = zipped(tmp_path / "outer.zip", {"b.txt": CALL, "deep.zip": inner, "renamed.txt": inner})
    found, rejects = read(path)
    assert [call.id for call in found] == ["b"]
    assert [line.partition(": ")[0] for line in rejects] == [f"{path}/deep.zip", f"{path}/renamed.txt"]
    assert all("archive" in line and "Unpack it first" in line for line in rejects)


def test_an_encrypted_member_and_one_packed_in_another_way_are_set_aside(tmp_path):
    plain = zipped(tmp_path / "plain.zip", {"a.txt": CALL}).read_bytes()
    for offset in (plain.index(b"PK\x03\x04") + 6, plain.index(b"PK\x01\x02") + 8):
        plain = plain[:offset] + struct.pack("<H", 1) + plain[offset + 2 :]
    (tmp_path / "plain.zip").write_bytes(plain)
    zipped(tmp_path / "lzma.zip", {"b.txt": CALL}, zipfile.ZIP_LZMA)
    found, rejects = read(tmp_path)
    assert found == []
    assert "b.txt: has an unsupported compression (lzma)" in rejects[0]
    assert "a.txt: is encrypted. Unpack the archive with its password" in rejects[1]


def test_an_archive_that_is_broken_or_empty_is_one_reject(tmp_path):
    whole = zipped(tmp_path / "whole.zip", {f"{n}.txt": CALL for n in range(9)}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-60])
    (tmp_path / "no.zip").write_text("not an archive")
    zipped(tmp_path / "none.zip", {})
    data = bytearray(whole)
    data[40] ^= 255  # in the first member's data
    (tmp_path / "flipped.zip").write_bytes(data)
    (tmp_path / "whole.zip").unlink()
    found, rejects = read(tmp_path)
    assert len(found) == 8
    assert [line.removeprefix(str(tmp_path)).partition(": ")[0] for line in rejects] == [
        "/cut.zip",
        "/flipped.zip/0.txt",
        "/no.zip",
        "/none.zip",
    ]
    assert "can't be unzipped" in rejects[0]
    assert "an archive without files" in rejects[3]


def test_what_unpacks_beyond_the_limits_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "UNPACKED_BYTES", 1 << 16)
    zeros = b"Agent: " + b"o" * (1 << 20) + b"\n"
    zipped(tmp_path / "bomb.zip", {"a.txt": zeros})
    zipped(tmp_path / "half.zip", {"a.txt": zeros, "b.txt": os.urandom(1 << 16).hex()})
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(zeros))
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress((record("first") + "\n").encode() + zeros))
    found, rejects = read(tmp_path)
    assert [call.id for call in found] == ["first"]
    named = {line.removeprefix(f"{tmp_path}/").partition(": ")[0] for line in rejects}
    assert named == {"bomb.zip", "half.zip/a.txt", "half.zip/b.txt", "c.txt.gz", "d.jsonl.gz"}
    assert sum("unpacks to more than 200 times its size" in line for line in rejects) == 4


def test_the_total_of_an_archive_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "UNPACKED_TOTAL", 100)
    zipped(tmp_path / "e.zip", {f"{n}.txt": CALL for n in range(9)})
    (tmp_path / "g.txt.gz").write_bytes(gzip.compress(CALL.encode() * 9))
    found, rejects = read(tmp_path)
    assert found == []
    assert len(rejects) == 2
    assert all("unpacks to more than" in line and "pass the folder" in line for line in rejects)


def test_a_packed_file_is_known_by_its_content(tmp_path):
    (tmp_path / "call.txt").write_bytes(gzip.compress(CALL.encode()))
    (tmp_path / "not.txt.gz").write_text(CALL)
    found, rejects = read(tmp_path)
    assert [call.id for call in found] == ["call"]
    assert "not.txt.gz: can't be unzipped" in rejects[0]


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("calls.7z", b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        ("calls.rar", b"Rar!\x1a\x07", "a RAR archive"),
        ("calls.json.bz2", b"BZh91AY", "packed with bzip2"),
        ("calls.tar.gz", gzip.compress(b"x" * 257 + b"ustar" + b"\0" * 250, mtime=0), "a tar archive"),
        ("report.xlsx", b"PK\x03\x04....", "is a workbook. Save its sheet as CSV UTF-8"),
        ("report.xls", b"\xd0\xcf\x11\xe0....", "is a workbook"),
    ],
)
def test_what_has_to_be_unpacked_or_saved_otherwise_is_told_by_name(tmp_path, name, start, words):
    (tmp_path / name).write_bytes(start)
    found, rejects = read(tmp_path)
    assert found == []
    assert words in rejects[0]


def test_the_size_on_disk_of_every_input_can_be_added_up(tmp_path):
    (tmp_path / "a.txt").write_text(CALL)
    zipped(tmp_path / "e.zip", {"b.txt": CALL * 100, "c.txt": CALL})
    (tmp_path / "no.zip").write_text("xx")
    sizes = {path.name: size_on_disk(path) for path in input_files([tmp_path])}
    assert sizes["a.txt"] == len(CALL)
    assert 0 < sizes["b.txt"] < 200
    assert sizes["no.zip"] == 2


def test_all_bytes_read_are_told(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n".join(record(str(n)) for n in range(3000)))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress((CALL * 5000).encode()))
    zipped(tmp_path / "e.zip", {"c.txt": CALL, "d.txt": CALL * 5000})
    told = Counter()
    read(tmp_path, advance=lambda count: told.update(bytes=count))
    assert told["bytes"] == sum(map(size_on_disk, input_files([tmp_path])))


def test_the_command_reads_an_archive(tmp_path):
    path = zipped(tmp_path / "export.zip", {"calls/1.txt": CALL, "calls/2.txt": "Boss: hi"})
    out = tmp_path / "c.jsonl"
    done = CliRunner().invoke(command, [str(path), "--out", str(out)])
    assert done.exit_code in (0, 3), done.output
    assert "1" in [call.id for call in read_conversations(out)]


# Long lines and documents


def test_a_line_above_the_limit_is_skipped_and_the_next_ones_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "LONGEST_LINE", 1000)
    data = "\n".join([record("a"), record("b", "x" * 5000), record("c"), "", record("d", "y" * 1000), record("e")])
    for name, content in {
        "plain.jsonl": data.encode(),
        "packed.jsonl.gz": gzip.compress(data.encode()),
        "wide.jsonl": data.encode("utf-16"),
        "returns.jsonl": data.replace("\n", "\r").encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
        found, rejects = read(tmp_path / name)
        assert [(call.id, call.provenance.line) for call in found] == [("a", 1), ("c", 3), ("e", 6)], name
        assert [line.partition(": ")[0] for line in rejects] == [f"{tmp_path / name}, line {n}" for n in (2, 5)]
        assert "Write one record per line" in rejects[0]


def test_a_line_that_just_fits_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "LONGEST_LINE", len(record()) + 1)
    (tmp_path / "a.jsonl").write_text(f"{record('a')}\n{record('b')}\n")
    assert len(read(tmp_path)[0]) == 2


def test_a_hundred_megabytes_without_a_line_end_are_not_held(tmp_path):
    import tracemalloc

    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(f"{record('a')}\n".encode())
        file.seek(100 << 20, io.SEEK_CUR)
        file.write(f"\n{record('b')}\n".encode())
    tracemalloc.start()
    found, rejects = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [call.id for call in found] == ["a", "b"]
    assert "line 2: is longer than 64 MB" in rejects[0]
    assert peak < 150 << 20


def test_a_document_above_the_limit_says_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "LARGEST_DOCUMENT", 1 << 17)
    for name in ("a.txt", "b.txt.gz"):
        data = (CALL * 10_000).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found, rejects = read(tmp_path)
    assert found == []
    assert len(rejects) == 2
    assert "in one piece. Split it, or export it as JSON lines" in rejects[0]


def test_a_turn_of_ten_megabytes_is_set_aside(tmp_path):
    (tmp_path / "a.jsonl").write_text(f"{record('a', 'x' * (10 << 20))}\n{record('b', 'x' * 1_000_000)}\n")
    found, rejects = read(tmp_path)
    assert [call.id for call in found] == ["b"]
    assert "line 1: turn 1 has 10485760 characters, more than a turn can have" in rejects[0]


def test_a_conversation_file_with_a_line_above_the_limit_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST_LINE", 100)
    (tmp_path / "c.jsonl").write_text(f"{record('a')}\n{record('b', 'x' * 200)}\n")
    conversations = read_conversations(tmp_path / "c.jsonl")
    assert next(conversations).id == "a"
    with pytest.raises(UserError, match=r"c\.jsonl:2: longer than"):
        next(conversations)


# Encodings, line ends, null bytes


def test_line_ends_may_be_mixed(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"Agent: one\r\nmore\rCustomer: two\nAgent: three")
    (tmp_path / "b.jsonl").write_bytes(f"{record('x')}\r\n\r\n{record('y')}\n".encode())
    (tmp_path / "c.jsonl").write_bytes(f"{record('v')}\r{record('w')}\r".encode("utf-8-sig"))
    found, rejects = read(tmp_path)
    assert rejects == []
    assert [call.id for call in found] == ["a", "x", "y", "v", "w"]
    assert [turn.text for turn in found[0].turns] == ["one\nmore", "two", "three"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("Agent: Größe\n".encode("cp1252"), "is not UTF-8 (byte 0xf6 at 9)"),
        ("Agent: hi\n".encode("utf-16-be"), "null bytes"),
        (b"Agent: hi\n" * 10_000 + b"\0", "null bytes"),
        (b"Agent: hi\n" * 10_000 + b"\xff\n", "is not UTF-8 (byte 0xff at 100000)"),
        (b"\xff\xfeA", "is not UTF-8"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"\xef\xbb\xbf \n", "the file is empty"),
    ],
)
def test_another_encoding_is_told_with_its_remedy(tmp_path, data, words):
    (tmp_path / "a.txt").write_bytes(data)
    found, rejects = read(tmp_path)
    assert found == []
    assert len(rejects) == 1
    assert words in rejects[0]


def test_a_line_with_null_bytes_or_of_another_encoding_does_not_stop_the_rest(tmp_path):
    lines = [
        record("a").encode(),
        b'{"id": "b\0"}',
        b'{"id": "c", "turns": "Agent: Gr\xf6\xdfe"}',
        record("e").encode(),
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    found, rejects = read(tmp_path)
    assert [call.id for call in found] == ["a", "e"]
    assert "line 2: has null bytes" in rejects[0]
    assert "line 3: is not UTF-8 (byte 0xf6" in rejects[1]


# Broken JSON


@pytest.mark.parametrize(
    "text",
    [
        record()[:-3],
        '{"id": "a", "turns": [',
        "[" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"id": "a", "turns": [{"role": "agent", "text": "x", "start_s": NaN}]}',
        '{"id": "a", "turns": [{"role": "agent", "text": "x", "start_s": 1e999}]}',
        '{"id": "a", "turns": [{"role": "agent", "text": "\\ud800"}]}',
        '{"id": "a", "turns": [{"role": "agent", "text": "x"}]} trailing',
        '{"id": "a", "turns": {"role": "agent"}}',
        '{"id": null, "turns": null}',
        '{"id": "a", "turns": [[[[[]]]]]}',
        '{"id": "a", "turns": [], "started_at": 1e300}',
    ],
)
@pytest.mark.parametrize("name", ["b.json", "b.jsonl"])
def test_broken_json_is_one_reject_each(tmp_path, text, name):
    (tmp_path / name).write_text(text)
    (tmp_path / "good.txt").write_text(CALL)
    found, rejects = read(tmp_path)
    assert [call.id for call in found] == ["good"]
    assert len(rejects) == 1


def test_deep_nesting_is_not_a_crash(tmp_path):
    with pytest.raises(UserError, match="is not JSON"):
        from_json("[" * 1_000_000)
    (tmp_path / "a.txt").write_text("---\nid: " + "[" * 200_000 + "\n---\nAgent: hi\n")
    (tmp_path / "b.txt").write_text("---\nid: " + "[" * 9000 + "\n---\nAgent: hi\n")
    found, rejects = read(tmp_path)
    assert found == []
    assert ["front matter" in line for line in rejects] == [True, True]


@pytest.mark.parametrize("time", ["nan", "inf", "-5", "1e300"])
def test_a_time_that_can_be_none_is_set_aside(tmp_path, time):
    (tmp_path / "a.txt").write_text(f"---\nqueue_wait_s: {time}\n---\nAgent: hi\n")
    found, rejects = read(tmp_path)
    assert found == []
    assert "queue_wait_s: expected `float`" in rejects[0]


def test_pipes_and_vanished_files_are_set_aside(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "good.txt").write_text(CALL)
    found, rejects = read(tmp_path)
    assert [call.id for call in found] == ["good"]
    assert "no such file" in rejects[0]
    assert "is a pipe or a device" in rejects[1]


def test_a_file_tells_its_name_and_content_whether_packed_or_not(tmp_path):
    (tmp_path / "call.v1.txt").write_text(CALL)
    (tmp_path / "call.v1.txt.gz").write_bytes(gzip.compress(CALL.encode()))
    path = zipped(tmp_path / "e.zip", {"call.v1.txt": CALL, "call.v1.txt.gz": gzip.compress(CALL.encode())})
    for found in (tmp_path / "call.v1.txt", tmp_path / "call.v1.txt.gz", path / "call.v1.txt", path / "call.v1.txt.gz"):
        file = open_file(found)
        assert (file.stem, file.suffix, file.whole, file.head) == ("call.v1", ".txt", True, CALL.encode())
        assert file.text() == CALL
        assert [line for _, line in file.lines()] == CALL.encode().splitlines(keepends=True)
