"""How fast the data layer is: the commands themselves on simulated exports, each in processes of its own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from msgspec import Struct

from mlx_cc.conversation import Conversation, Turn, replace
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations
from mlx_cc.simulate import Parameters, World, simulate

DIFFERENT = 2000
"""Simulated conversations, which are repeated with new ids."""
PERSONAL = (
    ("agent", "Before I look into it, may I have your full name and the number we can reach you on?"),
    ("customer", "My name is Dana Whitlock, and it's 312 555 0184."),
    ("agent", "Thank you. And the card you paid with?"),
    ("customer", "4111 1111 1111 1111, and the mail is dana.whitlock@example.com."),
)
"""Said at the start of every tenth conversation."""


class IngestSpeed(Struct):
    """What one `mlx_cc ingest` took, its start included."""

    conversations: int
    turns_each: float
    bytes_each: float
    workers: int
    redacted: bool
    seconds: float
    conversations_per_s: float
    memory_mb: float
    """Peak resident memory of the largest of its processes."""


class StageSpeed(Struct):
    """What one command of the data layer took, its start included."""

    stage: str
    conversations: int
    seconds: float
    conversations_per_s: float
    memory_mb: float
    """Peak resident memory of the largest of its processes."""


def exports(count: int, turns: int) -> Iterator[Conversation]:
    """Simulated conversations of about so many turns; every tenth holds personal data."""
    world = World(Parameters(conversations=min(count, DIFFERENT), agents=200, turns=turns, seed=0))
    different = list(simulate(world))
    personal = tuple(Turn(role=role, text=text) for role, text in PERSONAL)  # type: ignore[arg-type]
    for number, conversation in enumerate(islice(cycle(different), count)):
        said = personal + conversation.turns if number % 10 == 0 else conversation.turns
        yield replace(conversation, id=f"contact-{number:07d}", turns=said)


def ingest_speed(count: int, turns: int, workers: int, redact: bool) -> IngestSpeed:
    """Time `mlx_cc ingest` on JSON lines of simulated conversations.

    Raises:
        UserError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        said = 0

        def counted() -> Iterator[Conversation]:
            nonlocal said
            for conversation in exports(count, turns):
                said += len(conversation.turns)
                yield conversation

        write_conversations(source, counted())
        command = ["ingest", str(source), "--out", str(out), "--workers", str(workers)]
        if not redact:
            command += ["--no-redact", "--keep-personal-data"]
        seconds, peak = _run(command)
        size = source.stat().st_size / count
    return IngestSpeed(count, said / count, size, workers, redact, seconds, count / seconds, peak)


def stage_speed(count: int, turns: int) -> list[StageSpeed]:
    """Time `mlx_cc prepare` on simulated records, which it redacts, then `mlx_cc temporal` and `fingerprint` on those.

    Raises:
        UserError: a command failed.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        source, data = Path(folder) / "in.jsonl", Path(folder) / "data"
        write_conversations(source, exports(count, turns))
        train = data / "train_temporal.jsonl"
        for command in (
            ["prepare", str(source), "--output-dir", str(data)],
            ["temporal", "--input", str(data), "--output", str(data)],
            ["fingerprint", "--input", str(train), "--output-dir", str(data / "agent_profiles")],
        ):
            seconds, peak = _run(command)
            found.append(StageSpeed(command[0], count, seconds, count / seconds, peak))
            source.unlink(missing_ok=True)
    return found


def _run(arguments: list[str]) -> tuple[float, float]:
    """Seconds that a command of mlx_cc takes, and peak memory (MB) of the largest of its processes.

    Raises:
        UserError: it failed.
    """
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        run = subprocess.Popen(
            [sys.executable, "-m", "mlx_cc", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, "NO_COLOR": "1"},
        )
        _, status, usage = os.wait4(run.pid, 0)
        seconds = time.perf_counter() - started
        run.returncode = os.waitstatus_to_exitcode(status)
        if run.returncode:
            said.seek(0)
            fault = said.read().decode(errors="replace").strip()[-300:]
            raise UserError(f"mlx_cc {arguments[0]} ended with status {run.returncode}: {fault}")
    return seconds, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
