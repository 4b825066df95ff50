"""Load models from disk: a base model, an adapter on its base, or a fused model, with the settings it was tuned for."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import mlx.nn as nn

from mlx_cc.calibration import Calibration, read_calibration, weights_of, write_calibration
from mlx_cc.centre import Centre, read_centre
from mlx_cc.errors import UserError
from mlx_cc.files import read_json, write_text
from mlx_cc.folders import ModelFolder, RunFolder
from mlx_cc.model import machine, pull
from mlx_cc.prompt import PromptSettings
from mlx_cc.settings import read_settings, read_yaml, with_overrides

MAX_TOKENS = "max_seq_length"
"""Key of an adapter's or a fused model's config: the longest row it was tuned for, in tokens."""
QUANTIZATION = "base_quantization"
"""Key of an adapter's config: how its base was rounded while it was trained (QLoRA)."""
GROUP_SIZE = 64
"""Weights that share a scale when a base is quantised; mlx-lm's default."""


class Loaded(NamedTuple):
    """A model ready to compute, and the settings its answers depend on."""

    model: Any
    tokenizer: Any
    config: dict[str, Any]
    name: str
    centre: Centre
    prompt: PromptSettings
    max_tokens: int
    """The longest row the model was tuned for, in tokens."""
    calibration: Calibration | None = None
    """None: answers are read as the model gives them."""


def base_model(name_or_path: str | Path, quantization: str = "none") -> tuple[Any, Any, dict[str, Any]]:
    """Model, tokenizer and config of a base or fused model, in this machine's dtype.

    A CPU computes in float32, so 16-bit weights are widened and quantised ones restored.

    Args:
        quantization: "4bit" or "8bit" rounds the weights as QLoRA does. A CPU widens them again: it computes
            what the quantised model computes, at the speed of float32.
    """
    machine.prepare()
    import mlx.core as mx
    from mlx_lm.utils import dequantize_model, load_model

    from mlx_cc.model.cpu_kernels import use_fast_swiglu

    use_fast_swiglu()
    folder = pull.resolve(str(name_or_path))
    with pull.loading(folder, "not a model mlx-lm can load", "Pull it again or choose another."):
        model, config = load_model(folder)
    tokenizer = load_tokenizer(folder, config)
    on_cpu = machine.compute_dtype() == mx.float32
    if on_cpu:
        model = dequantize_model(model)
        model.set_dtype(mx.float32)
    if quantization != "none" and "quantization" not in config:
        nn.quantize(model, GROUP_SIZE, int(quantization[0]), class_predicate=_can_be_quantized)
        if on_cpu:
            model = dequantize_model(model)
    model.eval()
    return model, tokenizer, config


def unloaded(folder: Path, config: dict[str, Any]) -> Any:
    """The model that a config describes, with random weights that are not computed until they are used.

    Raises:
        UserError: mlx-lm does not know such models.
    """
    from mlx_lm.utils import _get_classes

    with pull.loading(folder, "not a model mlx-lm can load", "Choose another."):
        model, arguments = _get_classes(config)
        return model(arguments.from_dict(config))


def load_tokenizer(folder: Path, config: Mapping[str, Any]) -> Any:
    """A model's tokenizer as mlx-lm wraps it. Its end token is config.json's where its own files name none.

    Raises:
        UserError: a file is damaged, or no file names an end token.
    """
    import logging

    logging.getLogger("transformers").setLevel(logging.ERROR)
    from mlx_lm.utils import load_tokenizer

    ends = config.get("eos_token_id")
    with pull.loading(folder, "its tokenizer can't be loaded", "Pull it again or choose another."):
        tokenizer = load_tokenizer(folder, eos_token_ids=ends)
    if tokenizer.eos_token_id is None:
        ids = ends if isinstance(ends, list) else [ends]
        reply = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "4"}]
        written = tokenizer.apply_chat_template(reply) if tokenizer.has_chat_template else []
        tokenizer.eos_token_id = next((end for end in ids if end in written), ids[0])
    if tokenizer.eos_token_id is None:
        raise UserError(f"{folder}: no file names the token that ends a reply. Put eos_token_id into config.json.")
    return tokenizer


def _can_be_quantized(_: str, module: nn.Module) -> bool:
    return hasattr(module, "to_quantized") and module["weight"].shape[-1] % GROUP_SIZE == 0


def find(path: str | Path) -> Path:
    """The folder of a model: the path itself, or `adapters/NAME` when `models/NAME` was not fused yet.

    Raises:
        UserError: the path can only be a folder, and there is none.
    """
    name, path = str(path), Path(path).expanduser()
    if not path.exists() and path.parent.name == "models":
        adapter = path.parent.parent / "adapters" / path.name
        if RunFolder(adapter).config.exists():
            return adapter
    if not path.exists() and pull.is_path(name):
        raise pull.no_such_folder(name)
    return path


