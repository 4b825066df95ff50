"""One run on several machines, started by MLX's launcher: each rank writes its share, rank 0 joins them.

    mlx.launch --hostfile hosts.json python -m mlx_cc generate --input ... --output ...

Every machine has the input and writes its part of the journal on its own disk or a shared one. At the end rank 0
receives the parts. A killed rank ends the launch; the same command continues it.
"""

import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from mlx_cc.errors import UserError
from mlx_cc.files import written_whole
from mlx_cc.generate.work import Shard, Work

CHUNK = 4 << 20
"""Bytes sent at once."""


def is_launched() -> bool:
    """Whether MLX's launcher started this process."""
    return "MLX_RANK" in os.environ


class Ranks:
    """The processes of a launch."""

    def __init__(self) -> None:
        import mlx.core as mx

        from mlx_cc.model import machine

        machine.prepare()
        self._group: Any = mx.distributed.init()

    @property
    def shard(self) -> Shard:
        """This process's share."""
        return Shard(self._group.rank(), self._group.size())

    def gather(self, work: Work) -> None:
        """Bring all parts into rank 0's journal. Every rank calls it when its share is written.

        Raises:
            UserError: a part did not arrive whole, or the disk is full.
        """
        own = (work.folder / self.shard.file).read_bytes()
        sizes = self._exchange(np.array([len(own)], np.int64).view(np.uint8)).view(np.int64).ravel()
        digests = self._exchange(np.frombuffer(blake2b(own, digest_size=16).digest(), np.uint8))
        parts = [bytearray() for _ in sizes]
        for start in range(0, int(sizes.max()), CHUNK):
            padded = np.zeros(min(CHUNK, int(sizes.max()) - start), np.uint8)
            piece = np.frombuffer(own[start : start + CHUNK], np.uint8)
            padded[: len(piece)] = piece
            for part, size, sent in zip(parts, sizes, self._exchange(padded), strict=True):
                part += sent.tobytes()[: max(0, int(size) - start)]
        if self.shard.place:
            return
        for rank, (part, digest) in enumerate(zip(parts, digests, strict=True)):
            if blake2b(part, digest_size=16).digest() != digest.tobytes():
                raise UserError(f"rank {rank}: its part did not arrive whole. Run the same command again.")
            path = work.folder / self.shard._replace(place=rank).file
            if rank and not _holds(path, part):
                with written_whole(path) as file:
                    file.write(part)

    def _exchange(self, own: np.ndarray) -> np.ndarray:
        """Every rank's bytes, uint8 (ranks, n), of equal length."""
        import mlx.core as mx

        gathered = mx.distributed.all_gather(mx.array(own)[None], group=self._group, stream=mx.cpu)
        return np.ascontiguousarray(np.array(gathered))


def _holds(path: Path, content: bytes | bytearray) -> bool:
    """Whether a file has this content already, as on a disk that the ranks share."""
    return path.exists() and path.read_bytes() == content
