"""Recall and precision of redaction, per type, on two labelled sets; false hits on conversations of your own.

python -m benchmarks.redaction                         # both sets
python -m benchmarks.redaction --json                  # the same as JSON
python -m benchmarks.redaction --text calls.jsonl # placeholders per 1,000 turns of a file, and 30 of them
"""

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from mlx_cc.conversation import Conversation
from mlx_cc.files import read_conversations
from mlx_cc.redact import Redactor
from tests.redaction_sets import SETS, Labelled, conversations

PLACEHOLDER = re.compile(r"\[([A-Z_]+?)(?:_\d+)?\]")
ROUNDS = {"tuning": 3, "heldout": 3}


def replaced(before: str, after: str) -> list[tuple[int, int, str]]:
    """Start, end and type of what a placeholder replaced in a text that had none."""
    parts, kinds = re.split(r"\[[A-Z_]+?(?:_\d+)?\]", after), PLACEHOLDER.findall(after)
    match = re.fullmatch("(.+?)".join(map(re.escape, parts)), before, re.S)
    if match is None:
        raise ValueError("a text was changed in other places than its placeholders")
    return [(*match.span(place + 1), kind) for place, kind in enumerate(kinds)]


def measure(rows: Sequence[Labelled]) -> dict[str, Any]:
    """Recall and precision per type, for written and spoken rows and both; and how many hard negatives were hit.

    A value counts as found when placeholders, of whatever type, cover all letters and digits of it
    (90 % of a name or an address). A placeholder counts as right when it overlaps a value of its type.
    """
    tally: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    negatives: dict[str, Counter[str]] = defaultdict(Counter)
    misses: list[str] = []
    for row in rows:
        clean = Redactor().redact(row.conversation, row.names)
        style = "spoken" if row.spoken else "written"
        pairs = list(zip(row.conversation.turns, clean.turns, strict=True))
        hidden = [replaced(before.text, after.text) for before, after in pairs]
        for entity in row.entities:
            inside = covered = 0
            for turn, start, end in entity.pieces:
                places = [at for at in range(start, end) if row.conversation.turns[turn].text[at].isalnum()]
                inside += len(places)
                covered += sum(any(since <= at < upto for since, upto, _ in hidden[turn]) for at in places)
            if not entity.sensitive:
                negatives[style]["n"] += 1
                negatives[style]["hit"] += covered > 0
                if covered:
                    misses.append(f"HIT {entity.kind} {_show(row, clean)}")
                continue
            need = 0.9 if entity.kind.startswith(("NAME", "ADDRESS")) else 1.0
            hit = covered >= need * inside
            tally[entity.kind][style]["n"] += 1
            tally[entity.kind][style]["found"] += hit
            if not hit:
                misses.append(f"MISSED {entity.kind} {_show(row, clean)}")
        for turn, places in enumerate(hidden):
            for since, upto, kind in places:
                right = any(
                    entity.kind.split()[0] == kind and piece.turn == turn and piece.start < upto and since < piece.end
                    for entity in row.entities
                    for piece in entity.pieces
                )
                tally[kind][style]["placeholders"] += 1
                tally[kind][style]["right"] += right
                if not right:
                    misses.append(f"WRONG {kind} {_show(row, clean)}")
    return {"conversations": len(rows), "types": tally, "negatives": negatives, "misses": misses}


def _show(row: Labelled, clean: Conversation) -> str:
    pairs = zip(row.conversation.turns, clean.turns, strict=True)
    return " | ".join(f"{a.text} => {b.text}" if a != b else a.text for a, b in pairs)


def share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def table(measured: dict[str, Any]) -> str:
    """Rows of a Markdown table: type, n, recall (all, written, spoken), placeholders, precision."""
    lines = ["| type | n | recall | written | spoken | placeholders | precision |", "|---|---|---|---|---|---|---|"]
    for kind, styles in sorted(measured["types"].items()):
        total = sum(styles.values(), Counter())
        each = [share(styles[style]["found"], styles[style]["n"]) for style in ("written", "spoken")]
        recall = share(total["found"], total["n"])
        right = share(total["right"], total["placeholders"])
        lines.append(
            f"| {kind} | {total['n']} | {recall} | {each[0]} | {each[1]} | {total['placeholders']} | {right} |"
        )
    total = sum((sum(styles.values(), Counter()) for styles in measured["types"].values()), Counter())
    recall, right = share(total["found"], total["n"]), share(total["right"], total["placeholders"])
    lines.append(f"| all | {total['n']} | {recall} | | | {total['placeholders']} | {right} |")
    for style, counts in sorted(measured["negatives"].items()):
        lines.append(
            f"\nhard negatives, {style}: {counts['hit']} of {counts['n']} hit ({counts['hit'] / counts['n']:.2%})"
        )
    return "\n".join(lines)


def on_text(rows: Iterable[Conversation], shown: int) -> str:
    """Placeholders per 1,000 turns by type, and some of them with what stood there."""
    redactor, turns, hits = Redactor(), 0, []
    for conversation in rows:
        clean = redactor.redact(conversation)
        turns += len(clean.turns)
        for before, after in zip(conversation.turns, clean.turns, strict=True):
            if before.text != after.text:
                hits += [(kind, before.text[a:b], before.text) for a, b, kind in replaced(before.text, after.text)]
    lines = [f"{turns} turns, {len(hits)} placeholders, {1000 * len(hits) / max(1, turns):.1f} per 1,000"]
    lines += [f"  {kind}: {1000 * count / turns:.2f}" for kind, count in Counter(hit[0] for hit in hits).most_common()]
    for kind, value, text in Random(0).sample(hits, min(shown, len(hits))):
        lines.append(f"[{kind}] {value!r} in {text!r}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--set", choices=sorted(SETS), help="only this set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--misses", action="store_true", help="print what went wrong; of the tuning set alone")
    parser.add_argument("--text", type=Path, help="conversations of yours instead of the sets")
    parser.add_argument("--show", type=int, default=30)
    given = parser.parse_args()
    if given.text:
        print(on_text(read_conversations(given.text), given.show))
        return
    if given.misses:
        print("\n".join(measure(conversations("tuning", ROUNDS["tuning"], given.seed))["misses"]))
        return
    results = {
        name: measure(conversations(name, ROUNDS[name], given.seed)) for name in SETS if given.set in (None, name)
    }
    for result in results.values():
        del result["misses"]
    if given.json:
        print(json.dumps(results, indent=1))
    else:
        for name, result in results.items():
            print(f"\n{name}: {result['conversations']} conversations, seed {given.seed}\n\n{table(result)}")


if __name__ == "__main__":
    main()
