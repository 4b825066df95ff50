"""A JSON object with turns, or a list of such objects.

Keys are the record's; `conversation_id` is read as id, `transcript` as turns (a list, or
text as in a .txt transcript), and in a turn `speaker` as role, `content` or `utterance` as text.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.ingest.format import Format, Reading, Reject
from mlx_cc.ingest.record import to_conversation
from mlx_cc.ingest.source import File, from_json

START = re.compile(rb"\s*(?:\{|\[\s*\{)")


def recognise(path: Path, head: bytes) -> bool:
    """Recognised by a JSON object or a list of objects at the start."""
    return START.match(head) is not None


def read(file: File, reading: Reading) -> Iterator[Conversation | Reject]:
    """The conversations of the document."""
    document = from_json(file.text())
    if isinstance(document, dict):
        yield to_conversation({"id": file.stem, **_named(document)}, reading, file, None, FORMAT.name)
        return
    if not isinstance(document, list):
        raise UserError("is neither a JSON object with turns nor a list of them.")
    for number, tree in enumerate(document, 1):
        try:
            if not isinstance(tree, dict):
                raise UserError("is not an object with turns.")
            yield to_conversation(tree, reading, file, None, FORMAT.name)
        except UserError as fault:
            yield Reject(str(file.path), None, f"item {number}: {fault}")


def _named(tree: dict[str, Any]) -> dict[str, Any]:
    """The object with its id, if it has one, under `id`."""
    if "conversation_id" in tree and "id" not in tree:
        return {
            **{key: value for key, value in tree.items() if key != "conversation_id"},
            "id": tree["conversation_id"],
        }
    return tree


FORMAT = Format("json", recognise, read, order=90)
