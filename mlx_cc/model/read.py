"""Reading answers, not decoding them: the exact probability of every allowed answer.

    trunk    computed once
    branches every question and, behind each, the allowed answers as a token trie: one pass

The probability of an answer is that of its whole token sequence, end-of-turn token included,
divided by the sum over the allowed answers.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_cc.model.tree import Prefix, TokenTree, lm_head, run_branches

Tokens = Sequence[int]


class Trie:
    """Questions on a trunk and, behind each, its answers: which states predict which tokens of which answer."""

    def __init__(self) -> None:
        self.tree = TokenTree()
        self.nodes: list[int] = []
        self.tokens: list[int] = []
        self.owners: list[int] = []
        self.lengths: list[int] = []
        """Tokens of each answer."""

    def add(self, prompt: Tokens, answers: Sequence[Tokens]) -> slice:
        """Add a question with its answers; returns their slice of all answers."""
        first = len(self.lengths)
        last = self.tree.grow(prompt)[-1]
        for answer in answers:
            self.nodes += [last, *self.tree.grow(answer[:-1], last)]
            self.tokens += answer
            self.owners += [len(self.lengths)] * len(answer)
            self.lengths.append(len(answer))
        return slice(first, len(self.lengths))


def token_scores(model: nn.Module, states: mx.array, nodes: Sequence[int], tokens: Tokens) -> mx.array:
    """Natural log of P(token after node), float32 (P,), of states (S, hidden). The LM head runs once per node."""
    distinct, row = np.unique(nodes, return_inverse=True)
    logits = lm_head(model, states[mx.array(distinct)]).astype(mx.float32)
    rows = mx.array(row)
    return logits[rows, mx.array(list(tokens))] - mx.logsumexp(logits, axis=-1)[rows]


def read_answers(
    model: nn.Module,
    trunks: Prefix,
    prompts: Sequence[Sequence[Tokens]],
    answers: Sequence[Sequence[Tokens]],
) -> list[list[np.ndarray]]:
    """Probabilities of every question's allowed answers, for several trunks at once.

    Args:
        trunks: keys and values of the trunks.
        prompts: for each trunk, token ids of each question (the branch up to its answer).
        answers: for each question, token ids of each allowed answer.

    Returns:
        For each trunk, one float64 array per question, in the order of its answers, summing to 1.
    """
    tries, slices = [], []
    for questions in prompts:
        trie = Trie()
        slices.append([trie.add(prompt, allowed) for prompt, allowed in zip(questions, answers, strict=True)])
        tries.append(trie)
    hidden = run_branches(model, [trie.tree for trie in tries], trunks)
    scores = [token_scores(model, hidden[n], trie.nodes, trie.tokens) for n, trie in enumerate(tries)]
    mx.eval(scores)
    probabilities = []
    for trie, score, spans in zip(tries, scores, slices, strict=True):
        log = np.bincount(trie.owners, weights=np.array(score, dtype=np.float64), minlength=len(trie.lengths))
        probabilities.append([_normalised(log[span]) for span in spans])
    return probabilities


def read_answers_by_rows(
    model: nn.Module, trunk: Tokens, prompts: Sequence[Tokens], answers: Sequence[Sequence[Tokens]]
) -> list[np.ndarray]:
    """What `read_answers` gives for one trunk, with any mlx-lm model's own caches, copied where rows differ.

    The trunk and each question are computed once, each answer in a pass of its own.

    Args:
        trunk: token ids.
    """
    from mlx_lm.models.cache import make_prompt_cache

    shared = make_prompt_cache(model)
    _extend(model, trunk, shared)
    probabilities = []
    for prompt, allowed in zip(prompts, answers, strict=True):
        question = deepcopy(shared)
        _extend(model, prompt[:-1], question)
        log = [_log_probability(model, prompt[-1], answer, deepcopy(question)) for answer in allowed]
        probabilities.append(_normalised(np.array(log)))
    return probabilities


def _extend(model: Any, tokens: Tokens, cache: list[Any]) -> None:
    """Add tokens to a cache; the LM head is not run."""
    if tokens:
        model(mx.array([list(tokens)]), cache=cache)
        mx.eval([slot.state for slot in cache])


def _log_probability(model: Any, last: int, answer: Tokens, cache: list[Any]) -> float:
    """Natural log of P of an answer behind a cache and the last token of its question."""
    logits = model(mx.array([[last, *answer[:-1]]]), cache=cache)[0].astype(mx.float32)
    chosen = logits[mx.arange(len(answer)), mx.array(list(answer))]
    return float((chosen - mx.logsumexp(logits, axis=-1)).sum().item())


def _normalised(log: np.ndarray) -> np.ndarray:
    p = np.exp(log - log.max())
    return p / p.sum()
