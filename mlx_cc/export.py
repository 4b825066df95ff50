"""ChatML export: one row per conversation and labelled task, in mlx-lm's `messages` format.

    {"messages": [system, user, assistant], "task": "quality", "conversation_id": "call-17",
     "conversation": {...}}

The record rides in the first row of each conversation, so `mlx_cc.files.read_conversations` gets
back from such a file exactly what went in.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from mlx_cc.centre import Centre, read_centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import (
    Row,
    count_conversations,
    is_chatml,
    lines,
    write_conversations,
    written_together,
    written_whole,
)
from mlx_cc.folders import DataFolder
from mlx_cc.prompt import PromptSettings, messages, question_of
from mlx_cc.redact import read_redacted
from mlx_cc.splits import SPLITS
from mlx_cc.tasks import pick
from mlx_cc.temporal import TemporalFeatureEnhancer
from mlx_cc.terminal import progress


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


class Rewritten(NamedTuple):
    """A file that was read and written again."""

    input: Path
    output: Path
    conversations: int
    rows: int


@dataclass
class TemporalSummary:
    """What `add_temporal_features` did."""

    files: list[Rewritten] = field(default_factory=list)
    present: Counter[str] = field(default_factory=Counter)
    """Feature -> conversations that have it."""
    true: Counter[str] = field(default_factory=Counter)
    """Feature -> conversations of which it is true."""

    @property
    def conversations(self) -> int:
        """Conversations in all files."""
        return sum(file.conversations for file in self.files)


def add_temporal_features(
    source: Path | str,
    target: Path | str,
    *,
    centre: Centre | Path | str | None = None,
    timezone: str | None = None,
    country: str | None = None,
    subdivision: str | None = None,
) -> TemporalSummary:
    """Add the 18 temporal features to the conversations of a file, or of a data folder's three splits.

    Args:
        source: conversations or ChatML rows; of a folder, its {train,validation,test}_chatml.jsonl.
        target: where the same kind of file goes; into a folder, as {train,validation,test}_temporal.jsonl.
        centre: its settings; None takes the defaults.
        timezone: IANA zone of conversations that name none.
        country: ISO 3166-1 country of conversations that name none.
        subdivision: ISO 3166-2 subdivision, for its holidays.

    Raises:
        UserError: there is no such file, zone or country.
    """
    settings = centre if isinstance(centre, Centre) else read_centre(centre)
    enhancer = TemporalFeatureEnhancer(settings, timezone=timezone, country=country, subdivision=subdivision)
    summary = TemporalSummary()
    pairs = _pairs(Path(source), Path(target))
    with written_together(pairs[0][1]) as part:
        for read, write in pairs:
            count = Counter[Path]()

            def enhanced(path: Path = read, count: Counter[Path] = count) -> Iterator[Conversation]:
                stream = read_redacted(path, country or settings.country)
                for conversation in enhancer.transform(progress(stream, path.name, count_conversations(path))):
                    features = msgspec.structs.asdict(conversation.temporal) if conversation.temporal else {}
                    summary.present.update(name for name, value in features.items() if value is not None)
                    summary.true.update(name for name, value in features.items() if value is True)
                    count[path] += 1
                    yield conversation

            first = next(lines(read), None)
            if first is not None and is_chatml(first[1]):
                rows = write_chatml(part / write.name, enhanced(), settings)
            else:
                rows = write_conversations(part / write.name, enhanced())
            summary.files.append(Rewritten(read, write, count[read], rows))
    return summary


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """The files to read, each with the one to write."""
    if not source.is_dir():
        if target.is_dir():
            raise UserError(f"--output {target} is a folder and --input a file. Name the file to write.")
        return [(source, target)]
    pairs = [(DataFolder(source).chatml(split), DataFolder(target).temporal(split)) for split in SPLITS]
    found = [(read, write) for read, write in pairs if read.exists()]
    if not found:
        wanted = ", ".join(read.name for read, _ in pairs)
        raise UserError(f"{source}: none of {wanted} is there. Run `mlx_cc prepare` first.")
    return found
