"""Generating chains for a file of conversations: what is left to do, in one process or several.

The journal has what was written so far, by any process, now or in an earlier run; shards are conversations by a hash
of their id, one a process.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec

from mlx_cc.centre import Centre
from mlx_cc.children import Restarted, how_it_ended, start
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import locked, write_json
from mlx_cc.generate.journal import RUN, About, Part, folder_of, is_final, latest
from mlx_cc.generate.progress import Progress, State
from mlx_cc.generate.settings import GenerateSettings
from mlx_cc.reasoning import labels
from mlx_cc.redact import read_redacted
from mlx_cc.splits import unit_interval

RESTARTS = 3
"""Times a process that a signal killed is started again."""
PAUSE_S = 0.5


class Shard(NamedTuple):
    """A share of the conversations: number `place` of so many."""

    place: int = 0
    shards: int = 1

    def holds(self, conversation: Conversation) -> bool:
        """Whether a conversation belongs to it, by a hash of its id."""
        return int(unit_interval(f"shard:{conversation.id}") * self.shards) == self.place

    @property
    def file(self) -> str:
        """The name of its part of the journal."""
        return f"part-{self.place}-of-{self.shards}.jsonl"


class Work(NamedTuple):
    """A file of conversations and what chains are asked for."""

    source: Path
    output: Path
    settings: GenerateSettings
    centre: Centre
    limit: int | None = None
    """At most so many conversations, the first of the file."""

    @property
    def folder(self) -> Path:
        """Of the journal."""
        return folder_of(self.output)


def wanted(work: Work) -> Iterator[tuple[Conversation, str]]:
    """The conversations of a file that have an answer to explain, each with the hash of what is asked about it."""
    from mlx_cc.generate.teacher import Asker

    ask, count = None, 0
    for conversation in read_redacted(work.source):
        if labels(conversation):
            ask = ask or Asker(work.settings, work.centre)  # a file without labels needs no model
            yield conversation, ask(conversation)
            count += 1
            if count == work.limit:
                return


def run(
    work: Work,
    workers: int,
    tell: Callable[[str], None],
    show: Callable[[State], None] = lambda state: None,
    shard: Shard = Shard(),
) -> None:
    """Write what the journal lacks, in this process or in `workers` children. The caller holds the journal.

    Args:
        tell: hears of a worker that is started again.
        show: hears how far it is, after every chain or twice a second.
        shard: what this process writes, where others write the rest.

    Raises:
        UserError: there is nothing to explain, the model can't be had, the disk is full.
    """
    total = sum(1 for _ in wanted(work))
    if not total:
        raise UserError(f"{work.source}: no conversation has a label to explain. Run `mlx_cc prepare` with analyses.")
    model, source, output = work.settings.model, str(work.source), str(work.output)
    about = About(source, output, model, total, work.settings.attempts, workers, time.time())
    write_json(work.folder / RUN, about)
    progress = Progress(about, work.folder, show)
    progress.update()
    if workers == 1:
        write_shard(work, shard, progress.update)
    else:
        _run_children(work, workers, tell, progress.update)
    progress.update()


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

    known, attempts = latest(work.folder), work.settings.attempts
    teacher = None

    def due(attempt: int) -> Iterator[Due]:
        for conversation, prompt in wanted(work):
            last = known.get((conversation.id, prompt))
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
                    known[entry.conversation_id, entry.prompt] = entry
                    noted()
        finally:
            part.close()


# Several processes


def _run_children(work: Work, workers: int, tell: Callable[[str], None], update: Callable[[], None]) -> None:
    """A process a shard, started again when a signal kills it; the first one that fails ends all."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as log:
        note = Path(scratch) / "work.json"
        note.write_bytes(msgspec.json.encode(work, enc_hook=str))

        def worker(place: int) -> Restarted:
            def begin():
                threads = max(1, (os.cpu_count() or 1) // workers)
                return start("mlx_cc.generate", str(note), str(place), str(workers), threads=threads, stderr=log)

            def on_restart(name: str, count: int) -> None:
                tell(f"worker {place} was killed ({name}); starting it again, {count} of {RESTARTS}")

            return Restarted(begin, RESTARTS, on_restart)

        children = {place: worker(place) for place in range(workers)}
        try:
            while children:
                time.sleep(PAUSE_S)
                update()
                for place, child in list(children.items()):
                    if (status := child.poll()) == 0:
                        del children[place]
                    elif status is not None:
                        end = how_it_ended(status, log)
                        if " Error: " in end:  # the child's own line about a user's fault
                            raise UserError(end.partition(" Error: ")[2])
                        raise UserError(
                            f"worker {place} ended with {end}. What was written is kept; run the same command again."
                        )
        finally:
            for child in children.values():
                child.terminate()
            for child in children.values():
                child.process.wait()


def order(note: Path) -> Work:
    """What a worker is to do, from the file that `_run_children` wrote."""
    return msgspec.json.decode(note.read_bytes(), type=Work, dec_hook=lambda kind, value: kind(value))
