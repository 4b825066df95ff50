"""The comparisons of `mlx_cc bench`: every contender does the work it claims to do; figures follow from measurements."""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mlx_cc.bench import analyze as analysis
from mlx_cc.bench import generate as writing
from mlx_cc.bench import train as training
from mlx_cc.bench.comparison import Contender, ContenderProcess, chosen, compare, times_as_fast
from mlx_cc.bench.contender import About, Unit
from mlx_cc.commands.bench import command
from mlx_cc.errors import UserError


def bench(*arguments: str) -> Any:
    """What a benchmark prints as JSON."""
    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


class Enough(Exception):
    """Ends a contender after its first unit of work."""


def first_loss(contender: Contender, job: training.Job) -> float:
    """A training contender's loss before its first update, computed in this process."""
    losses = []

    def done(seconds: float, loss: float | None = None) -> None:
        losses.append(loss)
        raise Enough

    with pytest.raises(Enough):
        contender.run(job, done)
    return losses[0]


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A benchmark of training, the tree and mlx-lm."""
    sizes = ["--trunk", "40", "--branches", "3", "--branch-tokens", "12", "--answer-tokens", "6", "--runs", "3"]
    file = tmp_path_factory.mktemp("bench") / "train.json"
    printed = bench("train", "--model", str(tiny_model), *sizes, "--contender", "stock", "--output", str(file))
    assert json.loads(file.read_text()) == printed
    return printed[0]


@pytest.fixture(scope="module")
def analysed(tiny_model: Path) -> Any:
    """A benchmark of analysis, the tree and mlx-lm."""
    sizes = ["--trunk", "200", "--coaching-tokens", "5", "--runs", "2"]
    return bench("analyze", "--model", str(tiny_model), *sizes, "--contender", "generate")[0]


@pytest.fixture(scope="module")
def written(tiny_model: Path) -> Any:
    """A benchmark of writing, the writer and the loop."""
    sizes = ["--trunk", "150", "--tokens", "6", "--batch-size", "4", "--runs", "2"]
    return bench("generate", "--model", str(tiny_model), *sizes, "--contender", "loop")[0]


# What is reported


@pytest.mark.parametrize(("kind", "units"), [("trained", 3), ("analysed", 1), ("written", 24)])
def test_ratios_are_those_of_the_measured_seconds_and_bytes(kind, units, request):
    tree, other = request.getfixturevalue(kind)["contenders"]
    assert other["median_s"] == statistics.median(other["seconds"])
    assert other["per_s"] == units / other["median_s"]
    assert other["faster"]["ratio"] == pytest.approx(other["median_s"] / tree["median_s"])
    pairs = [theirs / ours for theirs, ours in zip(other["seconds"], tree["seconds"], strict=True)]
    assert (other["faster"]["low"], other["faster"]["high"]) == (min(pairs), max(pairs))
    assert other["memory_share"] == pytest.approx(tree["peak_memory_mb"] / other["peak_memory_mb"])
    assert (tree["faster"], tree["memory_share"]) == (None, 1)


def test_training_reports_the_most_that_sharing_a_trunk_can_save(trained):
    assert trained["bound"] == pytest.approx(3 * (40 + 12) / (40 + 3 * 12))
    assert trained["bound_reached"] is None  # the rows to compare with did not run


def test_a_ratio_has_the_spread_of_its_rounds():
    found = times_as_fast([10.0, 12.0, 20.0], [2.0, 2.0, 5.0])
    assert (found.ratio, found.low, found.high) == (6.0, 4.0, 6.0)


def test_contenders_are_chosen_by_name_beside_the_first():
    assert [c.name for c in chosen(training.CONTENDERS, ["rows"])] == ["tree", "rows"]
    assert chosen(training.CONTENDERS, []) == list(training.CONTENDERS)
    with pytest.raises(UserError, match=r"no contender 'row'. Choose from tree, stock, "):
        chosen(training.CONTENDERS, ["row"])


class Pretended:
    """A contender's process that only records its turns; the machine has 100 MB."""

    turns: list[str] = []
    alive: list[str] = []
    megabytes = 0.0

    def __init__(self, module: str, contender: Contender) -> None:
        self.name = contender.name

    def begin(self, job: Any) -> tuple[About, Unit]:
        self.alive.append(self.name)
        self.turns.append(f"{self.name} loads")
        assert len(self.alive) * self.megabytes <= 100
        return About("", "", "cpu", 100_000_000, "", 1, "", "", "float32"), self.unit()

    def unit(self) -> Unit:
        self.turns.append(self.name)
        return Unit(1.0, self.megabytes)

    def stop(self) -> None:
        self.alive.remove(self.name)


