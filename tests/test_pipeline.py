"""The whole path, step by step: as Python calls, and as the commands beside them."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import mlx_cc
from mlx_cc.cli import main_group
from mlx_cc.pipeline import Step, steps

FROM_DATA_ALONE = ["ingest", "prepare", "temporal", "fingerprint"]


@pytest.fixture
def path(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    """The steps from 24 sample conversations to a tiny model of two updates, in a folder of their own."""
    sample = Path(__file__).parent.parent / "data" / "sample"
    for kind in ("transcripts", "analyses"):
        (tmp_path / "sample" / kind).mkdir(parents=True)
        for file in sorted((sample / kind).iterdir())[:24]:
            shutil.copy(file, tmp_path / "sample" / kind)
    training = {"num_train_epochs": 0.1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}
    training["tasks"] = ["csat"]  # one is enough
    settings = {"model": {"name": str(tiny_model), "max_seq_length": 1024}, "training": training, "lora": {"r": 4}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))

    def made(folder: str) -> list[Step]:
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        return steps("../sample", "my data", "../run.yaml", "tiny")

    return made


def test_every_step_makes_what_the_next_one_needs(path):
    for step in path("calls"):
        step.call()
        assert step.made.exists(), step.name
    assert 0 <= json.loads(Path("my data/analysis.json").read_text())["quality_score"] <= 100


def test_a_step_s_command_does_what_its_call_does(path):
    calls = path("calls")
    for step in calls:
        if step.name in FROM_DATA_ALONE:
            step.call()
    by_call = {file: file.read_bytes() for file in Path().rglob("*.json*")}
    for step in path("commands"):
        if step.name in FROM_DATA_ALONE:
            run = CliRunner().invoke(main_group, step.command)
            assert run.exit_code == 0, (step.name, run.output)
        command = main_group.get_command(
            main_group.make_context("mlx_cc", ["--help"], resilient_parsing=True), step.name
        )
        assert command is not None and command.make_context(step.name, list(step.command[1:]))
    assert len(by_call) > 8 and {file: file.read_bytes() for file in Path().rglob("*.json*")} == by_call


@pytest.mark.parametrize("name", ["ingest", "prepare", "temporal", "train", "evaluate"])
def test_a_room_with_a_command_s_name_can_be_called(name):
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        getattr(mlx_cc, name)(["x"], "y", nonsense=1)
    assert getattr(mlx_cc, name).__name__ == f"mlx_cc.{name}"
