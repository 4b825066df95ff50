"""Answering the six questions about a conversation: the tree, and the ways that mlx-lm offers.

One unit of work is one conversation, from tokens to answers. The tree computes the conversation once, reads the five
structured answers and decodes the coaching under its grammar. mlx-lm decodes all six greedily. All decode the same
number of coaching tokens. For a structured answer, mlx-lm decodes the median length of the allowed answers, end token
included: what a tuned model needs. End tokens stop nothing earlier.
"""

import statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from msgspec import Struct

from mlx_cc.bench.comparison import Comparison, Contender, Done, compare
from mlx_cc.prompt import Encoder, Tree, build_task_tree
from mlx_cc.tasks import Task, pick


class Job(Struct):
    """The conversation and the model."""

    model: str
    trunk: int
    """Approximate tokens of the conversation."""
    coaching_tokens: int = 40
    seed: int = 0


def analysis_speed(job: Job, contenders: Sequence[Contender], rounds: int) -> Comparison:
    """Compare contenders on a job.

    Raises:
        UserError: a contender can't do the job.
    """
    title = f"Six answers of {job.model}: about {job.trunk} tokens"
    return compare(__name__, contenders, job, rounds, title, "conversations/s", 1)


class Prompts(NamedTuple):
    """A loaded model and its prompts."""

    model: Any
    tokenizer: Any
    tasks: list[Task]
    tree: Tree
    turns: int
    allowed: list[list[tuple[int, ...]]]
    """Token ids of the allowed answers, for each task that has a list of them."""
    lengths: list[int]
    """Tokens to decode for each task when answers are decoded, not read."""