ALONE = "a loads, a, a, b loads, b, b"


@pytest.mark.parametrize(
    ("megabytes", "turns"),
    [
        (20.0, f"{ALONE}, {ALONE}, a, b"),
        (60.0, f"{ALONE}, {ALONE}, {ALONE}"),
    ],
)
def test_contenders_take_turns_and_stay_loaded_only_where_memory_holds_them_all(megabytes, turns, monkeypatch):
    monkeypatch.setattr("mlx_cc.bench.comparison.ContenderProcess", Pretended)
    monkeypatch.setattr(Pretended, "turns", [])
    monkeypatch.setattr(Pretended, "megabytes", megabytes)
    two = [Contender(name, "", "stock", lambda job, done: None) for name in "ab"]
    found = compare("train", two, training.Job("model", 10), rounds=3, title="", unit="", units=1)
    assert ", ".join(Pretended.turns) == turns
    assert Pretended.alive == []
    assert [one.seconds for one in found.contenders] == [[1.0] * 3] * 2


# What is compared


@pytest.mark.parametrize("kind", ["trained", "analysed", "written"])
def test_stock_runs_the_kernels_that_mlx_and_mlx_lm_came_with(kind, request):
    stock = request.getfixturevalue(kind)["contenders"][1]
    assert stock["kernels"] == "stock"
    assert stock["runs_on"] == ["mlx.core.fast", "mlx_lm.models.activations"]


def test_only_mlx_cc_and_corrected_rows_have_other_kernels():
    modules = (training, analysis, writing)
    fast = {c.name for module in modules for c in module.CONTENDERS if c.kernels == "mlx_cc"}
    assert fast == {"tree", "rows", "rows-1x", "writer", "writer-chain"}


def test_training_starts_from_one_loss_whoever_trains_where_nothing_is_padded(tiny_model):
    job = training.Job(str(tiny_model), trunk=40, branches=3, branch_tokens=12, answer_tokens=6, max_seq_length=52)
    losses = {c.name: first_loss(c, job) for c in training.CONTENDERS}
    assert losses == pytest.approx(dict.fromkeys(losses, losses["tree"]), abs=1e-4)


def test_mlx_lm_trains_the_padding_behind_an_answer_and_corrected_rows_do_not(tiny_model):
    job = training.Job(str(tiny_model), trunk=40, branches=3, branch_tokens=12, answer_tokens=6)
    losses = {c.name: first_loss(c, job) for c in training.CONTENDERS if c.name != "tree-stock-kernels"}
    assert losses["rows"] == pytest.approx(losses["tree"], abs=1e-4)
    assert losses["stock"] == pytest.approx(losses["stock-1x"], abs=1e-4)
    assert abs(losses["stock"] - losses["tree"]) > 1e-3


def test_mlx_lm_gives_the_same_answers_each_way_it_is_asked(tiny_model):
    job = analysis.Job(str(tiny_model), trunk=200, coaching_tokens=5)
    ways = (analysis.generate, analysis.cached, analysis.batch_generate, analysis.batch_cached)
    said = [[text.strip() for text in way(job)()] for way in ways]  # streamed text lacks the space at its start
    assert len(said[0]) == 6 and any(said[0])
    assert said[1:] == [said[0]] * 3


