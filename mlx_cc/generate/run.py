"""A run: one or several processes write chains for a file of conversations, then they are joined into the output."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mlx_cc.centre import Centre, read_centre
from mlx_cc.children import Restarted, how_it_ended, start
from mlx_cc.errors import UserError
from mlx_cc.files import write_json
from mlx_cc.folders import DataFolder
from mlx_cc.generate.join import join
from mlx_cc.generate.journal import RUN, About, held
from mlx_cc.generate.progress import Progress, State
from mlx_cc.generate.ranks import Ranks, is_launched
from mlx_cc.generate.settings import GenerateSettings
from mlx_cc.generate.work import Shard, Work, wanted, write_shard

RESTARTS = 3
"""How often a process that a signal killed is started again."""
PAUSE_S = 0.5


def generate(
    source: Path | str,
    output: Path | str,
    settings: GenerateSettings = GenerateSettings(),
    centre: Centre | None = None,
    limit: int | None = None,
    workers: int = 1,
    show: Callable[[State], None] = lambda state: None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any] | None:
    """Have a teacher write chains for the labels of a file, check them, and put them into the output.

    Args:
        source: conversations or ChatML rows with labels to explain.
        output: file to write; a later call continues from the journal beside it.
        centre: None takes centre.yaml beside the source, where there is one.
        limit: at most this many conversations, the first of the file.
        workers: processes on this machine.
        show: called with the progress, after every chain or twice a second.
        tell: called with a line when a worker is started again.

    Returns:
        The content of OUTPUT_report.json; None where MLX's launcher started several ranks and this is not the first.

    Raises:
        UserError: no conversation has a label, the model can't be loaded, another process writes the output, or the
            disk is full.
    """
    source, output = Path(source), Path(output)
    if source.resolve() == output.resolve():
        raise UserError(f"--output {output} is the input. Name another file.")
    if centre is None:
        beside = DataFolder(source.parent).centre
        centre = read_centre(beside if beside.exists() else None)
    work = Work(source, output, settings, centre, limit)
    ranks = Ranks() if is_launched() else None
    if ranks and ranks.shard.place:
        work.folder.mkdir(parents=True, exist_ok=True)
        write_shard(work, ranks.shard)
        ranks.gather(work)
        return None
    with held(output):
        write_all(work, workers, tell, show, ranks.shard if ranks else Shard())
        if ranks:
            ranks.gather(work)
        return join(work)


def write_all(
    work: Work,
    workers: int,
    tell: Callable[[str], None],
    show: Callable[[State], None] = lambda state: None,
    shard: Shard = Shard(),
) -> None:
    """Write what the journal lacks, in this process or in `workers` children. The caller holds the journal.

    Args:
        tell: called with a line when a worker is started again.
        show: called with the progress, after every chain or twice a second.
        shard: the share of this process.

    Raises:
        UserError: no conversation has a label, the model can't be loaded, or the disk is full.
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


def _run_children(work: Work, workers: int, tell: Callable[[str], None], update: Callable[[], None]) -> None:
    """Run a process for each shard. One that a signal kills is started again; any other failure ends all."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as log:
        path = Path(scratch) / "work.json"
        path.write_bytes(msgspec.json.encode(work, enc_hook=str))

        def worker(number: int) -> Restarted:
            def begin():
                threads = max(1, (os.cpu_count() or 1) // workers)
                return start("mlx_cc.generate", str(path), str(number), str(workers), threads=threads, stderr=log)

            def on_restart(name: str, count: int) -> None:
                tell(f"worker {number} was killed ({name}); starting it again, {count} of {RESTARTS}")

            return Restarted(begin, RESTARTS, on_restart)

        children = {number: worker(number) for number in range(workers)}
        try:
            while children:
                time.sleep(PAUSE_S)
                update()
                for number, child in list(children.items()):
                    if (status := child.poll()) == 0:
                        del children[number]
                    elif status is not None:
                        end = how_it_ended(status, log)
                        if " Error: " in end:  # the child's own line about a user's fault
                            raise UserError(end.partition(" Error: ")[2])
                        raise UserError(
                            f"worker {number} ended with {end}. What was written is kept; run the same command again."
                        )
        finally:
            for child in children.values():
                child.terminate()
            for child in children.values():
                child.process.wait()


def read_work(path: Path) -> Work:
    """The work of a worker, from the file that `_run_children` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Work, dec_hook=lambda type_, value: type_(value))
