"""The small per-frame arrays, which the driver of an ingest writes itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..journal import Record
from ..partition import FRAME_CHUNK, chunk_range
from ..schema import INGESTED
from ..store import Store

__all__ = ["BYTES", "COLUMNS_PER_WORKER", "FRAME_COLUMN_BYTES", "FrameColumns"]

# Times, unit cells and provenance.
COLUMNS = [spec for spec in INGESTED if spec.dims[0] == "frame" and spec.name != "position"]
# What a frame has of each.
BYTES = {spec.name: np.dtype(spec.dtype).itemsize * 3 ** (len(spec.dims) - 1) for spec in COLUMNS}
FRAME_COLUMN_BYTES = FRAME_CHUNK * sum(BYTES.values())  # all of one per-frame chunk
COLUMNS_PER_WORKER = 2  # per-frame chunks that are kept while they fill: workers are at different places


class FrameColumns:
    """The small per-frame arrays, gathered into whole chunks of theirs; `at_once` of these are in memory.

    Their chunks hold many chunks of positions, and no two writers may share a chunk: so the driver alone
    writes them, again at each commit while they fill.
    """

    def __init__(self, store: Store, n_frames: int, *, at_once: int) -> None:
        self._store = store
        self._n_frames = n_frames
        self._at_once = at_once
        self._specs = [spec for spec in COLUMNS if store.has(spec.name)]
        self._buffers: dict[int, dict[str, NDArray[Any]]] = {}
        self._records: list[Record] = []

    def put(self, start: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take the values of consecutive frames from `start`."""
        n_frames = len(next(iter(columns.values())))
        taken = 0
        while taken < n_frames:  # a shard of positions may reach over several chunks
            chunk, offset = divmod(start + taken, FRAME_CHUNK)
            n_here = min(n_frames - taken, FRAME_CHUNK - offset)
            # The one that was longest without a new value comes first.
            self._buffers[chunk] = buffers = self._buffers.pop(chunk, None) or self._loaded(chunk)
            if len(self._buffers) > self._at_once:
                self._write(next(iter(self._buffers)))
            for name, values in columns.items():
                buffers[name][offset : offset + n_here] = values[taken : taken + n_here]
            taken += n_here

    def flush(self) -> list[Record]:
        """Write what has changed since the last time; returns the ledger's entries."""
        for chunk in list(self._buffers):
            self._write(chunk)
        records, self._records = self._records, []
        return records

    def _write(self, chunk: int) -> None:
        # Chunks come nearly in order: one that gets another value later is read back.
        for name, values in self._buffers.pop(chunk).items():
            self._records.append(self._store.write_chunk(name, chunk, values))

    def _loaded(self, chunk: int) -> dict[str, NDArray[Any]]:
        frames = chunk_range(chunk, chunk=FRAME_CHUNK, length=self._n_frames)
        buffers = {}
        for spec in self._specs:
            # One that no ledger speaks of yet is whole all the same.
            if self._store.has_chunk(spec.name, chunk):
                buffers[spec.name] = self._store.read(spec.name, frames).copy()
            else:
                shape = (len(frames), *self._store.shape(spec.name)[1:])
                buffers[spec.name] = np.full(shape, spec.fill_value, spec.dtype)
        return buffers
