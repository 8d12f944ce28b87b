"""The small per-frame arrays, which the driver of an ingest writes itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..journal import Record
from ..partition import chunk_range
from ..schema import INGESTED
from ..store import Store

__all__ = ["BYTES", "COLUMNS_PER_WORKER", "FrameColumns"]

# Times, unit cells and provenance.
COLUMNS = [spec for spec in INGESTED if spec.dims[0] == "frame" and spec.name != "position"]
# What a frame has of each.
BYTES = {spec.name: np.dtype(spec.dtype).itemsize * 3 ** (len(spec.dims) - 1) for spec in COLUMNS}
COLUMNS_PER_WORKER = 2  # files of each that are kept while they fill: workers are at different places


class FrameColumns:
    """The small per-frame arrays, gathered into whole files of theirs; `at_once` of these are in memory.

    Their files hold many chunks of positions, and no two writers may share a file: so the driver alone
    writes them, again at each commit while they fill.
    """

    def __init__(self, store: Store, n_frames: int, *, at_once: int) -> None:
        self._store = store
        self._n_frames = n_frames
        self._length = store.frames_per_file
        self._at_once = at_once
        self._specs = [spec for spec in COLUMNS if store.has(spec.name)]
        self._buffers: dict[int, dict[str, NDArray[Any]]] = {}
        self._changed: set[int] = set()  # those that aren't written as they are
        self._records: list[Record] = []

    def put(self, start: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take the values of consecutive frames from `start`."""
        n_frames = len(next(iter(columns.values())))
        taken = 0
        while taken < n_frames:  # a shard of positions may reach over several files
            chunk, offset = divmod(start + taken, self._length)
            n_here = min(n_frames - taken, self._length - offset)
            # The one that was longest without a new value comes first.
            self._buffers[chunk] = buffers = self._buffers.pop(chunk, None) or self._loaded(chunk)
            self._changed.add(chunk)
            if len(self._buffers) > self._at_once:
                oldest = next(iter(self._buffers))
                self._write(oldest)
                del self._buffers[oldest]
            for name, values in columns.items():
                buffers[name][offset : offset + n_here] = values[taken : taken + n_here]
            taken += n_here

    def flush(self) -> list[Record]:
        """Write what has changed since the last time; returns the ledger's entries."""
        for chunk in sorted(self._changed):
            self._write(chunk)
        records, self._records = self._records, []
        return records

    def _write(self, chunk: int) -> None:
        if chunk in self._changed:
            for name, values in self._buffers[chunk].items():
                self._records.append(self._store.write_chunk(name, chunk, values))
            self._changed.remove(chunk)

    def _loaded(self, chunk: int) -> dict[str, NDArray[Any]]:
        frames = chunk_range(chunk, chunk=self._length, length=self._n_frames)
        buffers = {}
        for spec in self._specs:
            # One that no ledger speaks of yet is whole all the same.
            if self._store.has_chunk(spec.name, chunk):
                buffers[spec.name] = self._store.read(spec.name, frames).copy()
            else:
                shape = (len(frames), *self._store.shape(spec.name)[1:])
                buffers[spec.name] = np.full(shape, spec.fill_value, spec.dtype)
        return buffers
