"""Refuse to measure or calibrate a model on conversations that it learned from or is tested on."""

from collections.abc import Collection, Sequence
from pathlib import Path

from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations
from mlx_cc.folders import DataFolder, RunFolder


def refuse_trained_on(model: Path, conversations: Sequence[Conversation], data: Path) -> None:
    """Refuse conversations that the manifest in a model's folder names.

    Raises:
        UserError: there are such conversations.
    """
    run = RunFolder(model)
    reason = f"{run.manifest}: the model was trained on them. Take another split."
    _refuse(conversations, run.learned_from(), data, reason)


def refuse_test_split(conversations: Sequence[Conversation], data: Path, folder: Path) -> None:
    """Refuse conversations of the test split that lies beside the data or in the run's data folder.

    Raises:
        UserError: there are such conversations.
    """
    for test in sorted({*DataFolder(data.parent).every("test"), *DataFolder(folder).every("test")}):
        ids = {conversation.id for conversation in read_conversations(test)}
        _refuse(conversations, ids, data, f"{test}, which is kept for the test. Take the validation split.")


def _refuse(conversations: Sequence[Conversation], ids: Collection[str], data: Path, reason: str) -> None:
    shared = [conversation.id for conversation in conversations if conversation.id in ids]
    if shared:
        raise UserError(
            f"{data}: {len(shared)} of {len(conversations)} conversations (such as {shared[0]}) are in {reason}"
        )
