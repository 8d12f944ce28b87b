"""Condensed distances to a linkage, in the memory of the distances and little more."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import fastcluster
import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from ..condensed import Float64Array, count_frames, row_offsets
from ..errors import ConfigError
from ._passes import copy_row

__all__ = ["link_in_place", "link_rows", "linkage_bytes", "require_finite"]

_LARGEST_DISTANCE = 1e150  # Some methods square distances, and larger squares overflow.
_TALL, _SHORT = 512, 128  # Rows of the square matrix built at a time in `link_rows`, once and per thread.


def link_in_place(distances: Float64Array, *, method: str) -> Float64Array:
    """Hierarchical clustering that destroys the distances that it is given.

    The result has the merges of ``scipy.cluster.hierarchy.linkage(distances, method)`` and its heights to
    1e-12; scipy needs a copy of the distances besides. Only where average, ward, centroid or median linkage
    of distances on a coarse grid leaves several pairs equally near may the order of those merges differ.

    Takes condensed distances, shape (n_pairs,), float64, contiguous, and one of `LINKAGE_METHODS`. Returns
    scipy's linkage, shape (n_frames − 1, 4): two cluster ids, height (in the unit of the distances only for
    `HEIGHT_IS_RMSD`), number of frames. Raises a `ConfigError` if the distances aren't a condensed matrix of
    finite numbers from 0.
    """
    n_frames = count_frames(distances)
    require_finite(distances)
    if n_frames == 1:
        return np.empty((0, 4))
    linkage: Float64Array = fastcluster.linkage(_NotCopied(distances), method, preserve_input=False)
    return linkage


class _NotCopied:
    """A buffer that numpy takes as it is: fastcluster copies an array even if it need not be preserved."""

    def __init__(self, distances: Float64Array) -> None:
        self._distances = distances

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Float64Array:
        return self._distances


def link_rows(condensed: npt.NDArray[Any], *, method: str, n_threads: int = 1) -> Float64Array:
    """Hierarchical clustering of the rows of the square distance matrix, taken as observations.

    This is what scipy does when it is given a square matrix: two frames are close if their distances to
    all frames are alike. The heights are Euclidean distances between rows, not RMSDs. It takes O(N³) time:
    some four minutes for 10,000 frames on one thread. The result doesn't depend on the number of threads.

    Takes condensed distances, float32 or float64, and leaves them as they are. The linkage equals that of
    ``scipy.cluster.hierarchy.linkage(square, method)`` of the float64 square matrix with a diagonal of 0, as
    far as that of `link_in_place` does, which also says what is raised.
    """
    n_frames = count_frames(condensed)
    require_finite(condensed)
    offsets = row_offsets(n_frames)
    between = np.empty(condensed.shape[0])

    def square_rows(start: int, out: Float64Array) -> Float64Array:
        rows = out[: n_frames - start]
        for index, row in enumerate(rows, start):
            copy_row(condensed, index, row)
        return rows

    def fill(tall: Float64Array, tall_start: int, short_start: int) -> None:
        short = square_rows(short_start, np.empty((min(_SHORT, n_frames), n_frames)))
        short_stop = short_start + short.shape[0]
        # cdist and pdist give the same bits for a pair, so the blocks make up pdist of the whole.
        block = cdist(tall, short)
        for row, index in zip(block, range(tall_start, short_stop), strict=False):
            first = max(short_start, index + 1)
            offset = int(offsets[index])
            between[offset + first : offset + short_stop] = row[first - short_start :]

    # The square matrix never exists as a whole: rows are rebuilt from the condensed form where needed.
    tall_buffer = np.empty((min(_TALL, n_frames), n_frames))
    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        for start in range(0, n_frames, _TALL):
            tall = square_rows(start, tall_buffer)
            for _ in pool.map(partial(fill, tall, start), range(start, n_frames, _SHORT)):
                pass
    del tall, tall_buffer
    return link_in_place(between, method=method)


def linkage_bytes(n_frames: int, *, rows: bool, n_threads: int = 1) -> int:
    """Upper bound of the memory of `link_in_place`, or of `link_rows` on float32; their input included."""
    n_pairs = n_frames * (n_frames - 1) // 2
    # Per frame: the linkage twice and fastcluster's lists. The last term is what the allocator and code on
    # first use take.
    needed = 8 * n_pairs + 800 * n_frames + (8 << 20)
    if rows:
        # The allocator may keep a block that was freed beside the one in use, hence twice per thread.
        per_thread = 2 * 8 * _SHORT * (n_frames + _TALL) + (1 << 20)
        needed += 4 * n_pairs + 8 * _TALL * n_frames + n_threads * per_thread
    return needed


def require_finite(distances: npt.NDArray[Any]) -> None:
    """Refuse distances that no clustering can make sense of, without a temporary array of the same length."""
    if distances.size == 0:
        return
    lowest, highest = float(distances.min()), float(distances.max())
    # NaN makes both NaN, and every comparison with it false.
    if not (lowest >= 0.0 and highest < _LARGEST_DISTANCE):
        raise ConfigError(
            f"Distances must be finite and not negative, these run from {lowest} to {highest}. A frame with "
            "coordinates that aren't finite, or distances that were never computed, give such values: "
            "compute the distances again, leaving such frames out."
        )
