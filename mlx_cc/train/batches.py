"""What a run learns from and in which order: conversations as token trees; the order depends on the seed alone.

The stream of an epoch is a random order of all conversations. Where a step computes several, windows of the
stream are sorted by length and cut into steps, and the steps are shuffled: lengths in a step are close, no
conversation is left out, and a conversation moves by less than a window.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlx_cc import reasoning
from mlx_cc.centre import Centre, read_centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.folders import DataFolder
from mlx_cc.prompt import Encoder, Tree, build_task_tree
from mlx_cc.redact import read_redacted
from mlx_cc.tasks import Task, pick
from mlx_cc.train.settings import TrainSettings

WINDOW = 32
"""Updates whose conversations are sorted by length together; set by hand."""
BuildTrees = Callable[[Sequence[Conversation], Sequence[int]], list[Tree]]
"""(conversations, visits), as `build_trees` takes them."""


def labelled(path: Path, tasks: Sequence[Task], centre: Centre | None = None) -> list[Conversation]:
    """The conversations of a file that have a label for at least one of the tasks.

    Args:
        centre: check that labels are answers that this centre allows; None does not check.

    Raises:
        UserError: there are none, or a label is not allowed.
    """
    conversations = [c for c in read_redacted(path) if any(task.name in c.labels for task in tasks)]
    if not conversations:
        names = ", ".join(task.name for task in tasks)
        raise UserError(f"{path}: no conversation has a label for {names}. Nothing to learn from.")
    for c in conversations:
        for task in tasks:
            if centre and task.name in c.labels and (fault := task.fault(c.label(task.name), centre, len(c.turns))):
                raise UserError(
                    f"{path}: conversation {c.id}, {task.name}: {fault}. Correct the label or the centre's settings, "
                    "then run `mlx_cc prepare` again."
                )
    return conversations


class Data(NamedTuple):
    """What a run learns from."""

    train: list[Conversation]
    validation: list[Conversation]
    """Always the same ones: the first by id, as many as the settings say."""
    centre: Centre


def find_data(settings: TrainSettings) -> Data:
    """The conversations of a run and the centre they were prepared for.

    Raises:
        UserError: there is no file, no label to learn from, a label that the centre does not allow, the splits share
            conversations, or only one of them has temporal features, so that prompts would differ.
    """
    tasks, folder = pick(settings.training.tasks), DataFolder(Path(settings.data.dir))
    paths = [folder.split(split, getattr(settings.data, split)) for split in ("train", "validation")]
    centre_file = DataFolder(paths[0].parent).centre
    centre = read_centre(centre_file if centre_file.exists() else None)
    splits = [labelled(path, tasks, centre) for path in paths]
    if both := {c.id for c in splits[0]} & {c.id for c in splits[1]}:
        raise UserError(
            f"{paths[1]}: {len(both)} of its conversations are in {paths[0]} too, so validation would measure what was "
            "learned: the files come from two runs of prepare. Run `mlx_cc prepare` and `mlx_cc temporal` again."
        )
    bare, full = sorted(zip(paths, splits, strict=True), key=lambda pair: any(c.temporal for c in pair[1]))
    if any(c.temporal for c in full[1]) and not any(c.temporal for c in bare[1]):
        raise UserError(
            f"{bare[0]}: has no temporal features while {full[0]} has them, so their prompts would differ. "
            f"Run `mlx_cc temporal` on both."
        )
    validation = sorted(splits[1], key=lambda c: c.id)[: settings.training.eval_conversations]
    return Data(splits[0], validation, centre)


def build_trees(
    conversations: Iterable[Conversation],
    settings: TrainSettings,
    centre: Centre,
    encoder: Encoder,
    visits: Iterable[int] | None = None,
) -> list[Tree]:
    """Conversations as the trees a run trains on, answers included.

    Args:
        visits: how often each conversation was seen before, which selects the part of its chain to learn. None leaves
            the reasoning branch out: validation is on the labels alone.
    """
    training, longest = settings.training, settings.model.max_seq_length
    tasks, soft = pick(training.tasks), training.objective == "soft"
    first = training.reasoning_place == "first"
    asked = partial(build_task_tree, tasks=tasks, centre=centre, encoder=encoder, settings=settings.prompt)
    trees = []
    for conversation, visit in zip(conversations, repeat(None) if visits is None else visits, strict=False):
        chain = (
            reasoning.text_of(conversation.reasoning) if conversation.reasoning and training.reasoning_weight else ""
        )
        aside = None
        if chain and visit is not None:
            aside = reasoning.NAME, reasoning.question({} if first else reasoning.labels(conversation), centre)
        notes = chain if first else ""
        tree = asked(conversation, max_tokens=longest, answers=True, scales=soft, notes=notes, aside=aside)
        if aside and visit is not None:
            tree = with_chain(tree, encoder.answer(chain), visit, training.reasoning_tokens, longest)
        trees.append(tree)
    return trees


def with_chain(tree: Tree, chain: Sequence[int], visit: int, most: int, max_tokens: int) -> Tree:
    """A tree whose last branch, the question for a chain, is answered with the part that a visit learns.

    A chain is cut where its row reaches `max_tokens`, so that the transcript and its questions stay as they are; the
    branch is dropped where no token fits. The parts are equally long and have at most `most` tokens. The model reads
    what comes before a part; the last part has the end of the turn.
    """
    *others, asked = tree.branches
    chain = chain[: max(0, max_tokens - len(tree.trunk) - len(asked.prompt))]
    if not chain:
        return replace(tree, branches=tuple(others))
    parts = math.ceil(len(chain) / most)
    start, end = (len(chain) * edge // parts for edge in (visit % parts, visit % parts + 1))
    learned = replace(asked, prompt=(*asked.prompt, *chain[:start]), answer=tuple(chain[start:end]))
    return replace(tree, branches=(*others, learned))


def epoch_order(count: int, epoch: int, seed: int) -> np.ndarray:
    """The order of one pass over `count` conversations."""
    return np.random.default_rng((seed, epoch)).permutation(count)


class Stream:
    """The steps of a run, by the number of their update."""

    def __init__(
        self,
        conversations: Sequence[Conversation],
        build: BuildTrees,
        per_step: int,
        steps: int,
        updates: int,
        seed: int,
    ):
        """Args: per_step: conversations per step. steps: steps per update. updates: updates of the run."""
        self.conversations, self.build, self.seed = conversations, build, seed
        self.per_step, self.steps, self.updates = per_step, steps, updates
        self._window: tuple[int, list[list[Tree]]] = (-1, [])

    def update(self, number: int) -> list[list[Tree]]:
        """The steps of an update (counted from 0), each a list of trees."""
        size = WINDOW if self.per_step > 1 else 1
        window, index = divmod(number, size)
        if self._window[0] != window:
            self._window = window, self._cut(window * size, min((window + 1) * size, self.updates))
        return self._window[1][index * self.steps : (index + 1) * self.steps]

    def _cut(self, first: int, end: int) -> list[list[Tree]]:
        per_update, count = self.per_step * self.steps, len(self.conversations)
        visited = range(first * per_update, end * per_update)
        orders = {epoch: epoch_order(count, epoch, self.seed) for epoch in {n // count for n in visited}}
        chosen = [int(orders[n // count][n % count]) for n in visited]
        # An epoch holds every part of a chain somewhere: conversations start at different parts and move on by one.
        visits = [index + n // count for index, n in zip(chosen, visited, strict=True)]
        trees = self.build([self.conversations[index] for index in chosen], visits)
        if self.per_step > 1:
            trees.sort(key=lambda tree: tree.tokens)
        steps = [trees[start : start + self.per_step] for start in range(0, len(trees), self.per_step)]
        if self.per_step > 1:
            np.random.default_rng((self.seed, first, 1)).shuffle(steps)  # type: ignore[arg-type]
        return steps
