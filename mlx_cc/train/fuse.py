"""Fusing: merge an adapter into its base model's weights and check that the answers stay the same.

The adapter's answers are read first, then its layers are merged one by one, so that no more than one
model is ever in memory. The new folder is built beside its final path and renamed when the check has passed.
"""

import contextlib
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import mlx.core as mx
import mlx.nn as nn

from mlx_cc.analyst import Analyst, difference
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import being_made, read_conversations, read_json, sync
from mlx_cc.folders import DataFolder, ModelFolder, RunFolder
from mlx_cc.model import machine, pull
from mlx_cc.model.load import MAX_TOKENS, data_folder, keep_beside, run_settings
from mlx_cc.model.load import load as load_from_disk
from mlx_cc.tasks import Answer

DTYPES = {"float32": mx.float32, "bfloat16": mx.bfloat16, "float16": mx.float16}
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.02}
"""The most an answer's probability may differ from the adapter's, by the dtype written.

Measured on SmolLM2-135M: 3.5e-6 in float32, 0.0024 in float16, 0.011 in bfloat16; a 7B model was not run.
"""
AGREEMENT = 0.9
"""Least share of unchanged answers for a quantised model to be kept; set by hand."""

Quantization = Literal["none", "4bit", "8bit"]
Answers = Mapping[str, Answer]


class Fused(NamedTuple):
    """A fused model and how it compares with its adapter."""

    folder: Path
    layers: int
    """Adapted layers that were merged."""
    dtype: str
    quantization: Quantization
    size_bytes: int
    conversations: int
    """Number of conversations compared."""
    max_difference: float
    """Largest difference in the probability of an answer."""
    agreement: dict[str, float]
    """Task -> share of conversations with the same most probable answer."""
    seconds: float


def fuse(
    adapter: Path,
    output: Path,
    conversations: Sequence[Conversation],
    quantization: Quantization = "none",
    dtype: str | None = None,
    accept_loss: bool = False,
    overwrite: bool = False,
    tell: Callable[[str], Any] = lambda doing: None,
) -> Fused:
    """Merge an adapter into its base and write a model that mlx-lm loads, checked against the adapter.

    Args:
        conversations: the two models are compared on these.
        dtype: dtype of the weights written; None means bfloat16 on a GPU and the base's own on a CPU.
        accept_loss: keep a quantised model however few answers agree.
        overwrite: replace a model that is in the output folder.
        tell: called with what is being done.

    Raises:
        UserError: the folders are not what they should be, the disk is full, or the answers differ
            too much. The output folder is unchanged then.
    """
    started = time.perf_counter()
    base = _base_of(adapter)
    _check_output(output, base, overwrite)
    if not conversations:
        raise UserError("no conversation to compare the fused model on. Name a file that has some with --data.")
    tell("reading the adapter's answers")
    loaded = load_from_disk(adapter)
    dtype = dtype or ("bfloat16" if machine.compute_dtype() == mx.bfloat16 else stored_dtype(base))
    before = answers_of(Analyst(loaded._replace(calibration=None)), conversations)

    tell("merging")
    layers = merge(loaded.model, DTYPES[dtype])
    config = {k: v for k, v in loaded.config.items() if k not in ("quantization", "quantization_config")}
    config |= {MAX_TOKENS: loaded.max_tokens, "torch_dtype": dtype}
    with being_made(output) as part:
        with _disk_faults(output):
            tell("writing")
            _save(part, base, loaded.model, loaded.tokenizer, config, quantization)
            keep_beside(part, loaded.centre, loaded.prompt, loaded.calibration)
            for file in (RunFolder(adapter).manifest, RunFolder(adapter).erased):
                if file.exists():
                    shutil.copy(file, part)
            for file in [*part.iterdir(), part]:
                sync(file)
        del loaded
        tell("reading the fused model's answers")
        after = answers_of(Analyst(load_from_disk(part, calibrated=False)), conversations)
        most = max(difference(a, b) for a, b in zip(before, after, strict=True))
        agreement = agreement_of(before, after)
        _judge(output, most, agreement, len(conversations), dtype, quantization, accept_loss)
        with _disk_faults(output):
            size = pull.size_bytes(part)
            _move_into_place(part, output)
    seconds = time.perf_counter() - started
    return Fused(output, layers, dtype, quantization, size, len(conversations), most, agreement, seconds)


def output_of(adapter: Path) -> Path:
    """The folder that the settings of an adapter's run name for its fused model.

    Raises:
        UserError: the folder has no settings that say so.
    """
    settings = run_settings(adapter)
    if settings is None:
        _base_of(adapter)
        raise UserError(f"{adapter}: has no settings.yaml that says where to write. Name a folder with --output.")
    return Path(settings["training"]["output_dir"])


def rows(adapter: Path, data: Path | None, count: int) -> list[Conversation]:
    """The first conversations of a file; without one, of the test or validation split the run was prepared with.

    Raises:
        UserError: there is no such file, or nothing in it.
    """
    folder = data_folder(adapter)
    splits = [DataFolder(folder).chatml(split) for split in ("test", "validation")]
    path = data or next((path for path in splits if path.exists()), None)
    if path is None:
        raise UserError(f"{folder}: neither {splits[0].name} nor {splits[1].name}. Name conversations with --data.")
    picked = [conversation for conversation, _ in zip(read_conversations(path), range(count), strict=False)]
    if not picked:
        raise UserError(f"{path}: no conversation to compare the fused model on. Name another file with --data.")
    return picked


