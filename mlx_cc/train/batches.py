"""What a step computes: conversations planted as trees, in an order that depends on the seed alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations
from mlx_cc.prompt import Encoder, PromptSettings, Tree, plant_tasks
from mlx_cc.tasks import Task


def find_split(folder: Path, split: str, named: str = "") -> Path:
    """The file of a split: the named one, else the most enriched one in the folder.

    Raises:
        UserError: there is none.
    """
    if named:
        return Path(named)
    for kind in ("reasoning", "temporal", "chatml"):
        path = folder / f"{split}_{kind}.jsonl"
        if path.exists():
            return path
    raise UserError(f"{folder}: no {split}_chatml.jsonl. Run `mlx_cc prepare` first, or name the file under `data`.")


def labelled(path: Path, tasks: Sequence[Task]) -> list[Conversation]:
    """The conversations of a file that have a label for at least one of the tasks.

    Raises:
        UserError: there are none.
    """
    found = [c for c in read_conversations(path) if any(task.name in c.labels for task in tasks)]
    if not found:
        names = ", ".join(task.name for task in tasks)
        raise UserError(f"{path}: no conversation has a label for {names}. Nothing to learn from.")
    return found


def epoch_order(count: int, epoch: int, seed: int) -> np.ndarray:
    """The order of one pass over `count` conversations."""
    return np.random.default_rng((seed, epoch)).permutation(count)


def trees(
    conversations: Sequence[Conversation],
    tasks: Sequence[Task],
    centre: Centre,
    encoder: Encoder,
    prompt: PromptSettings,
    max_tokens: int,
) -> Iterator[Tree]:
    """Every conversation as a tree with its answers."""
    for conversation in conversations:
        yield plant_tasks(conversation, tasks, centre, encoder, prompt, max_tokens, answers=True)
