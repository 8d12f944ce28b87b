"""One unit of a first pass: chunks of the distances of all pairs of the subset."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ..journal import Writer
from ..metric import ClusterMetric
from ..partition import FrameRange
from ..rmsd import PairwiseRmsd
from ..store import Store, take
from ..units import Receipt, Unit

__all__ = ["PairUnit", "forget_frames"]


@dataclass(frozen=True, kw_only=True)
class PairUnit(Unit):
    """The work on chunks of pairs."""

    group: str  # of the subset
    fingerprint: str  # of the plan of the distances
    metric: ClusterMetric

    def __call__(self, chunks: FrameRange) -> Receipt:
        """Compute chunks of distances and write them."""
        with _reading:  # threads would all read the frames at once
            store, kernel = self._inputs()
        path = f"{self.group}/rmsd"
        length = store.chunk_length(path)
        start = chunks.start * length
        values = kernel.pairs(start, min(chunks.stop * length, kernel.n_pairs))
        records = [
            store.write_chunk(path, chunk, values[chunk * length - start :][:length])
            for chunk in range(chunks.start, chunks.stop)
        ]
        return Receipt(chunks, tuple(records), len(values))

    def _inputs(self) -> tuple[Store, PairwiseRmsd]:
        """Read the frames of the subset, once for all units of a process."""
        key = self.path, self.staging, self.fingerprint
        if key not in _read:
            _read.clear()
            store = Store.open(self.path, writer=Writer(self.staging))
            frames = store.read(f"{self.group}/subset_frame")
            positions = take(store, "position", frames, self.metric.read_atoms)
            _read[key] = store, PairwiseRmsd(positions, self.metric.for_kernels())
        return _read[key]

    def to_json(self) -> dict[str, Any]:
        """Return what it is made from as JSON values."""
        return super().to_json() | {"metric": self.metric.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, path: Path, staging: Path) -> Self:
        """Make it from what `to_json` gave."""
        metric = ClusterMetric.from_json(values["metric"])
        return super().from_json({**values, "metric": metric}, path=path, staging=staging)


_reading = threading.Lock()
_read: dict[tuple[Path, Path, str], tuple[Store, PairwiseRmsd]] = {}


def forget_frames() -> None:
    """Let go of the frames that units of this process have read."""
    _read.clear()
