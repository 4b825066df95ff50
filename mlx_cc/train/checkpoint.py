"""The files of a run, from which it is resumed, loaded, fused and erased. Each file appears whole."""

import json
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, cast

import mlx.core as mx
import mlx.nn as nn
import msgspec
import yaml
from mlx.utils import tree_flatten, tree_unflatten

from mlx_cc.centre import Centre, read_centre
from mlx_cc.errors import UserError
from mlx_cc.files import write_json, write_text, written_whole
from mlx_cc.folders import RunFolder
from mlx_cc.model.load import QUANTIZATION, keep_beside
from mlx_cc.settings import read_settings
from mlx_cc.train.settings import TrainSettings

FIXED = ("model.name", "model.quantization", "training.tasks", "lora", "prompt")
"""Settings that may not change when a run is resumed: the weights and the prompts depend on them."""


class Position(NamedTuple):
    """Progress of a run."""

    update: int
    best: tuple[float, int]
    """Lowest validation loss, and the update that had it."""
    first: float
    """Validation loss before training."""
    stale: int
    """Validations since the best."""


class Checkpoint:
    """The files of one run.

    Args:
        adapter_config: what `add_adapters` returned.
    """

    def __init__(self, folder: Path, settings: TrainSettings, centre: Centre, adapter_config: dict[str, Any]) -> None:
        self.files, self.settings, self.centre = RunFolder(folder), settings, centre
        self.adapter_config = adapter_config
        self.learned: list[str] = []
        """Ids of the conversations that this run's weights learn from, those of its base model included."""

    def describe(self, ids: Sequence[str], resumed: bool) -> None:
        """Write what `load`, `fuse` and `erase` must know, before anything is trained.

        Args:
            ids: conversations of the train split.

        Raises:
            UserError: the run that is resumed learned from other conversations.
        """
        settings, files, before = self.settings, self.files, self.files.learned_from()
        self.learned = [*RunFolder(Path(settings.model.name)).learned_from(), *ids]
        if resumed and before != set(self.learned):
            raise UserError(
                f"{files.manifest}: the run learned from other conversations than those in {settings.data.dir}. "
                "Resume with the same data, or train anew with another --run."
            )
        base = {"model": settings.model.name, QUANTIZATION: settings.model.quantization}
        longest = {"max_seq_length": settings.model.max_seq_length}
        write_json(files.config, {**base, **self.adapter_config, **longest})
        write_text(files.settings, yaml.safe_dump(msgspec.to_builtins(settings), sort_keys=False))
        keep_beside(files.path, self.centre, settings.prompt)
        self._write_manifest(before if files.adapter.exists() else ())

    def _write_manifest(self, older: Iterable[str]) -> None:
        """List what the weights in the folder learned from; `older`: ids of the adapter that is not replaced yet."""
        ids = dict.fromkeys((*self.learned, *sorted(older)))
        write_text(self.files.manifest, "".join(f"{name}\n" for name in ids))

    def save(self, model: nn.Module, optimizer: Any, position: Position, best: bool) -> None:
        """Write the state to resume from, and the adapter when it is the best so far."""
        weights = dict(tree_flatten(model.trainable_parameters()))
        state = {f"model.{k}": v for k, v in weights.items()}
        state |= {f"optimizer.{k}": v for k, v in tree_flatten(optimizer.state)}
        if best:
            save_arrays(self.files.adapter, weights, {"format": "mlx"})
        save_arrays(self.files.checkpoint, state, {"position": json.dumps(position._asdict())})
        if best:
            self._write_manifest(())
            self.files.erased.unlink(missing_ok=True)

    def load(self, model: nn.Module, optimizer: Any) -> Position:
        """Put the saved state into a model and its optimizer; returns how far the run was.

        Raises:
            UserError: there is no saved state, or it belongs to other settings.
        """
        path = self.files.checkpoint
        if not path.exists():
            raise UserError(f"{path}: nothing to resume. Start without --resume.")
        before = read_settings(self.files.settings, TrainSettings)
        other = [name for name in FIXED if attrgetter(name)(before) != attrgetter(name)(self.settings)]
        other += ["centre"] if read_centre(self.files.centre) != self.centre else []
        loaded = mx.load(str(path), return_metadata=True)
        arrays, metadata = cast(tuple[dict[str, mx.array], dict[str, str]], loaded)
        state = {k.removeprefix("model."): v for k, v in arrays.items() if k.startswith("model.")}
        here = {k: v.shape for k, v in dict(tree_flatten(model.trainable_parameters())).items()}
        if other or here != {k: v.shape for k, v in state.items()}:
            raise UserError(
                f"{path}: was made with other settings ({', '.join(other) or 'model'}). Resume with the settings in "
                f"{self.files.settings}, or choose another --run."
            )
        model.update(tree_unflatten(list(state.items())))
        of_optimizer = [(k[10:], v) for k, v in arrays.items() if k.startswith("optimizer.")]
        optimizer.state = tree_unflatten(of_optimizer)
        position = Position(**json.loads(metadata["position"]))
        return position._replace(best=tuple(position.best))

    def forget_steps_after(self, update: int) -> None:
        """Drop the lines of metrics.jsonl after this update."""
        path = self.files.metrics
        lines = path.read_text().splitlines() if path.exists() else []
        write_text(path, "".join(f"{line}\n" for line in lines if json.loads(line)["update"] <= update))


def save_arrays(path: Path, arrays: Mapping[str, mx.array], metadata: Mapping[str, str]) -> None:
    """Write arrays as one safetensors file, whole."""
    staged = path.with_name(path.name + ".arrays.safetensors")
    try:
        try:
            mx.save_safetensors(str(staged), dict(arrays), metadata=dict(metadata))
        except RuntimeError as fault:
            raise UserError(f"{path}: could not be written ({fault}); the last save is intact. Free space.") from fault
        with staged.open("rb") as source, written_whole(path) as file:
            while block := source.read(1 << 24):
                file.write(block)
    finally:
        staged.unlink(missing_ok=True)
