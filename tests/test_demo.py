"""The demo runs the commands in order, stops at one that fails, and shows a chain whether it was kept or not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mlx_cc
from mlx_cc import demo, reasoning
from mlx_cc.conversation import Conversation, Turn
from mlx_cc.demo.demo_page import _chains
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations
from mlx_cc.pipeline import Step

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a demo of `generate` and `train` that end with these exit statuses; gives the steps that were run."""
    monkeypatch.setattr(
        demo, "demo_steps", lambda _: [Step((name,), tmp_path / name, str) for name in ("generate", "train")]
    )
    monkeypatch.setattr(demo, "_page", lambda folder, done: folder)

    def run(generate: int = 3, train: int = 0) -> list[str]:
        names: list[str] = []

        def started(_: str, name: str, **streams: Any) -> subprocess.Popen[bytes]:
            names.append(name)
            (tmp_path / name).touch()
            status = {"generate": generate, "train": train}[name]
            return subprocess.Popen([sys.executable, "-c", f"raise SystemExit({status})"], **streams)

        monkeypatch.setattr(demo, "start", started)
        demo.run_demo(tmp_path / "demo")
        return names

    return run


def test_a_teacher_of_which_nothing_is_kept_does_not_stop_the_demo_and_any_other_failure_does(ran):
    for statuses in ((2, 0), (3, 3)):
        with pytest.raises(UserError, match="failed"):
            ran(*statuses)
    assert ran(3, 0) == ["train"]


def test_a_step_is_done_again_when_the_code_has_changed(ran, tmp_path, monkeypatch):
    copy = tmp_path / "mlx_cc"
    shutil.copytree(Path(mlx_cc.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(mlx_cc, "__file__", str(copy / "__init__.py"))
    assert (ran(), ran()) == (["generate", "train"], [])
    (copy / "splits.py").open("a").write("SEED = 1\n")
    assert ran() == ["generate", "train"]


@pytest.mark.parametrize("activated", [True, False])
def test_the_demo_names_a_program_that_starts(monkeypatch, tmp_path, activated):
    folder = Path(sys.executable).parent if activated else tmp_path
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep if activated else None)
    run = subprocess.run([*demo.program().split(), "--version"], capture_output=True, text=True, timeout=60)
    assert mlx_cc.__version__ in run.stdout, run.stderr


def test_the_page_shows_a_chain_that_was_kept_or_one_that_was_not_with_the_reasons(tmp_path: Path):
    bare = Conversation(id="a", turns=(Turn(role="customer", text="Hello"),))
    rejected = {"conversation_id": "a", "reasons": [f"loops: {HOSTILE}"], "text": HOSTILE}
    (tmp_path / "train_reasoning_rejects.jsonl").write_text(json.dumps(rejected) + "\n")
    write_conversations(tmp_path / "train_reasoning.jsonl", [bare])
    shown = _chains({"kept": 0, "rejected": 1}, demo._chain(tmp_path / "train_reasoning.jsonl"))
    assert "wrote 1 chains" in shown and ", rejected" in shown and HOSTILE not in shown and "&lt;script&gt;" in shown
    text = "<thinking>\na\n</thinking>\n\n<analysis>\nb\n</analysis>\n\n<insights>\nc\n</insights>"
    kept = Conversation(id="k", turns=bare.turns, reasoning=reasoning.parse(text, "m"))
    write_conversations(tmp_path / "train_reasoning.jsonl", [bare, kept])
    chain = demo._chain(tmp_path / "train_reasoning.jsonl")
    assert (chain["conversation_id"], chain["text"], chain["reasons"]) == ("k", text, [])
    assert "The chain of k, kept" in _chains({"kept": 1, "rejected": 0}, chain)