def load(path: str | Path, calibrated: bool = True) -> Loaded:
    """Load an adapter folder, a fused model's folder, or a base model by name.

    Args:
        calibrated: apply the calibration kept beside the weights, where there is one that fits them.

    Raises:
        UserError: it is none of these, or its files are damaged.
    """
    folder = find(path)
    calibration_of = read_calibration if calibrated else lambda _: None
    run = RunFolder(folder)
    adapter = run.config
    if not adapter.exists():
        model, tokenizer, config = base_model(folder)
        folder = pull.resolve(str(folder))
        most = _max_tokens(folder)
        return Loaded(model, tokenizer, config, str(path), *tuned_for(folder), most, calibration_of(folder))
    note = read_json(adapter, dict)
    if "model" not in note:
        raise UserError(f"{adapter}: names no base model under `model`, so it is no MLX adapter. Choose another.")
    if not run.adapter.exists():
        raise UserError(f"{folder}: no adapters.safetensors yet. Finish the training run, or choose another adapter.")
    model, tokenizer, config = base_model(note["model"], note.get(QUANTIZATION, "none"))
    from mlx_lm.tuner.utils import load_adapters

    with pull.loading(folder, f"does not fit its base model {note['model']}", "Train it again."):
        model = load_adapters(model, str(folder))
    model.eval()
    most = int(note.get(MAX_TOKENS, 2048))
    return Loaded(model, tokenizer, config, str(path), *tuned_for(folder), most, calibration_of(folder))


def hash_of_model(path: str | Path) -> str:
    """Short hash of a model: its weights, config and prompt settings, and those of an adapter's base."""
    folder = find(path)
    folders = [folder if folder.is_dir() else pull.resolve(str(path))]
    if (note := RunFolder(folders[0]).config).exists():
        folders.append(pull.resolve(read_json(note, dict)["model"]))
    parts = [str(weights_of(folder)).encode() for folder in folders]
    configs = [file for at in folders for file in (ModelFolder(at).config, RunFolder(at).config, RunFolder(at).prompt)]
    parts += [file.read_bytes() for file in configs if file.exists()]
    return blake2b(b"\n".join(parts), digest_size=12).hexdigest()


def tuned_for(folder: Path) -> tuple[Centre, PromptSettings]:
    """The centre and prompt settings kept beside a model; the defaults for a model that this toolkit did not tune.

    Raises:
        UserError: a model that it did tune lacks them.
    """
    run = RunFolder(folder)
    if run.prompt.exists():
        prompt = read_settings(run.prompt, PromptSettings)
    elif run.settings.exists():
        prompt = with_overrides(PromptSettings, {}, str(run.settings), read_yaml(run.settings).get("prompt"))
    else:
        prompt = None
    if not (prompt and run.centre.exists()) and _is_ours(folder):
        lost = run.centre if prompt else run.prompt
        raise UserError(f"{lost}: is missing, and without it the answers differ. Copy it back, or train again.")
    return read_centre(run.centre if run.centre.exists() else None), prompt or PromptSettings()


def _is_ours(folder: Path) -> bool:
    """Whether `train` or `fuse` wrote a model's folder."""
    configs = (RunFolder(folder).config, QUANTIZATION), (ModelFolder(folder).config, MAX_TOKENS)
    return any(file.exists() and key in read_json(file, dict) for file, key in configs)


def keep_beside(folder: Path, centre: Centre, prompt: PromptSettings, calibration: Calibration | None = None) -> None:
    """Write what a tuned model's answers depend on into its folder. A calibration is written to fit any weights."""
    import msgspec
    import yaml

    from mlx_cc.centre import write_centre

    write_centre(RunFolder(folder).centre, centre)
    write_text(RunFolder(folder).prompt, yaml.safe_dump(msgspec.to_builtins(prompt)))
    if calibration:
        write_calibration(folder, msgspec.structs.replace(calibration, weights=None))


def _max_tokens(folder: Path) -> int:
    """The longest row that `fuse` wrote down, else the model's longest context up to 4096 (set by hand)."""
    config = read_json(ModelFolder(folder).config, dict)
    return int(config.get(MAX_TOKENS) or min(config.get("max_position_embeddings") or 2048, 4096))


def parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, all) parameters; quantised weights count as the weights they stand for."""
    from mlx.utils import tree_flatten
    from mlx_lm.utils import get_total_parameters

    trainable = sum(int(value.size) for value in dict(tree_flatten(model.trainable_parameters())).values())
    return trainable, int(get_total_parameters(model))


def run_settings(model: str | Path) -> dict[str, Any] | None:
    """The settings an adapter was trained with, as its run wrote them; None for other models."""
    path = RunFolder(find(model)).settings
    return read_yaml(path) if path.exists() else None


def data_folder(model: str | Path) -> Path:
    """The data folder an adapter was trained from; `data` for other models."""
    settings = run_settings(model)
    return Path(settings["data"]["dir"]) if settings else Path("data")


def trained_tasks(model: str | Path) -> list[str]:
    """The tasks an adapter was trained on; empty, which means all, for other models."""
    return list((run_settings(model) or {}).get("training", {}).get("tasks", ()))
