"""Reasoning chains as a training signal, and what they are worth when answers are read."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import tiny_settings
from msgspec.structs import replace

from benchmarks.chains import chain
from mlx_cc import reasoning
from mlx_cc.centre import Centre
from mlx_cc.commands.evaluate import command
from mlx_cc.conversation import Conversation
from mlx_cc.conversation import replace as changed
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.generate.checks import faults
from mlx_cc.prompt import Tree
from mlx_cc.simulate import Parameters, World, simulate
from mlx_cc.train.batches import Stream, with_chain
from mlx_cc.train.loop import Stopped, Trainer
from mlx_cc.train.settings import TrainSettings

SENTENCES = {
    "quality": "{quality}/100 because the agent checked and confirmed in [T1]",
    "csat": "{csat}/5 due to thanks in [T2]",
    "resolved": "Achieved - settled in [T2]",
    "effort": "Low - one contact, see [T1]",
    "text": "shown by [T1]",
    "": "",
}


def chain_of(conversation: Conversation) -> str:
    """A chain that says the conversation's labels, of template sentences."""
    score = conversation.label("quality")["score"]
    said = {
        slot: text.format(quality=round(score), csat=conversation.label("csat")) for slot, text in SENTENCES.items()
    }
    return "\n".join(line.fixed + said[line.slot] for line in reasoning.LINES)


def explained(conversation: Conversation) -> Conversation:
    return changed(conversation, reasoning=reasoning.parse(chain_of(conversation), "templates"))


@pytest.fixture(scope="module")
def chained(prepared: Path) -> list[Conversation]:
    """Short train conversations with their chains."""
    found = list(read_conversations(prepared / "train_chatml.jsonl"))
    return [explained(c) for c in sorted(found, key=lambda c: sum(len(t.text) for t in c.turns))[:3]]


@pytest.fixture
def settings(tiny_model: Path, prepared: Path) -> TrainSettings:
    found = tiny_settings(tiny_model, prepared, tasks=("quality", "csat", "churn"))
    return replace(found, model=replace(found.model, max_seq_length=4096))


def trainer_of(settings: TrainSettings, folder: Path, **training: Any) -> Trainer:
    return Trainer(replace(settings, training=replace(settings.training, **training)), folder, Centre())


def gradients_of(trainer: Trainer, trees: list[Tree]) -> tuple[float, dict[str, np.ndarray]]:
    from mlx.utils import tree_flatten

    loss, gradients, *_ = trainer.gradients([trees])
    return loss, {name: np.array(value) for name, value in tree_flatten(gradients)}


def same_file(one: Path, other: Path) -> bool:
    import mlx.core as mx

    a, b = (dict(mx.load(str(path))) for path in (one, other))  # type: ignore[call-overload]
    return a.keys() == b.keys() and all(np.array_equal(np.array(a[name]), np.array(b[name])) for name in a)


def test_a_chain_is_written_as_it_is_read(chained: list[Conversation]):
    for conversation in chained:
        assert conversation.reasoning is not None
        text = reasoning.text_of(conversation.reasoning)
        assert text == chain_of(conversation)
        assert len(reasoning.points(text)) == sum(1 for line in reasoning.LINES if line.slot)


def test_a_chain_explains_the_labels_that_are_read_and_comes_first_without_any(chained: list[Conversation]):
    labels = reasoning.labels(chained[0])
    assert set(labels) == {"quality", "csat", "issue", "churn", "journey", "resolution"}  # no coaching
    assert f"csat {labels['csat']}" in reasoning.question(labels, Centre())
    first = reasoning.question({}, Centre())
    assert first == reasoning.question({"coaching": []}, Centre()) == reasoning.FIRST
    assert not any(name in first for name in labels)


