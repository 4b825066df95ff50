"""Speed and memory of the data layer's commands on simulated conversations; each command runs in processes of its own.

python -m benchmarks.data_layer ingest --conversations 20000
python -m benchmarks.data_layer ingest --workers 1 --no-redact
python -m benchmarks.data_layer stages --conversations 200000
"""

import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from benchmarks.command_cost import run
from mlx_cc.conversation import Conversation, Turn, replace
from mlx_cc.cores import cores
from mlx_cc.files import write_conversations
from mlx_cc.folders import DataFolder
from mlx_cc.simulate import Parameters, World, simulate

DIFFERENT = 2000
"""Simulated conversations; they are repeated with new ids."""
PERSONAL = (
    ("agent", "Before I look into it, may I have your full name and the number we can reach you on?"),
    ("customer", "My name is Dana Whitlock, and it's 312 555 0184."),
    ("agent", "Thank you. And the card you paid with?"),
    ("customer", "4111 1111 1111 1111, and the mail is dana.whitlock@example.com."),
)
"""The first turns of every tenth conversation."""


class IngestSpeed(Struct):
    """The cost of one `mlx_cc ingest`, start included."""

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
    """The cost of one command, start included."""

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
        spoken = personal + conversation.turns if number % 10 == 0 else conversation.turns
        yield replace(conversation, id=f"contact-{number:07d}", turns=spoken)


def ingest_speed(count: int, turns: int, workers: int, redact: bool) -> IngestSpeed:
    """Time `mlx_cc ingest` on JSON lines of simulated conversations.

    Raises:
        UserError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        total_turns = 0

        def counted() -> Iterator[Conversation]:
            nonlocal total_turns
            for conversation in exports(count, turns):
                total_turns += len(conversation.turns)
                yield conversation

        write_conversations(source, counted())
        command = ["ingest", str(source), "--out", str(out), "--workers", str(workers)]
        if not redact:
            command += ["--no-redact", "--keep-personal-data"]
        seconds, peak = run(command)
        size = source.stat().st_size / count
    return IngestSpeed(count, total_turns / count, size, workers, redact, seconds, count / seconds, peak)


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


@click.group()
def main() -> None:
    """Measure the commands of the data layer."""


@main.command()
@click.option("--conversations", type=click.IntRange(min=10), default=20_000, show_default=True)
@click.option("--turns", type=click.IntRange(min=4), default=20, show_default=True, help="Approximate turns in each.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
@click.option("--no-redact", is_flag=True, help="Leave personal data in, to see what redaction costs.")
def ingest(conversations: int, turns: int, workers: int | None, no_redact: bool) -> None:
    """Run `mlx_cc ingest`: read, redact, check and write."""
    print(msgspec.json.encode(ingest_speed(conversations, turns, workers or cores(), not no_redact)).decode())


@main.command()
@click.option("--conversations", type=click.IntRange(min=100), default=20_000, show_default=True)
@click.option("--turns", type=click.IntRange(min=4), default=20, show_default=True, help="Approximate turns in each.")
def stages(conversations: int, turns: int) -> None:
    """Run `mlx_cc prepare`, `temporal` and `fingerprint`."""
    for stage in stage_speed(conversations, turns):
        print(msgspec.json.encode(stage).decode())


if __name__ == "__main__":
    main()
