"""The analyst: a model that answers questions about a conversation, and chats.

    analyst = mlx_cc.load("adapters/mistral-7b-contact-center")
    analysis = analyst.analyze(transcript, include_reasoning=True)
    analysis["quality_score"], analysis["churn_risk"], analysis["root_cause"], analysis["coaching"]

The input is text or a `Conversation`; `Analyst.analyze` lists the keys of the output.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mlx_cc import reasoning
from mlx_cc.answers import Analysis, Answers
from mlx_cc.calibration import calibrated
from mlx_cc.conversation import Conversation
from mlx_cc.model import machine
from mlx_cc.model.decode import Grammars, decode, decode_all, schema_grammar
from mlx_cc.model.load import Loaded
from mlx_cc.model.load import load as load_from_disk
from mlx_cc.model.read import read_answers, read_answers_by_rows
from mlx_cc.model.tree import Prefix, run_trunks, shares_trunk
from mlx_cc.prompt import (
    SYSTEM,
    Branch,
    Cases,
    Encoder,
    PromptSettings,
    Tree,
    body,
    build_task_tree,
    build_tree,
    fact_line,
    groups,
    turn_lines,
    without_middle,
)
from mlx_cc.tasks import Answer, Task, pick
from mlx_cc.tasks.coaching import advice_question, advice_schema
from mlx_cc.temporal import TemporalFeatureEnhancer

MOST_TOKENS = 8192
"""Most tokens computed at once when several conversations are answered; set by hand."""
BATCH = 8
"""Most conversations computed at once; set by hand."""
WINDOW = 4
"""Batches taken from a stream together, so that conversations of similar length share a batch."""
COACHING_TOKENS, REASONING_TOKENS = 1_500, 6_000
"""More than the grammars allow in any language of the tokenizer; ordinary answers take a quarter."""


class Analyst:
    """A loaded model with the centre it was tuned for."""

    def __init__(self, loaded: Loaded):
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.centre, self.prompt, self.max_tokens, self.name = (
            loaded.centre,
            loaded.prompt,
            loaded.max_tokens,
            loaded.name,
        )
        self.fitted = loaded.calibration.tasks if loaded.calibration else {}
        self.encoder = Encoder(self.tokenizer)
        self.shares_trunk = shares_trunk(self.model, "Each answer is computed as a row of its own, which is slower.")
        self._grammars: Grammars | None = None

    # Answers

    def answer(self, conversation: Conversation, tasks: Sequence[str] = (), decoded: bool = True) -> dict[str, Answer]:
        """Task name -> answer: tasks with allowed answers are read in one pass, the others decoded.

        Args:
            tasks: names of tasks; empty means all.
            decoded: False leaves out the tasks that must be decoded (slow).
        """
        return self.answer_all([conversation], tasks, decoded)[0]

    def answer_all(
        self,
        conversations: Sequence[Conversation],
        tasks: Sequence[str] = (),
        decoded: bool = True,
        batch: int = BATCH,
        notes: Sequence[str] = (),
        cases: Sequence[Cases] = (),
    ) -> list[dict[str, Answer]]:
        """`answer` for several conversations; up to `batch` of similar length are computed at once.

        Args:
            notes: for each conversation, a text that the model is shown with the transcript.
            cases: for each conversation, similar earlier ones that the model is shown.
        """
        asked = [task for task in pick(list(tasks)) if decoded or task.answers]
        count = len(conversations)
        trees = [
            build_task_tree(c, asked, self.centre, self.encoder, self.prompt, self.max_tokens, notes=note, cases=shown)
            for c, note, shown in zip(conversations, notes or [""] * count, cases or [Cases()] * count, strict=True)
        ]
        answers: list[dict[str, Answer]] = [{} for _ in conversations]
        for indices, group, trunks in self._computed(trees, batch):
            turns = [len(conversations[index].turns) for index in indices]
            by_tree = self._read(trunks, asked, group)
            for number, task in enumerate(asked):
                if not task.answers:
                    for answered, answer in zip(by_tree, self._decode(trunks, task, number, group, turns), strict=True):
                        answered[task.name] = answer
            for index, answered in zip(indices, by_tree, strict=True):
                answers[index] = {task.name: answered[task.name] for task in asked}
        return answers

    def _computed(self, trees: Sequence[Tree], batch: int) -> Iterator[tuple[list[int], list[Tree], Prefix | None]]:
        """Trees that are computed at once: indices in `trees`, the trees, and their trunks where these are shared."""
        index_of = {id(tree): index for index, tree in enumerate(trees)}
        machine.suit_threads()
        with machine.wired_limit():
            for group in self._groups(trees, batch):
                trunks = run_trunks(self.model, [tree.trunk for tree in group]) if self.shares_trunk else None
                yield [index_of[id(tree)] for tree in group], group, trunks

    def _groups(self, trees: Sequence[Tree], batch: int) -> Iterator[list[Tree]]:
        """Trees that are computed at once."""
        one_at_a_time = not self.shares_trunk or self.model.one_tree_at_a_time
        for group in groups(trees, one_at_a_time, MOST_TOKENS):
            yield from (group[start : start + batch] for start in range(0, len(group), batch))

    def answers(
        self,
        conversations: Iterable[Conversation],
        tasks: Sequence[str] = (),
        decoded: bool = True,
        batch: int = BATCH,
    ) -> Iterator[tuple[Conversation, dict[str, Answer]]]:
        """`answer_all` over a stream: each conversation with its answers, in order, with a few batches in memory."""
        stream = iter(conversations)
        slow = decoded and any(not task.answers for task in pick(list(tasks)))
        while window := list(islice(stream, batch if slow else WINDOW * batch)):
            yield from zip(window, self.answer_all(window, tasks, decoded, batch), strict=True)

    def _read(self, trunks: Prefix | None, asked: Sequence[Task], trees: Sequence[Tree]) -> list[dict[str, Answer]]:
        """For each tree, the answers to the tasks that are read; row by row where there are no trunks."""
        read = [(branch, task) for branch, task in enumerate(asked) if task.answers]
        if not read:
            return [{} for _ in trees]
        allowed = [task.answers(self.centre) for _, task in read if task.answers]
        by_tree = self._probabilities(trunks, trees, [branch for branch, _ in read], allowed)
        return [
            {
                task.name: calibrated(
                    task, dict(zip(texts, p.tolist(), strict=True)), self.centre, self.fitted.get(task.name)
                )
                for (_, task), texts, p in zip(read, allowed, probabilities, strict=True)
            }
            for probabilities in by_tree
        ]

    def _probabilities(
        self, trunks: Prefix | None, trees: Sequence[Tree], branches: Sequence[int], answers: Sequence[Sequence[str]]
    ) -> list[list[np.ndarray]]:
        """For each tree and each of these branches, the probabilities of the answers to its question."""
        tokens = [[self.encoder.answer(text) for text in texts] for texts in answers]
        prompts = [[tree.branches[branch].prompt for branch in branches] for tree in trees]
        if trunks:
            return read_answers(self.model, trunks, prompts, tokens)
        return [
            read_answers_by_rows(self.model, tree.trunk, questions, tokens)
            for tree, questions in zip(trees, prompts, strict=True)
        ]

    def choose(self, conversation: Conversation, questions: Sequence[str], answers: Sequence[str]) -> list[np.ndarray]:
        """For each question about a conversation, the probabilities of these answers: float64 (answers,), sum 1."""
        asked = [("question", question, None) for question in questions]
        tree = build_tree(conversation, asked, self.encoder, self.prompt, self.max_tokens)
        ((_, group, trunks),) = self._computed([tree], 1)
        (probabilities,) = self._probabilities(trunks, group, range(len(questions)), [answers] * len(questions))
        return probabilities

    def _decode(
        self, trunks: Prefix | None, task: Task, branch: int, trees: Sequence[Tree], turns: Sequence[int]
    ) -> list[Answer]:
        """The decoded answers to the task of a branch; `turns` is the number of turns of each conversation."""
        assert task.schema is not None
        asked = [(tree.trunk, tree.branches[branch]) for tree in trees]
        grammars = [schema_grammar(task.schema(n, tree.cases)) for n, tree in zip(turns, trees, strict=True)]
        texts = self._write(trunks, asked, grammars, COACHING_TOKENS)
        return [Answer(task.parse(_closed(text), self.centre)) for text in texts]

    def _write(
        self,
        trunks: Prefix | None,
        asked: Sequence[tuple[Sequence[int], Branch]],
        grammars: Sequence[str],
        max_tokens: int,
    ) -> list[str]:
        """The model's texts for (trunk, branch) pairs, each under its grammar. Without trunks there is only one."""
        constraints = [self.grammars.constraint(grammar) for grammar in grammars]
        if trunks and len(asked) > 1:
            prompts = [branch.prompt for _, branch in asked]
            return decode_all(self.model, self.tokenizer, prompts, trunks, constraints, max_tokens)
        (trunk, branch), prefix = asked[0], trunks.one(0) if trunks else None
        prompt = branch.prompt if prefix else [*trunk, *branch.prompt]
        return ["".join(decode(self.model, self.tokenizer, prompt, prefix, constraints[0], max_tokens))]

    def chains(
        self, conversations: Sequence[Conversation], said: Sequence[Mapping[str, Any]], batch: int = BATCH
    ) -> list[str]:
        """The reasoning chains of several conversations, under the grammar of their structure.

        Args:
            said: for each conversation, the answers to explain (task name -> value); empty for a chain before them.
        """
        questions = [reasoning.question(values, self.centre) for values in said]
        grammars = [reasoning.grammar(v, len(c.turns)) for c, v in zip(conversations, said, strict=True)]
        return self.write(conversations, reasoning.NAME, questions, grammars, REASONING_TOKENS, batch)

    def write(
        self,
        conversations: Sequence[Conversation],
        name: str,
        questions: Sequence[str],
        grammars: Sequence[str],
        max_tokens: int,
        batch: int = BATCH,
    ) -> list[str]:
        """The model's text for one question about each conversation, under its llguidance grammar."""
        trees = [
            build_tree(c, [(name, question, None)], self.encoder, self.prompt, self.max_tokens)
            for c, question in zip(conversations, questions, strict=True)
        ]
        texts = [""] * len(trees)
        for indices, group, trunks in self._computed(trees, batch):
            asked = [(tree.trunk, tree.branches[0]) for tree in group]
            written = self._write(trunks, asked, [grammars[index] for index in indices], max_tokens)
            for index, text in zip(indices, written, strict=True):
                texts[index] = text
        return texts

    def advise(
        self, conversation: Conversation, skill: str, reason: str, action: str, turns: Sequence[int]
    ) -> dict[str, Any]:
        """One coaching recommendation about a contact, for an agent whose profile shows a need.

        Args:
            reason: evidence of the profile about the skill; the model sees it in this question only.
            action: what the agent should practise.
            turns: turns that the recommendation may cite.

        Returns:
            action, expected_outcome, turn.

        Raises:
            ValueError: the recommendation was cut off at the token limit.
        """
        question = advice_question(skill, reason, action)
        grammar = schema_grammar(advice_schema(turns))
        (text,) = self.write([conversation], "advice", [question], [grammar], COACHING_TOKENS)
        return json.loads(text)

    @property
    def grammars(self) -> Grammars:
        """Grammar masks of this tokenizer, built on first use."""
        if self._grammars is None:
            self._grammars = Grammars(self.tokenizer, self.encoder.lead)
        return self._grammars

    def analyze(
        self,
        transcript: str | Conversation,
        include_reasoning: bool = False,
        coaching: bool = True,
        cases: Cases = Cases(),
    ) -> Analysis:
        """The answers about a conversation, as one flat dictionary.

        Args:
            transcript: a `Conversation`, or text with role labels ("Agent: ...", one turn per line).
            include_reasoning: write the chain that explains the answers now (slow: it is decoded). Otherwise it is
                written when `analysis["reasoning"]` is first looked up.
            coaching: decode coaching recommendations too.
            cases: similar earlier conversations that the model is shown, from `ContactCenterRAG.cases`.

        Returns:
            quality_score, effectiveness, csat_score, issue, root_cause (the most probable issue classes; the first
            is `issue`), churn_risk, journey_type, contact_role, coaching (with the quote of the turn cited and,
            where cases are shown, the number of the one it follows), critical_issues, confidence (by task), interval
            (for scores: lowest and highest of the shortest run of answers with 80% of the probability), likely (for
            classes: the fewest with 80%), needs_review (whether a calibrated task is less confident than its
            threshold), review (these tasks), and reasoning ({thinking, analysis, insights, citations}; None in JSON
            until it is looked up). A task that you add adds its keys.

        Raises:
            UserError: the text has no turns.
        """
        conversation = self.conversation(transcript)
        answers = self.answer_all([conversation], decoded=coaching, cases=[cases])[0]
        return self._analysis(conversation, answers, include_reasoning)

    def analyze_all(
        self,
        conversations: Iterable[str | Conversation],
        include_reasoning: bool = False,
        coaching: bool = True,
        batch: int = BATCH,
    ) -> Iterator[Analysis]:
        """`analyze` over a stream, in order; up to `batch` conversations are computed at once.

        It takes one batch from the stream at a time with coaching, a few without.
        """
        ready = map(self.conversation, conversations)
        for conversation, answers in self.answers(ready, decoded=coaching, batch=batch):
            yield self._analysis(conversation, answers, include_reasoning)

    def _analysis(self, conversation: Conversation, answers: Mapping[str, Answer], include_reasoning: bool) -> Analysis:
        review = [name for name, answer in answers.items() if name in self.fitted and self.fitted[name].doubts(answer)]
        answered = Answers(
            conversation_id=conversation.id,
            by_task={
                task.name: a if task.answers else a._replace(value=_quoted(a.value, conversation))
                for task, a in zip(pick(list(answers)), answers.values(), strict=True)
            },
            needs_review=bool(review),
            review=tuple(review),
            model=self.name,
        )
        values = {name: answer.value for name, answer in answers.items()}
        analysis = Analysis(answered.row(), lambda: self._explain(conversation, values))
        if include_reasoning:
            analysis["reasoning"]  # the look-up writes it
        return analysis

    def _explain(self, conversation: Conversation, values: Mapping[str, Any]) -> dict[str, Any]:
        """The reasoning chain after the answers, under the grammar of its structure."""
        text = self.chains([conversation], [values])[0]
        chain = reasoning.parse(text, self.name)
        return {
            "thinking": chain.thinking,
            "analysis": chain.analysis,
            "insights": chain.insights,
            "citations": reasoning.citations(text, conversation),
        }

    def conversation(self, transcript: str | Conversation) -> Conversation:
        """A conversation of text with role labels, with temporal features as in training."""
        if isinstance(transcript, str):
            from mlx_cc.ingest.text import parse

            transcript = parse(transcript, "transcript")
        if transcript.temporal is None:
            transcript = next(TemporalFeatureEnhancer(self.centre).transform([transcript]))
        return transcript

    # Talk

    def generate(self, prompt: str, max_tokens: int = 256, temperature: float = 0.0) -> str:
        """The model's whole reply to a prompt."""
        return "".join(self.stream([{"role": "user", "content": prompt}], max_tokens, temperature))

    def stream(
        self, messages: Sequence[Mapping[str, str]], max_tokens: int = 256, temperature: float = 0.0
    ) -> Iterator[str]:
        """The model's reply to chat messages, piece by piece, without its thoughts."""
        machine.suit_threads()
        with machine.wired_limit():
            prompt = self.encoder.prompt(messages)
            pieces = decode(self.model, self.tokenizer, prompt, max_tokens=max_tokens, temperature=temperature)
            yield from self.encoder.reply(pieces)

    def opening(self, conversation: Conversation, max_tokens: int) -> tuple[list[dict[str, str]], int]:
        """Messages that open a chat about a conversation, and the number of turns they leave out.

        Args:
            max_tokens: most tokens of the transcript; turns from its middle are left out.
        """
        facts = fact_line(conversation) if self.prompt.facts else ""
        lines = turn_lines(conversation, PromptSettings())
        costs = [len(self.tokenizer.encode(line + "\n", add_special_tokens=False)) for line in lines]
        omitted = 0
        if sum(costs) > max_tokens:
            lines, omitted = without_middle(lines, costs, max_tokens, self.tokenizer)
        return [{"role": "system", "content": f"{SYSTEM}\n\n{body(lines, facts).strip()}"}], omitted


