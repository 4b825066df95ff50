"""How fast exports come in: read, redacted, checked and written, by the command itself in its own process."""

import os
import resource
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
        command = [sys.executable, "-m", "mlx_cc", "ingest", str(source), "--out", str(out), "--workers", str(workers)]
        if not redact:
            command += ["--no-redact", "--keep-personal-data"]
        started = time.perf_counter()
        run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
        seconds = time.perf_counter() - started
        if run.returncode:
            raise UserError(f"mlx_cc ingest ended with status {run.returncode}: {run.stderr.strip()[-300:]}")
        size = source.stat().st_size / count
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return IngestSpeed(count, said / count, size, workers, redact, seconds, count / seconds, peak)
