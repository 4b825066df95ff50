"""The whole path: a folder of transcripts and analyses in, a tuned model, an analysis and a dashboard out.

    for step in pipeline.steps("data/sample", "demo", "configs/smollm2_135m_cpu.yaml", "demo"):
        step.call()

Each step is a Python call; beside it stands the command that does the same.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mlx_cc.agents.run import fingerprint
from mlx_cc.analyst import load
from mlx_cc.evaluate.run import evaluate
from mlx_cc.export import add_temporal_features
from mlx_cc.files import read_conversations, write_conversations, write_json
from mlx_cc.folders import DataFolder, EvaluationFolder, ModelFolder, RunFolder
from mlx_cc.ingest.run import ingest
from mlx_cc.prepare import prepare_files
from mlx_cc.report.run import dashboard
from mlx_cc.settings import read_settings
from mlx_cc.train.fuse import fuse, rows
from mlx_cc.train.session import train
from mlx_cc.train.settings import TrainSettings


class Step(NamedTuple):
    """One step of the path."""

    command: tuple[str, ...]
    """Words of the command line that does the same, after `mlx_cc`; the first is the step's name."""
    made: Path
    """The file that it writes last."""
    call: Callable[[], Any]

    @property
    def name(self) -> str:
        """Name of the command."""
        return self.command[0]


def step(*command: str | Path, makes: Path, call: Callable[[], Any]) -> Step:
    """A step of the path; paths become words of the command."""
    return Step(tuple(map(str, command)), makes, call)


def steps(source: Path | str, folder: Path | str, config: Path | str, name: str) -> list[Step]:
    """The steps from raw transcripts to a dashboard, in order.

    Args:
        source: folder with transcripts/ and analyses/.
        folder: where data, the analysis of one conversation and the dashboard go.
        config: settings of the training run (YAML).
        name: of the run: adapters/NAME, and models/NAME when it is fused.
    """
    source, folder = Path(source), Path(folder)
    transcripts, analyses, records = source / "transcripts", source / "analyses", folder / "conversations.jsonl"
    data, run, model = DataFolder(folder / "data"), RunFolder(Path("adapters", name)), ModelFolder(Path("models", name))
    learned, measured = data.temporal("train"), EvaluationFolder(run.path / "evaluation").report
    one, page = folder / "one.jsonl", folder / "dashboard.html"

    def tune() -> Any:
        changed = {"data.dir": str(data.path), "training.output_dir": str(model.path)}
        return train(read_settings(config, TrainSettings, changed), run.path)

    return [
        step("ingest", transcripts, "--analyses", analyses, "--out", records,
             makes=records, call=lambda: ingest([transcripts], records, analyses=analyses)),
        step("prepare", records, "--output-dir", data.path,
             makes=data.statistics, call=lambda: prepare_files([records], data.path)),
        step("temporal", "--input", data.path, "--output", data.path,
             makes=learned, call=lambda: add_temporal_features(data.path, data.path)),
        step("fingerprint", "--input", learned, "--output-dir", data.agents.path,
             makes=data.agents.summary, call=lambda: fingerprint(learned, data.agents.path)),
        step("train", "--config", config, "--dir", data.path, "--output-dir", model.path,
             makes=run.report, call=tune),
        step("evaluate", "--model", run.path,
             makes=measured, call=lambda: evaluate(str(run.path))),
        step("fuse", run.path, "--output", model.path, "--rows", "1", "--overwrite",
             makes=model.config, call=lambda: fuse(run.path, model.path, rows(run.path, None, 1), overwrite=True)),
        step("analyze", one, "--model", model.path, "--json",
             makes=folder / "analysis.json",
             call=lambda: write_json(folder / "analysis.json", load(model.path).analyze(pick_one(data, one)))),
        step("dashboard", "--input", data.conversations, "--profiles", data.agents.path, "--output", page,
             makes=page, call=lambda: dashboard(data.conversations, page, profiles=data.agents.path)),
    ]  # fmt: skip


def pick_one(data: DataFolder, file: Path) -> Any:
    """Write the first held-out conversation of ordinary length, by id, to a file, and return it."""
    held_out = sorted(read_conversations(data.split("test")), key=lambda one: one.id)
    chosen = next((one for one in held_out if 8 <= len(one.turns) <= 14), held_out[0])
    write_conversations(file, [chosen])
    return chosen
