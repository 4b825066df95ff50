"""ChatML export: one row per conversation and labelled task, in mlx-lm's `messages` format.

    {"messages": [system, user, assistant], "task": "quality", "conversation_id": "call-17",
     "conversation": {...}}

The record rides in the first row of each conversation, so `mlx_cc.files.read_conversations` gets
back from such a file exactly what went in.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.files import Row, written_whole
from mlx_cc.prompt import PromptSettings, messages, question_of
from mlx_cc.tasks import pick


def row_maker(
    centre: Centre, settings: PromptSettings = PromptSettings(), tasks: Sequence[str] = ()
) -> Callable[[Conversation], list[Row]]:
    """A function that gives a conversation's rows, in the order of the tasks; none when no task has a label.

    Label values must be allowed ones (`mlx_cc.ingest.analyses.with_valid_labels`).
    """
    picked = pick(tasks)
    questions = {task.name: question_of(task, centre, settings) for task in picked}

    def rows(conversation: Conversation) -> list[Row]:
        asked = [task for task in picked if task.name in conversation.labels]
        if not asked:
            return []
        # The question ends the user's message, so the transcript is worded once for all tasks.
        system, user = messages(conversation, "", settings=settings)
        made = []
        for task in asked:
            said = [
                system,
                {"role": "user", "content": user["content"] + questions[task.name]},
                {"role": "assistant", "content": task.write(conversation.label(task.name), centre)},
            ]
            made.append(Row(said, task.name, conversation.id, None if made else conversation))
        return made

    return rows


def write_chatml(
    path: Path | str,
    conversations: Iterable[Conversation],
    centre: Centre,
    settings: PromptSettings = PromptSettings(),
) -> int:
    """Write the rows of all labelled conversations; returns how many. The file appears whole.

    Conversations without a label of a task get no row.
    """
    rows_of = row_maker(centre, settings)
    count = 0
    with written_whole(path) as file:
        for conversation in conversations:
            rows = rows_of(conversation)
            file.write(encode(rows))
            count += len(rows)
    return count


_encode_lines = msgspec.json.Encoder().encode_lines


def encode(rows: list[Row]) -> bytes:
    """Rows as JSON lines."""
    return _encode_lines(rows)
