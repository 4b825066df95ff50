"""Many texts at once are those that each job alone would be, whoever shares its batch."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import LLAMA, random_model
from test_tree import KINDS

from mlx_cc.model import writer as module
from mlx_cc.model.decode import Grammars, decode
from mlx_cc.model.writer import Job, Writer, Written

WINDOWED = {**LLAMA, "sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"]}
SYSTEM = tuple(range(300, 320))


def grammar(longest: int) -> str:
    """A heading, letters, and a fixed end."""
    return f'start: "Note: " /[a-z ]{{2,{longest}}}/ "." ("Yes" | "No") "\\n"\n'


def jobs(conversations: int = 5, questions: int = 2, seed: int = 0) -> list[Job]:
    """Jobs of ragged lengths: some under grammars of different lengths, some free, all trunks beginning alike."""
    rng = random.Random(seed)
    made = []
    for number in range(conversations):
        trunk = SYSTEM + tuple(rng.randrange(300, 1000) for _ in range(rng.choice((3, 17, 40, 41, 90))))
        for question in range(questions):
            prompt = tuple(rng.randrange(300, 1000) for _ in range(rng.choice((1, 2, 9, 14))))
            rule = rng.choice((None, grammar(4), grammar(25), grammar(60)))
            made.append(Job((number, question), trunk, prompt, rule, rng.choice((1, 7, 30, 60)), seed=len(made)))
    return made


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    from mlx_lm.utils import load_tokenizer

    return load_tokenizer(tiny_model)


@pytest.fixture(scope="module")
def tiny() -> Any:
    return random_model(LLAMA)


def alone(model: Any, tokenizer: Any, job: Job) -> str:
    """The job's text as `decode` writes it, with a plain cache of its own."""
    constraint = Grammars(tokenizer).constraint(job.grammar) if job.grammar else None
    row = [*job.trunk, *job.prompt]
    return "".join(decode(model, tokenizer, row, constraint=constraint, max_tokens=job.max_tokens))


def texts(written: Iterator[Written]) -> dict[Any, str]:
    found = list(written)
    assert len({one.key for one in found}) == len(found)
    return {one.key: one.text for one in found}


# The same texts


@pytest.mark.parametrize("kind", ["llama", "gemma2", "windowed"])
@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_texts_are_those_of_each_job_alone(kind, batch_size, tokenizer):
    model = random_model({**KINDS, "windowed": WINDOWED}[kind])
    asked = jobs()
    writer = Writer(model, tokenizer, batch_size)
    assert writer.shares_trunk == (kind != "windowed")
    assert texts(writer.write(asked)) == {job.key: alone(model, tokenizer, job) for job in asked}


def test_a_trunk_s_jobs_need_not_stand_together_in_the_stream(tokenizer, tiny):
    asked = jobs(conversations=3, questions=4)
    shuffled = sorted(asked, key=lambda job: job.key[::-1])
    assert texts(Writer(tiny, tokenizer, 4).write(shuffled)) == texts(Writer(tiny, tokenizer, 4).write(asked))


def test_no_trunk_is_a_trunk_too(tokenizer, tiny):
    asked = [job._replace(trunk=()) for job in jobs(2)] + jobs(2, seed=1)
    asked = [job._replace(key=place) for place, job in enumerate(asked)]
    assert texts(Writer(tiny, tokenizer, 3).write(asked)) == {job.key: alone(tiny, tokenizer, job) for job in asked}


# When a text ends


def test_a_text_says_how_many_tokens_it_took_and_whether_it_came_to_its_end(tokenizer, tiny):
    short = Job("short", SYSTEM, (400, 401), 'start: "407"\n', 50)
    cut = short._replace(key="cut", grammar=grammar(60), max_tokens=5)
    exact = short._replace(key="exact", max_tokens=3)  # a token a digit
    found = {one.key: one for one in Writer(tiny, tokenizer).write([short, cut, exact])}
    assert found["short"] == Written("short", "407", 3, True)
    assert found["exact"] == Written("exact", "407", 3, True)
    assert (found["cut"].tokens, found["cut"].finished) == (5, False)
    assert found["cut"].text == alone(tiny, tokenizer, cut)


def test_a_job_whose_first_token_ends_it_is_an_empty_text(tokenizer, tiny):
    asked = [job._replace(grammar=None, max_tokens=20) for job in jobs(3, 1)]
    first = Writer(tiny, tokenizer)._prefill([next(Writer(tiny, tokenizer)._ready(asked[:1]))])[1].argmax().item()
    ending = Writer(tiny, tokenizer, 2)
    ending._ends = {first}
    found = {one.key: one for one in ending.write(asked)}
    assert found[asked[0].key] == Written(asked[0].key, "", 0, True)
    assert len(found) == 3


def test_no_jobs_give_no_texts(tokenizer, tiny):
    assert list(Writer(tiny, tokenizer).write([])) == []


def test_a_grammar_that_is_none_says_why(tokenizer, tiny):
    with pytest.raises(ValueError, match="nowhere"):
        list(Writer(tiny, tokenizer).write([Job(0, SYSTEM, (400,), "start: nowhere\n")]))