def prompts_of(job: Job) -> Prompts:
    """Load the model and grow a simulated conversation, turn by turn, to about the length of the job's trunk."""
    from mlx_cc.conversation import Conversation
    from mlx_cc.model.load import load
    from mlx_cc.simulate import Parameters, World, simulate

    loaded = load(job.model)
    encoder, tasks = Encoder(loaded.tokenizer), pick([])
    world = World(Parameters(conversations=1 + job.trunk // 50, agents=5, seed=job.seed))
    turns = tuple(islice((turn for c in simulate(world) for turn in c.turns), 1 + job.trunk // 8))

    def tree_of(count: int) -> Tree:
        conversation = Conversation(id="bench", turns=turns[:count])
        return build_task_tree(conversation, tasks, loaded.centre, encoder, loaded.prompt, max_tokens=10**9)

    count = fitting(len(turns), job.trunk, tree_of)
    answers = [task.answers(loaded.centre) if task.answers else () for task in tasks]
    allowed = [[encoder.answer(text) for text in texts] for texts in answers]
    lengths = [statistics.median_low(map(len, some)) if some else job.coaching_tokens for some in allowed]
    loaded.tokenizer.eos_token_ids = ()
    return Prompts(
        loaded.model, loaded.tokenizer, tasks, tree_of(count), count, [some for some in allowed if some], lengths
    )


def fitting(turns: int, trunk: int, tree_of: Callable[[int], Tree]) -> int:
    """How many turns fit a trunk of at most so many tokens, one at least; `tree_of` gives the tree of so many turns."""
    return max(1, bisect_right(range(turns), trunk, key=lambda n: len(tree_of(n).trunk) if n else 0) - 1)


# The contenders: each prepares a conversation and returns the function that answers it


def tree(job: Job) -> Callable[[], list[str]]:
    """As `Analyst.answer` does it; returns the decoded answers."""
    from mlx_cc.model.decode import Grammars, decode, schema_grammar
    from mlx_cc.model.read import read_answers
    from mlx_cc.model.tree import make_tree, run_trunks

    model, tokenizer, tasks, grown, turns, allowed, _ = prompts_of(job)
    make_tree(model)
    grammars = Grammars(tokenizer)
    branches = list(zip(tasks, grown.branches, strict=True))

    def answer() -> list[str]:
        trunk = run_trunks(model, [grown.trunk])
        read_answers(model, trunk, [[branch.prompt for task, branch in branches if task.answers]], allowed)
        decoded = []
        for task, branch in branches:
            if task.schema:
                constraint = grammars.constraint(schema_grammar(task.schema(turns, 0)))
                pieces = decode(model, tokenizer, branch.prompt, trunk, constraint, job.coaching_tokens)
                decoded.append("".join(pieces))
        return decoded

    return answer


def generate(job: Job) -> Callable[[], list[str]]:
    """Six calls of `mlx_lm.generate`."""
    import mlx_lm

    model, tokenizer, _, grown, _, _, lengths = prompts_of(job)
    prompts = grown.rows
    return lambda: [
        mlx_lm.generate(model, tokenizer, prompt, max_tokens=length)
        for prompt, length in zip(prompts, lengths, strict=True)
    ]


def batch_generate(job: Job) -> Callable[[], list[str]]:
    """One call of `mlx_lm.batch_generate`."""
    import mlx_lm

    model, tokenizer, _, grown, _, _, lengths = prompts_of(job)
    return lambda: mlx_lm.batch_generate(model, tokenizer, grown.rows, max_tokens=lengths).texts


def cached(job: Job) -> Callable[[], list[str]]:
    """The trunk's prompt cache is made once and copied for each call of `mlx_lm.generate`."""
    from copy import deepcopy

    import mlx_lm

    model, tokenizer, _, grown, _, _, lengths = prompts_of(job)

    def answer() -> list[str]:
        cache = prompt_cache(model, grown.trunk)
        return [
            mlx_lm.generate(model, tokenizer, list(branch.prompt), max_tokens=length, prompt_cache=deepcopy(cache))
            for branch, length in zip(grown.branches, lengths, strict=True)
        ]

    return answer


def batch_cached(job: Job) -> Callable[[], list[str]]:
    """The trunk's prompt cache is made once and passed to one call of `mlx_lm.batch_generate`."""
    import mlx_lm

    model, tokenizer, _, grown, _, _, lengths = prompts_of(job)

    def answer() -> list[str]:
        cache = prompt_cache(model, grown.trunk)
        prompts = [list(branch.prompt) for branch in grown.branches]
        caches = [cache] * len(prompts)  # mlx-lm copies them
        return mlx_lm.batch_generate(model, tokenizer, prompts, prompt_caches=caches, max_tokens=lengths).texts

    return answer


def prompt_cache(model: Any, tokens: Sequence[int]) -> list[Any]:
    """The cache that `mlx_lm.cache_prompt` makes from a prompt."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    for _ in generate_step(mx.array(list(tokens)), model, max_tokens=0, prompt_cache=cache):
        pass
    return cache


def timed(prepare: Callable[[Job], Callable[[], list[str]]]) -> Callable[[Job, Done], None]:
    """A contender that times the function which `prepare` returns."""

    def run(job: Job, done: Done) -> None:
        from mlx_cc.model import machine

        answer = prepare(job)
        machine.reset_peak_memory()
        while True:
            started = time.perf_counter()
            answer()
            done(time.perf_counter() - started)

    return run


CONTENDERS = (
    Contender("tree", "mlx_cc: the trunk once, five answers read, coaching decoded", "mlx_cc", timed(tree)),
    Contender("generate", "mlx-lm: six calls of generate", "stock", timed(generate)),
    Contender("batch", "mlx-lm: batch_generate", "stock", timed(batch_generate)),
    Contender("cached", "mlx-lm, corrected: the trunk cached once, six calls of generate", "stock", timed(cached)),
    Contender("batch-cached", "mlx-lm, corrected: the trunk cached once, batch_generate", "stock", timed(batch_cached)),
    Contender("tree-stock-kernels", "the tree on stock kernels", "stock", timed(tree)),
)
