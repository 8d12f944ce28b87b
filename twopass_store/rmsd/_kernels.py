"""Loops over tiles, each for one question: the nearest leader, all leaders, a range of pairs.

They run without the GIL, on the calling thread only, and allocate a few hundred kilobytes at most besides
`ROWS` rows: `memory` counts them.
"""

import math

import numpy as np
import numpy.typing as npt

from ..jit import kernel
from ._packing import LANES, unpack_kernel
from ._quartic import keep_nearer, square_roots
from ._tile import ROWS, Scratch, new_scratch, tile_kernel
from ._unfitted import unfitted_kernel

__all__ = ["condensed_kernel", "matrix_kernel", "nearest_kernel"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]


@kernel
def _compare(
    fit: bool,
    rows: Float64Array,
    row_traces: Float64Array,
    block: Float64Array,
    traces: Float64Array,
    n_atoms: int,
    same: int,
    scratch: Scratch,
) -> None:
    """Squared RMSDs of one tile, as `tile_kernel`, each pair superposed or as it is."""
    if fit:
        tile_kernel(rows, row_traces, block, traces, n_atoms, same, scratch)
    else:
        unfitted_kernel(rows, row_traces, block, traces, n_atoms, scratch.squared)


@kernel
def nearest_kernel(
    fit: bool,
    lanes: Float64Array,
    traces: Float64Array,
    rows: Float64Array,
    row_traces: Float64Array,
    n_atoms: int,
    index: Int32Array,
    rmsd: Float32Array,
) -> None:
    """Row nearest to each packed frame; the first of equals; -1 and NaN for a frame that isn't finite.

    Parameters
    ----------
    fit
        Whether each pair is superposed.
    lanes, traces
        From `pack_kernel`.
    rows, row_traces
        Leaders, shapes (n_rows, 3 * padded atoms) and (n_rows,), nm and nm².
    n_atoms
        Atoms, without the padding.
    index, rmsd
        To fill, shape (n_frames,); nm.
    """
    n_rows = rows.shape[0]
    scratch = new_scratch()
    best = np.empty(LANES)
    which = np.empty(LANES)
    for block in range(lanes.shape[0]):
        start = block * LANES
        best[:] = np.inf
        which[:] = -1
        for first in range(0, n_rows, ROWS):
            last = min(first + ROWS, n_rows)
            trace = traces[start : start + LANES]
            some, some_traces = rows[first:last], row_traces[first:last]
            _compare(fit, some, some_traces, lanes[block], trace, n_atoms, LANES, scratch)
            for row in range(first, last):
                keep_nearer(scratch.squared, row - first, row, best, which)
        for lane in range(min(LANES, index.shape[0] - start)):
            index[start + lane] = int(which[lane])
            rmsd[start + lane] = math.sqrt(best[lane]) if which[lane] >= 0 else np.nan


@kernel
def matrix_kernel(
    fit: bool,
    lanes: Float64Array,
    traces: Float64Array,
    rows: Float64Array,
    row_traces: Float64Array,
    n_atoms: int,
    rmsd: Float32Array,
) -> None:
    """RMSD of each packed frame to each row; as `nearest_kernel`, but `rmsd` is (n_frames, n_rows)."""
    n_rows = rows.shape[0]
    scratch = new_scratch()
    for block in range(lanes.shape[0]):
        start = block * LANES
        for first in range(0, n_rows, ROWS):
            last = min(first + ROWS, n_rows)
            trace = traces[start : start + LANES]
            some, some_traces = rows[first:last], row_traces[first:last]
            _compare(fit, some, some_traces, lanes[block], trace, n_atoms, LANES, scratch)
            for lane in range(min(LANES, rmsd.shape[0] - start)):
                for row in range(first, last):
                    rmsd[start + lane, row] = math.sqrt(scratch.squared[row - first, lane])


@kernel
def condensed_kernel(
    fit: bool,
    lanes: Float64Array,
    traces: Float64Array,
    n_frames: int,
    n_atoms: int,
    start: int,
    row: int,
    out: Float32Array,
) -> None:
    """RMSDs of a range of pairs i < j of packed frames, in scipy's condensed order.

    Parameters
    ----------
    fit
        Whether each pair is superposed.
    lanes, traces
        From `pack_kernel`; i is taken as the row and j as the lane, always.
    n_frames, n_atoms
        Frames and atoms, without the padding.
    start
        Index of the first pair in the condensed vector.
    row
        Its i.
    out
        To fill, shape (stop - start,), nm.
    """
    stop = start + out.shape[0]
    rows = np.empty((ROWS, lanes.shape[1] // LANES))
    scratch = new_scratch()
    roots = np.empty(LANES, np.float32)
    # Columns wanted of each row of the tile, and where column 0 would stand in the condensed vector.
    lower = np.empty(ROWS, np.int64)
    upper = np.empty(ROWS, np.int64)
    origin = np.empty(ROWS, np.int64)
    pair = row * (2 * n_frames - row - 1) // 2
    while pair < stop:
        n_rows = 0
        # So that all tiles but the first begin with a block.
        most = ROWS - row % ROWS
        while n_rows < most and pair < stop:
            i = row + n_rows
            origin[n_rows] = pair - (i + 1)
            lower[n_rows] = max(pair, start) - origin[n_rows]
            pair += n_frames - i - 1
            upper[n_rows] = min(pair, stop) - origin[n_rows]
            n_rows += 1
        unpack_kernel(lanes, row, rows[:n_rows])
        for block in range(np.min(lower[:n_rows]) // LANES, (np.max(upper[:n_rows]) - 1) // LANES + 1):
            first = block * LANES
            # Rows at either end may want nothing of this block.
            low, high = 0, n_rows
            while low < high and (lower[low] >= first + LANES or upper[low] <= first):
                low += 1
            while high > low and (lower[high - 1] >= first + LANES or upper[high - 1] <= first):
                high -= 1
            trace = traces[first : first + LANES]
            row_trace = traces[row + low : row + high]
            same = row + low - first
            _compare(fit, rows[low:high], row_trace, lanes[block], trace, n_atoms, same, scratch)
            for k in range(low, high):
                to = origin[k] + first - start
                if lower[k] <= first and upper[k] >= first + LANES:
                    square_roots(scratch.squared, k - low, out, to)
                    continue
                square_roots(scratch.squared, k - low, roots, 0)
                for lane in range(max(lower[k] - first, 0), min(upper[k] - first, LANES)):
                    out[to + lane] = roots[lane]
        row += n_rows
