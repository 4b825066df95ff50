"""Chains by a teacher: noted as they come, continued after a kill, joined into the training file."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chain_texts import ENDINGS, OPENINGS, TALK, chain
from click.testing import CliRunner
from conftest import run_python

from mlx_cc import reasoning
from mlx_cc.cli import main_group
from mlx_cc.conversation import Conversation, Label
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.generate import journal, run
from mlx_cc.generate.join import REJECTS, join
from mlx_cc.generate.journal import beside, latest
from mlx_cc.generate.progress import status
from mlx_cc.generate.settings import GenerateSettings
from mlx_cc.generate.work import Work, wanted

# A scripted teacher


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], str]], list[Any]]:
    """Replaces the writer: `scripted(say)` makes it say what a function of (conversation, attempt) says; lists jobs."""
    from mlx_cc.generate import teacher
    from mlx_cc.model.writer import Written

    def install(say: Callable[[Any], str]) -> list[Any]:
        jobs: list[Any] = []

        class Scripted:
            def __init__(self, *_: Any) -> None:
                pass

            def write(self, asked: Iterator[Any]) -> Iterator[Written]:
                for job in asked:
                    jobs.append(job)
                    yield Written(job.key, say(job.key), 100, True)

        monkeypatch.setattr(teacher, "Writer", Scripted)
        return jobs

    return install


def talks(*ids: str) -> list[Conversation]:
    from mlx_cc.conversation import replace

    return [replace(TALK, id=name) for name in ids]


def own_chain(asked: Any) -> str:
    """A chain of a conversation's own: its points name it."""
    quality, csat = asked.answers["quality"]["score"], asked.answers["csat"]
    name = asked.conversation.id
    return chain(round(quality), round(csat), lambda n: f"{name} {name} {OPENINGS[n]} {ENDINGS[n % len(ENDINGS)]}")


@pytest.fixture
def work(tmp_path: Path, tiny_model: Path) -> Work:
    from mlx_cc.centre import read_centre

    source = tmp_path / "train.jsonl"
    write_conversations(source, talks("anna", "bella", "carla", "dora"))
    settings = GenerateSettings(model=str(tiny_model), max_seq_length=4000, retries=1)
    return Work(source, tmp_path / "train_reasoning.jsonl", settings, read_centre(None))


def generate(work: Work) -> dict[str, Any]:
    return run.generate(work.source, work.output, work.settings, work.centre, work.limit)  # type: ignore[return-value]


def test_chains_that_hold_up_go_into_the_records_and_the_others_to_the_rejects(work: Work, scripted: Any):
    scripted(lambda asked: own_chain(asked) if asked.conversation.id != "dora" else "No.")
    report = generate(work)
    assert (report["kept"], report["rejected"], report["reasons"]) == (3, 1, {"structure": 1})
    assert report["by_task"]["churn"] == {"kept": 3, "rejected": 1, "disagreed": 0}
    kept = {c.id: c.reasoning for c in read_conversations(work.output)}
    assert kept["dora"] is None and kept["anna"] is not None
    assert "85/100" in kept["anna"].analysis and not kept["anna"].rationalised
    (rejected,) = map(json.loads, beside(work.output, REJECTS).read_text().splitlines())
    assert rejected["conversation_id"] == "dora" and rejected["reasons"][0].startswith("structure: ")


def test_a_rejected_chain_is_asked_for_again_with_the_reason(work: Work, scripted: Any):
    jobs = scripted(lambda asked: own_chain(asked) if asked.attempt else "No.")
    assert generate(work)["kept"] == 4
    assert len(jobs) == 8
    from mlx_lm.utils import load_tokenizer

    told = load_tokenizer(Path(work.settings.model)).decode([*jobs[-1].trunk, *jobs[-1].prompt])
    assert "turned down (structure: line 1" in told