def test_the_parts_of_a_chain_over_visits_are_all_of_it_once(
    chained: list[Conversation], settings: Any, tmp_path: Path
):
    trainer = trainer_of(settings, tmp_path)
    assert chained[0].reasoning is not None
    chain = trainer.encoder.answer(reasoning.text_of(chained[0].reasoning))
    parts = -(-len(chain) // 250)
    assert parts > 2
    asked = len(trainer.build_trees(chained[:1], [0])[0].branches[-1].prompt)
    read: tuple[int, ...] = ()
    for visit in range(parts):
        branch = trainer.build_trees(chained[:1], [visit])[0].branches[-1]
        assert branch.task == reasoning.NAME
        assert branch.prompt[asked:] == read  # what comes before is in the prompt
        assert 0 < len(branch.answer) <= 250
        read += branch.answer
    assert read == chain
    assert read[-1] == trainer.tokenizer.eos_token_id
    assert trainer.build_trees(chained[:1], [parts]) == trainer.build_trees(chained[:1], [0])


def test_epochs_after_one_another_learn_the_parts_after_one_another(
    chained: list[Conversation], settings: Any, tmp_path: Path
):
    trainer = trainer_of(settings, tmp_path)
    stream = Stream(chained, trainer.build_trees, 1, 1, 30, seed=1)
    learned: dict[str, list[tuple[int, ...]]] = {}
    for number in range(30):
        ((tree,),) = stream.update(number)
        learned.setdefault(tree.conversation_id, []).append(tree.branches[-1].answer)
        late = Stream(chained, trainer.build_trees, 1, 1, 30, seed=1)  # as a resumed run asks
        assert late.update(number) == [[tree]]
    for c in chained:
        assert c.reasoning is not None
        chain = trainer.encoder.answer(reasoning.text_of(c.reasoning))
        parts = -(-len(chain) // 250)
        cycle = learned[c.id][:parts]
        assert learned[c.id] == (cycle * 10)[:10]
        start = cycle.index(next(part for part in cycle if part == chain[: len(part)]))
        assert sum((*cycle[start:], *cycle[:start]), ()) == chain


def test_the_answers_of_the_labels_stay_as_they_are(chained: list[Conversation], settings: Any, tmp_path: Path):
    trainer = trainer_of(settings, tmp_path, objective="soft")
    plain = trainer.build_trees([changed(c, reasoning=None) for c in chained], [0, 1, 2])
    assert plain == trainer.build_trees(chained)  # validation is on the labels alone
    for one, other in zip(plain, trainer.build_trees(chained, [0, 1, 2]), strict=True):
        assert other.branches[-1].task == reasoning.NAME
        assert other.rows[:-1] == one.rows
        assert [b.scale for b in other.branches[:-1]] == [b.scale for b in one.branches]
        assert other.omitted_turns == one.omitted_turns
    without = trainer_of(settings, tmp_path, objective="soft", reasoning_weight=0.0)
    assert without.build_trees(chained, [0, 1, 2]) == plain


@pytest.mark.parametrize("way", ["tree", "rows", "checkpointed"])
def test_the_branch_learns_as_a_row_of_its_own_with_its_weight(
    chained: list[Conversation], settings: Any, tmp_path: Path, way: str
):
    from mlx_cc.model.tree import checkpointed

    loss, few = "rows" if way == "rows" else "tree", ("csat", "issue")
    trainer = trainer_of(settings, tmp_path, loss=loss, objective="soft", tasks=few)
    trees = trainer.build_trees(chained[:2], [0, 1])
    if way == "checkpointed":
        with checkpointed(trainer.model):
            loss, found = gradients_of(trainer, trees)
    else:
        loss, found = gradients_of(trainer, trees)
    labels = [Tree(t.conversation_id, t.trunk, t.branches[:-1]) for t in trees]
    chains = [Tree(t.conversation_id, t.trunk, t.branches[-1:]) for t in trees]
    parts = [(gradients_of(trainer, labels), 2.0), (gradients_of(trainer, chains), 0.25)]
    assert loss == pytest.approx(sum(part[0] * weight for part, weight in parts) / 2.25, rel=1e-4)
    by_task = trainer.gradients([trees])[3]
    assert by_task.keys() == {*few, "reasoning"} and by_task["reasoning"] == pytest.approx(parts[1][0][0], rel=1e-4)
    for name, gradient in found.items():
        expected = sum(part[1][name] * weight for part, weight in parts) / 2.25
        assert np.abs(gradient - expected).max() <= 1e-4 * np.abs(expected).max() + 1e-8, name
    assert any(np.abs(found[name] - parts[0][0][1][name]).max() > 1e-2 * np.abs(found[name]).max() for name in found)


def test_a_run_with_chains_that_was_stopped_goes_on_bit_for_bit(
    chained: list[Conversation], settings: Any, tmp_path: Path
):
    settings = replace(settings, lora=replace(settings.lora, lora_dropout=0.2))
    make = partial(trainer_of, settings, num_train_epochs=4 / 3, eval_steps=2, tasks=("csat",))
    validation = [changed(chained[2], reasoning=None)]
    assert make(tmp_path / "whole").run(chained, validation).updates == 4
    first = make(tmp_path / "parts")
    with pytest.raises(Stopped):
        first.run(chained, validation, stop=lambda: first.update == 3)
    parts = make(tmp_path / "parts")
    parts.resume()
    assert parts.run(chained, validation).updates == 4
    plain = make(tmp_path / "plain", reasoning_weight=0.0)
    plain.run(chained, validation)
    never = make(tmp_path / "never")
    never.run([changed(c, reasoning=None) for c in chained], validation)
    whole = tmp_path / "whole" / "checkpoint.safetensors"
    assert same_file(whole, tmp_path / "parts" / whole.name)
    assert same_file(tmp_path / "plain" / whole.name, tmp_path / "never" / whole.name)  # weight 0 is no chain
    assert not same_file(whole, tmp_path / "plain" / whole.name)


def test_a_chain_that_does_not_fit_is_cut_and_nothing_else_is(
    chained: list[Conversation], settings: Any, tmp_path: Path
):
    whole = trainer_of(settings, tmp_path)
    (plain,) = whole.build_trees([changed(chained[0], reasoning=None)])
    asked = whole.build_trees(chained[:1], [0])[0]
    longest = len(asked.trunk) + len(asked.branches[-1].prompt) + 400
    assert max(map(len, plain.rows)) < longest
    shorter = replace(settings, model=replace(settings.model, max_seq_length=longest))
    trainer = trainer_of(shorter, tmp_path)
    learned: tuple[int, ...] = ()
    for visit in range(2):
        (tree,) = trainer.build_trees(chained[:1], [visit])
        assert tree.rows[:-1] == plain.rows
        assert len(tree.rows[-1]) <= longest
        learned += tree.branches[-1].answer
    assert chained[0].reasoning is not None
    chain = trainer.encoder.answer(reasoning.text_of(chained[0].reasoning))
    assert learned == chain[:400] != chain
    none = with_chain(asked, chain, 0, 250, len(asked.trunk) + len(asked.branches[-1].prompt))
    assert none.branches == asked.branches[:-1]


def test_a_chain_in_front_stands_before_every_question_and_is_learned_without_the_answers(
    chained: list[Conversation], settings: Any, tmp_path: Path
):
    trainer = trainer_of(settings, tmp_path, reasoning_place="first")
    assert chained[0].reasoning is not None
    text = reasoning.text_of(chained[0].reasoning)
    decoded = trainer.tokenizer.decode
    for tree in (*trainer.build_trees(chained[:1], [0]), *trainer.build_trees(chained[:1])):
        labels = [(b, r) for b, r in zip(tree.branches, tree.rows, strict=True) if b.task != reasoning.NAME]
        assert len(labels) == 3
        assert all(f"Notes on the conversation:\n{text}\n\n" in decoded(row) for _, row in labels)
    (tree,) = trainer.build_trees(chained[:1], [0])
    assert reasoning.FIRST in decoded(tree.rows[-1])
    assert "Notes on" not in decoded(tree.rows[-1])


def test_a_plan_counts_the_chains(chained: list[Conversation], settings: Any, tmp_path: Path):
    from mlx_cc.train.plan import plan

    for split in ("train", "validation"):
        write_conversations(tmp_path / f"{split}_chatml.jsonl", [replace(c, id=f"{split}-{c.id}") for c in chained])
    settings = replace(settings, data=replace(settings.data, dir=str(tmp_path)))
    counted = plan(settings, probe_steps=0).counts
    plain = plan(replace(settings, training=replace(settings.training, reasoning_weight=0.0)), probe_steps=0).counts
    assert (counted.rows_each, plain.rows_each) == (4, 3)
    assert plain.trained_tokens + 3 * 200 < counted.trained_tokens <= plain.trained_tokens + 3 * 250


# What a chain is worth


@pytest.fixture
def short_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of a few lines with short points."""
    kept = [line for line in reasoning.LINES if line.slot in ("quality", "csat") or line.fixed in ("<thinking>", "1. ")]
    monkeypatch.setattr(reasoning, "LINES", (*kept, reasoning.LINES[-1]))
    monkeypatch.setattr(reasoning, "grammar", partial(reasoning.grammar, point_characters=8))


def test_the_command_compares_answers_without_a_chain_with_one_after_and_with_one_first(
    trained: Path, prepared: Path, tmp_path: Path, short_chains: None, monkeypatch: pytest.MonkeyPatch
):
    from mlx_cc.analyst import Analyst
    from mlx_cc.evaluate import chains, compare

    monkeypatch.setattr(compare, "RESAMPLES", 20)
    flags = ["--model", trained, "--data", prepared / "validation_chatml.jsonl", "--output", tmp_path, "--base", "none"]
    flags += ["--baselines", "none", "--limit", 3, "--reasoning-limit", 2, "--tasks", "csat,quality"]
    asked = [*map(str, flags), "--reasoning", "none,after,first"]
    run = CliRunner().invoke(command, [*asked, "--json"])
    assert run.exit_code == 0, run.output
    found = json.loads(run.stdout)["reasoning"]
    assert found == json.loads((tmp_path / "report.json").read_text())["reasoning"]
    assert found["conversations"] == 2
    assert set(found["tasks"]) == {"csat", "quality"}
    assert found["tasks"]["csat"]["n"] == 2
    for task in found["tasks"].values():
        loss = task["measures"]["log loss"]
        assert loss["after"] == loss["none"] != loss["first"]
        assert task["log_loss_difference"]["after"]["value"] == 0
        gap = task["log_loss_difference"]["first"]["value"]
        assert gap == pytest.approx(loss["none"]["value"] - loss["first"]["value"])
    assert set(found["overall"]["difference"]) == {"after", "first"}
    for mode in ("after", "first"):
        said = found["modes"][mode]["chains"]
        assert (said["n"], said["sound"]) == (2, 2)
        assert found["modes"][mode]["seconds_per_conversation"] > found["modes"]["none"]["seconds_per_conversation"]

    # What was written is not written again; what a crash cut off is
    (journal,) = tmp_path.glob("chains-*.jsonl")
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(rows) == 4
    journal.write_bytes(journal.read_bytes()[:-40])
    wrote: list[int] = []
    whole = Analyst.chains
    monkeypatch.setattr(
        Analyst, "chains", lambda self, group, *more: wrote.append(len(group)) or whole(self, group, *more)
    )
    run = CliRunner().invoke(command, asked)
    assert run.exit_code == 0, run.output
    assert wrote == [1]
    assert "none minus it" in run.stdout
    assert "2 of 2 chains hold up" in run.stdout
    assert "its answers are those of none, read before the chain is written" in run.stdout
    with chains.opened_journal(journal) as (kept, _), pytest.raises(UserError, match="another process is writing it"):
        assert [row["text"] for row in kept] == [row["text"] for row in rows]
        CliRunner().invoke(command, asked, catch_exceptions=False)


def test_a_way_to_reason_that_is_none_is_told(trained: Path, prepared: Path):
    from mlx_cc.evaluate.run import evaluate

    with pytest.raises(UserError, match="no reasoning 'before'. Known: none, after, first"):
        evaluate(str(trained), prepared / "validation_chatml.jsonl", None, reasoning=["before"])


def test_a_chain_holds_up_with_its_structure_and_turns_that_exist(chained: list[Conversation]):
    from mlx_cc.evaluate.chains import holds_up

    text, turns = chain_of(chained[0]), len(chained[0].turns)
    assert holds_up(text, chained[0])
    assert holds_up(text.replace("[T2]", f"[T{turns}]"), chained[0])
    assert not holds_up(text.replace("[T2]", f"[T{turns + 1}]"), chained[0])
    assert not holds_up(text.replace("[T2]", "[T0]"), chained[0])
    assert not holds_up(text.replace("- Efficiency: ", "- Speed: "), chained[0])
    assert not holds_up(text[: len(text) // 2], chained[0])


def test_answers_are_read_with_each_conversations_own_notes(trained: Path, chained: list[Conversation]):
    from mlx_cc.analyst import load

    analyst = load(trained)
    notes = ["The customer is delighted.", "", "x" * 20_000]
    together = analyst.answer_all(chained, ["csat", "issue"], notes=notes)
    for conversation, note, answers in zip(chained, notes, together, strict=True):
        (alone,) = analyst.answer_all([conversation], ["csat", "issue"], notes=[note])
        assert alone["csat"].distribution == pytest.approx(answers["csat"].distribution, rel=1e-3)
    plain = analyst.answer_all(chained, ["csat", "issue"])
    assert together[1]["csat"].value == pytest.approx(plain[1]["csat"].value, rel=1e-4)
    assert together[0]["csat"].value != pytest.approx(plain[0]["csat"].value, rel=1e-4)


def test_two_adapters_are_compared_on_what_neither_was_trained_on(
    trained: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from mlx_cc.evaluate import compare
    from mlx_cc.evaluate.run import evaluate

    monkeypatch.setattr(compare, "RESAMPLES", 20)
    held_out, other = prepared / "validation_chatml.jsonl", shutil.copytree(trained, tmp_path / "other")
    given = {"tasks": ["csat"], "base": str(other), "limit": 2, "output": tmp_path}
    gap = evaluate(str(trained), held_out, None, **given)["tasks"]["csat"]["log_loss_difference"]["base"]
    assert (gap.value, gap.n) == (0, 2)
    first = next(iter(read_conversations(held_out))).id
    (other / "manifest.txt").write_text(f"{first}\n")
    with pytest.raises(UserError, match="the model was trained on them"):
        evaluate(str(trained), held_out, None, **given)


def test_simulated_chains_pass_the_checks_and_cite_what_was_said():
    some = list(simulate(World(Parameters(30, 8, turns=10))))
    texts = [chain(one) for one in some]
    values = [{name: one.label(name) for name in ("quality", "csat")} for one in some]
    wrong = [faults(text, True, one, v, "", "en") for text, one, v in zip(texts, some, values, strict=True)]
    assert sum(not found for found in wrong) >= 28
    assert len(set(texts)) == 30
