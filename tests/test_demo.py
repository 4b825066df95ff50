"""The demo runs the commands in order, stops at one that fails, and shows a chain whether it was kept or not."""

import json
import subprocess
from pathlib import Path

import pytest

from mlx_cc import reasoning
from mlx_cc.conversation import Conversation, Turn
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations
from mlx_cc.report import demo
from mlx_cc.report.demo_page import _chains

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a demo of `generate` and `train` that end with these exit statuses; gives the commands that were run."""

    def run(generate: int, train: int) -> list[str]:
        commands: list[str] = []

        def ended(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
            commands.append(command[-1])
            return subprocess.CompletedProcess(command, {"generate": generate, "train": train}[command[-1]])

        monkeypatch.setattr(demo, "steps", lambda _: [(n, [n], tmp_path / n) for n in ("generate", "train")])
        monkeypatch.setattr(demo, "_page", lambda folder, told: folder)
        monkeypatch.setattr(demo.subprocess, "run", ended)
        demo.run_demo(tmp_path / "demo")
        return commands

    return run


def test_a_teacher_of_which_nothing_is_kept_does_not_stop_the_demo_and_any_other_failure_does(ran):
    assert ran(3, 0) == ["generate", "train"]
    for statuses in ((2, 0), (0, 3)):
        with pytest.raises(UserError, match="failed"):
            ran(*statuses)


def test_the_page_shows_a_chain_that_was_kept_or_one_that_was_not_with_the_reasons(tmp_path: Path):
    bare = Conversation(id="a", turns=(Turn(role="customer", text="Hello"),))
    rejected = {"conversation_id": "a", "reasons": [f"loops: {HOSTILE}"], "text": HOSTILE}
    (tmp_path / "train_reasoning_rejects.jsonl").write_text(json.dumps(rejected) + "\n")
    write_conversations(tmp_path / "train_reasoning.jsonl", [bare])
    shown = _chains({"kept": 0, "rejected": 1}, demo._chain(tmp_path))
    assert "wrote 1 chains" in shown and "turned down" in shown and HOSTILE not in shown and "&lt;script&gt;" in shown
    text = "<thinking>\na\n</thinking>\n\n<analysis>\nb\n</analysis>\n\n<insights>\nc\n</insights>"
    kept = Conversation(id="k", turns=bare.turns, reasoning=reasoning.parse(text, "m"))
    write_conversations(tmp_path / "train_reasoning.jsonl", [bare, kept])
    chain = demo._chain(tmp_path)
    assert (chain["conversation_id"], chain["text"], chain["reasons"]) == ("k", text, [])
    assert "The chain of k, kept" in _chains({"kept": 1, "rejected": 0}, chain)
