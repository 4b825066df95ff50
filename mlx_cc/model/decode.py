"""Decoding: free text, or text under a grammar, behind a prefix that was computed before."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_cc.model.tree import Prefix


def schema_grammar(schema: dict[str, Any]) -> str:
    """An llguidance grammar for JSON of this schema, spaced as `json.dumps` spaces it."""
    from llguidance import LLMatcher

    return LLMatcher.grammar_from_json_schema(
        json.dumps(schema),
        defaults={"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "},
    )


class Grammars:
    """Makes grammar masks for one tokenizer; built once per model (about half a second)."""

    def __init__(self, tokenizer: Any) -> None:
        import llguidance.hf

        inner = getattr(tokenizer, "_tokenizer", tokenizer)
        self._vocabulary = llguidance.hf.from_tokenizer(inner, n_vocab=len(inner))
        self._end = tokenizer.eos_token_id

    def constraint(self, grammar: str) -> "Constraint":
        """A fresh constraint for one sequence."""
        return Constraint(self._vocabulary, grammar, self._end)


class Constraint:
    """A logits processor (mlx-lm) that leaves only the tokens the grammar allows next.

    Serves one sequence. Uses plain array operations, so it runs on any backend.

    Raises:
        ValueError: the grammar is not valid.
    """

    def __init__(self, vocabulary: Any, grammar: str, end: int) -> None:
        import llguidance.numpy
        from llguidance import LLMatcher

        self._matcher = LLMatcher(vocabulary, grammar)
        if self._matcher.is_error():
            raise ValueError(self._matcher.get_error())
        self._fill = llguidance.numpy.fill_next_token_bitmask
        self._bits = llguidance.numpy.allocate_token_bitmask(1, vocabulary.vocab_size)
        self._end = end
        self._seen: int | None = None

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """Mask logits (1, V) given all tokens so far; the first call's tokens are the prompt."""
        if self._seen is None:
            self._seen = tokens.size
        else:
            for token in cast(list[int], tokens[self._seen :].tolist()):
                if not self._matcher.is_stopped():
                    self._matcher.consume_token(token)
            self._seen = tokens.size
        allowed = np.zeros(logits.shape[-1], dtype=bool)
        if self._matcher.is_stopped():  # generation looks one step ahead of the end
            allowed[self._end] = True
        else:
            self._fill(self._matcher, self._bits)
            bits = np.unpackbits(self._bits.view(np.uint8), axis=1, bitorder="little")[0]
            size = min(len(bits), len(allowed))
            allowed[:size] = bits[:size]
        return mx.where(mx.array(allowed), logits, -mx.inf)


def decode(
    model: nn.Module,
    tokenizer: Any,
    prompt: Sequence[int],
    prefix: Prefix | None = None,
    constraint: Constraint | None = None,
    max_tokens: int = 256,
    temperature: float = 0.0,
) -> Iterator[str]:
    """Text pieces of a continuation of `prompt` (token ids) behind `prefix` (one trunk), greedy by default."""
    from mlx_lm.generate import stream_generate
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.sample_utils import make_sampler

    cache: list[Any] = _cache_of(prefix) if prefix else make_prompt_cache(model)
    for piece in stream_generate(
        model,
        tokenizer,
        list(prompt),
        max_tokens=max_tokens,
        sampler=make_sampler(temp=temperature),
        logits_processors=[constraint] if constraint else None,
        prompt_cache=cache,
    ):
        yield piece.text


def decode_all(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    trunks: Prefix,
    constraints: Sequence[Constraint],
    max_tokens: int = 256,
) -> list[str]:
    """Continuations of several prompts at once, each behind its own trunk and under its own constraint; greedy."""
    from mlx_lm.generate import BatchGenerator

    generator = BatchGenerator(
        model,
        max_tokens=max_tokens,
        stop_tokens=[[token] for token in tokenizer.eos_token_ids],
        completion_batch_size=len(prompts),
        prefill_batch_size=len(prompts),
    )
    said: dict[int, list[int]] = {}
    try:
        uids = generator.insert(
            [list(prompt) for prompt in prompts],
            caches=[_cache_of(trunks.one(place)) for place in range(len(prompts))],
            logits_processors=[[constraint] for constraint in constraints],
        )
        while responses := generator.next_generated():
            for response in responses:
                if response.finish_reason != "stop":
                    said.setdefault(response.uid, []).append(response.token)
    finally:
        generator.close()
    return [tokenizer.decode(said.get(uid, [])) for uid in uids]


def _cache_of(trunk: Prefix) -> list[Any]:
    """The mlx-lm caches of one trunk."""
    from mlx_lm.models.cache import KVCache

    cache = [KVCache() for _ in trunk.layers]
    for slot, layer in zip(cache, trunk.layers, strict=True):
        slot.state = (layer.keys, layer.values, layer.keys.shape[2])
    return cache
