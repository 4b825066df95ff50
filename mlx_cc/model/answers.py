"""Answers read, not decoded: the exact probability of every allowed answer.

    trunk    computed once
    crown    every question and, behind each, the allowed answers as a token trie: one pass

The probability of an answer is that of its whole token sequence, end-of-turn token included,
divided by the sum over the allowed answers.
"""

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_cc.model.tree import Crown, Prefix, lm_head, run_crown


def read_answers(
    model: nn.Module,
    trunk: Prefix,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[Sequence[int]]],
) -> list[np.ndarray]:
    """Probabilities of every question's allowed answers.

    Args:
        trunk: keys and values of the trunk.
        prompts: token ids of each question (the branch up to its answer).
        answers: for each question, token ids of each allowed answer.

    Returns:
        One float64 array per question, in the order of its answers, summing to 1.
    """
    crown = Crown()
    before: list[int] = []  # the node whose next token is scored
    token: list[int] = []
    owner: list[int] = []
    count = 0
    for prompt, allowed in zip(prompts, answers, strict=True):
        last = crown.grow(prompt)[-1]
        for answer in allowed:
            path = [last, *crown.grow(answer[:-1], last)]
            before += path
            token += answer
            owner += [count] * len(answer)
            count += 1
    hidden = run_crown(model, crown, trunk)
    nodes, row = np.unique(before, return_inverse=True)
    logits = lm_head(model, hidden[mx.array(nodes)]).astype(mx.float32)
    scores = logits[mx.array(row), mx.array(token)] - mx.logsumexp(logits, axis=-1)[mx.array(row)]
    log = np.bincount(owner, weights=np.array(scores, dtype=np.float64), minlength=count)
    found, start = [], 0
    for allowed in answers:
        part = log[start : start + len(allowed)]
        start += len(allowed)
        p = np.exp(part - part.max())
        found.append(p / p.sum())
    return found
