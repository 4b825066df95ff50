"""How often the guess of who spoke is right, wrong and left open, on conversations whose roles are known.

    python -m benchmarks.roles [--misheard 0.1] conversations.jsonl [more.jsonl.gz ...]

Reads JSON lines with `turns` of {role, text}, such as a conversations file; takes the roles away, calls the
two voices A and B at random, guesses, and compares. With `--misheard` that share of the turns is given to
the other voice first, as a recogniser that mixes up speakers does.
"""

import argparse
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from mlx_cc.conversation import Role, Turn
from mlx_cc.files import lines
from mlx_cc.ingest.roles import guess_roles, look_swapped
from mlx_cc.ingest.source import from_json

OTHER: dict[str, Role] = {"agent": "customer", "customer": "agent"}


@dataclass
class Measured:
    """Counts over the conversations of a file."""

    conversations: int = 0
    turns: int = 0
    voices: int = 0
    right: Counter[float] = field(default_factory=Counter)
    """Confidence, rounded down to 0.8, 0.85, 0.9, 0.95 or 0.99 -> voices given their role."""
    wrong: Counter[float] = field(default_factory=Counter)
    """Likewise, voices given another role."""
    falsely_swapped: int = 0
    """Conversations said to be the wrong way round as they are."""
    found_swapped: int = 0
    """Conversations said to be the wrong way round with agent and customer exchanged."""
    seconds: float = 0.0

    def __str__(self) -> str:
        answered, wrong = self.right.total() + self.wrong.total(), self.wrong.total()
        bands = ", ".join(
            f"{band:g}: {self.wrong[band]} of {self.right[band] + self.wrong[band]}" for band in sorted(self.right)
        )
        return (
            f"{self.conversations} conversations, {self.voices} voices, {answered} answered "
            f"({answered / self.voices:.1%}), {wrong} wrong ({wrong / max(answered, 1):.2%} of the answers; "
            f"by confidence from {bands}); looks swapped: {self.falsely_swapped} as they are, "
            f"{self.found_swapped} when swapped; {self.seconds / self.turns * 1e6:.0f} us a turn"
        )


def measure(path: Path | str, every: int = 1, misheard: float = 0.0, seed: int = 0) -> Measured:
    """The figures of a file.

    Args:
        path: JSON lines, plain or gzipped.
        every: looks at each so many lines.
        misheard: share of the turns that the wrong voice is given.
        seed: of the voices' names and the turns misheard.
    """
    rng = random.Random(seed)
    n = Measured()
    for number, line in lines(path):
        if number % every:
            continue
        turns = [Turn(role=t["role"], text=t["text"]) for t in from_json(line)["turns"] if t["text"]]
        turns = [turn for turn in turns if turn.role in OTHER]
        names = dict(zip(OTHER, rng.sample("AB", 2), strict=True))
        heard = [OTHER[turn.role] if misheard and rng.random() < misheard else turn.role for turn in turns]
        start = perf_counter()
        guesses = guess_roles([(names[role], None) for role in heard], [turn.text for turn in turns])
        n.seconds += perf_counter() - start
        n.conversations += 1
        n.turns += len(turns)
        for role in sorted(set(heard)):
            n.voices += 1
            guess, sure = guesses.get((names[role], None), (None, 0.0))
            if guess is not None:
                band = max(band for band in (0.8, 0.85, 0.9, 0.95, 0.99) if band <= sure)
                (n.right if guess == role else n.wrong)[band] += 1
        n.falsely_swapped += look_swapped(turns)
        n.found_swapped += look_swapped([Turn(role=OTHER[turn.role], text=turn.text) for turn in turns])
    return n


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--misheard", type=float, default=0.0, help="share of the turns that the wrong voice is given")
    options = parser.parse_args()
    for path in options.paths:
        print(f"{path.name}: {measure(path, misheard=options.misheard)}")
