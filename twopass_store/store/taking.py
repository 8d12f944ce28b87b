"""Single rows of an array, read chunk by chunk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..partition import FrameRange
from .store import Store

__all__ = ["take"]


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
