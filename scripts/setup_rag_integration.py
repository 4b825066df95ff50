"""Index conversations and find similar ones: `mlx_cc rag` under its original name.

python scripts/setup_rag_integration.py index data --index data/index
"""

from mlx_cc.cli import run
from mlx_cc.commands.rag import command
from mlx_cc.retrieve.practices import extract_best_practices
from mlx_cc.retrieve.rag import ContactCenterRAG

__all__ = ["ContactCenterRAG", "extract_best_practices"]

if __name__ == "__main__":
    run(command)