# Sampling


def test_a_sampled_text_depends_on_its_seed_and_not_on_its_neighbours(tokenizer, tiny):
    asked = jobs(4, 2)
    together = texts(Writer(tiny, tokenizer, 8, temperature=1.0).write(asked))
    turned = texts(Writer(tiny, tokenizer, 3, temperature=1.0).write(asked[::-1]))
    single = texts(Writer(tiny, tokenizer, 1, temperature=1.0).write([asked[5]]))
    assert together == turned
    assert single[asked[5].key] == together[asked[5].key]


def test_seeds_differ_and_a_low_temperature_says_the_most_probable(tokenizer, tiny):
    job = Job(0, SYSTEM, (400, 401), None, 12)
    asked = [job._replace(key=seed, seed=seed) for seed in range(6)]
    assert len(set(texts(Writer(tiny, tokenizer, temperature=3.0).write(asked)).values())) > 4
    cold = texts(Writer(tiny, tokenizer, temperature=1e-3).write(asked))
    assert set(cold.values()) == {alone(tiny, tokenizer, job)}


def test_tokens_are_sampled_as_often_as_they_are_probable(tokenizer, tiny):
    import mlx.core as mx

    writer = Writer(tiny, tokenizer, temperature=0.5)
    logits = mx.array([0.0, 0.5, 1.0, -mx.inf])
    rows = [module.Row(Job(0, (), (1,), seed=seed), None) for seed in range(4000)]
    chosen = writer._choose(rows, mx.repeat(logits[None], len(rows), 0))
    shares = [(chosen == token).mean().item() for token in range(4)]
    assert shares == pytest.approx(mx.softmax(logits / 0.5).tolist(), abs=0.03)


# What is computed and held


class Counted:
    """A stream of jobs that counts how many were drawn."""

    def __init__(self, asked: list[Job]) -> None:
        self.asked, self.drawn = asked, 0

    def __iter__(self) -> Iterator[Job]:
        for job in self.asked:
            self.drawn += 1
            yield job


def test_jobs_are_drawn_a_window_ahead_and_closing_early_draws_no_more(tokenizer, tiny):
    stream = Counted(jobs(20, 2))
    writing = Writer(tiny, tokenizer, 2).write(stream)
    assert stream.drawn == 0
    next(writing)
    assert stream.drawn <= 2 * module.WINDOW * 2
    writing.close()
    drawn = stream.drawn
    with pytest.raises(StopIteration):
        next(writing)
    assert stream.drawn == drawn
    assert len(texts(Writer(tiny, tokenizer, 2).write(stream))) == 40  # nothing of it is left behind


def test_a_row_that_ends_makes_place_for_the_next_while_others_go_on(tokenizer, tiny, monkeypatch):
    sizes = []
    forward = Writer._forward

    def counted(self, tokens, cache):
        sizes.append(len(tokens))
        return forward(self, tokens, cache)

    monkeypatch.setattr(Writer, "_forward", counted)
    writer = Writer(tiny, tokenizer, 3)
    writer._ends = set()
    job = Job(0, SYSTEM, (400,), None)
    asked = [job._replace(key=place, max_tokens=4 if place % 3 else 12) for place in range(9)]
    assert len(texts(writer.write(asked))) == 9
    assert max(sizes) == 3
    assert len(sizes) <= 30  # 24 steps, 5 admissions; batches that wait for their longest take 36 and 3


def test_a_trunk_is_computed_once_for_all_its_jobs_and_what_trunks_begin_with_once_for_all(
    tokenizer, tiny, monkeypatch
):
    computed = []
    run_trunks = module.run_trunks

    def counted(model, trunks, beginning=None):
        computed.extend(len(trunk) - (beginning.lengths[0] if beginning else 0) for trunk in trunks)
        return run_trunks(model, trunks, beginning)

    monkeypatch.setattr(module, "run_trunks", counted)
    trunks = [SYSTEM + tuple(range(400 + start, 430 + start)) for start in range(6)]
    asked = [Job((start, n), trunk, (500 + n,), None, 3) for n in range(3) for start, trunk in enumerate(trunks)]
    assert len(texts(Writer(tiny, tokenizer, 6).write(asked))) == 18
    assert sorted(computed) == [len(SYSTEM), *[30] * 6]


def test_windows_bring_trunks_of_close_lengths_together(tokenizer, tiny, monkeypatch):
    groups = []
    run_trunks = module.run_trunks

    def counted(model, trunks, beginning=None):
        groups.append([len(trunk) for trunk in trunks])
        return run_trunks(model, trunks, beginning)

    monkeypatch.setattr(module, "run_trunks", counted)
    asked = [Job(n, (7 + n, *range(300, 310 + 100 * (n % 2))), (500,), None, 3) for n in range(8)]
    list(Writer(tiny, tokenizer, 4).write(asked))
    assert groups == [[11] * 4, [111] * 4]
