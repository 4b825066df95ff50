"""A training run: what it leaves behind, that it can be stopped and continued, and when it refuses to go on."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from conftest import LLAMA, ROOT, save_tiny, tiny_settings
from msgspec.structs import replace

from mlx_cc.commands.train import command
from mlx_cc.conversation import Conversation
from mlx_cc.conversation import replace as changed
from mlx_cc.errors import UserError
from mlx_cc.files import locked, read_conversations, write_conversations
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
    for name in ("validation_by_task", "loss_by_task"):
        assert set(steps[-1][name]) == {"quality", "csat", "issue", "churn", "journey", "coaching"}
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG")
    learned_from = (trained / "manifest.txt").read_text().split()
    assert learned_from == [c.id for c in read_conversations(prepared / "train_chatml.jsonl")]
    report = json.loads((trained / "report.json").read_text())
    assert report["best_validation"] < report["first_validation"]
    assert yaml.safe_load((trained / "settings.yaml").read_text())["lora"]["r"] == 4
    assert (trained / "centre.yaml").read_text() == (prepared / "centre.yaml").read_text()


def write_settings(settings: TrainSettings, path: Path) -> Path:
    path.write_text(yaml.safe_dump(msgspec.to_builtins(settings)))
    return path


def wait_for(path: Path, lines: int, process: subprocess.Popen[Any]) -> None:
    """Until a file has so many lines."""
    limit = time.monotonic() + 120
    while not path.exists() or path.read_text().count("\n") < lines:
        assert process.poll() is None, process.communicate(timeout=60)
        assert time.monotonic() < limit, f"{path} has no {lines} lines"
        time.sleep(0.005)


def test_a_run_killed_at_random_moments_ends_with_the_weights_of_one_left_alone(
    tiny_model: Path, prepared: Path, tmp_path: Path
):
    settings = tiny_settings(tiny_model, prepared, num_train_epochs=1, save_steps=1, eval_steps=8, tasks=TWO)
    settings = replace(settings, lora=replace(settings.lora, lora_dropout=0.2))
    settings = replace(settings, training=replace(settings.training, per_device_train_batch_size=2))
    config = write_settings(settings, tmp_path / "settings.yaml")
    whole = train(settings, tmp_path / "whole")
    program = [sys.executable, "-m", "mlx_cc.train", "--config", str(config), "--run", "killed", "--json"]
    process = subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "adapters" / "killed"
    rng = random.Random()
    for _ in range(2):
        logged = folder / "metrics.jsonl"
        done = logged.read_text().count("\n") if logged.exists() else 0
        wait_for(logged, min(done + rng.randint(1, 4), whole.updates - 1), process)
        time.sleep(rng.random() * 0.05)
        child = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=60
        ).stdout.split()
        found = [int(pid) for pid, parent in zip(child[::2], child[1::2], strict=True) if int(parent) == process.pid]
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "training was killed (SIGKILL); starting again" in said
    assert json.loads(out)["updates"] == whole.updates
    for name in ("adapters.safetensors", "checkpoint.safetensors"):
        assert same_arrays(tmp_path / "whole" / name, folder / name)


def test_ctrl_c_saves_and_ends_and_a_second_run_goes_on(tiny_model: Path, prepared: Path, tmp_path: Path):
    settings = tiny_settings(tiny_model, prepared, num_train_epochs=1, tasks=TWO)
    config = write_settings(settings, tmp_path / "settings.yaml")
    whole = train(settings, tmp_path / "whole")
    program = [sys.executable, "-m", "mlx_cc.train", "--config", str(config), "--run", "stopped"]
    process = subprocess.Popen(program, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    folder = tmp_path / "adapters" / "stopped"
    wait_for(folder / "metrics.jsonl", 3, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent and the child
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "its state is saved. Add --resume" in said
    assert "Traceback" not in said
    assert train(settings, folder, resume=True).updates == whole.updates
    assert same_arrays(tmp_path / "whole" / "checkpoint.safetensors", folder / "checkpoint.safetensors")


def test_a_child_that_is_always_killed_is_not_started_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mlx_cc.train import supervise

    killed = "import os; print('child', flush=True); os.kill(os.getpid(), 9)"
    monkeypatch.setattr(supervise, "start", lambda *command: subprocess.Popen([sys.executable, "-c", killed]))
    told: list[str] = []
    with pytest.raises(UserError, match=r"training was killed 3 times, last by SIGKILL.*--resume"):
        supervise.supervise([], tmp_path / "checkpoint.safetensors", 2, told.append, pause_s=0)
    assert told == [f"training was killed (SIGKILL); starting again from the start, {n} of 2 times" for n in (1, 2)]


def test_a_run_ends_when_its_supervisor_is_gone(tiny_model: Path, prepared: Path, tmp_path: Path):
    settings = tiny_settings(tiny_model, prepared, num_train_epochs=2, tasks=TWO)
    config = write_settings(settings, tmp_path / "settings.yaml")
    program = [sys.executable, "-m", "mlx_cc.train", "--config", str(config), "--run", "orphan"]
    process = subprocess.Popen(program, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    folder = tmp_path / "adapters" / "orphan"
    wait_for(folder / "metrics.jsonl", 1, process)
    process.kill()
    process.wait(60)
    with locked(folder, lambda: None):  # waits for the child to end
        done = (folder / "metrics.jsonl").read_text().count("\n")
    assert 0 < done < 2 * 18
    assert (folder / "checkpoint.safetensors").exists()


def test_every_conversation_is_seen_once_an_epoch_and_lengths_in_a_step_are_close(
    tiny_model: Path, prepared: Path, tmp_path: Path
):
    from mlx_cc.train.batches import Stream

    settings = tiny_settings(tiny_model, prepared, per_device_train_batch_size=2, gradient_accumulation_steps=3)
    trainer = trainer_of(settings, tmp_path)
    conversations = list(read_conversations(prepared / "train_chatml.jsonl"))[:12]
    stream = Stream(conversations, trainer.build_trees, 2, 3, 4, seed=3)
    updates = [stream.update(number) for number in range(4)]
    assert [len(step) for update in updates for step in update] == [2] * 12
    seen = Counter(tree.conversation_id for update in updates for step in update for tree in step)
    assert seen == {c.id: 2 for c in conversations}
    lengths = [[tree.tokens for tree in step] for update in updates for step in update]
    spread = np.mean([np.ptp(step) for step in lengths])
    rng = np.random.default_rng(0)
    assert spread < 0.3 * np.mean([np.ptp(s) for s in rng.permutation(np.ravel(lengths)).reshape(-1, 2)])
    late = Stream(conversations, trainer.build_trees, 2, 3, 4, seed=3).update(3)  # as a resumed run asks
    assert [[t.conversation_id for t in s] for s in late] == [[t.conversation_id for t in s] for s in updates[3]]
    alone = Stream(conversations, trainer.build_trees, 1, 6, 4, seed=3)
    seen = Counter(tree.conversation_id for number in range(4) for step in alone.update(number) for tree in step)
    assert seen == {c.id: 2 for c in conversations}


@pytest.mark.parametrize("per_step", [1, 2, 6])
def test_accumulated_gradients_are_those_of_one_step(tiny_model: Path, prepared: Path, tmp_path: Path, per_step: int):
    from mlx.utils import tree_flatten

    settings = tiny_settings(tiny_model, prepared, task_weights={"issue": 3.0}, objective="soft")
    trainer = trainer_of(settings, tmp_path)
    short = [
        changed(c, turns=c.turns[:6], labels={name: c.labels[name] for name in ("quality", "csat", "issue")})
        for c in list(read_conversations(prepared / "train_chatml.jsonl"))[:6]
    ]
    trees = trainer.build_trees(short)
    loss, gradients, *_ = trainer.gradients([[tree] for tree in trees])
    steps = [trees[start : start + per_step] for start in range(0, 6, per_step)]
    other, same, *_ = trainer.gradients(steps)
    assert other == pytest.approx(loss, rel=1e-5)
    for (name, one), (_, two) in zip(tree_flatten(gradients), tree_flatten(same), strict=True):
        assert np.abs(np.array(one) - np.array(two)).max() <= 1e-4 * np.abs(np.array(one)).max() + 1e-9, name


def test_a_run_that_no_longer_improves_stops_early(tiny_model: Path, prepared: Path, tmp_path: Path, few: Any):
    early = {"eval_steps": 1, "early_stopping_patience": 2, "learning_rate": 0.5, "spike_factor": 0.0}
    settings = tiny_settings(tiny_model, prepared, num_train_epochs=20, tasks=TWO, **early)
    report = trainer_of(settings, tmp_path).run(*few)
    steps = [json.loads(line)["validation_loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert report.updates < report.planned_updates
    assert report.updates == report.best_update + 2 == len(steps)
    assert min(steps) == report.best_validation == steps[report.best_update - 1]
    again = trainer_of(settings, tmp_path)
    again.resume()
    assert again.run(*few).updates == report.updates  # still no better


def test_losses_that_grow_stop_the_run_and_spare_the_last_good_state(
    tiny_model: Path, prepared: Path, tmp_path: Path, few: Any
):
    settings = tiny_settings(tiny_model, prepared, num_train_epochs=4, save_steps=1, tasks=TWO)
    trainer = trainer_of(settings, tmp_path)

    loss = trainer.loss

    def disturb(step: Any) -> None:
        if step.update == 2:
            trainer.loss = lambda *given: tuple(10 * value for value in loss(*given))

    with pytest.raises(UserError, match=r"conversations sample-\d+\) and was over .* for 3 updates; stopped"):
        trainer.run(*few, disturb)
    again = trainer_of(settings, tmp_path)
    again.resume()
    assert again.update == 2
    assert again.run(*few).updates == 12


@pytest.mark.parametrize("kind", ["lora", "dora", "full", "4bit", "8bit", "checkpointed"])
def test_every_way_of_tuning_learns_as_rows_do_and_loads_again(
    tiny_model: Path, prepared: Path, tmp_path: Path, few: Any, kind: str
):
    from mlx_cc.model.load import load

    learned = []
    for loss in ("tree", "rows"):
        settings = tiny_settings(tiny_model, prepared, num_train_epochs=1, loss=loss, tasks=TWO)
        lora = replace(settings.lora, enabled=kind != "full", type="dora" if kind == "dora" else "lora")
        settings = replace(settings, lora=lora)
        if kind == "checkpointed":
            settings = replace(settings, training=replace(settings.training, gradient_checkpointing=True))
        if kind == "full":
            settings = replace(settings, training=replace(settings.training, learning_rate=1e-3))
        if kind.endswith("bit"):
            settings = replace(settings, model=replace(settings.model, quantization=kind))
        trainer = trainer_of(settings, tmp_path / loss)
        report = trainer.run(*few)
        assert report.best_validation < report.first_validation
        learned.append(report.best_validation)
        trees = trainer.build_trees(few[1])
        trained = trainer.validate(trees)[0]
        trainer.model.update(load(tmp_path / loss).model.parameters())
        assert trainer.validate(trees)[0] == pytest.approx(trained, rel=1e-5)
    assert learned[0] == pytest.approx(learned[1], rel=1e-3)


def test_a_model_that_cannot_share_a_trunk_trains_on_rows_and_says_so(
    prepared: Path, tmp_path: Path, few: Any, caplog: pytest.LogCaptureFixture
):
    layers = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64}
    model = save_tiny(tmp_path / "model", {**LLAMA, **layers})
    report = trainer_of(tiny_settings(model, prepared, num_train_epochs=1, tasks=TWO), tmp_path / "run").run(*few)
    assert report.best_validation < report.first_validation
    assert "uses RotatingKVCache, so it can't share a trunk" in caplog.text
    assert "Each row is computed alone" in caplog.text


def test_two_runs_in_one_folder_are_refused(tiny_model: Path, prepared: Path, tmp_path: Path):
    held = "from pathlib import Path; from mlx_cc.files import locked\nwith locked(Path('.'), print): print(flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", held], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    other.stdout.readline()
    assert "another process trains in it" in fault(tiny_settings(tiny_model, prepared), tmp_path)
    other.communicate("\n", timeout=60)


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


def test_resuming_needs_a_checkpoint(tiny_model: Path, prepared: Path, tmp_path: Path):
    with pytest.raises(UserError, match="nothing to resume"):
        trainer_of(tiny_settings(tiny_model, prepared), tmp_path).resume()


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("lora", {"r": 8}),
        ("lora", {"target_modules": ("q_proj",)}),
        ("model", {"name": "other"}),
        ("training", {"tasks": TWO}),
        ("prompt", {"list_answers": False}),
    ],
    ids=str,
)
def test_a_run_is_resumed_with_the_settings_it_had(
    tiny_model: Path, prepared: Path, trained: Path, tmp_path: Path, section: str, change: Any
):
    settings = tiny_settings(tiny_model, prepared)
    shutil.copytree(tiny_model, tmp_path / "other")
    change = {"name": str(tmp_path / "other")} if "name" in change else change
    other = replace(settings, **{section: replace(getattr(settings, section), **change)})
    with pytest.raises(UserError, match=rf"other settings \({section}.* Resume with the settings in .*settings.yaml"):
        trainer_of(other, trained).resume()


def manifest_of(run: Path) -> set[str]:
    return set((run / "manifest.txt").read_text().split())


def test_a_manifest_names_all_that_the_weights_beside_it_learned_from(
    tiny_model: Path, prepared: Path, tmp_path: Path, few: Any
):
    first, second = (few[0][:2], few[1]), (few[0][2:], few[1])
    ids = [{c.id for c in train} for train, _ in (first, second)]
    run, base = tmp_path / "run", tmp_path / "base"
    shutil.copytree(tiny_model, base)
    (base / "manifest.txt").write_text("of-the-base\n")
    settings = tiny_settings(base, prepared, num_train_epochs=1, tasks=TWO)
    trainer_of(settings, run).run(*first)
    assert manifest_of(run) == ids[0] | {"of-the-base"}

    resumed = trainer_of(settings, run)
    resumed.resume()
    with pytest.raises(UserError, match=r"learned from other conversations .* train anew with another --run"):
        resumed.run(*second)
    assert manifest_of(run) == ids[0] | {"of-the-base"}

    killed = trainer_of(settings, run)
    killed.validate = _kill
    with pytest.raises(KeyboardInterrupt):
        killed.run(*second)
    assert manifest_of(run) == ids[0] | ids[1] | {"of-the-base"}  # the first run's weights still lie there
    trainer_of(settings, run).run(*second)
    assert manifest_of(run) == ids[1] | {"of-the-base"}


def _kill(_: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("task", "value"), [("issue", "no_class"), ("csat", 9), ("csat", "4"), ("quality", 80)])
def test_a_label_that_nobody_can_answer_is_named_before_training(
    tiny_model: Path, prepared: Path, tmp_path: Path, few: Any, task: str, value: Any
):
    shutil.copytree(prepared, tmp_path / "data")
    labels = {**few[0][0].labels, task: changed(few[0][0].labels["csat"], value=value)}
    write_conversations(tmp_path / "data" / "train_chatml.jsonl", [changed(few[0][0], labels=labels)])
    expected = rf"train_chatml.jsonl: conversation {few[0][0].id}, {task}: .*{value}.* `mlx_cc prepare` again"
    with pytest.raises(UserError, match=expected):
        train(tiny_settings(tiny_model, tmp_path / "data"), tmp_path / "run")


@pytest.mark.parametrize("lost", ["prompt.yaml", "centre.yaml"])
def test_a_model_answers_with_the_prompt_and_centre_it_was_tuned_for_or_not_at_all(
    trained: Path, tmp_path: Path, lost: str
):
    from mlx_cc.model.load import tuned_for

    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "prompt.yaml").write_text("list_answers: false\n")
    settings = (run / "settings.yaml").read_text()
    (run / "settings.yaml").write_text(settings.replace("list_answers: true", "list_answers: false"))
    (run / lost).unlink()
    if lost == "prompt.yaml":
        assert not tuned_for(run)[1].list_answers  # settings.yaml has them too
        (run / "settings.yaml").unlink()
    with pytest.raises(UserError, match=f"{lost}: is missing.* train again"):
        tuned_for(run)


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


def test_help_lists_the_settings_that_people_change_and_says_where_the_others_are():
    from mlx_cc.commands.plan import command as plan
    from mlx_cc.train.settings import OFTEN

    for one, also in ((command, {"config", "run", "resume", "in-process", "json", "help"}), (plan, set())):
        page = CliRunner().invoke(one, ["--help"]).output
        listed = set(re.findall(r"--(?!no-)([a-z-]+)", page.partition("Options:")[2]))
        if also:
            assert listed == {name.replace("_", "-") for name in OFTEN} | also
        assert len(listed) <= 8 + 6 and "docs/commands.md" in page
    assert "--lora-dropout" in {option for parameter in command.params for option in parameter.opts}
    assert "--learning-rate" not in {option for parameter in plan.params for option in parameter.opts}


def test_the_command_trains_with_flags_over_the_file(
    tiny_model: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    flags = ["--name", tiny_model, "--dir", prepared, "--output-dir", "models/mine", "--num-train-epochs", 0.01]
    config = ROOT / "configs" / "smollm2_135m_cpu.yaml"
    flags += ["--max-seq-length", 1024, "--eval-conversations", 1, "--in-process", "--json"]
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
    cut = [tree for tree in trainer.build_trees(few[0]) if tree.omitted_turns]
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
    tree = trainer.build_trees(few[0])[0]
    _, losses = tree_loss(trainer.model, [tree], {})
    for branch, row, loss in zip(tree.branches, tree.rows, np.array(losses).tolist(), strict=True):
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


def test_splits_of_two_preparations_are_refused(tiny_model: Path, prepared: Path, tmp_path: Path):
    settings = tiny_settings(tiny_model, prepared)
    mixed = replace(settings, data=replace(settings.data, validation=str(prepared / "train_chatml.jsonl")))
    with pytest.raises(UserError, match=r"of its conversations are in .*train_chatml\.jsonl too"):
        train(mixed, tmp_path / "mixed")
