"""Writing a text about each of many conversations: `mlx_cc.model.writer`, and the ways that mlx-lm offers.

One unit of work is a batch of texts. Each prompt asks for a reasoning chain about a conversation; several `questions`
may share a conversation. All contenders get the same prompts and decode the same number of tokens greedily; end tokens
stop nothing earlier. The loop of `mlx_lm.generate` does two of the prompts, one after the other, and its seconds are
scaled to all of them.
"""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from msgspec import Struct

from mlx_cc import reasoning
from mlx_cc.bench.analyze import fitting
from mlx_cc.bench.comparison import Comparison, Contender, Done, compare
from mlx_cc.errors import UserError
from mlx_cc.prompt import Encoder, Tree, build_tree

LOOPED = 2
"""Prompts that the loop does in one unit."""


class Job(Struct):
    """The texts to write and the model."""

    model: str
    trunk: int = 600
    """Approximate tokens of each conversation."""
    tokens: int = 200
    """Tokens to decode for each text."""
    batch_size: int = 16
    """Texts that are decoded at once."""
    questions: int = 1
    """Texts about each conversation; must divide `batch_size`."""
    seed: int = 0


def writing_speed(job: Job, contenders: Sequence[Contender], rounds: int) -> Comparison:
    """Compare contenders on a job.

    Raises:
        UserError: a contender can't do the job.
    """
    title = f"{job.batch_size} texts of {job.tokens} tokens by {job.model}: conversations of about {job.trunk} tokens"
    return compare(__name__, contenders, job, rounds, title, "tokens/s", job.batch_size * job.tokens)


class Prompts(NamedTuple):
    """A loaded model and its prompts."""

    model: Any
    tokenizer: Any
    trees: list[Tree]
    """Each has a branch for each question, and a last branch that is not used."""

    @property
    def texts(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Trunk and question of each text."""
        return [(tree.trunk, branch.prompt) for tree in self.trees for branch in tree.branches[:-1]]

    @property
    def prompts(self) -> list[list[int]]:
        """Whole rows: trunk and question."""
        return [[*trunk, *prompt] for trunk, prompt in self.texts]


def prompts_of(job: Job) -> Prompts:
    """Load the model and grow simulated conversations, turn by turn, to about the length of the job's trunk."""
    from mlx_cc.conversation import Conversation
    from mlx_cc.model.load import load
    from mlx_cc.simulate import Parameters, World, simulate

    loaded = load(job.model)
    encoder = Encoder(loaded.tokenizer)
    answers = ({"csat": 4} if n == 0 else {"csat": 4, "churn": 5 * n} for n in range(job.questions))
    questions = [("reasoning", reasoning.question(values, loaded.centre), None) for values in answers]
    questions.append(("other", "?", None))
    most = 1 + job.trunk // 8
    count = job.batch_size // job.questions
    world = World(Parameters(conversations=count * (1 + job.trunk // 50), agents=5, seed=job.seed))
    turns = (turn for c in simulate(world) for turn in c.turns)
    trees = []
    for number in range(count):
        own = tuple(islice(turns, most))

        def tree_of(count: int, own: tuple[Any, ...] = own, id: str = f"bench {number}") -> Tree:
            conversation = Conversation(id=id, turns=own[:count])
            return build_tree(conversation, questions, encoder, loaded.prompt, max_tokens=10**9)

        trees.append(tree_of(fitting(len(own), job.trunk, tree_of)))
    loaded.tokenizer.eos_token_ids = ()
    return Prompts(loaded.model, loaded.tokenizer, trees)


# The contenders: each prepares conversations and returns a function that writes texts about them


class Work(NamedTuple):
    """The work of a contender."""

    write: Callable[[int, int], list[str]]
    """Writes the first N texts of M tokens each."""
    texts: int
    """Texts in one unit; the seconds are scaled to all texts of the job."""


def writer(job: Job, grammar: str | None = None) -> Work:
    """`Writer`, free text or under a grammar."""
    from mlx_cc.model import writer as writing

    asks = prompts_of(job)
    ours = writing.Writer(asks.model, asks.tokenizer, job.batch_size)

    def write(texts: int, tokens: int) -> list[str]:
        jobs = [
            writing.Job(place, trunk, prompt, grammar, tokens)
            for place, (trunk, prompt) in enumerate(asks.texts[:texts])
        ]
        found = sorted(ours.write(jobs), key=lambda one: one.key)
        if (least := min(one.tokens for one in found)) < tokens:
            raise UserError(f"a chain ended after {least} tokens. Choose fewer --tokens.")
        return [one.text for one in found]

    return Work(write, job.batch_size)


def writer_of_chains(job: Job) -> Work:
    """`Writer` under the grammar of a reasoning chain."""
    return writer(job, reasoning.grammar({"quality": {"score": 78}, "csat": 4}))


def loop(job: Job) -> Work:
    """Calls of `mlx_lm.generate` for a few of the prompts."""
    import mlx_lm

    found = prompts_of(job)

    def write(texts: int, tokens: int) -> list[str]:
        prompts = found.prompts[:texts]
        return [mlx_lm.generate(found.model, found.tokenizer, prompt, max_tokens=tokens) for prompt in prompts]

    return Work(write, min(LOOPED, job.batch_size))


def batch_generate(job: Job) -> Work:
    """One call of `mlx_lm.batch_generate`."""
    import mlx_lm

    found = prompts_of(job)

    def write(texts: int, tokens: int) -> list[str]:
        prompts, size = found.prompts[:texts], job.batch_size
        return mlx_lm.batch_generate(
            found.model,
            found.tokenizer,
            prompts,
            max_tokens=tokens,
            completion_batch_size=size,
            prefill_batch_size=min(8, size),  # mlx-lm's own default is 8
        ).texts

    return Work(write, job.batch_size)


def timed(prepare: Callable[[Job], Work]) -> Callable[[Job, Done], None]:
    """A contender that times the work which `prepare` returns; the first unit is one short text and does not count."""

    def run(job: Job, done: Done) -> None:
        from mlx_cc.model import machine

        work = prepare(job)
        machine.reset_peak_memory()
        texts, tokens = 1, min(4, job.tokens)
        while True:
            started = time.perf_counter()
            work.write(texts, tokens)
            done((time.perf_counter() - started) * job.batch_size / texts)
            texts, tokens = work.texts, job.tokens

    return run


CONTENDERS = (
    Contender("writer", "mlx_cc: all at once, trunks of close lengths together", "mlx_cc", timed(writer)),
    Contender("writer-chain", "the same under the grammar of a chain", "mlx_cc", timed(writer_of_chains)),
    Contender("loop", f"mlx-lm: generate, one by one ({LOOPED} prompts timed, scaled to all)", "stock", timed(loop)),
    Contender("batch", "mlx-lm: batch_generate", "stock", timed(batch_generate)),
    Contender("writer-stock-kernels", "the writer on stock kernels", "stock", timed(writer)),
)
