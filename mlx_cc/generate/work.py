"""The work of a run: the conversations to explain, and the chains that the journal lacks.

The journal has what any process wrote so far, now or in an earlier run. A shard is the share of one process.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import locked
from mlx_cc.generate.journal import Part, folder_of, is_final, latest
from mlx_cc.generate.settings import GenerateSettings
from mlx_cc.reasoning import labels
from mlx_cc.redact import read_redacted
from mlx_cc.splits import unit_interval


class Shard(NamedTuple):
    """A share of the conversations: number `place` of `shards`."""

    place: int = 0
    shards: int = 1

    def holds(self, conversation: Conversation) -> bool:
        """Whether a conversation belongs to this shard, by a hash of its id."""
        return int(unit_interval(f"shard:{conversation.id}") * self.shards) == self.place

    @property
    def file(self) -> str:
        """The name of its part of the journal."""
        return f"part-{self.place}-of-{self.shards}.jsonl"


class Work(NamedTuple):
    """A file of conversations, and how their chains are written."""

    source: Path
    output: Path
    settings: GenerateSettings
    centre: Centre
    limit: int | None = None
    """At most this many conversations, the first of the file."""

    @property
    def folder(self) -> Path:
        """Folder of the journal."""
        return folder_of(self.output)


def wanted(work: Work) -> Iterator[tuple[Conversation, str]]:
    """The conversations of a file that have a label to explain, each with the hash of its prompt."""
    from mlx_cc.generate.teacher import Asker

    ask, count = None, 0
    for conversation in read_redacted(work.source):
        if labels(conversation):
            ask = ask or Asker(work.settings, work.centre)  # reads the model, not needed without labels
            yield conversation, ask(conversation)
            count += 1
            if count == work.limit:
                return


def write_shard(work: Work, shard: Shard, noted: Callable[[], None] = lambda: None) -> None:
    """Write the chains of a shard that the journal lacks, attempt after attempt.

    Args:
        noted: called after every chain.
    """
    from mlx_cc.analyst import Analyst
    from mlx_cc.generate.teacher import Due, Teacher
    from mlx_cc.model import load

    def refuse() -> None:
        raise UserError(f"{work.folder / shard.file}: another process is writing it. Wait for it, or stop it.")

    entries, attempts = latest(work.folder), work.settings.attempts
    teacher = None

    def due(attempt: int) -> Iterator[Due]:
        for conversation, prompt in wanted(work):
            last = entries.get((conversation.id, prompt))
            its_turn = (last.attempt + 1 if last else 0) == attempt
            if its_turn and shard.holds(conversation) and not is_final(last, attempts):
                yield Due(conversation, prompt, last)

    with locked(work.folder / shard.file, refuse):
        part = Part(work.folder / shard.file)
        try:
            for attempt in range(attempts):
                stream = due(attempt)
                if (first := next(stream, None)) is None:
                    continue
                if teacher is None:
                    analyst = Analyst(load.load(work.settings.model)._replace(centre=work.centre))
                    teacher = Teacher(analyst, work.settings)
                for entry in teacher.write(chain([first], stream)):
                    part.add(entry)
                    entries[entry.conversation_id, entry.prompt] = entry
                    noted()
        finally:
            part.close()
