"""Fusing: the written model answers as the adapter does, or nothing is written."""

import json
import resource
import shutil
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import LLAMA, save_tiny, tiny_settings

from mlx_cc.commands.fuse import command
from mlx_cc.errors import UserError
from mlx_cc.train import fuse as fusing


def fuse(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def fault(result: Result) -> str:
    assert isinstance(result.exception, UserError), result.output
    message = str(result.exception)
    assert "\n" not in message
    return message


def nothing_but(folder: Path, *names: str) -> bool:
    return sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_a_fused_model_answers_as_its_adapter_does_and_loads_everywhere(trained: Path, tmp_path: Path):
    import mlx_cc

    run = fuse(trained, "--output", tmp_path / "fused", "--rows", 2, "--json")
    assert run.exit_code == 0, run.output
    made = json.loads(run.stdout)
    assert made["layers"] == 8  # q, k, v, o of two layers
    assert made["dtype"] == "float32"
    assert made["max_difference"] < 1e-5
    assert set(made["agreement"].values()) == {1.0}
    assert nothing_but(tmp_path, "fused")

    analyst = mlx_cc.load(tmp_path / "fused")
    adapted = mlx_cc.load(trained)
    assert (analyst.centre, analyst.prompt, analyst.max_tokens) == (adapted.centre, adapted.prompt, 1024)

    import mlx.core as mx
    from mlx_lm import load

    model, tokenizer = load(str(tmp_path / "fused"))
    ids = tokenizer.encode("Agent: hello")
    expected = adapted.model(mx.array([ids]))
    assert mx.abs(model(mx.array([ids])) - expected).max().item() < 1e-4


def test_the_default_place_is_the_output_dir_of_the_run(trained: Path, prepared: Path):
    run = fuse(trained, "--rows", 1)
    place = prepared.parent / "models" / "tiny-run"
    try:
        assert run.exit_code == 0, run.output
        assert str(place) in run.stdout
        assert (place / "centre.yaml").exists()
        assert (place / "prompt.yaml").exists()
        assert "--overwrite" in fault(fuse(trained, "--rows", 1))
        assert fuse(trained, "--rows", 1, "--overwrite").exit_code == 0
        assert nothing_but(place.parent, "tiny-run")
    finally:
        shutil.rmtree(place.parent, ignore_errors=True)


def test_dora_and_a_quantised_base_fuse_too(prepared: Path, tmp_path: Path):
    from mlx_lm.utils import load_config, load_model, quantize_model, save_config, save_model
    from msgspec.structs import replace

    from mlx_cc.train.session import train

    base = save_tiny(tmp_path / "base")
    model, _ = load_model(base)
    model, config = quantize_model(model, load_config(base), group_size=64, bits=4)
    save_model(base, model)
    save_config(config, base / "config.json")
    settings = tiny_settings(base, prepared)
    train(replace(settings, lora=replace(settings.lora, type="dora")), tmp_path / "run")

    run = fuse(tmp_path / "run", "--output", tmp_path / "fused", "--rows", 2, "--json")
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["max_difference"] < 1e-4
    assert "quantization" not in json.loads((tmp_path / "fused" / "config.json").read_text())


def test_a_fused_model_that_answers_otherwise_is_not_left_in_place(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    merge = fusing.merge

    def wrong(model, dtype):
        merged = merge(model, dtype)
        model.model.norm.weight = model.model.norm.weight * 3
        return merged

    monkeypatch.setattr(fusing, "merge", wrong)
    message = fault(fuse(trained, "--output", tmp_path / "fused", "--rows", 1))
    assert "differ from the adapter's by up to 0." in message
    assert nothing_but(tmp_path)


def test_quantised_weights_are_compared_by_their_answers(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fusing, "AGREEMENT", 1.1)  # more than any model reaches
    refused = fuse(trained, "--output", tmp_path / "four", "--rows", 2, "--quantize", "4bit")
    assert "--accept-loss" in fault(refused)
    assert nothing_but(tmp_path)

    run = fuse(trained, "--output", tmp_path / "four", "--rows", 2, "--quantize", "4bit", "--accept-loss", "--json")
    assert run.exit_code == 0, run.output
    made = json.loads(run.stdout)
    assert set(made["agreement"]) == {"quality", "csat", "issue", "churn", "journey"}
    assert made["max_difference"] > 1e-3
    config = json.loads((tmp_path / "four" / "config.json").read_text())
    assert config["quantization"]["bits"] == 4


def test_an_adapter_of_another_base_is_one_line(trained: Path, tmp_path: Path):
    other = save_tiny(tmp_path / "wide", {**LLAMA, "hidden_size": 128})
    stranger = shutil.copytree(trained, tmp_path / "run")
    note = json.loads((stranger / "adapter_config.json").read_text())
    (stranger / "adapter_config.json").write_text(json.dumps({**note, "model": str(other)}))
    message = fault(fuse(stranger, "--output", tmp_path / "fused", "--rows", 1))
    assert f"does not fit its base model {other}" in message
    assert not (tmp_path / "fused").exists()


def test_folders_that_are_not_adapters_are_told(tiny_model: Path, trained: Path, tmp_path: Path):
    data = ["--data", trained / "x", "--output", tmp_path / "fused"]
    assert "no such folder" in fault(fuse(tmp_path / "nowhere"))
    assert "adapter_config.json is missing" in fault(fuse(tiny_model))
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "adapter_config.json").write_text('{"base_model_name_or_path": "x"}')
    assert "names no base model" in fault(fuse(tmp_path / "peft", "--rows", 1))
    assert "no such file" in fault(fuse(trained, *data))


def test_without_data_the_way_out_is_named(trained: Path, tmp_path: Path):
    run = shutil.copytree(trained, tmp_path / "run")
    settings = (run / "settings.yaml").read_text()
    (run / "settings.yaml").write_text(settings.replace("dir: ", f"dir: {tmp_path}/none # "))
    assert "--data" in fault(fuse(run, "--output", tmp_path / "fused"))


def test_what_is_no_model_is_never_replaced(trained: Path, tiny_model: Path, tmp_path: Path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "notes.txt").write_text("keep")
    assert "not replaced" in fault(fuse(trained, "--output", tmp_path / "precious", "--overwrite", "--rows", 1))
    assert "base model itself" in fault(fuse(trained, "--output", tiny_model, "--overwrite", "--rows", 1))
    assert (tmp_path / "precious" / "notes.txt").read_text() == "keep"


def test_a_full_disk_is_one_line_and_leaves_nothing(trained: Path, tmp_path: Path):
    # A real limit: no file over 100 kB can be written, and the weights take more.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        run = fuse(trained, "--output", tmp_path / "fused", "--rows", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "could not be written" in fault(run)
    assert nothing_but(tmp_path)


def test_a_fused_model_keeps_the_calibration_and_what_it_learned_from(trained: Path, prepared: Path, tmp_path: Path):
    import mlx_cc
    from mlx_cc.calibration import Calibration, Change, TaskCalibration, weights_of, write_calibration
    from mlx_cc.evaluate.run import evaluate

    adapter = shutil.copytree(trained, tmp_path / "run")
    churn = TaskCalibration(0.3, 0.5, 0.9, 40, 0.5, "v.jsonl", Change(2, 1), Change(0.2, 0.1), knots=((0, 0), (90, 70)))
    write_calibration(adapter, Calibration({"churn": churn}, weights_of(adapter)))
    run = fuse(adapter, "--output", tmp_path / "fused", "--rows", 2, "--json")
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["max_difference"] < 1e-5  # compared as the model gives them
    assert mlx_cc.load(tmp_path / "fused").fitted == {"churn": churn}
    with pytest.raises(UserError, match="the model was trained on them"):
        evaluate(str(tmp_path / "fused"), prepared / "train_chatml.jsonl", None, base=None)
