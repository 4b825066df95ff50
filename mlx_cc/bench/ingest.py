"""How fast the data layer is: the commands themselves on simulated exports, each in processes of its own."""

import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from msgspec import Struct

from mlx_cc.bench.command import run
from mlx_cc.conversation import Conversation, Turn, replace
from mlx_cc.files import write_conversations
from mlx_cc.folders import DataFolder
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
        seconds, peak = run(command)
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
        train = DataFolder(data).temporal("train")
        for command in (
            ["prepare", str(source), "--output-dir", str(data)],
            ["temporal", "--input", str(data), "--output", str(data)],
            ["fingerprint", "--input", str(train), "--output-dir", str(DataFolder(data).agents.path)],
        ):
            seconds, peak = run(command)
            found.append(StageSpeed(command[0], count, seconds, count / seconds, peak))
            source.unlink(missing_ok=True)
    return found
