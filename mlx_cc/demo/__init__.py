"""The demo: the pipeline's commands on the sample data, and a page about what happened.

A step is skipped when nothing that it depends on has changed since it last ended well: its command, the sample data,
the settings, the steps before it, the code and the versions of MLX.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx_cc
from mlx_cc import reasoning
from mlx_cc.children import start
from mlx_cc.errors import UserError
from mlx_cc.files import lines, read_conversations, read_json, write_json
from mlx_cc.folders import DataFolder, RunFolder
from mlx_cc.generate.join import REJECTS, REPORT
from mlx_cc.generate.journal import beside
from mlx_cc.pipeline import Step, pick_one, step, steps
from mlx_cc.terminal import console

SAMPLE = Path("data/sample")
CONFIG = Path("configs/smollm2_135m_cpu.yaml")
NO_CHAIN_KEPT = 3
"""Exit status of `generate` when no chain passes the checks, as is usual for so small a teacher."""


def demo_steps(folder: Path) -> list[Step]:
    """The pipeline, with a few reasoning chains before the training."""
    data = DataFolder(folder / "data")
    chains = step(
        *("generate", "--input", data.temporal("train"), "--output", data.reasoning("train")),
        *("--model", "smollm2-135m", "--limit", "2", "--batch-size", "2", "--retries", "0"),
        *("--point-characters", "24"),
        makes=beside(data.reasoning("train"), REPORT),
        call=lambda: None,
    )
    path = steps(SAMPLE, folder, CONFIG, "demo")
    at = [one.name for one in path].index("train")
    return [*path[:at], chains, *path[at:]]


def run_demo(folder: Path, fresh: bool = False) -> Path:
    """Run the steps that are not done yet, each in a process of its own; returns the page.

    Raises:
        UserError: the sample data is not here, or a step failed.
    """
    if not (SAMPLE / "transcripts").is_dir() or not CONFIG.exists():
        raise UserError(f"no {SAMPLE} here. Run the demo from the repository's top folder.")
    out = console(stderr=True)
    folder.mkdir(parents=True, exist_ok=True)
    diary = folder / "steps.json"
    done: dict[str, Any] = {} if fresh or not diary.exists() else read_json(diary)
    key = _hash(code_version(), *(p.read_bytes() for p in sorted(SAMPLE.rglob("*.*")) if p.is_file()))
    for one in demo_steps(folder):
        line = shlex.join(one.command)
        key = _hash(key.encode(), line.encode(), CONFIG.read_bytes() if one.name == "train" else b"")
        if done.get(one.name, {}).get("key") == key and one.made.exists():
            out.print(f"already done  {program()} {line}", style="green", soft_wrap=True)
            continue
        out.print(f"\n$ {program()} {line}", style="bold", soft_wrap=True)
        started = time.perf_counter()
        _run(one, folder)
        done[one.name] = {"key": key, "seconds": time.perf_counter() - started}
        write_json(diary, done)
    return _page(folder, done)


def _run(step: Step, folder: Path) -> None:
    analyzes = step.name == "analyze"
    if analyzes:
        pick_one(DataFolder(folder / "data"), Path(step.command[1]))
    child = start("mlx_cc", *step.command, stdout=subprocess.PIPE if analyzes else None)
    out, _ = child.communicate()
    if child.returncode and (step.name, child.returncode) != ("generate", NO_CHAIN_KEPT):
        raise UserError(f"the step `{step.name}` failed (exit {child.returncode}); its own message is above.")
    if analyzes:
        write_json(step.made, json.loads(out))


def program() -> str:
    """What starts mlx_cc in this shell: its name where that finds this installation, else its path."""
    own = Path(sys.executable).with_name("mlx_cc")
    if (found := shutil.which("mlx_cc")) and Path(found).resolve() == own.resolve():
        return "mlx_cc"
    return os.path.relpath(own) if own.exists() else f"{os.path.relpath(sys.executable)} -m mlx_cc"


def code_version() -> bytes:
    """What the steps' results depend on besides their input: the code, and the versions of MLX."""
    package = Path(mlx_cc.__file__).parent
    code = sorted(path for kind in ("py", "yaml", "js", "css", "html") for path in package.rglob(f"*.{kind}"))
    return _hash(*(path.read_bytes() for path in code), version("mlx").encode(), version("mlx-lm").encode()).encode()


def _hash(*parts: bytes) -> str:
    return blake2b(b"\0".join(parts), digest_size=12).hexdigest()


def _chain(chains: Path) -> dict[str, Any]:
    """A chain that was kept or, where none was, the first that was not, with the reasons."""
    for conversation in read_conversations(chains):
        if conversation.reasoning:
            text = reasoning.text_of(conversation.reasoning)
            return {"conversation_id": conversation.id, "text": text, "reasons": []}
    return next(json.loads(line) for _, line in lines(beside(chains, REJECTS)))


def _page(folder: Path, done: dict[str, Any]) -> Path:
    from mlx_cc.demo.demo_page import write_demo_page

    made = {one.name: one.made for one in demo_steps(folder)}
    data, run = DataFolder(folder / "data"), RunFolder(made["train"].parent)
    profiles, clusters = read_json(data.agents.profiles), read_json(data.agents.clusters)
    group = {agent: name for name, found in clusters["groups"].items() for agent in found["agents"]}
    agents = sorted(profiles.values(), key=lambda p: -(p["metrics"]["quality"]["value"] or -1))
    page = folder / "index.html"
    write_demo_page(
        page,
        {
            "steps": [
                {"name": one.name, "command": f"{program()} {shlex.join(one.command)}", **done[one.name]}
                for one in demo_steps(folder)
            ],
            "statistics": read_json(made["prepare"]),
            "chains": read_json(made["generate"]),
            "chain": _chain(data.reasoning("train")),
            "training": read_json(made["train"]),
            "loss_png": run.loss,
            "evaluation": read_json(made["evaluate"]),
            "dashboard": made["dashboard"].name,
            "agents": [{**row, "group": group.get(row["agent_id"])} for row in agents],
            "conversation": next(read_conversations(folder / "one.jsonl")),
            "analysis": read_json(made["analyze"]),
            "machine": "SmolLM2-135M, tuned on a CPU or GPU at hand",
        },
    )
    return page
