"""Similar earlier conversations: an index of what was said, search in it, and what a model makes of it."""

from mlx_cc.retrieve.practices import extract_best_practices
from mlx_cc.retrieve.rag import ContactCenterRAG
from mlx_cc.retrieve.search import Case

__all__ = ["Case", "ContactCenterRAG", "extract_best_practices"]
