"""Planning a run: counts are those of the trees, memory is near what steps take, and nothing is loaded or left."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import LLAMA, ROOT, tiny_settings
from msgspec.structs import replace

from mlx_cc.centre import Centre
from mlx_cc.commands.plan import command
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.redact import read_redacted
from mlx_cc.tasks import all_tasks, pick
from mlx_cc.train.memory import STOCK, Group, Target, group_of, memory, read_shape, stock_length, trained_parameters
from mlx_cc.train.plan import Plan, plan
from mlx_cc.train.settings import Lora, Training, TrainSettings

SEVEN_B = {
    "model_type": "mistral",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "torch_dtype": "bfloat16",
}
MISTRAL = read_shape(SEVEN_B, "config.json")
ALL_SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def few(prepared: Path) -> list[Conversation]:
    return list(read_redacted(prepared / "train_chatml.jsonl"))


@pytest.fixture(scope="module")
def planned(tiny_model: Path, prepared: Path) -> Plan:
    """A plan without a probe."""
    return plan(tiny_settings(tiny_model, prepared, num_train_epochs=2), probe_steps=0)


def trainer_of(settings: TrainSettings) -> Any:
    from mlx_cc.train.loop import Trainer

    return Trainer(settings, Path("adapters/planned"), Centre())


# Tokens


def test_counts_are_those_of_the_trees_a_run_learns_from(
    planned: Plan, tiny_model: Path, prepared: Path, few: list[Conversation]
):
    trees = trainer_of(tiny_settings(tiny_model, prepared)).build_trees(few)
    rows = [len(row) for tree in trees for row in tree.rows]
    counts = planned.counts
    assert (counts.conversations, counts.sampled, counts.rows_each) == (len(few), len(few), 6)
    assert counts.tree_tokens == sum(tree.tokens for tree in trees)
    assert counts.row_tokens == sum(rows)
    assert counts.stock_tokens == sum(min(1 + 32 * -(-row // 32), 1024) for row in rows)
    assert counts.trained_tokens == sum(len(branch.answer) for tree in trees for branch in tree.branches)
    assert counts.trunk.max == max(len(tree.trunk) for tree in trees)
    assert counts.trunk.p50 == np.median([len(tree.trunk) for tree in trees])
    assert sum(counts.trunk.counts) == len(trees)
    assert sum(counts.branch.counts) == len(rows)
    assert counts.shortened == sum(tree.omitted_turns > 0 for tree in trees) / len(trees)
    assert 0.5 < counts.saved < 5 / 6
    assert (planned.updates, planned.validations, planned.validation_conversations) == (2 * len(few), 3, 2)


def test_a_sample_is_scaled_up_to_all_and_says_so(
    planned: Plan, tiny_model: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mlx_cc.train.plan.SAMPLE", planned.counts.conversations // 2)
    sampled = plan(tiny_settings(tiny_model, prepared, num_train_epochs=2), probe_steps=0)
    assert sampled.counts.sampled == planned.counts.conversations // 2
    assert sampled.updates == planned.updates
    assert sampled.counts.tree_tokens == pytest.approx(planned.counts.tree_tokens, rel=0.2)


def test_a_smaller_limit_shortens_conversations(tiny_model: Path, prepared: Path):
    settings = tiny_settings(tiny_model, prepared)
    short = plan(replace(settings, model=replace(settings.model, max_seq_length=560)), probe_steps=0)
    assert short.counts.shortened > 0
    assert short.counts.omitted_turns > 0
    assert short.counts.row.max <= 560


def test_rows_are_padded_as_mlx_lm_pads():
    assert [stock_length(row, 2048) for row in (1, 32, 33, 2040)] == [33, 33, 65, 2048]


def test_the_marked_tokens_are_the_answers_and_no_others(planned: Plan, few: list[Conversation]):
    example = planned.example
    conversation = next(c for c in few if c.id == example.conversation)
    assert [task for task, _, _ in example.branches] == [
        task.name for task in pick(()) if task.name in conversation.labels
    ]
    for task, _, answer in example.branches:
        said = all_tasks()[task].write(conversation.label(task), Centre())
        assert answer == f"{said}<|im_end|>"
        assert f"<|im_start|>assistant\n⟦{answer}⟧" in example.text
    assert example.text.count("⟦") == len(example.branches)
    assert "characters not shown" in example.text


SLIDING = {"sliding_window": 32, "rms_norm_eps": 1e-5, "max_position_embeddings": 512}
OTHERS = {
    "gemma3_text": {"sliding_window_pattern": 2, "query_pre_attn_scalar": 16, "rope_local_base_freq": 1e4},
    "olmo3": {"layer_types": ["sliding_attention", "full_attention"]},
    "exaone4": {
        "sliding_window_pattern": "LG",
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_scaling": None,
    },
    "cohere2": {"sliding_window_pattern": 2, "layer_norm_eps": 1e-5, "logit_scale": 1.0},
    "qwen3_5": {"layer_types": ["linear_attention", "full_attention"], "full_attention_interval": 2},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_model_that_cannot_share_a_trunk_is_planned_by_rows_and_says_so(
    tiny_model: Path, prepared: Path, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / kind
    shutil.copytree(tiny_model, folder)
    config = {**LLAMA, **SLIDING, **OTHERS[kind], "model_type": kind, "head_dim": 16}
    (folder / "config.json").write_text(json.dumps({**config, "text_config": config} if kind == "qwen3_5" else config))
    tree, rows = (plan(tiny_settings(folder, prepared, loss=loss), probe_steps=0) for loss in ("tree", "rows"))
    assert (tree.memory, tree.chips, tree.loss) == (rows.memory, rows.chips, "rows")
    assert "can't share a trunk. Each row is computed alone" in caplog.text


# Memory


@pytest.mark.parametrize(
    "training", [{"gradient_checkpointing": True}, {"loss": "rows"}], ids=str
)  # {}: test_compiled.py
def test_estimated_memory_is_near_what_a_step_takes(tiny_model: Path, prepared: Path, training: Any):
    import mlx.core as mx

    settings = tiny_settings(tiny_model, prepared, **training)
    mx.enable_compile()  # what is not fused takes more memory
    try:
        found = plan(settings, probe_steps=2)
    finally:
        mx.disable_compile()
    assert found.probe is not None
    assert found.probe.estimated_bytes == pytest.approx(found.probe.peak_bytes, rel=0.3)


def test_parameters_are_those_of_the_model(tiny_model: Path, prepared: Path):
    from mlx_cc.model.load import parameters

    for lora in (Lora(r=4, target_modules=ALL_SEVEN), Lora(r=8, num_layers=1), Lora(enabled=False, num_layers=1)):
        settings = replace(tiny_settings(tiny_model, prepared), lora=lora)
        shape = read_shape(LLAMA, "config.json")
        assert (trained_parameters(shape, lora), shape.parameters) == parameters(trainer_of(settings).model)
    assert MISTRAL.parameters == 7_241_732_096
    assert trained_parameters(MISTRAL, Lora(r=16, target_modules=ALL_SEVEN)) == 41_943_040


def test_branches_are_as_large_as_those_that_are_computed(tiny_model: Path, prepared: Path, few: list[Conversation]):
    tree = trainer_of(tiny_settings(tiny_model, prepared)).build_trees(few[:1])[0]
    group = group_of([tree])
    answers = sum(len(branch.answer) for branch in tree.branches)
    assert (group.trees, group.trunk) == (1, len(tree.trunk))
    assert group.branches <= tree.tokens - len(tree.trunk) - len(tree.branches)  # last tokens predict nothing
    assert len(tree.branches) < group.nodes <= answers


def test_memory_falls_with_fewer_layers_quantisation_and_checkpointing():
    def of(training: Training = Training(), lora: Lora = Lora(), quantization: Any = "none") -> float:
        settings = TrainSettings(training=training, lora=lora)
        settings = replace(settings, model=replace(settings.model, quantization=quantization))
        return memory(MISTRAL, settings, Target(STOCK, False), [Group(1, 1500, 360, 80)]).total

    whole = of()
    assert 14.5e9 < of(lora=Lora(num_layers=1)) < of(lora=Lora(num_layers=16)) < whole
    assert of(Training(gradient_checkpointing=True)) < 0.6 * whole
    assert whole - of(quantization="4bit") == pytest.approx(MISTRAL.parameters * (2 - 0.5625))


def test_a_model_that_is_no_dense_decoder_is_refused_in_one_line():
    for config, found in (({**SEVEN_B, "num_local_experts": 8}, "has num_local_experts"), ({}, "has no hidden_size")):
        with pytest.raises(UserError, match=f"config.json: {found}; plan supports dense decoders") as raised:
            read_shape(config, "config.json")
        assert "\n" not in str(raised.value)


# Time


def test_time_is_a_line_through_the_steps_or_their_rate():
    from mlx_cc.train.probe import fit

    assert fit([100, 200, 400], [1.5, 2.5, 4.5]) == pytest.approx((0.5, 0.01))
    assert fit([100, 300], [0.5, 3.5]) == (0.0, 0.01)  # a line would start below zero
    assert fit([200, 200], [1.0, 3.0]) == (0.0, 0.01)


def test_a_frozen_model_costs_four_operations_a_parameter_and_six_with_checkpointing():
    from mlx_cc.train.roofline import operations

    row = Group(1, 100, 0, 0)
    products = 2 * 32 * MISTRAL.block * 100
    for training, times in ((Training(), 2), (Training(gradient_checkpointing=True), 3)):
        assert operations(MISTRAL, TrainSettings(training=training), row) == pytest.approx(times * products, rel=0.02)
    upper_half = TrainSettings(lora=Lora(num_layers=16))
    assert operations(MISTRAL, upper_half, row) == pytest.approx(1.5 * products, rel=0.02)


def test_chips_are_ordered_by_what_they_can_do_and_trees_beat_rows(planned: Plan):
    speeds = [on.tokens_per_s for on in planned.chips]
    assert speeds == sorted(speeds)
    for on in planned.chips:
        assert on.hours[0] < on.hours[1]
        assert 2 < on.stock_hours[0] / on.hours[0] < 6
        assert all(on.fits.values())


# The command


def test_without_a_probe_no_weights_are_loaded(tiny_model: Path, prepared: Path, tmp_path: Path):
    hollow = tmp_path / "hollow"
    hollow.mkdir()
    for file in tiny_model.iterdir():
        (hollow / file.name).write_bytes(b"" if file.suffix == ".safetensors" else file.read_bytes())
    found = plan(tiny_settings(hollow, prepared), probe_steps=0)
    assert (found.probe, found.hours) == (None, None)
    assert found.memory.total > 0


def run(model: Path, data: Path, *flags: str) -> Any:
    config = ROOT / "configs" / "smollm2_135m_cpu.yaml"
    return CliRunner().invoke(command, ["--config", str(config), "--name", str(model), "--dir", str(data), *flags])


def test_the_command_prints_all_of_it_as_json_and_writes_nothing(
    tiny_model: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    found = run(tiny_model, prepared, "--max-seq-length", "1024", "--probe", "2", "--json")
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert {"counts", "updates", "memory", "stock_memory", "probe", "hours", "stock_hours", "chips", "example"} <= set(
        document
    )
    assert document["memory"]["total"] == pytest.approx(sum(document["memory"].values()) / 2)
    assert document["counts"]["saved"] > 0.5
    assert document["probe"]["steps"] == 2
    assert document["hours"]["low"] <= document["hours"]["likely"] <= document["hours"]["high"]
    assert document["stock_hours"]["likely"] > 2 * document["hours"]["likely"]
    assert [on["chip"]["name"] for on in document["chips"]] == ["M4", "M4 Pro", "M4 Max", "M3 Ultra"]
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_it_in_words(tiny_model: Path, prepared: Path):
    found = run(tiny_model, prepared, "--no-probe", "--max-seq-length", "1024")
    assert found.exit_code == 0, found.output
    for said in ("trunk, tokens", "█", "as separate rows", "optimizer updates", "M4 Max", "not measured", "⟦"):
        assert said in found.stdout
    assert "This machine:" not in found.stdout


def test_a_model_that_is_not_there_is_told_with_the_way_to_get_it(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLX_CC_CACHE", str(tmp_path))
    found = run(Path("smollm2-135m"), prepared)
    assert isinstance(found.exception, UserError)
    assert str(found.exception) == "smollm2-135m: not on this machine yet. Run `mlx_cc models pull smollm2-135m`."