def test_the_tree_decodes_as_many_coaching_tokens_as_it_is_told(tiny_model, monkeypatch):
    answer = analysis.tree(analysis.Job(str(tiny_model), trunk=200, coaching_tokens=7))
    decoding = sys.modules["mlx_lm.generate"]
    stream, tokens = decoding.stream_generate, []

    def counted(*arguments, **options):
        for piece in stream(*arguments, **options):
            tokens.append(piece.token)
            yield piece

    monkeypatch.setattr(decoding, "stream_generate", counted)
    (text,) = answer()
    assert len(tokens) == 7 and text.startswith('[{"')


def test_mlx_lm_decodes_the_same_coaching_tokens_and_whole_short_answers(tiny_model):
    prompts = analysis.prompts_of(analysis.Job(str(tiny_model), trunk=200, coaching_tokens=7))
    tokens = dict(zip((task.name for task in prompts.tasks), prompts.lengths, strict=True))
    assert tokens.pop("coaching") == 7
    for name, allowed in zip(tokens, prompts.allowed, strict=True):
        assert min(map(len, allowed)) <= tokens[name] <= max(map(len, allowed))
    assert 150 < len(prompts.tree.trunk) <= 200


@pytest.mark.parametrize("questions", [1, 2])
def test_writer_loop_and_batch_generate_write_the_same_texts_of_the_same_length(questions, tiny_model):
    job = writing.Job(str(tiny_model), trunk=150, tokens=9, batch_size=4, questions=questions)
    found = [work(job).write(4, 9) for work in (writing.writer, writing.loop, writing.batch_generate)]
    said = [[text.strip() for text in texts] for texts in found]  # streamed text lacks the space at its start
    assert len(set(said[0])) == 4
    assert said[1:] == [said[0]] * 2
    conversations = writing.prompts_of(job).trees
    assert len({tree.trunk for tree in conversations}) == 4 // questions
    assert all(100 < len(tree.trunk) <= 150 for tree in conversations)


def test_the_loop_writes_two_texts_and_answers_for_all(tiny_model, monkeypatch):
    wrote, said = [], []

    def work(job: writing.Job) -> writing.Work:
        def write(conversations: int, tokens: int) -> list[str]:
            wrote.append((conversations, tokens))
            return []

        return writing.Work(write, writing.LOOPED)

    def done(seconds: float) -> None:
        said.append(seconds)
        if len(said) == 2:
            raise Enough

    monkeypatch.setattr(writing.time, "perf_counter", iter(range(100)).__next__)  # each unit takes a second
    with pytest.raises(Enough):
        writing.timed(work)(writing.Job(str(tiny_model), tokens=50, batch_size=8), done)
    assert wrote == [(1, 4), (2, 50)]
    assert said == [8, 4]


def test_a_chain_that_ends_before_its_tokens_are_counted_is_refused(tiny_model):
    job = writing.Job(str(tiny_model), trunk=100, tokens=20, batch_size=2)
    with pytest.raises(UserError, match=r"ended after \d tokens. Choose fewer --tokens"):
        writing.writer(job, 'start: "Yes"\n').write(2, 20)


# When it can't be done


def test_a_contender_that_dies_ends_the_benchmark_with_one_line(tiny_model):
    worker = ContenderProcess(training.__name__, training.CONTENDERS[0])
    try:
        worker.process.kill()
        worker.process.wait(60)
        with pytest.raises(UserError, match=r"process of tree ended with SIGKILL.*--trunk") as fault:
            worker.begin(training.Job(str(tiny_model), 40))
    finally:
        worker.stop()
    assert "\n" not in str(fault.value)


def test_a_fault_of_the_user_comes_out_of_the_contender_s_process_as_it_is(tmp_path):
    with pytest.raises(UserError, match=r"nowhere"):
        CliRunner().invoke(command, ["train", "--model", str(tmp_path / "nowhere")], catch_exceptions=False)


def test_questions_divide_the_texts():
    with pytest.raises(UserError, match=r"--questions 3: must divide --batch-size 16"):
        CliRunner().invoke(command, ["generate", "--questions", "3"], catch_exceptions=False)


def test_an_answer_must_leave_its_branch_a_question():
    with pytest.raises(UserError, match=r"--answer-tokens 60: must be less than --branch-tokens 60"):
        CliRunner().invoke(command, ["train", "--answer-tokens", "60"], catch_exceptions=False)