def test_more_retries_ask_again_for_what_was_rejected_alone(work: Work, scripted: Any):
    from msgspec.structs import replace

    def answer(asked: Any) -> str:
        return own_chain(asked) if asked.attempt or asked.conversation.id != "dora" else "No."

    jobs = scripted(answer)
    assert generate(work._replace(settings=replace(work.settings, retries=0)))["rejected"] == 1
    assert generate(work)["kept"] == 4
    assert [job.key.conversation.id for job in jobs[4:]] == ["dora"]


def test_a_teacher_that_was_tuned_on_chains_is_asked_as_in_training(work: Work, scripted: Any):
    from msgspec.structs import replace

    from mlx_cc.analyst import load
    from mlx_cc.prompt import SYSTEM, build_tree

    jobs = scripted(own_chain)
    assert generate(work._replace(settings=replace(work.settings, guide=False)))["kept"] == 4
    asked, analyst = jobs[0].key, load(work.settings.model)
    question = reasoning.question(asked.answers, work.centre)
    (row,) = build_tree(asked.conversation, [("", question, None)], analyst.encoder, analyst.prompt, 4000, SYSTEM).rows
    assert [*jobs[0].trunk, *jobs[0].prompt] == row


def test_a_blind_teacher_that_disagrees_is_told_the_labels_and_the_chain_is_marked(work: Work, scripted: Any):
    work = work._replace(settings=GenerateSettings(model=work.settings.model, blind=True, max_seq_length=4000))
    scripted(own_chain)
    report = generate(work)
    first = [entry for entry in journal.entries(work.folder) if entry.attempt == 0]
    differ = [entry for entry in first if any(fault.startswith("disagrees") for fault in entry.faults)]
    assert differ, "a random model agrees with nobody"
    assert report["kept"] == 4 and report["rationalised"] == len(differ)
    by_id = {c.id: c.reasoning for c in read_conversations(work.output)}
    for entry in differ:
        chain_kept = by_id[entry.conversation_id]
        assert chain_kept is not None and chain_kept.rationalised and "85/100" in chain_kept.analysis


def test_a_chain_is_written_anew_when_its_label_the_centre_or_the_teacher_has_changed(work: Work, scripted: Any):
    from mlx_cc.conversation import replace

    model = shutil.copytree(work.settings.model, work.source.parent / "teacher")
    work = work._replace(settings=GenerateSettings(model=str(model), max_seq_length=4000))
    jobs = scripted(own_chain)
    generate(work)
    before = work.output.read_bytes()
    assert len(jobs) == 4
    generate(work)
    assert len(jobs) == 4 and work.output.read_bytes() == before
    changed = talks("anna", "bella", "carla", "dora")
    changed[0] = replace(changed[0], labels={**TALK.labels, "csat": Label(value=2, source="simulated")})
    write_conversations(work.source, changed)
    generate(work)
    assert len(jobs) == 5
    generate(work._replace(centre=replace(work.centre, issues={"billing": ("billing_error",)})))
    assert len(jobs) == 9
    with (model / "model.safetensors").open("r+b") as weights:
        weights.seek(-4, os.SEEK_END)
        weights.write(b"next")
    generate(work)
    assert len(jobs) == 13


def test_what_a_teacher_thinks_first_is_taken_off_or_kept(work: Work, scripted: Any):
    scripted(lambda asked: f"<think>\nHm, 85.\n</think>\n\n{own_chain(asked)}")
    for think, kept in (("strip", None), ("keep", "Hm, 85.")):
        settings = GenerateSettings(model=work.settings.model, think=think, max_seq_length=4000)  # type: ignore[arg-type]
        generate(work._replace(settings=settings))
        thoughts = {c.reasoning.own_thoughts for c in read_conversations(work.output) if c.reasoning}
        assert thoughts == {kept}


