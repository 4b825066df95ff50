"""The effect of similar cases: a model's answers without and with them, on the same conversations.

Cases come from the train split of an index, and never from the same customer or the same chain of contacts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlx_cc.analyst import Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.evaluate.compare import compare, overall
from mlx_cc.evaluate.predict import Predictions, predictions
from mlx_cc.prompt import Cases
from mlx_cc.retrieve.filters import where
from mlx_cc.retrieve.rag import ContactCenterRAG
from mlx_cc.retrieve.search import Case
from mlx_cc.tasks import Task
from mlx_cc.terminal import progress

WITHOUT, WITH = "without", "with cases"


def find(
    rag: ContactCenterRAG, conversations: Sequence[Conversation], similar: int
) -> dict[str, tuple[list[Case], Cases]]:
    """Conversation id -> similar ones of the train split, and how a model is shown them.

    Raises:
        UserError: the index has no conversation of a train split.
    """
    only = where({"split": "train"})
    if not rag.finder.index.ids(only):
        raise UserError(
            f"{rag.finder.index.where}: no conversation is known to be of the train split. Index the folder that "
            "`prepare` wrote, or its train file: mlx_cc rag index data/train_chatml.jsonl."
        )
    return {c.id: rag.cases(c, similar, only=only) for c in progress(conversations, "similar cases")}


def measure(
    analyst: Analyst,
    conversations: Sequence[Conversation],
    tasks: Sequence[Task],
    answered: tuple[Predictions, float],
    rag: ContactCenterRAG,
    similar: int,
    folder: Path,
    train: Sequence[Conversation] = (),
) -> dict[str, Any]:
    """Compare answers without and with cases.

    Args:
        answered: the answers without cases, and seconds per conversation.
        similar: number of cases shown with each conversation.
        folder: keeps the answers.
        train: the train split, for measures that need its labels.

    Returns:
        {"index", "similar", "conversations", "cases" (mean number shown), "seconds_per_conversation" {mode -> s},
        "tasks", "overall"}. The last two are those of `compare`; a difference is `with cases` minus `without`.
    """
    read = [task.name for task in tasks if task.answers]
    bare, seconds = answered
    shown = {name: cases for name, (_, cases) in find(rag, conversations, similar).items()}
    helped, more = predictions(analyst, conversations, read, folder, cases=shown)
    kept = {
        WITHOUT: {c.id: {name: bare[c.id][name] for name in read} for c in conversations},
        WITH: {c.id: {name: helped[c.id][name] for name in read} for c in conversations},
    }
    return {
        "index": rag.finder.index.where,
        "similar": similar,
        "conversations": len(conversations),
        "cases": sum(len(cases.cases) for cases in shown.values()) / max(1, len(shown)),
        "seconds_per_conversation": {WITHOUT: seconds, WITH: more},
        "tasks": compare(conversations, tasks, kept, train),
        "overall": overall(conversations, kept),
    }
