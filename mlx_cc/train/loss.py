"""The loss: mean cross entropy of each branch's answer tokens, weighted by task.

Prompt tokens count for nothing and there are no padding tokens. `tree_loss` and `rows_loss` give
the same number and the same gradients; rows compute the trunk once per branch.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from mlx_cc.model.tree import Crown, lm_head, run_crown, run_row, run_trunk
from mlx_cc.prompt import Tree


class Targets(NamedTuple):
    """Which states predict answer tokens, what those tokens are, and how much each counts."""

    nodes: list[int]
    tokens: list[int]
    weights: list[float]


def crown_of(tree: Tree, task_weights: Mapping[str, float]) -> tuple[Crown, Targets]:
    """The branches of a tree laid out flat, with their targets. Weights of one branch sum to its task's weight."""
    crown = Crown()
    nodes: list[int] = []
    tokens: list[int] = []
    weights: list[float] = []
    for branch in tree.branches:
        path = crown.grow((*branch.prompt, *branch.answer[:-1]))
        nodes += path[len(branch.prompt) - 1 :]
        tokens += branch.answer
        weights += [task_weights.get(branch.task, 1.0) / len(branch.answer)] * len(branch.answer)
    return crown, Targets(nodes, tokens, weights)


def tree_loss(model: nn.Module, tree: Tree, task_weights: Mapping[str, float]) -> tuple[mx.array, mx.array]:
    """Sum over branches of weight x mean answer cross entropy, and the unweighted losses of the answer tokens."""
    if len(tree.branches) == 1:  # nothing to share
        branch, row = tree.branches[0], tree.rows[0]
        hidden = run_row(model, row[:-1])[-len(branch.answer) :]
        losses = nn.losses.cross_entropy(lm_head(model, hidden).astype(mx.float32), mx.array(branch.answer))
        return losses.mean() * task_weights.get(branch.task, 1.0), losses
    crown, targets = crown_of(tree, task_weights)
    hidden = run_crown(model, crown, run_trunk(model, tree.trunk))
    logits = lm_head(model, hidden[mx.array(targets.nodes)]).astype(mx.float32)
    losses = nn.losses.cross_entropy(logits, mx.array(targets.tokens))
    return (losses * mx.array(targets.weights)).sum(), losses


def rows_loss(model: Any, tree: Tree, task_weights: Mapping[str, float]) -> tuple[mx.array, mx.array]:
    """The same from separate rows, one after another, as the model itself computes them: for models that can't
    share a trunk.
    """
    total = mx.array(0.0)
    kept = []
    for branch, row in zip(tree.branches, tree.rows, strict=True):
        logits = model(mx.array([row[:-1]]))[0, -len(branch.answer) :].astype(mx.float32)
        losses = nn.losses.cross_entropy(logits, mx.array(branch.answer))
        total = total + losses.mean() * task_weights.get(branch.task, 1.0)
        kept.append(losses)
    return total, mx.concatenate(kept)


def weight_of(tree: Tree, task_weights: Mapping[str, float]) -> float:
    """The sum of a tree's branch weights, to average losses over branches exactly."""
    return sum(task_weights.get(branch.task, 1.0) for branch in tree.branches)
