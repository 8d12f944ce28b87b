"""Single rows of an array, and distances of pairs, read chunk by chunk."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..partition import FrameRange, chunk_range, n_chunks
from .store import Store

__all__ = ["StoredRows", "read_distances", "take"]


def take(
    store: Store, path: str, rows: NDArray[np.int64], atoms: NDArray[np.int64] | None = None
) -> NDArray[Any]:
    """Read rows of an array in the order given, in memory for them and one chunk.

    `atoms` chooses among those of positions; None reads all.
    """
    chunk_of = rows // store.chunk_length(path)
    values: NDArray[Any] = np.empty(0)
    for chunk in np.unique(chunk_of):
        here = chunk_of == chunk
        inside = rows[here]
        first, last = int(inside.min()), int(inside.max())
        span = FrameRange(first, last + 1)
        found = store.read(path, span) if atoms is None else store.read_positions(span, atoms)
        if not len(values):
            values = np.empty((len(rows), *found.shape[1:]), found.dtype)
        values[here] = found[inside - first]
    return values


@dataclass(frozen=True, slots=True)
class StoredRows:
    """An array in the store, or some rows of it, read by slicing: it may be large."""

    store: Store
    path: str
    rows: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        whole = self.store.shape(self.path)
        return whole if self.rows is None else (len(self.rows), *whole[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> NDArray[Any]:
        if self.rows is not None:
            return take(self.store, self.path, self.rows[part])
        start, stop, _ = part.indices(len(self))
        return self.store.read(self.path, FrameRange(start, stop))


def read_distances(store: Store, path: str, dtype: type[np.floating[Any]] = np.float32) -> NDArray[Any]:
    """Read all distances, shape (n_pairs,), nm, chunk by chunk: never whole in two types at once."""
    total, length = store.shape(path)[0], store.chunk_length(path)
    values = np.empty(total, dtype)
    for chunk in range(n_chunks(total, length)):
        pairs = chunk_range(chunk, chunk=length, length=total)
        values[pairs.start : pairs.stop] = store.read(path, pairs)
    return values
