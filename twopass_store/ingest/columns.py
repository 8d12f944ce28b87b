"""The small per-frame arrays, which the driver of an ingest writes itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..journal import Record, StageJournal
from ..partition import FRAME_CHUNK, chunk_range
from ..schema import INGESTED
from ..store import Store

__all__ = ["FrameColumns"]


class FrameColumns:
    """The small per-frame arrays, gathered into whole chunks of theirs.

    Their chunks hold many chunks of positions, and no two writers may share a chunk: so the driver alone
    writes them, again at each commit while they fill.
    """

    def __init__(self, store: Store, journal: StageJournal, n_frames: int) -> None:
        self._store = store
        self._journal = journal
        self._n_frames = n_frames
        self._specs = [spec for spec in INGESTED if spec.dims[0] == "frame" and spec.name != "position"]
        self._specs = [spec for spec in self._specs if store.has(spec.name)]
        self._buffers: dict[int, dict[str, NDArray[Any]]] = {}

    def put(self, start: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take the values of consecutive frames from `start`, all within one chunk."""
        chunk, offset = divmod(start, FRAME_CHUNK)
        buffers = self._buffers.get(chunk) or self._loaded(chunk)
        for name, values in columns.items():
            buffers[name][offset : offset + len(values)] = values

    def flush(self) -> list[Record]:
        """Write what has changed since the last time; returns the ledger's entries."""
        records = [
            self._store.write_chunk(name, chunk, values)
            for chunk, buffers in self._buffers.items()
            for name, values in buffers.items()
        ]
        # They come nearly in order: a chunk that gets another value later is read back.
        self._buffers.clear()
        return records

    def _loaded(self, chunk: int) -> dict[str, NDArray[Any]]:
        frames = chunk_range(chunk, chunk=FRAME_CHUNK, length=self._n_frames)
        buffers = {}
        for spec in self._specs:
            if self._journal.done(spec.name)[chunk]:
                buffers[spec.name] = self._store.read(spec.name, frames).copy()
            else:
                shape = (len(frames), *self._store.shape(spec.name)[1:])
                buffers[spec.name] = np.full(shape, spec.fill_value, spec.dtype)
        self._buffers[chunk] = buffers
        return buffers
