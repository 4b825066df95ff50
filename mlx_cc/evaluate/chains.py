"""The effect of a reasoning chain: a model's answers without one, with one after them, and with one before them.

none     the answers as usual
after    the same answers, then a chain that explains them
first    a chain written before any answer, then answers read with the chain after the transcript
"""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mlx_cc import reasoning
from mlx_cc.analyst import BATCH, Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.evaluate.compare import compare, overall
from mlx_cc.evaluate.predict import Predictions, digest, fingerprint, opened_journal, predictions
from mlx_cc.metrics import wilson
from mlx_cc.prompt import build_tree
from mlx_cc.tasks import Task
from mlx_cc.terminal import progress

MODES = ("none", "after", "first")


class Chain(NamedTuple):
    """A chain as written, whole or cut off, and how long it took."""

    text: str
    seconds: float


def measure(
    analyst: Analyst,
    conversations: Sequence[Conversation],
    tasks: Sequence[Task],
    answered: tuple[Predictions, float],
    modes: Sequence[str],
    folder: Path,
    train: Sequence[Conversation] = (),
) -> dict[str, Any]:
    """Compare the modes on the same conversations; `none` is always one of them.

    Args:
        answered: the answers without a chain, and seconds per conversation.
        folder: keeps chains and answers.
        train: the train split, for measures that need its labels.

    Returns:
        {"conversations", "modes": {mode -> {"seconds_per_conversation", "chains": {"n", "sound" (that pass
        `holds_up`), "low", "high" (95% interval of their share)}}}, "tasks", "overall"}. The last two are those of
        `compare`; a difference is `none` minus the mode.
    """
    read = [task.name for task in tasks if task.answers]
    bare, seconds = answered
    answers: dict[str, Predictions] = {}
    by_mode: dict[str, Any] = {"none": {"seconds_per_conversation": seconds}}
    if "after" in modes:
        values = [{name: bare[c.id][name].value for name in read} for c in conversations]
        chains = write(analyst, conversations, values, folder)
        answers["after"] = bare
        by_mode["after"] = _figures(seconds, chains, conversations)
    if "first" in modes:
        chains = write(analyst, conversations, [{}] * len(conversations), folder)
        notes = {name: chain.text for name, chain in chains.items()}
        answers["first"], more = predictions(analyst, conversations, read, folder, notes=notes)
        by_mode["first"] = _figures(more, chains, conversations)
    answers["none"] = bare
    kept = {
        mode: {c.id: {name: by_id[c.id][name] for name in read} for c in conversations}
        for mode, by_id in answers.items()
    }
    return {
        "conversations": len(conversations),
        "modes": by_mode,
        "tasks": compare(conversations, tasks, kept, train),
        "overall": overall(conversations, kept),
    }


def write(
    analyst: Analyst,
    conversations: Sequence[Conversation],
    values: Sequence[Mapping[str, Any]],
    folder: Path,
) -> dict[str, Chain]:
    """Conversation id -> chain; a chain that the journal has for the same model and prompt is not written again.

    Args:
        values: for each conversation, the answers to explain (task name -> value); empty for a chain before them.
    """
    model = fingerprint(analyst)

    def hash_of(conversation: Conversation, explained: Mapping[str, Any]) -> str:
        question = (reasoning.NAME, reasoning.question(explained, analyst.centre), None)
        tree = build_tree(conversation, [question], analyst.encoder, analyst.prompt, analyst.max_tokens)
        return digest(model, tree, reasoning.grammar(explained, len(conversation.turns)))

    asked = {c.id: hash_of(c, v) for c, v in zip(conversations, values, strict=True)}
    with opened_journal(folder / f"chains-{model}.jsonl") as (rows, file):
        done = {
            row["conversation_id"]: Chain(row["text"], row["seconds"])
            for row in rows
            if row["asked"] == asked.get(row["conversation_id"])
        }
        lacking = [(c, v) for c, v in zip(conversations, values, strict=True) if c.id not in done]
        batches = [lacking[start : start + BATCH] for start in range(0, len(lacking), BATCH)]
        for batch in progress(batches, "reasoning chains"):
            started = time.perf_counter()
            texts = analyst.chains([c for c, _ in batch], [v for _, v in batch])
            seconds = round((time.perf_counter() - started) / len(batch), 4)
            for (c, _), text in zip(batch, texts, strict=True):
                done[c.id] = Chain(text, seconds)
                row = {"conversation_id": c.id, "asked": asked[c.id], "text": text, "seconds": seconds}
                file.write(json.dumps(row) + "\n")
            file.flush()
    return done


def _figures(seconds: float, chains: Mapping[str, Chain], conversations: Sequence[Conversation]) -> dict[str, Any]:
    """The figures of a mode whose answers took `seconds` per conversation, with Wilson's interval."""
    written = sum(chain.seconds for chain in chains.values()) / max(1, len(chains))
    n, sound = len(conversations), sum(holds_up(chains[c.id].text, c) for c in conversations)
    low, high = wilson(sound, n)
    judged = {"n": n, "sound": sound, "low": low, "high": high}
    return {"seconds_per_conversation": seconds + written, "chains": judged}


def holds_up(text: str, conversation: Conversation) -> bool:
    """Whether a chain has its structure and cites only turns that exist."""
    with suppress(ValueError):
        reasoning.points(text)
        return all(1 <= int(turn) <= len(conversation.turns) for turn in reasoning.CITATION.findall(text))
    return False
