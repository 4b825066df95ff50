"""A conversation's questions as a token tree: the *trunk* they share and a *branch* each.

    trunk    system line, facts of the contact, transcript with turn ids [T1] [T2] ...
    branch   one task's question, then its answer

The trunk is the longest common token prefix of the plain renderings, so trunk + branch are
exactly the tokens of separate rows, whatever the chat template.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mlx_cc.buckets import buckets
from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.prompt.encoder import Encoder, Tokenizer, common_prefix
from mlx_cc.prompt.settings import PromptSettings
from mlx_cc.prompt.wording import SYSTEM, Cases, body, fact_line, question_of, turn_lines
from mlx_cc.tasks import Task

CASES_SHARE = 4
"""Similar cases may take 1/4 of the longest row."""

SHORTEST_CASE = 80
"""Characters below which a case that still doesn't fit is left out."""


class Scale(NamedTuple):
    """The answers of a task that are numbers, and the number that is right."""

    answers: tuple[tuple[int, ...], ...]
    """Token ids of each."""
    values: tuple[float, ...]
    """Ascending, evenly spaced."""
    label: float
    """May lie between two answers."""


@dataclass(frozen=True)
class Branch:
    """One question after the trunk: `prompt` tokens, then `answer` tokens with the end-of-turn token.

    `answer` is empty when there is none to train on or to score.
    """

    task: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...] = ()
    scale: Scale | None = None
    """Set where the loss looks at all answers, not only at the labelled one."""


@dataclass(frozen=True)
class Tree:
    """A conversation's questions as token ids: one trunk and its branches."""

    conversation_id: str
    trunk: tuple[int, ...]
    branches: tuple[Branch, ...]
    omitted_turns: int = 0
    """Turns left out of the middle because the conversation was over-long."""
    cases: int = 0
    """Similar earlier conversations that are shown."""

    @property
    def rows(self) -> list[list[int]]:
        """The same tokens as separate rows, one per branch."""
        return [[*self.trunk, *branch.prompt, *branch.answer] for branch in self.branches]

    @property
    def is_row(self) -> bool:
        """Whether nothing is shared: one branch with one answer."""
        return len(self.branches) == 1 and self.branches[0].scale is None

    @property
    def tokens(self) -> int:
        """Tokens the model computes: the trunk once and every branch."""
        return len(self.trunk) + sum(len(b.prompt) + len(b.answer) for b in self.branches)


