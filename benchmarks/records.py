"""Speed and memory of reading, validating and writing conversation records.

python -m benchmarks.records --conversations 200000
"""

import filecmp
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import click

from mlx_cc.conversation import Conversation, Label, Turn
from mlx_cc.files import read_conversations, write_conversations

TEXTS = (
    "I was charged twice for the same order and nobody has called me back.",
    "Let me look at that with you. May I have the order number, please?",
)


class RecordSpeed(NamedTuple):
    """Speed and memory of streaming records."""

    conversations: int
    turns: int
    bytes_each: float
    conversations_per_s: float
    memory_first_tenth_mb: float
    """Peak resident memory after a tenth of the records."""
    memory_mb: float
    """Peak resident memory at the end."""


def records(count: int, turns: int = 20) -> Iterator[Conversation]:
    """Conversations with everything that a record usually holds."""
    start = datetime(2025, 3, 1, 12, tzinfo=UTC)
    for number in range(count):
        yield Conversation(
            id=f"contact-{number:07d}",
            channel="voice",
            language="en",
            customer_id=f"customer-{number % 9973:05d}",
            agents=(f"agent_{number % 1007:04d}",),
            queue="billing",
            started_at=start + timedelta(minutes=number % 500_000),
            timezone="America/Chicago",
            queue_wait_s=float(number % 900),
            turns=tuple(
                Turn(role="agent" if i % 2 else "customer", text=TEXTS[i % 2], start_s=i * 6.0, end_s=i * 6.0 + 5.5)
                for i in range(turns)
            ),
            labels={"quality": Label(value={"score": 80}, source="simulated"), "csat": Label(value=4, source="survey")},
        )


def record_speed(count: int, turns: int = 20) -> RecordSpeed:
    """Write records, then time reading, validating and writing them back, on one core."""
    with tempfile.TemporaryDirectory() as folder:
        source, copy = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        write_conversations(source, records(count, turns))
        early = 0.0

        def watched() -> Iterator[Conversation]:
            nonlocal early
            for number, conversation in enumerate(read_conversations(source)):
                if number == count // 10:
                    early = _peak_mb()
                yield conversation

        started = time.perf_counter()
        write_conversations(copy, watched())
        seconds = time.perf_counter() - started
        size = source.stat().st_size / count
        peak = _peak_mb()
        if not filecmp.cmp(source, copy, shallow=False):
            raise AssertionError("what was written back differs from what was read")
    return RecordSpeed(count, turns, size, count / seconds, early, peak)


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


@click.command()
@click.option("--conversations", type=click.IntRange(min=10), default=200_000, show_default=True)
@click.option("--turns", type=click.IntRange(min=1), default=20, show_default=True)
def main(conversations: int, turns: int) -> None:
    """Read, validate and write back conversation records."""
    print(json.dumps(record_speed(conversations, turns)._asdict()))


if __name__ == "__main__":
    main()