def answers_of(analyst: Analyst, conversations: Sequence[Conversation]) -> list[Answers]:
    """The answers to the tasks that are read, for each conversation."""
    return [analyst.answer(analyst.conversation(conversation), decoded=False) for conversation in conversations]


def agreement_of(before: Sequence[Answers], after: Sequence[Answers]) -> dict[str, float]:
    """Task -> share of conversations with the same most probable answer."""
    same: Counter[str] = Counter()
    for one, other in zip(before, after, strict=True):
        for name, answer in one.items():
            same[name] += next(iter(answer.distribution or {})) == next(iter(other[name].distribution or {}))
    return {name: same[name] / len(before) for name in before[0]}


def merge(model: nn.Module, dtype: mx.Dtype) -> int:
    """Replace every adapted layer by a plain one, in place, and dequantise the rest; returns how many there were.

    Each layer is merged in float32 and rounded once.
    """
    from mlx.utils import tree_map_with_path, tree_unflatten
    from mlx_lm.utils import dequantize_model

    adapted = [(name, layer) for name, layer in model.named_modules() if hasattr(layer, "fuse")]
    for name, layer in adapted:
        layer.set_dtype(mx.float32)
        plain = layer.fuse(dequantize=True)
        plain.set_dtype(dtype)
        mx.eval(plain.parameters())
        model.update_modules(tree_unflatten([(name, plain)]))
    dequantize_model(model)
    castable = getattr(model, "cast_predicate", lambda path: True)

    def cast(path: str, value: mx.array) -> mx.array:
        return value.astype(dtype) if castable(path) and mx.issubdtype(value.dtype, mx.floating) else value

    model.update(tree_map_with_path(cast, model.parameters()))
    return len(adapted)


def stored_dtype(folder: Path) -> str:
    """The floating dtype that most of a model's weights have on disk."""
    sizes: Counter[str] = Counter()
    for file in ModelFolder(folder).shards:
        arrays: Any = mx.load(str(file))  # lazy: only the header is read
        for array in arrays.values():
            sizes[str(array.dtype).rpartition(".")[2]] += array.size
    return next((name for name, _ in sizes.most_common() if name in DTYPES), "bfloat16")


def _base_of(adapter: Path) -> Path:
    """The folder of an adapter's base model."""
    note = RunFolder(adapter).config
    if not note.exists():
        what = "no such folder" if not adapter.exists() else f"not an adapter, {note.name} is missing"
        raise UserError(f"{adapter}: {what}. Pass the folder of a run, such as adapters/NAME.")
    name = read_json(note, dict).get("model")
    if not name:
        raise UserError(f"{note}: names no base model under `model`, so it is no MLX adapter. Choose another folder.")
    return pull.resolve(name)


def _check_output(output: Path, base: Path, overwrite: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not overwrite:
        raise UserError(f"{output}: is there already. Add --overwrite to replace it, or choose another --output.")
    if pull.what_is_missing(output) is not None:
        raise UserError(f"{output}: holds something else than a model, so it is not replaced. Choose another --output.")
    if output.resolve() == base.resolve():
        raise UserError(f"{output}: is the base model itself, so it is not replaced. Choose another --output.")


def _save(
    part: Path, base: Path, model: Any, tokenizer: Any, config: dict[str, Any], quantization: Quantization
) -> None:
    from mlx_lm.utils import quantize_model, save

    with contextlib.redirect_stdout(sys.stderr):
        if quantization != "none":
            model, config = quantize_model(model, config, group_size=64, bits=int(quantization[0]))
        save(part, base, model, tokenizer, config)


@contextlib.contextmanager
def _disk_faults(output: Path) -> Any:
    """Turn faults of the disk into one line."""
    try:
        yield
    except (OSError, RuntimeError) as fault:  # mlx raises RuntimeError for a full disk
        reason = (getattr(fault, "strerror", None) or str(fault)).lower()
        raise UserError(
            f"{output}: could not be written ({reason}); it is unchanged. Free space or choose another --output."
        ) from fault


def _judge(
    output: Path,
    most: float,
    agreement: Mapping[str, float],
    count: int,
    dtype: str,
    quantization: Quantization,
    accept_loss: bool,
) -> None:
    """Refuse a model whose answers differ too much, or by NaN."""
    if quantization == "none":
        if not most <= TOLERANCE[dtype]:
            raise UserError(
                f"{output}: not written. On {count} conversations the fused model's answer probabilities differ "
                f"from the adapter's by up to {most:.2g}; {TOLERANCE[dtype]:g} is allowed. Try --dtype float32."
            )
        return
    share = sum(agreement.values()) / len(agreement)
    if not (share >= AGREEMENT or accept_loss):
        by_task = ", ".join(f"{name} {part:.0%}" for name, part in agreement.items())
        raise UserError(
            f"{output}: not written. In {quantization} only {share:.0%} of the most probable answers stay the same "
            f"({by_task}; {count} conversations); {AGREEMENT:.0%} are asked for. Use 8bit or none, or --accept-loss."
        )


def _move_into_place(part: Path, output: Path) -> None:
    """Rename a finished folder; a model that it replaces is deleted last."""
    old = output.with_name(f".{output.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.replace(old)
    part.replace(output)
    sync(output.parent)
    shutil.rmtree(old, ignore_errors=True)
