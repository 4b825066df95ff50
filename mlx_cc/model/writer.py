"""Writing many texts at once, each under its own grammar: what makes reasoning chains affordable.

    writer = Writer(model, tokenizer, batch_size=32)
    for written in writer.write(jobs):
        keep(written.key, written.text)

A conversation's trunk is computed once for all its jobs, the beginning that all trunks share once for all of them.
Up to `batch_size` texts are decoded as rows of one batch, one token each a step; a row that ends is replaced before
the next step. Jobs are drawn in windows and sorted by length, so rows decoded together have close lengths.

A step: the next tokens are chosen, the forward pass that follows them is launched, and while it runs the tokens are
read and the grammars' next masks made.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, NamedTuple, cast

import mlx.core as mx

from mlx_cc.buckets import buckets
from mlx_cc.model import machine
from mlx_cc.model.decode import Grammars, cache_of
from mlx_cc.model.tree import Prefix, run_trunks, shares_trunk
from mlx_cc.prompt.encoder import common_prefix

WINDOW = 4
"""Batches drawn together, so that jobs of close lengths meet; set by hand."""
MOST_TOKENS = 8192
"""The most tokens of trunks or rows computed at once, padding included; set by hand to bound memory."""
AT_ONCE = 8
"""The most trunks or rows computed at once; set by hand to bound memory."""


class Job(NamedTuple):
    """A text to be written."""

    key: Any
    """Handed back with the text."""
    trunk: tuple[int, ...]
    """Tokens of the conversation (system line, transcript); jobs with the same trunk share it."""
    prompt: tuple[int, ...]
    """Tokens of the question behind it; at least one."""
    grammar: str | None = None
    """An llguidance grammar (Lark, or what `decode.schema_grammar` makes); None: free text."""
    max_tokens: int = 1000
    seed: int = 0
    """Seed of the text's sampling, where the temperature is above 0."""


class Written(NamedTuple):
    """A text that was written."""

    key: Any
    text: str
    tokens: int
    """Number of decoded tokens, without an end token."""
    finished: bool
    """False: it ran into `max_tokens`, or its grammar could not be followed to the end."""


@dataclass
class Row:
    """A text being written."""

    job: Job
    matcher: Any
    """An `llguidance.LLMatcher`, None for free text."""
    tokens: list[int] = field(default_factory=list)
    """Decoded so far."""


class Ready(NamedTuple):
    """A job whose trunk is computed."""

    job: Job
    cache: list[Any]
    tokens: tuple[int, ...]
    """Tokens still to be computed behind the cache."""


