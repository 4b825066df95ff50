"""mlx_cc: a contact centre's own transcripts, turned into a private, local analyst."""

import os
from typing import Any

__version__ = "0.1.0"

# Else transformers says that PyTorch is missing; nothing here needs it.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

_HOMES = {
    "load": "mlx_cc.analyst",
    "load_model": "mlx_cc.analyst",
    "Analyst": "mlx_cc.analyst",
    "Conversation": "mlx_cc.conversation",
    "Turn": "mlx_cc.conversation",
    "Label": "mlx_cc.conversation",
    "read_conversations": "mlx_cc.files",
    "write_conversations": "mlx_cc.files",
    "TemporalFeatureEnhancer": "mlx_cc.temporal",
    "AgentFingerprinter": "mlx_cc.agents.fingerprint",
    "generate_coaching": "mlx_cc.agents.coaching",
    "ContactCenterRAG": "mlx_cc.retrieve",
    "extract_best_practices": "mlx_cc.retrieve",
    "UserError": "mlx_cc.errors",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mlx_cc' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
