"""The folders that commands write and read. Every file name in them is spelled here, and only here."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlx_cc.errors import UserError
from mlx_cc.splits import SPLITS


class File:
    """A file of a folder: on the class its name, on a folder its path."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: "_Folder | None", owner: type) -> Path:
        return Path(self.name) if folder is None else folder.path / self.name


@dataclass(frozen=True)
class _Folder:
    path: Path


class AgentsFolder(_Folder):
    """What `fingerprint` writes."""

    profiles = File("agent_profiles.json")
    clusters = File("agent_clusters.json")
    summary = File("agent_summary.json")


class DataFolder(_Folder):
    """What `prepare` writes, and what later commands add to it."""

    conversations = File("conversations.jsonl")
    """All conversations, one a line."""
    zipped = File("conversations.jsonl.gz")
    rejects = File("rejects.jsonl")
    """What could not be read, and why."""
    centre = File("centre.yaml")
    """The centre's settings that the prompts were written with."""
    statistics = File("statistics.json")

    @property
    def prepared(self) -> tuple[Path, ...]:
        """What `prepare` writes, rejects aside."""
        return (*map(self.chatml, SPLITS), self.conversations, self.centre, self.statistics)

    @property
    def agents(self) -> AgentsFolder:
        """Where `fingerprint` keeps the agents' profiles."""
        return AgentsFolder(self.path / "agent_profiles")

    def chatml(self, split: str) -> Path:
        """A split as `prepare` writes it."""
        return self.path / f"{split}_chatml.jsonl"

    def temporal(self, split: str) -> Path:
        """A split with temporal features."""
        return self.path / f"{split}_temporal.jsonl"

    def reasoning(self, split: str) -> Path:
        """A split with reasoning chains."""
        return self.path / f"{split}_reasoning.jsonl"

    def find(self, split: str, chains: bool = False) -> Path | None:
        """The file of a split that holds the most: temporal features before none, chains first if asked for."""
        kinds = (*([self.reasoning] if chains else []), self.temporal, self.chatml)
        return next((path for kind in kinds if (path := kind(split)).exists()), None)

    def split(self, split: str, named: str = "") -> Path:
        """The file that a run reads for a split: the named one, else what `find` finds, chains for training alone.

        Raises:
            UserError: there is none.
        """
        path = Path(named) if named else self.find(split, chains=split == "train")
        if path is None:
            missing = self.chatml(split).name
            raise UserError(
                f"{self.path}: no {missing}. Run `mlx_cc prepare` first, or name the {split} file yourself."
            )
        return path

    def every(self, split: str) -> Iterable[Path]:
        """All files of a split, in name order."""
        return sorted(self.path.glob(f"{split}_*.jsonl"))


class EvaluationFolder(_Folder):
    """What `evaluate` and `fairness` write."""

    report = File("report.json")
    fairness = File("fairness.json")


class _Tuned(_Folder):
    """What a run's folder and a fused model's folder have in common: all that answers depend on beside the weights."""

    centre = File("centre.yaml")
    prompt = File("prompt.yaml")
    calibration = File("calibration.json")
    manifest = File("manifest.txt")
    """Ids of the conversations that the weights learned from, one a line."""

    erased = File("erased.json")
    """Hash of a customer's id -> ids of their erased conversations, from which the weights still learned."""

    def learned_from(self) -> set[str]:
        """The ids in the manifest; none where there is no manifest."""
        if not self.manifest.exists():
            return set()
        return set(self.manifest.read_text(encoding="utf-8", errors="replace").split("\n")) - {""}

    @property
    def evaluation(self) -> EvaluationFolder:
        """Where the model's measurements are kept; without a folder of its own, in the current one."""
        return EvaluationFolder((self.path if self.path.is_dir() else Path()) / "evaluation")


class RunFolder(_Tuned):
    """What `train` writes: adapters/NAME."""

    config = File("adapter_config.json")
    """The base model and what was adapted in it."""
    adapter = File("adapters.safetensors")
    """The best weights so far."""
    checkpoint = File("checkpoint.safetensors")
    """What a run resumes from."""
    settings = File("settings.yaml")
    metrics = File("metrics.jsonl")
    loss = File("loss.png")
    report = File("report.json")


class ModelFolder(_Tuned):
    """A base model, or what `fuse` writes: models/NAME."""

    config = File("config.json")
    weights = File("model.safetensors")
    """The weights of a model in one file; `shards` lists all files."""
    index = File("model.safetensors.index.json")
    tokenizer = File("tokenizer.json")
    tokenizer_config = File("tokenizer_config.json")

    @property
    def shards(self) -> list[Path]:
        """Files of weights, in name order."""
        return sorted(self.path.glob("model*.safetensors"))


def split_of_file(path: Path) -> str | None:
    """The split that a file's name begins with."""
    return next((split for split in SPLITS if path.name.startswith(f"{split}_")), None)


def only_run(root: Path = Path()) -> Path:
    """The one tuned model under models/ and adapters/; of a run that is in both, whichever is newer.

    Raises:
        UserError: there is none, or more than one name to choose from.
    """
    models = [ModelFolder(folder).config for folder in root.glob("models/[!.]*")]
    runs = [RunFolder(folder).adapter for folder in root.glob("adapters/[!.]*")]
    found = [file for file in (*models, *runs) if file.exists()]
    newest: dict[str, Path] = {}
    for file in sorted(found, key=lambda file: -file.stat().st_mtime):
        newest.setdefault(file.parent.name, file.parent)
    if not newest:
        raise UserError("no tuned model under models/ or adapters/. Run `mlx_cc train`, or name a model with --model.")
    if len(newest) > 1:
        names = ", ".join(map(str, newest.values()))
        raise UserError(f"more than one tuned model here, newest first: {names}. Choose one with --model.")
    return next(iter(newest.values()))