class Writer:
    """Writes texts with one model.

    Args:
        batch_size: texts decoded at once.
        temperature: 0 takes the most probable token; above, tokens are sampled, and a text depends on its job's
            seed and not on the texts beside it.
    """

    def __init__(self, model: Any, tokenizer: Any, batch_size: int = 32, temperature: float = 0.0) -> None:
        self.model, self.tokenizer, self.temperature = model, tokenizer, temperature
        self.shares_trunk = shares_trunk(model, "Each text's conversation is computed anew, which is slower.")
        alone = self.shares_trunk and model.one_tree_at_a_time
        self.batch_size = 1 if alone else batch_size
        self._ends = set(tokenizer.eos_token_ids)
        self._grammars: Grammars | None = None

    def write(self, jobs: Iterable[Job]) -> Iterator[Written]:
        """Texts as they come, in any order; no more than a window of jobs is drawn ahead.

        Raises:
            ValueError: a job's grammar is not valid, or it has no prompt.
        """
        with machine.wired_limit():
            ready = self._ready(jobs)
            rows: list[Row] = []
            cache: list[Any] = []
            logits: Any = None
            while True:
                while admitted := list(islice(ready, min(AT_ONCE, self.batch_size - len(rows)))):
                    begun, more = self._prefill(admitted)
                    cache = _joined(cache, begun)
                    logits = more if not rows else mx.concatenate([logits, more])
                    rows += map(self._row, admitted)
                    mx.async_eval(logits)
                    mx.clear_cache()
                if not rows:
                    return
                chosen = self._choose(rows, logits)
                mx.async_eval(chosen)
                logits = self._forward(chosen[:, None], cache)
                mx.async_eval(logits)
                keep = []
                for index, token in enumerate(cast(list[int], chosen.tolist())):
                    if (written := self._take(rows[index], token)) is None:
                        keep.append(index)
                    else:
                        yield written
                if len(keep) < len(rows):
                    rows = [rows[index] for index in keep]
                    logits = logits[mx.array(keep)] if keep else None
                    cache = _kept(cache, keep)

    # What goes in

    def _ready(self, jobs: Iterable[Job]) -> Iterator[Ready]:
        """Jobs with their trunks computed, window by window, a few trunks at once and ahead of their turn."""
        from mlx_lm.models.cache import make_prompt_cache

        most = min(AT_ONCE, self.batch_size)
        stream = iter(jobs)
        beginning: tuple[tuple[int, ...], Prefix] | None = None
        while window := list(islice(stream, WINDOW * self.batch_size)):
            machine.suit_threads()
            window.sort(key=lambda job: (len(job.trunk), job.trunk, len(job.prompt)))
            by_trunk = [(trunk, list(some)) for trunk, some in groupby(window, key=lambda job: job.trunk)]
            for group in buckets(by_trunk, lambda pair: (len(pair[0]),), MOST_TOKENS, most):
                trunks = [trunk for trunk, _ in group]
                if not self.shares_trunk or not trunks[0]:
                    for job in (job for _, some in group for job in some):
                        yield Ready(job, make_prompt_cache(self.model), (*job.trunk, *job.prompt))
                    continue
                heads = [trunk[:-1] for trunk in trunks]  # each keeps a token of its own to compute
                if beginning is None and len(trunks) > 1 and (shared := common_prefix(heads)):
                    beginning = heads[0][:shared], run_trunks(self.model, [heads[0][:shared]])
                shared = common_prefix([beginning[0], *heads]) if beginning else 0
                computed = run_trunks(self.model, trunks, beginning[1].one(0, shared) if beginning and shared else None)
                mx.eval(computed.layers)
                for index, (_, some) in enumerate(group):
                    for job in some:
                        yield Ready(job, cache_of(computed.one(index)), job.prompt)

    def _prefill(self, admitted: Sequence[Ready]) -> tuple[list[Any], mx.array]:
        """Batched caches of jobs whose prompts are computed, and the logits (B, V) of their first tokens."""
        from mlx_lm.generate import PromptProcessingBatch

        batch = PromptProcessingBatch(self.model, list(range(len(admitted))), [one.cache for one in admitted])
        if any(len(one.tokens) > 1 for one in admitted):
            batch.prompt([list(one.tokens[:-1]) for one in admitted])
        return batch.prompt_cache, self._forward(mx.array([[one.tokens[-1]] for one in admitted]), batch.prompt_cache)

    def _row(self, admitted: Ready) -> Row:
        job = admitted.job
        if job.grammar is not None and self._grammars is None:
            self._grammars = Grammars(self.tokenizer)
        matcher = self._grammars.matcher(job.grammar) if self._grammars and job.grammar is not None else None
        return Row(job, matcher)

    # A step

    def _forward(self, tokens: mx.array, cache: list[Any]) -> mx.array:
        """Logits (B, V) behind tokens (B, L)."""
        return self.model(tokens, cache=cache)[:, -1, :]

    def _choose(self, rows: Sequence[Row], logits: mx.array) -> mx.array:
        """The next token of each row, (B,)."""
        if self._grammars and any(row.matcher for row in rows):
            allowed = self._grammars.allowed([row.matcher for row in rows], logits.shape[-1])
            logits = mx.where(mx.array(allowed), logits, -mx.inf)
        if self.temperature > 0:
            keys = mx.array([[row.job.seed % 2**32, len(row.tokens)] for row in rows], mx.uint32)
            logits = logits.astype(mx.float32) / self.temperature + _gumbel(keys, logits.shape[-1])
        return mx.argmax(logits, axis=-1)

    def _take(self, row: Row, token: int) -> Written | None:
        """Add a row's next token; returns the text if that ends it, else None."""
        end = token in self._ends
        if not end:
            row.tokens.append(token)
        broken = False
        if row.matcher is not None and not end:
            broken = not row.matcher.consume_token(token)
            end = row.matcher.is_stopped()
        if not end and len(row.tokens) < row.job.max_tokens:
            return None
        text = self.tokenizer.detokenizer
        for token in row.tokens:
            text.add_token(token)
        text.finalize()
        return Written(row.job.key, text.text, len(row.tokens), end and not broken)


def _gumbel(keys: mx.array, size: int) -> mx.array:
    """Gumbel noise (B, size), each row from its own key: what the arg max of logits needs to be a sample."""
    return mx.vmap(lambda key: mx.random.gumbel((size,), key=key))(keys)


def _joined(cache: list[Any], more: list[Any]) -> list[Any]:
    """Batched caches with the rows of `more` added."""
    if not cache:
        return more
    for one, other in zip(cache, more, strict=True):
        one.extend(other)
    return cache


def _kept(cache: list[Any], keep: list[int]) -> list[Any]:
    """Batched caches of the rows that go on."""
    if not keep:
        return []
    for one in cache:
        one.filter(keep)
    return cache