def test_rows_stay_and_a_kept_chain_has_a_row_of_its_own(
    prepared: Path, tmp_path: Path, tiny_model: Path, scripted: Any
):
    from mlx_cc.centre import read_centre

    source = prepared / "train_chatml.jsonl"
    settings = GenerateSettings(model=str(tiny_model), max_seq_length=8000, retries=0)
    work = Work(source, tmp_path / "train_reasoning.jsonl", settings, read_centre(prepared / "centre.yaml"), limit=2)
    scripted(lambda asked: own_chain(asked).replace("[T2]", "").replace("[T3]", "").replace("refund", "[T1]"))
    generate(work)
    before, after = ([json.loads(line) for line in path.read_text().splitlines()] for path in (source, work.output))
    extra = [row for row in after if row["task"] == "reasoning"]
    strip = [{k: v for k, v in row.items() if k != "conversation"} for row in after if row["task"] != "reasoning"]
    assert strip == [{k: v for k, v in row.items() if k != "conversation"} for row in before]
    assert len(extra) == join(work)["kept"]
    for row in extra:
        assert row["messages"][-1]["content"].startswith("<thinking>")
        assert (
            "Explain these answers" in row["messages"][-2]["content"]
            and "</transcript>" in row["messages"][-2]["content"]
        )


# Durability


def test_a_line_cut_off_by_a_crash_is_dropped_and_written_again(work: Work, scripted: Any):
    jobs = scripted(own_chain)
    generate(work)
    before = work.output.read_bytes()
    (part,) = work.folder.glob("part-*.jsonl")
    part.write_bytes(part.read_bytes()[:-40])
    work.output.unlink()
    generate(work)
    assert len(jobs) == 5 and work.output.read_bytes() == before


def test_two_runs_into_one_output_are_refused(work: Work):
    with journal.held(work.output):
        assert journal.is_held(work.output)
        with pytest.raises(UserError, match="another process"), journal.held(work.output):
            pass
    assert not journal.is_held(work.output)


def test_a_full_disk_ends_the_run_in_one_line_and_keeps_what_was_written(work: Work, scripted: Any):
    jobs = scripted(own_chain)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # of a file: two chains fit
    try:
        with pytest.raises(UserError, match="file too large.*run the same command again"):
            generate(work)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = len(latest(work.folder))
    assert 0 < kept < 4
    before = len(jobs)
    assert generate(work)["kept"] == 4 and len(jobs) == before + 4 - kept


def test_a_line_of_the_journal_that_is_no_entry_is_named(work: Work):
    work.folder.mkdir()
    (work.folder / "part-0-of-1.jsonl").write_text('{"conversation_id": "c"}\n')
    with pytest.raises(UserError, match=r"part-0-of-1\.jsonl:1: .*Delete that line"):
        latest(work.folder)


def command(work: Work, *more: str) -> list[str]:
    settings = work.settings
    return [
        "generate", "--input", str(work.source), "--output", str(work.output), "--model", settings.model,
        "--batch-size", "2", "--point-characters", "20", "--retries", "0", "--max-seq-length", "4000", "--max-tokens", "300", *more,
    ]  # fmt: skip


def outcome(work: Work) -> bytes:
    """What a run of the tiny model leaves: a random model's chains are all rejected, with their texts."""
    return beside(work.output, REJECTS).read_bytes() + work.output.read_bytes()


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[Work, bytes]:
    from mlx_cc.centre import read_centre

    folder = tmp_path_factory.mktemp("alone")
    write_conversations(folder / "in.jsonl", talks("c0", "c1", "c2"))
    work = Work(folder / "in.jsonl", folder / "out.jsonl", GenerateSettings(model=str(tiny_model)), read_centre(None))
    ended = run_python("-m", "mlx_cc", *command(work))
    assert ended.returncode in (0, 3), ended.stderr
    return work, outcome(work)


