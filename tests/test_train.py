"""A training run: what it leaves behind, that it can be stopped and continued, and when it refuses to go on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from conftest import ROOT, tiny_settings
from msgspec.structs import replace

from mlx_cc.commands.train import command
from mlx_cc.conversation import Conversation
from mlx_cc.conversation import replace as changed
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.train.loop import Stopped
from mlx_cc.train.session import train
from mlx_cc.train.settings import TrainSettings

TWO = ("quality", "csat")


def arrays(path: Path) -> dict[str, np.ndarray]:
    import mlx.core as mx

    found: Any = mx.load(str(path))
    return {name: np.array(value) for name, value in found.items()}


def same_arrays(one: Path, other: Path) -> bool:
    a, b = arrays(one), arrays(other)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def trainer_of(settings: TrainSettings, folder: Path) -> Any:
    from mlx_cc.centre import Centre
    from mlx_cc.train.loop import Trainer

    return Trainer(settings, folder, Centre())


def fault(settings: TrainSettings, folder: Path) -> str:
    with pytest.raises(UserError) as raised:
        train(settings, folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture(scope="module")
def few(prepared: Path) -> tuple[list[Conversation], list[Conversation]]:
    """Train and validation conversations, the shortest ones."""
    found = [list(read_conversations(prepared / f"{split}_chatml.jsonl")) for split in ("train", "validation")]
    train, validation = (sorted(split, key=lambda c: sum(len(t.text) for t in c.turns)) for split in found)
    return train[:3], validation[:1]


def test_a_run_leaves_its_adapter_and_all_that_describes_it(trained: Path, prepared: Path):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "adapters.safetensors",
        "adapter_config.json",
        "checkpoint.safetensors",
        "settings.yaml",
        "centre.yaml",
        "prompt.yaml",
        "metrics.jsonl",
        "loss.png",
        "manifest.txt",
        "report.json",
    }
    steps = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [step["update"] for step in steps] == [1, 2]
    assert set(steps[-1]["validation_by_task"]) == {"quality", "csat", "issue", "churn", "journey", "coaching"}
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG")
    learned_from = (trained / "manifest.txt").read_text().split()
    assert learned_from == [c.id for c in read_conversations(prepared / "train_chatml.jsonl")]
    report = json.loads((trained / "report.json").read_text())
    assert report["best_validation"] < report["first_validation"]
    assert yaml.safe_load((trained / "settings.yaml").read_text())["lora"]["r"] == 4
    assert (trained / "centre.yaml").read_text() == (prepared / "centre.yaml").read_text()


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    tiny_model: Path, prepared: Path, tmp_path: Path, few: Any, stop: int
):
    settings = tiny_settings(tiny_model, prepared, num_train_epochs=4 / 3, eval_steps=2, tasks=TWO)
    settings = replace(settings, lora=replace(settings.lora, lora_dropout=0.2))
    whole = trainer_of(settings, tmp_path / "whole")
    assert whole.run(*few).updates == 4

    first = trainer_of(settings, tmp_path / "parts")
    with pytest.raises(Stopped):
        first.run(*few, stop=lambda: first.update == stop)
    parts = trainer_of(settings, tmp_path / "parts")
    parts.resume()
    assert parts.update == stop
    assert parts.run(*few).updates == 4
    for name in ("adapters.safetensors", "checkpoint.safetensors"):
        assert same_arrays(tmp_path / "whole" / name, tmp_path / "parts" / name)
    logged = []
    for run in ("whole", "parts"):
        steps = [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        logged.append([(step["update"], step["loss"], step["validation_loss"]) for step in steps])
    assert logged[0] == logged[1]


def test_resuming_needs_a_checkpoint_of_the_same_settings(
    tiny_model: Path, prepared: Path, trained: Path, tmp_path: Path
):
    settings = tiny_settings(tiny_model, prepared)
    with pytest.raises(UserError, match="nothing to resume"):
        trainer_of(settings, tmp_path).resume()
    other = replace(settings, lora=replace(settings.lora, r=8))
    with pytest.raises(UserError, match="other model or LoRA settings"):
        trainer_of(other, trained).resume()


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_conversation(
    tiny_model: Path, prepared: Path, tmp_path: Path, few: Any
):
    import mlx.core as mx

    settings = tiny_settings(tiny_model, prepared, num_train_epochs=1, save_steps=1, tasks=TWO)
    trainer = trainer_of(settings, tmp_path)

    def poison(step: Any) -> None:
        if step.update == 2:
            layer = trainer.model.layers[0].self_attn.q_proj
            layer.lora_b = mx.full(layer.lora_b.shape, mx.nan)

    with pytest.raises(UserError, match=r"the loss of conversation sample-\d+ is nan at update 3") as raised:
        trainer.run(*few, poison)
    assert "--resume" in str(raised.value)
    assert all(np.isfinite(value).all() for value in arrays(tmp_path / "checkpoint.safetensors").values())
    again = trainer_of(settings, tmp_path)
    again.resume()
    assert again.run(*few).updates == 3


def test_a_rate_that_blows_the_model_up_stops_the_run(tiny_model: Path, prepared: Path, tmp_path: Path, few: Any):
    settings = tiny_settings(tiny_model, prepared, learning_rate=1e30, num_train_epochs=1, tasks=TWO)
    with pytest.raises(UserError, match="stopped. The last good state is kept"):
        trainer_of(settings, tmp_path).run(*few)
    settings = tiny_settings(tiny_model, prepared, learning_rate=1e30, num_train_epochs=1, tasks=TWO, eval_steps=1)
    with pytest.raises(UserError, match="the validation loss is (nan|inf) at update 1; stopped"):
        trainer_of(settings, tmp_path).run(*few)
    assert not (tmp_path / "adapters.safetensors").exists()


def test_a_misspelt_setting_is_answered_with_the_nearest_right_one(tmp_path: Path):
    config = tmp_path / "mine.yaml"
    config.write_text("training:\n  learning_rat: 1.0e-4\n")
    run = CliRunner().invoke(command, ["--config", str(config)])
    assert isinstance(run.exception, UserError)
    message = f"{config}: no setting 'training.learning_rat'. Did you mean 'training.learning_rate'?"
    assert str(run.exception) == message


def test_the_command_trains_with_flags_over_the_file(
    tiny_model: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    flags = ["--name", tiny_model, "--dir", prepared, "--output-dir", "models/mine", "--num-train-epochs", 0.01]
    config = ROOT / "configs" / "smollm2_135m_cpu.yaml"
    flags += ["--max-seq-length", 1024, "--eval-conversations", 1, "--json"]
    run = CliRunner().invoke(command, ["--config", str(config), *map(str, flags)])
    assert run.exit_code == 0, run.output
    report = json.loads(run.stdout)
    assert (report["updates"], report["folder"]) == (1, "adapters/mine")
    assert (tmp_path / "adapters" / "mine" / "adapters.safetensors").exists()


def test_over_long_conversations_lose_their_middle_and_no_answer_is_cut(
    tiny_model: Path, prepared: Path, tmp_path: Path, few: Any
):
    from mlx_cc.centre import Centre
    from mlx_cc.tasks import all_tasks

    settings = tiny_settings(tiny_model, prepared, num_train_epochs=1, eval_conversations=1)
    settings = replace(settings, model=replace(settings.model, max_seq_length=560))
    trainer = trainer_of(settings, tmp_path)
    cut = [tree for tree in trainer.plant(few[0]) if tree.omitted_turns]
    assert cut
    for tree in cut:
        conversation = next(c for c in few[0] if c.id == tree.conversation_id)
        text = trainer.tokenizer.decode(list(tree.trunk))
        assert f"[... {tree.omitted_turns} turns left out ...]" in text
        assert "[T1] " in text
        assert max(len(row) for row in tree.rows) <= 560
        for branch in tree.branches:
            said = all_tasks()[branch.task].write(conversation.label(branch.task), Centre())
            assert trainer.tokenizer.decode(list(branch.answer[:-1])) == said
            assert branch.answer[-1] == trainer.tokenizer.eos_token_id
    report = trainer.run(*few)
    assert (report.shortened, report.omitted_turns) == (len(cut), sum(t.omitted_turns for t in cut))


def test_only_answer_tokens_are_learned(tiny_model: Path, prepared: Path, tmp_path: Path, few: Any):
    import mlx.core as mx

    from mlx_cc.train.loss import tree_loss

    trainer = trainer_of(tiny_settings(tiny_model, prepared), tmp_path)
    trainer.model.eval()
    tree = trainer.plant(few[0])[0]
    _, losses = tree_loss(trainer.model, [tree], {})
    for branch, row, loss in zip(tree.branches, tree.rows, losses.tolist(), strict=True):
        chances = np.array(mx.softmax(trainer.model(mx.array([row]))[0], -1))
        answered = [chances[place - 1, row[place]] for place in range(len(row) - len(branch.answer), len(row))]
        assert loss == pytest.approx(-np.log(answered).mean(), rel=1e-4)


def test_settings_that_fit_no_module_or_task_are_told(tiny_model: Path, prepared: Path, tmp_path: Path):
    settings = tiny_settings(tiny_model, prepared)
    other = replace(settings, lora=replace(settings.lora, target_modules=("w_proj",)))
    assert "the model has none of w_proj. It has down_proj, gate_proj" in fault(other, tmp_path)
    assert "no task 'mood'" in fault(tiny_settings(tiny_model, prepared, tasks=("mood",)), tmp_path)
    weighted = tiny_settings(tiny_model, prepared, task_weights={"mood": 2.0})
    assert "task_weights: no task 'mood'" in fault(weighted, tmp_path)


def test_data_that_is_missing_or_unequal_is_refused(tiny_model: Path, prepared: Path, tmp_path: Path):
    assert "Run `mlx_cc prepare` first" in fault(tiny_settings(tiny_model, tmp_path), tmp_path)
    for split in ("train", "validation"):
        conversations = list(read_conversations(prepared / f"{split}_chatml.jsonl"))
        plain = [changed(c, temporal=None) for c in conversations] if split == "train" else conversations
        write_conversations(tmp_path / f"{split}_chatml.jsonl", plain)
    message = fault(tiny_settings(tiny_model, tmp_path), tmp_path)
    assert f"{tmp_path}/train_chatml.jsonl: has no temporal features" in message
    assert "mlx_cc temporal" in message
    write_conversations(tmp_path / "train_chatml.jsonl", [changed(c, labels={}) for c in conversations])
    assert "no conversation has a label" in fault(tiny_settings(tiny_model, tmp_path), tmp_path)
