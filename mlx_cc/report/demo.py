"""The demo: every command of the pipeline on the sample data, and a page about what happened.

A step is skipped when nothing it depends on has changed since it last ended well.
"""

import json
import subprocess
import sys
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mlx_cc import reasoning
from mlx_cc.errors import UserError
from mlx_cc.files import lines, read_conversations, read_json, write_json

SAMPLE = Path("data/sample")
CONFIG = Path("configs/smollm2_135m_cpu.yaml")
DASHBOARD = "dashboard.html"
RUN, FUSED = Path("adapters/demo"), Path("models/demo")
CHAINS = "train_reasoning"
NONE_KEPT = 3
"""How `generate` ends when no chain holds up, as those of so small a teacher seldom do."""


def steps(folder: Path) -> list[tuple[str, list[str], Path]]:
    """Name, arguments and the file that proves it done, of every step."""
    data = folder / "data"
    return [
        ("prepare", ["prepare", "--transcripts-dir", f"{SAMPLE}/transcripts", "--analyses-dir", f"{SAMPLE}/analyses",
                     "--output-dir", str(data), "--tokenizer", "smollm2-135m"], data / "statistics.json"),
        ("temporal", ["temporal", "--input", str(data), "--output", str(data)], data / "train_temporal.jsonl"),
        ("fingerprint", ["fingerprint", "--input", f"{data}/train_temporal.jsonl",
                         "--output-dir", f"{data}/agent_profiles"], data / "agent_profiles/agent_profiles.json"),
        ("generate", ["generate", "--input", f"{data}/train_temporal.jsonl", "--output", f"{data}/{CHAINS}.jsonl",
                      "--model", "smollm2-135m", "--limit", "2", "--batch-size", "2", "--retries", "0",
                      "--point-characters", "24"], data / f"{CHAINS}_report.json"),
        ("train", ["train", "--config", str(CONFIG), "--dir", str(data), "--output-dir", str(FUSED)],
         RUN / "report.json"),
        ("evaluate", ["evaluate", "--model", str(RUN)], RUN / "evaluation/report.json"),
        ("fuse", ["fuse", str(RUN), "--output", str(FUSED), "--rows", "1", "--overwrite"], FUSED / "config.json"),
        ("analyze", ["analyze", str(folder / "conversation.jsonl"), "--model", str(FUSED), "--json"],
         folder / "analysis.json"),
        ("dashboard", ["dashboard", "--input", f"{data}/conversations.jsonl", "--profiles", f"{data}/agent_profiles",
                       "--title", "The sample centre", "--output", str(folder / DASHBOARD)], folder / DASHBOARD),
    ]  # fmt: skip


def run_demo(folder: Path, fresh: bool = False) -> Path:
    """Run what has to be run; returns the page.

    Raises:
        UserError: the sample data is not here, or a step failed.
    """
    if not (SAMPLE / "transcripts").is_dir() or not CONFIG.exists():
        raise UserError(f"no {SAMPLE} here. Run the demo from the repository's top folder.")
    folder.mkdir(parents=True, exist_ok=True)
    diary = folder / "steps.json"
    done: dict[str, Any] = {} if fresh or not diary.exists() else read_json(diary)
    key = _hash(*(p.read_bytes() for p in sorted(SAMPLE.rglob("*.*")) if p.is_file()))
    told = []
    for name, arguments, proof in steps(folder):
        settings = CONFIG.read_bytes() if name == "train" else b""
        key = _hash(key.encode(), " ".join(arguments).encode(), settings)
        command = "mlx_cc " + " ".join(arguments)
        if done.get(name, {}).get("key") == key and proof.exists():
            print(f"already done  {command}", file=sys.stderr)
            told.append({"name": name, "command": command, "seconds": done[name]["seconds"]})
            continue
        if name == "analyze":
            _pick(folder)
        print(f"\n$ {command}", file=sys.stderr)
        started = time.perf_counter()
        keep = subprocess.PIPE if name == "analyze" else None
        result = subprocess.run([sys.executable, "-m", "mlx_cc", *arguments], stdout=keep)
        if result.returncode and (name, result.returncode) != ("generate", NONE_KEPT):
            raise UserError(f"the step `{command}` failed (exit {result.returncode}); its own message is above.")
        if name == "analyze":
            write_json(proof, json.loads(result.stdout))
        seconds = time.perf_counter() - started
        done[name] = {"key": key, "seconds": seconds}
        write_json(diary, done)
        told.append({"name": name, "command": command, "seconds": seconds})
    return _page(folder, told)


def _hash(*parts: bytes) -> str:
    return blake2b(b"\0".join(parts), digest_size=12).hexdigest()


def _pick(folder: Path) -> None:
    """One held-out conversation of ordinary length, the first by id."""
    from mlx_cc.files import write_conversations

    held_out = sorted(read_conversations(folder / "data/test_temporal.jsonl"), key=lambda c: c.id)
    chosen = next((c for c in held_out if 8 <= len(c.turns) <= 14), held_out[0])
    write_conversations(folder / "conversation.jsonl", [chosen])


def _chain(data: Path) -> dict[str, Any]:
    """A chain that was kept or, where none was, the first that was not, with the reasons."""
    for conversation in read_conversations(data / f"{CHAINS}.jsonl"):
        if conversation.reasoning:
            text = reasoning.text_of(conversation.reasoning)
            return {"conversation_id": conversation.id, "text": text, "reasons": []}
    return next(json.loads(line) for _, line in lines(data / f"{CHAINS}_rejects.jsonl"))


def _page(folder: Path, told: list[dict[str, Any]]) -> Path:
    from mlx_cc.report.demo_page import write_demo_page

    data = folder / "data"
    profiles = read_json(data / "agent_profiles/agent_profiles.json")
    clusters = read_json(data / "agent_profiles/agent_clusters.json")
    group = {agent: name for name, found in clusters["groups"].items() for agent in found["agents"]}
    rows = sorted(profiles.values(), key=lambda p: -(p["metrics"]["quality"]["value"] or -1))
    page = folder / "index.html"
    write_demo_page(
        page,
        {
            "steps": told,
            "statistics": read_json(data / "statistics.json"),
            "chains": read_json(data / f"{CHAINS}_report.json"),
            "chain": _chain(data),
            "training": read_json(RUN / "report.json"),
            "loss_png": RUN / "loss.png",
            "evaluation": read_json(RUN / "evaluation/report.json"),
            "dashboard": DASHBOARD,
            "agents": [{**row, "group": group.get(row["agent_id"])} for row in rows],
            "conversation": next(read_conversations(folder / "conversation.jsonl")),
            "analysis": read_json(folder / "analysis.json"),
            "machine": "SmolLM2-135M, tuned on a CPU or GPU at hand",
        },
    )
    return page
