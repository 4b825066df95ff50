"""Generating chains for a file of conversations: what is left to do, in one process or several, then the output.

journal   what was written so far, by any process, now or in an earlier run
shards    conversations by a hash of their id, one shard a process
join      the chains that hold up, put into the records; the others to the rejects
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import locked, read_conversations, read_json, write_json
from mlx_cc.generate import journal
from mlx_cc.generate.journal import About, Entry, Part
from mlx_cc.generate.settings import GenerateSettings
from mlx_cc.reasoning import labels
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
        return journal.folder_of(self.output)


def wanted(work: Work) -> Iterator[tuple[Conversation, str]]:
    """The conversations of a file that have an answer to explain, each with the hash of what is asked about it."""
    from mlx_cc.generate.teacher import Asker

    ask, count = Asker(work.settings), 0
    for conversation in read_conversations(work.source):
        if labels(conversation):
            yield conversation, ask(conversation)
            count += 1
            if count == work.limit:
                return


def latest(folder: Path) -> dict[tuple[str, str], Entry]:
    """(Conversation id, hash of what was asked) -> the last attempt in the journal."""
    found: dict[tuple[str, str], Entry] = {}
    for entry in journal.entries(folder):
        before = found.get((entry.conversation_id, entry.prompt))
        if before is None or entry.attempt >= before.attempt:
            found[entry.conversation_id, entry.prompt] = entry
    return found


def is_final(entry: Entry | None, settings: GenerateSettings) -> bool:
    """Whether nothing more is written for a conversation: its chain holds up, or the attempts are used up."""
    return entry is not None and (not entry.faults or entry.attempt >= settings.retries)


def run(work: Work, workers: int, tell: Callable[[str], None], shown: "Progress", shard: Shard = Shard()) -> None:
    """Write what the journal lacks, in this process or in `workers` children. The caller holds the journal.

    Args:
        tell: hears of a worker that is started again.
        shard: what this process writes, where others write the rest.

    Raises:
        UserError: there is nothing to explain, the model can't be had, the disk is full.
    """
    total = sum(1 for _ in wanted(work))
    if not total:
        raise UserError(f"{work.source}: no conversation has a label to explain. Run `mlx_cc prepare` with analyses.")
    settings = work.settings
    write_json(
        work.folder / journal.RUN,
        About(str(work.source), str(work.output), settings.model, total, settings.retries + 1, workers, time.time()),
    )
    shown.begin(total, work.folder)
    if workers == 1:
        write_shard(work, shard, shown.update)
    else:
        _run_children(work, workers, tell, shown.update)
    shown.update()


def write_shard(work: Work, shard: Shard, noted: Callable[[], None] = lambda: None) -> None:
    """Write the chains of a shard that the journal lacks, attempt after attempt.

    Args:
        noted: called after every chain.
    """
    from mlx_cc.analyst import Analyst
    from mlx_cc.generate.teacher import Due, Teacher
    from mlx_cc.model import load, machine

    def refuse() -> None:
        raise UserError(f"{work.folder / shard.file}: another process is writing it. Wait for it, or stop it.")

    known = latest(work.folder)
    teacher = None

    def due(attempt: int) -> Iterator[Due]:
        for conversation, prompt in wanted(work):
            last = known.get((conversation.id, prompt))
            its_turn = (last.attempt + 1 if last else 0) == attempt
            if its_turn and shard.holds(conversation) and not is_final(last, work.settings):
                yield Due(conversation, prompt, last)

    with locked(work.folder / shard.file, refuse):
        part = Part(work.folder / shard.file)
        try:
            for attempt in range(work.settings.retries + 1):
                if next(due(attempt), None) is None:
                    continue
                if teacher is None:
                    analyst = Analyst(load.load(work.settings.model)._replace(centre=work.centre))
                    teacher = Teacher(analyst, work.settings)
                machine.suit_threads()
                with machine.wired_limit():
                    for entry in teacher.write(due(attempt)):
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

        def start(place: int) -> subprocess.Popen[bytes]:
            threads = os.environ.get("OPENBLAS_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // workers))
            return subprocess.Popen(
                [sys.executable, "-m", "mlx_cc.generate", str(note), str(place), str(workers)],
                stdin=subprocess.PIPE,  # it ends when this process does
                stderr=log,
                env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            )

        children = {place: start(place) for place in range(workers)}
        restarts = dict.fromkeys(children, 0)
        try:
            while children:
                time.sleep(PAUSE_S)
                update()
                for place, child in list(children.items()):
                    status = child.poll()
                    if status is None:
                        continue
                    if status == 0:
                        del children[place]
                    elif status < 0 and restarts[place] < RESTARTS:
                        restarts[place] += 1
                        name = signal.Signals(-status).name
                        tell(f"worker {place} was killed ({name}); starting it again, {restarts[place]} of {RESTARTS}")
                        children[place] = start(place)
                    else:
                        raise UserError(_last_words(place, status, log))
        finally:
            for child in children.values():
                child.terminate()
            for child in children.values():
                child.wait()


def _last_words(place: int, status: int, log: object) -> str:
    log.seek(0)  # type: ignore[attr-defined]
    said = log.read().decode(errors="replace").strip().rpartition("\n")[2]  # type: ignore[attr-defined]
    if said.startswith("Error: "):
        return said.removeprefix("Error: ")
    end = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"worker {place} ended with {end}: {said}. What was written is kept; run the same command again."


def order(note: Path) -> Work:
    """What a worker is to do, from the file that `_run_children` wrote."""
    return msgspec.json.decode(note.read_bytes(), type=Work, dec_hook=lambda kind, value: kind(value))


# How far it is


class State(NamedTuple):
    """How far a run is."""

    about: About
    running: bool
    done: int
    """Conversations that nothing more is written for."""
    kept: int
    rejected: int
    written: int
    """Chains, all attempts counted."""
    tokens_per_s: float | None
    """Of the last minutes; None before there are two chains."""
    seconds_left: float | None


RECENT_S = 300.0
"""So far back the speed is measured."""


class Progress:
    """Counts what all processes write, by reading on in their parts; `show` is told of every change."""

    def __init__(self, settings: GenerateSettings, show: Callable[[State], None] = lambda state: None) -> None:
        self._settings, self._show = settings, show
        self._places: dict[Path, int] = {}
        self._final: dict[str, bool] = {}
        self._recent: list[tuple[float, int]] = []
        self._written = 0
        self._began = time.time()
        self._decode = msgspec.json.Decoder(Entry).decode

    def begin(self, total: int, folder: Path) -> None:
        """Start counting."""
        self._folder = folder
        self._about = read_json(folder / journal.RUN, About)
        self.update()

    def update(self) -> None:
        """Read what came since the last time."""
        for part in sorted(self._folder.glob("part-*.jsonl")):
            with part.open("rb") as file:
                file.seek(self._places.get(part, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._places[part] = self._places.get(part, 0) + len(line)
                    self._count(self._decode(line))
        self._show(self.state())

    def _count(self, entry: Entry) -> None:
        self._written += 1
        if entry.at >= self._began - RECENT_S:
            self._recent.append((entry.at, entry.tokens))
        if is_final(entry, self._settings):
            self._final[entry.conversation_id] = not entry.faults

    def state(self, running: bool = True) -> State:
        """As far as it was read."""
        recent = [(at, tokens) for at, tokens in self._recent if at >= self._recent[-1][0] - RECENT_S]
        speed = left = None
        done, kept = len(self._final), sum(self._final.values())
        if len(recent) > 1 and recent[-1][0] > recent[0][0]:
            seconds = recent[-1][0] - recent[0][0]
            speed = sum(tokens for _, tokens in recent[1:]) / seconds
            each = self._written / done if done else self._settings.retries + 1
            left = max(0, self._about.conversations - done) * each * seconds / (len(recent) - 1)
        return State(self._about, running, done, kept, done - kept, self._written, speed, left)


def status(output: Path) -> State:
    """How far the run into an output is, read from its journal.

    Raises:
        UserError: there is none.
    """
    folder = journal.folder_of(output)
    if not (folder / journal.RUN).exists():
        raise UserError(f"{folder}: no run is noted there. Start one with `mlx_cc generate --output {output}`.")
    about = read_json(folder / journal.RUN, About)
    progress = Progress(GenerateSettings(retries=about.attempts - 1))
    progress.begin(about.conversations, folder)
    return progress.state(running=journal.is_held(output))
