"""What comes from outside can't steer a terminal; progress is shown on a terminal alone."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import run_python

from mlx_cc.terminal import printable

ESC, BEL, CSI, OVERRIDE = "\x1b", "\x07", "\x9b", "\u202e"
EVIL = f"{ESC}]52;c;cHduZWQ={BEL}{CSI}2J{OVERRIDE}[red]x"


def mlx_cc(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "mlx_cc", *arguments, cwd=cwd)


def record(name: str, **more: object) -> str:
    return json.dumps({"id": name, "turns": [{"role": "agent", "text": f"Hello {EVIL}"}], **more}) + "\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", "twice.jsonl", "columns.csv"),
        ("ingest", "twice.jsonl", "columns.csv", "--json"),
        ("ingest", f"{EVIL}.jsonl"),
        ("table", "--input", "flagged.jsonl"),
        ("table", "--input", "flagged.jsonl", "--json"),
        ("fingerprint", "--input", "flagged.jsonl", "--output-dir", "profiles"),
        ("prepare", "flagged.jsonl", "--issues", "auto"),
        ("temporal", "--input", "broken.jsonl", "--output", "out.jsonl"),
        (f"{EVIL}",),
    ],
    ids=lambda arguments: " ".join(map(printable, arguments)),
)
def test_nothing_a_command_prints_obeys_what_a_file_says(arguments, tmp_path: Path):
    labels = {"issue": {"value": EVIL.replace(",", ""), "source": "human_qa"}}
    agent = {"agents": [f"agent {EVIL}"], "flags": [f"flag {EVIL}"], "labels": labels}
    flagged = "".join(record(f"{n} {EVIL}", **agent) for n in range(20))
    (tmp_path / "flagged.jsonl").write_text(flagged)
    (tmp_path / "twice.jsonl").write_text(2 * record(f"call {EVIL}", **agent) + '{"other ' + EVIL + '": 1}\n')
    (tmp_path / "columns.csv").write_text(f"id,speaker,text,{EVIL}\nc1,agent,Hello,1\nc1,{EVIL},Bye,2\n")
    (tmp_path / "broken.jsonl").write_text(json.dumps({"id": "1", "turns": [], EVIL: 1}) + "\n")
    run = mlx_cc(*arguments, cwd=tmp_path)
    printed = run.stdout + run.stderr
    assert printed and "Traceback" not in printed
    assert [c for c in printed if c in (ESC, BEL, CSI, OVERRIDE, "\r")] == []
    if "--json" in arguments:
        json.loads(run.stdout)


def test_text_of_all_languages_stays_as_it_is():
    text = "Grüße, 你好, שלום \u200f, می\u200cخواهم, 👩\u200d👩\u200d👧\n\tnext line"
    assert printable(text) == text


def test_progress_is_shown_on_a_terminal_and_what_is_piped_stays_apart(tmp_path: Path):
    """Also where rich takes over stdout while it draws: what is printed meanwhile must reach the pipe."""
    code = "from mlx_cc.terminal import progress\nfor n in progress(range(3), 'count[ing]'): print(n)"
    ours, theirs = pty.openpty()
    run = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        timeout=60,
    )
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    assert run.stdout == b"0\n1\n2\n" and "count[ing]" in shown and re.search(r"ETA", shown)
    run = run_python("-c", code, text=False)
    assert (run.stdout, run.stderr) == (b"0\n1\n2\n", b"")


def test_consoles_of_rich_are_made_in_one_place():
    """A console made elsewhere would print what a file says as it is."""
    package = Path(__file__).parent.parent / "mlx_cc"
    made = re.compile(
        r"^(?!if TYPE).*\n *from rich\.(console|progress) import .*\b(Console|Progress|track)\b", re.MULTILINE
    )
    assert [path.name for path in package.rglob("*.py") if made.search(path.read_text())] == ["terminal.py"]
