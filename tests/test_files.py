"""Files are read or refused in one line, and outputs appear whole, by one writer, all that belong together or none."""

import itertools
import json
import signal
import threading
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import run_python

from mlx_cc.centre import read_centre
from mlx_cc.cli import main_group
from mlx_cc.errors import UserError
from mlx_cc.export import write_chatml
from mlx_cc.files import lines, read_conversations, read_json, write_text, written_together, written_whole
from mlx_cc.simulate import Parameters, World, simulate

TURN = {"role": "agent", "text": "Hello"}


def run(*arguments: object) -> None:
    CliRunner().invoke(main_group, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def conversations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "c.jsonl"
    run("simulate", "--conversations", 60, "--agents", 3, "--out", path)
    return path


# Reading


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"id": "x", "labels": {"issue": {"source": "survey", "value": ' + 100_000 * b"[", "nested too deep"),
        (b'{"a": ' + 100_000 * b"[", "unknown field|truncated|nested too deep"),
        ('{"id": "x", "Geschäft": 1}'.encode("latin-1"), "0xe4 is not UTF-8. Save the file as UTF-8"),
        ('{"id": "Geschäft"}'.encode("latin-1"), "0xe4 is not UTF-8"),
        (b"\xff\xfe{\x00", "JSON is malformed"),
        (json.dumps({"id": "c0", "turns": [TURN]}).encode(), "a second conversation c0"),
    ],
    ids=["a label too deep", "another key too deep", "a key in Latin-1", "a text in Latin-1", "UTF-16", "the same id"],
)
@pytest.mark.parametrize("before", [0, 1])
def test_a_line_that_cannot_be_read_is_named(line: bytes, fault: str, before: int, tmp_path: Path):
    path = tmp_path / "c.jsonl"
    first = json.dumps({"id": "c0", "turns": [TURN]}).encode() + b"\n"
    path.write_bytes((before or b"second" in fault.encode()) * first + line + b"\n")
    with pytest.raises(UserError, match=rf"^\S*c\.jsonl:\d: .*{fault}") as raised:
        list(read_conversations(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", [100_000 * b"[", '{"ä": 1}'.encode("latin-1"), b"{"], ids=["deep", "Latin-1", "cut"]
)
def test_a_json_file_that_cannot_be_read_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"^\S*a\.json: "):
        read_json(tmp_path / "a.json")


def test_of_two_conversations_with_one_id_the_named_way_out_keeps_the_first(tmp_path: Path):
    path, new = tmp_path / "c.jsonl", tmp_path / "new" / "c.jsonl"
    path.write_text("".join(json.dumps({"id": n, "turns": [TURN]}) + "\n" for n in "aba"))
    with pytest.raises(UserError, match=r"c\.jsonl:3: a second conversation a\. .*`mlx_cc ingest"):
        run("table", "--input", path, "--output-dir", tmp_path / "tables")
    assert not list(tmp_path.glob("tables/*"))
    run("ingest", path, "--out", new)
    assert [one.id for one in read_conversations(new)] == ["a", "b"]


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (0, 2, 1, 3), (2, 3, 0, 1, 4), (0, 1, 3, 4)], ids=str)
def test_a_chatml_file_that_was_cut_or_shuffled_is_refused(order: tuple[int, ...], tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    write_chatml(path, itertools.islice(simulate(World(Parameters(20, 2, 1, 6))), 2), read_centre(None))
    rows = path.read_text().splitlines(keepends=True)
    half = len(rows) // 2
    rows = [rows[0], rows[1], rows[half], rows[half + 1], rows[half + 2]]
    path.write_text("".join(rows))
    assert len(list(read_conversations(path))) == 2
    path.write_text("".join(rows[n] for n in order))
    with pytest.raises(UserError, match=r"rows\.jsonl:\d: this row of \S+ lacks the record .* cut or shuffled"):
        list(read_conversations(path))


# Writing


@pytest.mark.parametrize(
    ("output", "command"),
    [
        ("o/c.jsonl", ["ingest", "IN", "--out", "OUT"]),
        ("o/conversations.jsonl", ["ingest", "IN", "--out", "OUT"]),
        ("o/conversations.jsonl", ["prepare", "IN", "--output-dir", "DIR"]),
        ("o/t.jsonl", ["temporal", "--input", "IN", "--output", "OUT"]),
        ("o/agent_profiles.json", ["fingerprint", "--input", "IN", "--output-dir", "DIR"]),
        ("tables/conversations", ["table", "--input", "IN", "--output-dir", "DIR"]),
        ("o/page.html", ["dashboard", "--input", "IN", "--output", "OUT"]),
        ("o/s.jsonl", ["simulate", "--conversations", "50", "--agents", "2", "--out", "OUT"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_second_writer_of_an_output_is_refused_in_one_line(output, command, conversations, tmp_path: Path):
    path = tmp_path / output
    words = {"IN": conversations, "OUT": path, "DIR": path.parent}
    call = partial(run, *(words.get(word, word) for word in command))
    write_text(path, "old")
    hold = written_whole if command[0] in ("dashboard", "simulate") else written_together
    with hold(path), pytest.raises(UserError, match=r": another process is writing it\. Wait until") as raised:
        call()
    assert "\n" not in str(raised.value)
    call()
    assert not list(path.parent.glob("*.part")) and not list(path.parent.glob(".*"))


@pytest.mark.parametrize("write", [written_whole, written_together])
def test_a_file_that_cannot_be_read_meanwhile_is_not_taken_for_the_output(write, tmp_path: Path):
    fault = r"gone\.txt: no such file or directory; \S*out\.txt was not changed"
    with pytest.raises(UserError, match=fault), write(tmp_path / "out.txt"):
        (tmp_path / "gone.txt").read_text()
    assert not list(tmp_path.iterdir())


def test_writers_at_once_each_come_whole_or_are_refused(tmp_path: Path):
    refused, written = [], []

    def write(writer: int) -> None:
        for number in range(40):
            try:
                with written_together(tmp_path / "a") as part:
                    for name in ("a", "b"):
                        write_text(part / name, f"{writer} {number}")
                write_text(tmp_path / "c", "c")
                written.append((writer, number))
            except UserError as fault:
                refused.append(str(fault))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert written and all("another process is writing it" in fault for fault in refused)
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize("kill_at", range(9))
def test_files_that_belong_together_are_all_old_or_all_new_wherever_their_writer_is_killed(
    kill_at: int, tmp_path: Path
):
    for name in ("a.jsonl", "b.json", "gone.txt"):
        write_text(tmp_path / name, '"old"\n')
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from mlx_cc.files import ABSENT, write_text, written_together
        steps = 0
        def step(event, arguments):  # every change of the disk
            global steps
            if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
                steps += 1
                if steps > int(sys.argv[2]):
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(step)
        with written_together(Path(sys.argv[1]) / "a.jsonl") as part:
            for name in ("a.jsonl", "b.json"):
                write_text(part / name, '"new"\\n')
            write_text(part / ("gone.txt" + ABSENT), "")
    """
    killed = run_python("-c", code, tmp_path, kill_at).returncode
    assert killed == -signal.SIGKILL
    (_, line), value = next(lines(tmp_path / "a.jsonl")), read_json(tmp_path / "b.json")
    assert json.loads(line) == value == ("old" if (tmp_path / "gone.txt").exists() else "new")
    assert run_python("-c", code, tmp_path, 100).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.json"]
    assert read_json(tmp_path / "b.json") == "new"
