"""mlx_cc: a contact centre's own transcripts, turned into a private, local analyst."""

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlx_cc.agents.coaching import generate_coaching
    from mlx_cc.agents.fingerprint import AgentFingerprinter
    from mlx_cc.agents.run import coach, fingerprint
    from mlx_cc.analyst import Analyst, load, load_model
    from mlx_cc.conversation import Conversation, Label, Turn
    from mlx_cc.errors import UserError
    from mlx_cc.evaluate.calibrate import calibrate
    from mlx_cc.evaluate.run import evaluate
    from mlx_cc.export import add_temporal_features as temporal
    from mlx_cc.files import read_conversations, write_conversations
    from mlx_cc.generate.run import generate
    from mlx_cc.ingest.run import ingest
    from mlx_cc.prepare import prepare_files as prepare
    from mlx_cc.report.run import dashboard, table
    from mlx_cc.retrieve.practices import extract_best_practices
    from mlx_cc.retrieve.rag import ContactCenterRAG
    from mlx_cc.temporal import TemporalFeatureEnhancer
    from mlx_cc.train.fuse import fuse
    from mlx_cc.train.session import train

__version__ = "0.1.0"
_HOMES = {
    name: module
    for module, names in {
        "agents.coaching": "generate_coaching",
        "agents.fingerprint": "AgentFingerprinter",
        "agents.run": "coach fingerprint",
        "analyst": "Analyst load load_model",
        "conversation": "Conversation Label Turn",
        "errors": "UserError",
        "evaluate.calibrate": "calibrate",
        "files": "read_conversations write_conversations",
        "report.run": "dashboard table",
        "retrieve.practices": "extract_best_practices",
        "retrieve.rag": "ContactCenterRAG",
        "temporal": "TemporalFeatureEnhancer",
        "train.fuse": "fuse",
    }.items()
    for name in names.split()
}
"""Public name -> the module that has it, imported when the name is first used."""
_CALLS = {
    "evaluate": "evaluate.run:evaluate",
    "generate": "generate.run:generate",
    "ingest": "ingest.run:ingest",
    "prepare": "prepare:prepare_files",
    "temporal": "export:add_temporal_features",
    "train": "train.session:train",
}
"""Module that can be called, because a command has its name -> the function that its command runs."""

__all__ = [*_HOMES, *_CALLS]  # pyright: ignore[reportUnsupportedDunderAll]

# Else transformers says that PyTorch is missing; nothing here needs it.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")


class _Callable(ModuleType):
    """A module of `_CALLS`: `mlx_cc.ingest(paths)` runs the function, `mlx_cc.ingest.read_folder` is what it holds."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, _, function = _CALLS[self.__name__.rpartition(".")[2]].partition(":")
        return getattr(importlib.import_module(f"mlx_cc.{module}"), function)(*args, **kwargs)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLS and type(value) is ModuleType:  # Python has just imported it
            value.__class__ = _Callable
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _CALLS:
        return importlib.import_module(f"mlx_cc.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'mlx_cc' has no attribute '{name}'")
    return getattr(importlib.import_module(f"mlx_cc.{_HOMES[name]}"), name)