def build_tree(
    conversation: Conversation,
    questions: Sequence[tuple[str, str, str | None]],
    encoder: Encoder,
    settings: PromptSettings = PromptSettings(),
    max_tokens: int = 2048,
    system: str = SYSTEM,
    notes: str = "",
    aside: tuple[str, str] | None = None,
    cases: Cases = Cases(),
) -> Tree:
    """Render several questions about one conversation and split them into trunk and branches.

    Args:
        questions: (name, question, answer or None) of each branch.
        max_tokens: the most a single row (trunk, question and answer) may take. An over-long
            conversation loses turns from the middle of its transcript; questions and answers are
            never cut.
        system: the system line.
        notes: what the questions are answered from besides the transcript, such as a reasoning chain. They may take
            half of `max_tokens`; what is longer loses its end.
        aside: (name, question) of a last branch, without notes and answer. It has no part in `max_tokens`:
            the transcript keeps the turns that it has without it.
        cases: similar earlier conversations, shown before the transcript. They may take a quarter of `max_tokens`:
            the last of them are left out first, then the end of the first one.

    Raises:
        UserError: questions and answers alone are longer than `max_tokens`.
    """
    facts = fact_line(conversation) if settings.facts else ""
    ids = encoder.tokenizer.encode(notes, add_special_tokens=False) if notes else []
    if len(ids) > max_tokens // 2:
        notes = encoder.tokenizer.decode(ids[: max_tokens // 2])
    earlier = _fitting(cases, encoder.tokenizer, max_tokens // CASES_SHARE)

    def render(lines: Sequence[str], texts: Iterable[str], notes: str = "") -> list[list[int]]:
        start = body(lines, facts, notes, earlier.text())
        first = {"role": "system", "content": system}
        return [encoder.prompt([first, {"role": "user", "content": start + text}]) for text in texts]

    names, texts, labels = (list(column) for column in zip(*questions, strict=True))
    answers = [() if label is None else encoder.answer(label) for label in labels]
    whole = turn_lines(conversation, settings)
    cut = _cut_to_fit(whole, lambda lines: render(lines, texts, notes), answers, max_tokens, encoder.tokenizer)
    if cut is None:
        raise UserError(
            f"conversation {conversation.id}: the question and answer alone take more than max_seq_length "
            f"{max_tokens} tokens. Raise max_seq_length."
        )
    lines, omitted, prompts = cut
    if aside:
        names, answers = [*names, aside[0]], [*answers, ()]
        prompts += render(lines, [aside[1]])
    shared = min(common_prefix(prompts), min(map(len, prompts)) - 1)  # a branch has at least one token
    branches = tuple(
        Branch(name, tuple(prompt[shared:]), answer)
        for name, prompt, answer in zip(names, prompts, answers, strict=True)
    )
    return Tree(conversation.id, tuple(prompts[0][:shared]), branches, omitted, len(earlier.cases))


def build_task_tree(
    conversation: Conversation,
    tasks: Sequence[Task],
    centre: Centre,
    encoder: Encoder,
    settings: PromptSettings = PromptSettings(),
    max_tokens: int = 2048,
    answers: bool = False,
    scales: bool = False,
    notes: str = "",
    aside: tuple[str, str] | None = None,
    cases: Cases = Cases(),
) -> Tree:
    """`build_tree` for tasks; with `answers`, only the tasks the conversation has a label for, answers included.

    Args:
        scales: give the branches of tasks that answer with numbers all their answers.
    """
    asked = [task for task in tasks if not answers or task.name in conversation.labels]
    questions = [
        (
            task.name,
            question_of(task, centre, settings),
            task.write(conversation.label(task.name), centre) if answers else None,
        )
        for task in asked
    ]
    tree = build_tree(conversation, questions, encoder, settings, max_tokens, notes=notes, aside=aside, cases=cases)
    if not (answers and scales):
        return tree
    count = len(asked)
    branches = (
        replace(branch, scale=_scale(task, conversation.label(task.name), centre, encoder))
        for task, branch in zip(asked, tree.branches[:count], strict=True)
    )
    return replace(tree, branches=(*branches, *tree.branches[count:]))


def _fitting(cases: Cases, tokenizer: Tokenizer, most: int) -> Cases:
    """As many cases as fit into `most` tokens; of the only one left, as much of it as does."""
    while (text := cases.text()) and len(tokenizer.encode(text, add_special_tokens=False)) > most:
        first, *rest = cases.cases
        if not rest and len(first) < SHORTEST_CASE:
            return Cases()
        cases = replace(cases, cases=cases.cases[:-1] if rest else (f"{first[: len(first) * 3 // 4]} [...]",))
    return cases


def _scale(task: Task, label: Any, centre: Centre, encoder: Encoder) -> Scale | None:
    if task.number is None or task.answers is None:
        return None
    texts = task.answers(centre)
    return Scale(tuple(encoder.answer(text) for text in texts), tuple(map(float, texts)), task.number(label))


def groups(trees: Sequence[Tree], one_at_a_time: bool = False, most_tokens: float = math.inf) -> list[list[Tree]]:
    """Trees in groups that are worth computing at once, of at most so many tokens, padding included."""

    def lengths(tree: Tree) -> tuple[int, int]:
        return len(tree.trunk), tree.tokens - len(tree.trunk)

    most = 1 if one_at_a_time else math.inf
    return list(buckets(trees, lengths, most_tokens, most, kind=lambda tree: tree.is_row))


def _cut_to_fit(
    lines: Sequence[str],
    render: Callable[[Sequence[str]], list[list[int]]],
    answers: Sequence[Sequence[int]],
    max_tokens: int,
    tokenizer: Tokenizer,
) -> tuple[Sequence[str], int, list[list[int]]] | None:
    """As many lines as fit, how many were left out, and the prompts with them; None where not even the ends fit."""

    def excess(prompts: Sequence[Sequence[int]]) -> int:
        return max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True)) - max_tokens

    prompts = render(lines)
    if (over := excess(prompts)) <= 0:
        return lines, 0, prompts
    costs = [len(tokenizer.encode(line + "\n", add_special_tokens=False)) for line in lines]
    budget = sum(costs) - over
    for _ in range(6):  # lines together take other tokens than alone, so the first budget may miss by a few
        kept, omitted = without_middle(lines, costs, budget, tokenizer)
        prompts = render(kept)
        if (over := excess(prompts)) <= 0:
            return kept, omitted, prompts
        budget -= over + 4
    return None


def without_middle(
    lines: Sequence[str], costs: Sequence[int], budget: int, tokenizer: Tokenizer
) -> tuple[list[str], int]:
    """As many lines from both ends as fit into `budget` tokens, and how many were left out.

    Takes from the start and the end in turn. A line that would fill the room for many keeps its beginning and its end.
    """
    left = budget - 12  # for the line that says what is missing
    most = _longest_line(costs, left)
    head: list[str] = []
    tail: list[str] = []
    low, high = 0, len(lines) - 1
    while low <= high:
        from_start = len(head) <= len(tail)
        index = low if from_start else high
        cost, line = costs[index], lines[index]
        if cost > most:
            cost, line = most, _shortened(line, most, tokenizer)
        if cost > left and head:
            break
        left -= cost
        if from_start:
            head.append(line)
            low += 1
        else:
            tail.append(line)
            high -= 1
    omitted = high - low + 1
    missing = [f"[... {omitted} turns left out ...]"] if omitted > 0 else []
    return [*head, *missing, *reversed(tail)], omitted


def _longest_line(costs: Sequence[int], room: int) -> int:
    """The most tokens of a line: what lets all lines fit when the longest are shortened, or a quarter of the room.

    Below a quarter it is better to leave out whole lines.
    """
    left = room
    for shorter, cost in enumerate(sorted(costs)):
        share = left // (len(costs) - shorter)
        if cost > share:
            return max(share, room // 4, 1)
        left -= cost
    return max(room, 1)


def _shortened(line: str, most: int, tokenizer: Tokenizer) -> str:
    """The beginning and the end of a line, about `most` tokens together."""
    ids = tokenizer.encode(line, add_special_tokens=False)
    half = max(1, most // 2 - 4)
    return f"{tokenizer.decode(ids[:half])} [...] {tokenizer.decode(ids[-half:])}"