def test_a_run_killed_at_random_moments_ends_as_one_left_alone(left_alone: tuple[Work, bytes], tmp_path: Path):
    alone, expected = left_alone
    work = alone._replace(output=tmp_path / "out.jsonl")
    rng = random.Random(5)
    for _ in range(2):
        child = subprocess.Popen([sys.executable, "-m", "mlx_cc", *command(work)])
        started = time.monotonic()
        while not list(work.folder.glob("part-*.jsonl")) and time.monotonic() < started + 60:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1))
        child.send_signal(signal.SIGKILL)
        child.wait(60)
    ended = run_python("-m", "mlx_cc", *command(work))
    assert ended.returncode in (0, 3), ended.stderr
    assert outcome(work) == expected


def test_two_workers_write_what_one_writes(left_alone: tuple[Work, bytes], tmp_path: Path):
    alone, expected = left_alone
    work = alone._replace(output=tmp_path / "out.jsonl")
    ended = run_python("-m", "mlx_cc", *command(work, "--workers", "2"))
    assert ended.returncode in (0, 3), ended.stderr
    assert len(list(work.folder.glob("part-*.jsonl"))) == 2
    assert outcome(work) == expected


def test_ranks_of_a_launch_share_the_work_and_one_that_is_killed_is_taken_up_again(
    left_alone: tuple[Work, bytes], tmp_path: Path
):
    alone, expected = left_alone
    work = alone._replace(output=tmp_path / "out.jsonl")
    launcher = Path(sys.executable).with_name("mlx.launch")
    launch = [str(launcher), "-n", "2", sys.executable, "-m", "mlx_cc", *command(work)]
    first = subprocess.Popen(launch, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    victim = _rank(first.pid, work.folder)
    os.kill(victim, signal.SIGKILL)
    try:
        first.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait(60)
    again = subprocess.run(launch, capture_output=True, text=True, timeout=120)
    assert outcome(work) == expected, again.stdout + again.stderr


def _rank(launcher: int, folder: Path) -> int:
    """The process of a rank that has begun its part."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                ours = b"mlx_cc" in (process / "cmdline").read_bytes()
                begun = (folder / "part-1-of-2.jsonl").exists()
                if ours and begun and b"MLX_RANK=1" in (process / "environ").read_bytes():
                    return int(process.name)
            except OSError:
                continue
        time.sleep(0.05)
    pytest.fail("no rank has begun")


# What a person sees


def test_status_says_how_far_a_run_is_from_outside(left_alone: tuple[Work, bytes]):
    work, _ = left_alone
    state = status(work.output)
    assert (state.done, state.about.conversations, state.running) == (3, 3, False)
    assert state.tokens_per_s and state.tokens_per_s > 0
    shown = CliRunner().invoke(main_group, ["generate", "status", str(work.output)])
    assert "3 of 3" in shown.output and "not running" in shown.output
    with pytest.raises(UserError, match="no run is recorded"):
        status(work.output.with_name("other.jsonl"))


def test_test_writes_one_chain_and_shows_it(work: Work):
    shown = CliRunner().invoke(main_group, command(work, "--test"))
    assert shown.output.count("<thinking>") == 1 and "rejected, " in shown.output
    assert len(list(wanted(work._replace(limit=1)))) == 1


def test_an_erased_conversation_is_gone_from_journal_output_and_rejects(work: Work, scripted: Any):
    scripted(lambda asked: own_chain(asked) if asked.conversation.id != "dora" else "No.")
    generate(work)
    folder = work.output.parent
    for name in ("anna", "dora"):
        gone = CliRunner().invoke(main_group, ["erase", "--conversation", name, "--yes", str(folder)])
        assert gone.exit_code == 0, gone.output
        assert all(name not in path.read_text() for path in folder.rglob("*.jsonl"))


@pytest.mark.slow
def test_the_real_smollm2_writes_a_whole_chain(work: Work):
    from mlx_cc.model import pull

    model = str(pull.resolve("smollm2-135m"))
    ended = CliRunner().invoke(main_group, [*command(work, "--test"), "--model", model, "--max-tokens", "2000"])
    (entry,) = journal.entries(work.folder) if ended.exit_code == 0 else list(journal.entries(work.folder))[-1:]
    reasoning.points(entry.text)
