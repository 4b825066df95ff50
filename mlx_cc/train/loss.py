"""The loss of a conversation's branches: what the answer should have been, weighted by task.

Two objectives for a branch:

    gold    mean cross entropy of the labelled answer's tokens
    soft    for tasks that answer with numbers: cross entropy with a distribution over all answers around
            the label, and a penalty on the squared error of the expected value (RAFT, ICLR 2025)

Prompt tokens and padding have no loss. `tree_loss` and `rows_loss` give the same
numbers and the same gradients; rows compute the trunk once per answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_cc.model.read import Trie, token_scores
from mlx_cc.model.tree import run_branches, run_rows, run_trunks
from mlx_cc.prompt import Branch, Scale, Tree


class Objective(NamedTuple):
    """How a branch with a scale is trained; other branches always learn `gold`."""

    width: float = 0.0
    """Standard deviation of the soft targets in steps between answers; 0 splits a label between the two
    answers it lies between."""
    error_weight: float = 0.0
    """Weight of the squared error of the expected value, in quarters of the scale (a point of a 1-5 scale)."""


def soft_targets(scale: Scale, width: float) -> np.ndarray:
    """A distribution over a scale's answers around its label, float64, summing to 1."""
    values = np.array(scale.values)
    steps = np.abs(values - scale.label) / (values[1] - values[0])
    mass = np.exp(-0.5 * (steps / width) ** 2) if width else np.maximum(1 - steps, 0)
    return mass / mass.sum()


def tree_loss(
    model: nn.Module, trees: Sequence[Tree], task_weights: Mapping[str, float], objective: Objective = Objective()
) -> tuple[mx.array, mx.array]:
    """Sum over all branches of weight x loss, and the losses unweighted, in order; all trees are computed at once."""
    if all(tree.is_row for tree in trees):
        scores = list(_scores_of_rows(model, trees))
    else:
        scores = list(_scores_of_trees(model, trees))
    branches = [branch for tree in trees for branch in tree.branches]
    losses = mx.stack([branch_loss(b, s, objective) for b, s in zip(branches, scores, strict=True)])
    return (losses * mx.array([task_weights.get(b.task, 1.0) for b in branches])).sum(), losses


def rows_loss(
    model: Any, trees: Sequence[Tree], task_weights: Mapping[str, float], objective: Objective = Objective()
) -> tuple[mx.array, mx.array]:
    """What `tree_loss` gives, from separate rows, one after another: for models that can't share a trunk."""
    losses, weights = [], []
    for tree in trees:
        for branch in tree.branches:
            scores = []
            for answer in branch.scale.answers if branch.scale else [branch.answer]:
                row = [*tree.trunk, *branch.prompt, *answer[:-1]]
                logits = model(mx.array([row]))[0, -len(answer) :].astype(mx.float32)
                scores.append(-nn.losses.cross_entropy(logits, mx.array(answer)))
            losses.append(branch_loss(branch, mx.concatenate(scores), objective))
            weights.append(task_weights.get(branch.task, 1.0))
    stacked = mx.stack(losses)
    return (stacked * mx.array(weights)).sum(), stacked


def branch_loss(branch: Branch, scores: mx.array, objective: Objective) -> mx.array:
    """A branch's loss from the ln P of its answer's tokens, or of all its scale's answers' tokens in order."""
    if branch.scale is None:
        return -scores.mean()
    lengths = [len(answer) for answer in branch.scale.answers]
    log = mx.stack([part.sum() for part in mx.split(scores, np.cumsum(lengths)[:-1].tolist())])
    targets = soft_targets(branch.scale, objective.width)
    loss = -(mx.array(targets, mx.float32) * log).sum() / float(targets @ lengths)
    if objective.error_weight:
        values = np.array(branch.scale.values)
        expected = (mx.softmax(log) * mx.array(values, mx.float32)).sum()
        error = (expected - branch.scale.label) / float((values[-1] - values[0]) / 4)
        loss = loss + objective.error_weight * error.square()
    return loss


def weight_of(tree: Tree, task_weights: Mapping[str, float]) -> float:
    """The sum of a tree's branch weights, to average losses over branches exactly."""
    return sum(task_weights.get(branch.task, 1.0) for branch in tree.branches)


def _scores_of_trees(model: nn.Module, trees: Sequence[Tree]) -> Iterator[mx.array]:
    """Natural log of P of every branch's answer tokens."""
    tries = []
    for tree in trees:
        trie = Trie()
        for branch in tree.branches:
            trie.add(branch.prompt, branch.scale.answers if branch.scale else [branch.answer])
        tries.append(trie)
    hidden = run_branches(model, [trie.tree for trie in tries], run_trunks(model, [tree.trunk for tree in trees]))
    for row, (tree, trie) in enumerate(zip(trees, tries, strict=True)):
        scores = token_scores(model, hidden[row], trie.nodes, trie.tokens)
        start = 0
        for branch in tree.branches:
            end = start + sum(map(len, branch.scale.answers if branch.scale else [branch.answer]))
            yield scores[start:end]
            start = end


def _scores_of_rows(model: nn.Module, trees: Sequence[Tree]) -> Iterator[mx.array]:
    """What `_scores_of_trees` gives where every tree has one branch, so that nothing is shared."""
    hidden = run_rows(model, [tree.rows[0][:-1] for tree in trees])
    for row, tree in enumerate(trees):
        answer, end = tree.branches[0].answer, len(tree.rows[0]) - 1
        yield token_scores(model, hidden[row], range(end - len(answer), end), answer)
