"""Writing a text about each of many conversations: `mlx_cc.model.writer` and the ways mlx-lm offers.

One unit of work is a batch of texts, from tokens to texts: each asked for a reasoning chain about a conversation, of
its own or shared with other `questions`. Everybody gets the same prompts, decodes greedily and exactly as many tokens
of each; no end token stops anybody earlier. The loop of `mlx_lm.generate` does two of the prompts and its seconds are
scaled to all of them: it takes each alone, so the others would cost the same.
"""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from msgspec import Struct

from mlx_cc import reasoning
from mlx_cc.bench.analyze import fitting
from mlx_cc.bench.contest import Contender, Contest, Done, contest
from mlx_cc.errors import UserError
from mlx_cc.prompt import Encoder, Tree, plant

LOOPED = 2
"""Prompts that the loop does."""


class Job(Struct):
    """What is written."""

    model: str
    trunk: int = 600
    """Tokens of each conversation, about."""
    tokens: int = 200
    """Decoded of each text."""
    batch_size: int = 16
    """Texts, all decoded at once."""
    questions: int = 1
    """About each conversation; they divide the texts."""
    seed: int = 0


class WritingSpeed(Struct):
    """A contest of writing."""

    job: Job
    contest: Contest


def writing_speed(job: Job, contenders: Sequence[Contender], rounds: int) -> WritingSpeed:
    """Measure contenders on a job.

    Raises:
        UserError: a contender can't do the job.
    """
    title = f"writing, trunk {job.trunk}, {job.batch_size} at once"
    return WritingSpeed(job, contest("generate", contenders, job, job.batch_size * job.tokens, rounds, title))


class Asked(NamedTuple):
    """A loaded model and what it is asked."""

    model: Any
    tokenizer: Any
    trees: list[Tree]
    """With a branch for each question and a last one that is not asked."""

    @property
    def texts(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Conversation and question of each text."""
        return [(tree.trunk, branch.prompt) for tree in self.trees for branch in tree.branches[:-1]]

    @property
    def prompts(self) -> list[list[int]]:
        """Whole rows, conversation and question."""
        return [[*trunk, *prompt] for trunk, prompt in self.texts]


def asked(job: Job) -> Asked:
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

        def planted(count: int, own: tuple[Any, ...] = own, id: str = f"bench {number}") -> Tree:
            conversation = Conversation(id=id, turns=own[:count])
            return plant(conversation, questions, encoder, loaded.prompt, max_tokens=10**9)

        trees.append(planted(fitting(len(own), job.trunk, planted)))
    loaded.tokenizer.eos_token_ids = ()
    return Asked(loaded.model, loaded.tokenizer, trees)


# The contenders: each prepares conversations and returns what writes texts about them, and how many texts


class Work(NamedTuple):
    """What a contender does."""

    write: Callable[[int, int], list[str]]
    """The first so many texts, of so many tokens each."""
    texts: int
    """That one unit of it takes; its seconds are scaled to the job's."""


def writer(job: Job, grammar: str | None = None) -> Work:
    """`Writer`, free text or under a grammar."""
    from mlx_cc.model import writer as writing

    asks = asked(job)
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
    return writer(job, reasoning.grammar(quality=78, csat=4))


def loop(job: Job) -> Work:
    """Calls of `mlx_lm.generate`, for a few of the prompts."""
    import mlx_lm

    found = asked(job)

    def write(texts: int, tokens: int) -> list[str]:
        prompts = found.prompts[:texts]
        return [mlx_lm.generate(found.model, found.tokenizer, prompt, max_tokens=tokens) for prompt in prompts]

    return Work(write, min(LOOPED, job.batch_size))


def batch_generate(job: Job) -> Work:
    """One call of `mlx_lm.batch_generate`."""
    import mlx_lm

    found = asked(job)

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
    """A contender from what prepares its work; the unit that does not count is one short text."""

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
