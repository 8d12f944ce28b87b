"""The condensed form of a distance matrix: where a pair lies, and how to read it row by row.

The order is scipy's: the pairs (0, 1), (0, 2), …, (0, n−1), (1, 2), … of subset indices.
"""

from collections.abc import Iterator
from math import isqrt
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .errors import ConfigError

__all__ = [
    "BLOCK_PAIRS",
    "Condensed",
    "Float64Array",
    "Int64Array",
    "count_frames",
    "iter_rows",
    "pair_positions",
    "row_offsets",
]

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

BLOCK_PAIRS = 1 << 20
"""Pairs read at a time from a source that isn't in memory: 4 MiB of float32, a stored chunk."""


class Condensed(Protocol):
    """Condensed distances: a numpy array, or anything one-dimensional that is read by slicing."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n_pairs,)``."""

    def __getitem__(self, key: slice, /) -> Any:
        """The distances of consecutive pairs."""


def count_frames(condensed: Condensed) -> int:
    """Number of frames whose pairs are in a condensed vector; no pairs mean one frame.

    Parameters
    ----------
    condensed
        Distances, shape (n_pairs,). Only its shape is looked at.

    Raises
    ------
    ConfigError
        If it isn't one-dimensional, or no number of frames has that many pairs.
    """
    shape = tuple(condensed.shape)
    if len(shape) != 1:
        raise ConfigError(
            f"Condensed distances have one dimension, not shape {shape}: pass the upper triangle of the "
            "matrix, row by row (`scipy.spatial.distance.squareform`)."
        )
    n_pairs = int(shape[0])
    n_frames = (1 + isqrt(1 + 8 * n_pairs)) // 2
    if n_frames * (n_frames - 1) // 2 != n_pairs:
        raise ConfigError(
            f"{n_pairs} distances aren't a condensed matrix, since n frames have n (n - 1) / 2 pairs. Pass "
            "the distances of all pairs."
        )
    return n_frames


def row_offsets(n_frames: int) -> Int64Array:
    """Offsets such that the pair (i, j), i < j, lies at ``offsets[i] + j``; the first is −1."""
    index = np.arange(n_frames, dtype=np.int64)
    return n_frames * index - index * (index + 1) // 2 - index - 1


def pair_positions(first: npt.ArrayLike, second: npt.ArrayLike, *, n_frames: int) -> Int64Array:
    """Positions in the condensed vector of pairs of different frames, given in either order."""
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    return np.asarray(row_offsets(n_frames)[np.minimum(a, b)] + np.maximum(a, b), dtype=np.int64)


def iter_rows(
    condensed: Condensed, *, block_pairs: int = BLOCK_PAIRS
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Rows of the upper triangle, in one pass from the first pair to the last.

    Parameters
    ----------
    condensed
        Distances, shape (n_pairs,): a numpy array, or one on disk that is read in slices of `block_pairs`.
    block_pairs
        Pairs in a slice. The rows don't depend on it.

    Yields
    ------
    The subset index of the row, from 0 to n_frames − 2, and its distances to all frames with a higher index,
    shape (n_frames − 1 − index,). They may be overwritten when the next row is asked for.
    """
    n_frames = count_frames(condensed)
    if isinstance(condensed, np.ndarray):
        offsets = row_offsets(n_frames)
        for index in range(n_frames - 1):
            start = int(offsets[index]) + index + 1
            yield index, condensed[start : start + n_frames - 1 - index]
        return
    n_pairs = int(condensed.shape[0])
    index, filled = 0, 0
    partial = np.empty(n_frames - 1)
    for start in range(0, n_pairs, block_pairs):
        block = np.asarray(condensed[start : min(start + block_pairs, n_pairs)])
        used = 0
        while used < block.size:
            length = n_frames - 1 - index
            part = min(length - filled, block.size - used)
            if part == length:
                row = block[used : used + length]
            else:
                partial[filled : filled + part] = block[used : used + part]
                row = partial[:length]
            used += part
            filled += part
            if filled == length:
                yield index, row
                index, filled = index + 1, 0