def _closed(text: str) -> str:
    """A JSON list of objects that ran out of tokens, cut back to its last whole object."""
    ends = [index + 1 for index, character in enumerate(text) if character == "}"]
    for candidate in (text, *(f"{text[:end]}]" for end in reversed(ends))):
        with contextlib.suppress(ValueError):
            json.loads(candidate)
            return candidate
    return "[]"


def _quoted(items: Sequence[dict[str, Any]], conversation: Conversation) -> list[dict[str, Any]]:
    """Recommendations, each with the text of the turn that it cites."""
    return [{**item, "quote": conversation.turns[item["turn"] - 1].text} for item in items]


def load(path: str | Path) -> Analyst:
    """Load an adapter folder, a fused model's folder or a base model, ready to analyse.

    Raises:
        UserError: the path is none of these.
    """
    return Analyst(load_from_disk(path))


def load_model(path: str | Path) -> tuple[Analyst, Any]:
    """The analyst of `load`, and its tokenizer."""
    analyst = load(path)
    return analyst, analyst.tokenizer


def difference(one: Mapping[str, Answer], other: Mapping[str, Answer]) -> float:
    """The largest difference between two models' probabilities of the answers about a conversation."""
    return max(
        abs(p - (other[name].distribution or {})[text])
        for name, answer in one.items()
        for text, p in (answer.distribution or {}).items()
    )
