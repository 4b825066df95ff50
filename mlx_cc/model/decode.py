"""Decoding: free text, or text that a grammar allows, behind a prefix that is already computed."""

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
    """Makes grammar masks for one tokenizer; built once per model (about half a second).

    Args:
        lead: what every text begins with before its grammar (`Encoder.lead`).
    """

    def __init__(self, tokenizer: Any, lead: str = "") -> None:
        import llguidance.hf
        from llguidance import LLExecutor

        inner = getattr(tokenizer, "_tokenizer", tokenizer)
        self._vocabulary = llguidance.hf.from_tokenizer(inner, n_vocab=len(inner))
        self._threads = LLExecutor()
        self._end, self._lead = tokenizer.eos_token_id, lead

    def constraint(self, grammar: str) -> "Constraint":
        """A fresh constraint for one sequence; ValueError as for `matcher`."""
        return Constraint(self, self.matcher(grammar))

    def matcher(self, grammar: str) -> Any:
        """A fresh `llguidance.LLMatcher`, which follows one sequence.

        Raises:
            ValueError: the grammar is not valid.
        """
        from llguidance import LLMatcher

        matcher = LLMatcher(self._vocabulary, _behind(self._lead, grammar) if self._lead else grammar)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def allowed(self, matchers: Sequence[Any], size: int) -> np.ndarray:
        """Which tokens each sequence may go on with, bool (B, size); all of them where its matcher is None.

        Computed in threads, without Python's lock. A matcher that has stopped allows the end token alone.
        """
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask_par

        bits = allocate_token_bitmask(len(matchers), self._vocabulary.vocab_size)
        active = [(m, row) for row, m in enumerate(matchers) if m is not None and not m.is_stopped()]
        if active:
            fill_next_token_bitmask_par(self._threads, active, bits)
        unpacked = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :size].view(bool)
        allowed = np.zeros((len(matchers), size), dtype=bool)
        allowed[:, : unpacked.shape[1]] = unpacked
        for row, matcher in enumerate(matchers):
            if matcher is None:
                allowed[row] = True
            elif matcher.is_stopped():
                allowed[row] = False
                allowed[row, self._end] = True
        return allowed


def _behind(lead: str, grammar: str) -> str:
    """A grammar (Lark, or JSON as `schema_grammar` makes it) whose texts begin with `lead`."""
    first, *rest = json.loads(grammar)["grammars"] if grammar.startswith("{") else [{"lark_grammar": grammar}]
    start = {"lark_grammar": f"start: {json.dumps(lead)} @body"}
    return json.dumps({"grammars": [start, {**first, "name": "body"}, *rest]})


class Constraint:
    """A logits processor (mlx-lm) that leaves only the tokens the grammar allows next; serves one sequence."""

    def __init__(self, grammars: Grammars, matcher: Any) -> None:
        self._grammars, self._matcher = grammars, matcher
        self._seen: int | None = None

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """Mask logits (1, V) given all tokens so far; the first call's tokens are the prompt."""
        if self._seen is not None:
            new_tokens = cast(list[int], tokens[self._seen :].tolist())
            mx.async_eval(logits)  # computed while the mask is made
            for token in new_tokens:
                if not self._matcher.is_stopped():  # generation looks one step ahead of the end
                    self._matcher.consume_token(token)
        self._seen = tokens.size
        return mx.where(mx.array(self._grammars.allowed([self._matcher], logits.shape[-1])), logits, -mx.inf)


def decode(
    model: nn.Module,
    tokenizer: Any,
    prompt: Sequence[int],
    prefix: Prefix | None = None,
    constraint: Constraint | None = None,
    max_tokens: int = 256,
    temperature: float = 0.0,
) -> Iterator[str]:
    """Continue `prompt` (token ids) behind `prefix` (one trunk), greedy by default; yields pieces of text."""
    from mlx_lm.generate import stream_generate
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.sample_utils import make_sampler

    cache: list[Any] = cache_of(prefix) if prefix else make_prompt_cache(model)
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
    tokens: dict[int, list[int]] = {}
    try:
        uids = generator.insert(
            [list(prompt) for prompt in prompts],
            caches=[cache_of(trunks.one(index)) for index in range(len(prompts))],
            logits_processors=[[constraint] for constraint in constraints],
        )
        while responses := generator.next_generated():
            for response in responses:
                if response.finish_reason != "stop":
                    tokens.setdefault(response.uid, []).append(response.token)
    finally:
        generator.close()
    return [tokenizer.decode(tokens.get(uid, [])) for uid in uids]


def cache_of(trunk: Prefix) -> list[Any]:
    """The mlx-lm caches of one trunk."""
    from mlx_lm.models.cache import KVCache

    cache = [KVCache() for _ in trunk.layers]
    for slot, layer in zip(cache, trunk.layers, strict=True):
        slot.state = (layer.keys, layer.values, layer.keys.shape[2])
    return cache
