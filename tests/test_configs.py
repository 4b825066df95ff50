"""The settings files that ship load as they are, and those the first README showed still do."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from mlx_cc.centre import Centre, read_centre
from mlx_cc.cli import main_group
from mlx_cc.settings import read_settings
from mlx_cc.train.settings import TrainSettings

CONFIGS = Path(__file__).parent.parent / "configs"
SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

README_EXAMPLE = """\
model:
  name: "mistralai/Mistral-7B-v0.1"
  max_seq_length: 2048
  quantization: "none"  # 16-bit precision

training:
  output_dir: "models/mistral-7b-contact-center"
  num_train_epochs: 3
  per_device_train_batch_size: 2
  gradient_accumulation_steps: 8  # Effective batch size: 16
  learning_rate: 2.0e-5
  fp16: true
  gradient_checkpointing: true

lora:  # Parameter-efficient fine-tuning
  enabled: true
  r: 16
  lora_alpha: 32
  lora_dropout: 0.05
  target_modules: ["q_proj", "k_proj", "v_proj", "o_proj"]
  # Only 0.58% of parameters trainable!
"""


def test_the_example_of_the_first_readme_is_read_as_written(tmp_path):
    (tmp_path / "mac.yaml").write_text(README_EXAMPLE)
    settings = read_settings(tmp_path / "mac.yaml", TrainSettings)
    assert settings.training.per_device_train_batch_size * settings.training.gradient_accumulation_steps == 16
    assert (settings.training.learning_rate, settings.lora.r, settings.lora.lora_alpha) == (2e-5, 16, 32)
    assert settings.training.gradient_checkpointing and settings.training.fp16
    assert settings.lora.target_modules == SEVEN[:4]


@pytest.mark.parametrize(
    "path", [path for path in sorted(CONFIGS.glob("*.yaml")) if path.stem != "centre"], ids=lambda path: path.stem
)
def test_every_training_config_that_ships_is_read_and_has_a_place_for_its_model(path):
    assert read_settings(path, TrainSettings).training.output_dir.startswith("models/")


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_an_editor_finds_no_fault_in_a_file_that_ships_and_finds_a_misspelt_key(path):
    first, text = path.read_text().split("\n", 1)
    schema = json.loads((path.parent / first.removeprefix("# yaml-language-server: $schema=")).read_text())
    assert list(Draft202012Validator(schema).iter_errors(tree := yaml.safe_load(text))) == []
    assert len(list(Draft202012Validator(schema).iter_errors({**tree, "nonsense": 1}))) == 1


def test_the_schema_of_a_settings_file_says_what_each_key_means():
    printed = json.loads(CliRunner().invoke(main_group, ["schema", "centre"]).output)
    assert printed == json.loads((CONFIGS / "schemas" / "centre.json").read_text())
    assert printed["$defs"]["Hours"]["properties"]["open"]["description"] == "Time of day, HH:MM."


def test_the_7b_configs_adapt_all_seven_projections_and_state_the_share_that_is_trained():
    shapes = {  # hidden size, key and value size, MLP size, layers, parameters
        "mistral_7b_mac": (4096, 1024, 14336, 32, 7_241_732_096),
        "mistral_7b": (4096, 1024, 14336, 32, 7_241_732_096),
        "qwen_7b": (3584, 512, 18944, 28, 7_615_616_512),
    }
    for name, (hidden, kv, mlp, layers, total) in shapes.items():
        path = CONFIGS / f"{name}.yaml"
        lora = read_settings(path, TrainSettings).lora
        assert lora.target_modules == SEVEN
        trained = layers * lora.r * (2 * (hidden + hidden) + 2 * (hidden + kv) + 3 * (hidden + mlp))
        assert f"{trained / (total + trained):.2%}" in path.read_text()


def test_the_centre_that_ships_spells_out_every_default():
    path = CONFIGS / "centre.yaml"
    assert read_centre(path) == Centre()
    assert list(yaml.safe_load(path.read_text())) == list(Centre.__struct_fields__)
