"""Loops over tiles that ask for the nearest leader of another cluster."""

import math

import numpy as np
import numpy.typing as npt

from ..jit import kernel
from ._kernels import _compare
from ._packing import LANES, unpack_kernel
from ._quartic import QUARTIC, keep_nearer
from ._screen import SCREEN_ROWS, SLACK_NM, U, _bounds_of_tile
from ._tile import ROWS, new_scratch, tile_kernel

__all__ = ["nearest_other_kernel", "screened_other_kernel"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]


@kernel
def nearest_other_kernel(
    fit: bool,
    lanes: Float64Array,
    traces: Float64Array,
    rows: Float64Array,
    row_traces: Float64Array,
    n_atoms: int,
    row_labels: Int32Array,
    labels: Int32Array,
    index: Int32Array,
    rmsd: Float32Array,
) -> None:
    """Nearest to each packed frame among the rows of other labels, as `nearest_kernel`.

    Parameters
    ----------
    fit, lanes, traces, rows, row_traces, n_atoms
        As for `nearest_kernel`.
    row_labels
        Label of each row, shape (n_rows,).
    labels
        Label of each frame, shape (n_frames,), from 0; below that for a frame that isn't asked about.
    index, rmsd
        To fill, shape (n_frames,); nm; -1 and NaN where there is no row of another label, too.
    """
    n_rows, n_frames = rows.shape[0], index.shape[0]
    scratch = new_scratch()
    best = np.empty(LANES)
    which = np.empty(LANES)
    of_lane = np.empty(LANES, np.int32)
    for block in range(lanes.shape[0]):
        start = block * LANES
        of_lane[:] = -1
        of_lane[: min(LANES, n_frames - start)] = labels[start : min(start + LANES, n_frames)]
        best[:] = np.inf
        which[:] = -1
        for first in range(0, n_rows if of_lane.max() >= 0 else 0, ROWS):
            last = min(first + ROWS, n_rows)
            trace = traces[start : start + LANES]
            some, some_traces = rows[first:last], row_traces[first:last]
            _compare(fit, some, some_traces, lanes[block], trace, n_atoms, LANES, scratch)
            for row in range(first, last):
                for lane in range(LANES):
                    if of_lane[lane] == row_labels[row]:
                        scratch.squared[row - first, lane] = np.inf
                keep_nearer(scratch.squared, row - first, row, best, which)
        for lane in range(min(LANES, n_frames - start)):
            is_found = which[lane] >= 0 and of_lane[lane] >= 0
            index[start + lane] = int(which[lane]) if is_found else -1
            rmsd[start + lane] = math.sqrt(best[lane]) if is_found else np.nan


@kernel
def screened_other_kernel(
    lanes: Float64Array,
    traces: Float64Array,
    rows: Float64Array,
    row_traces: Float64Array,
    columns: Float32Array,
    column_traces: Float32Array,
    n_atoms: int,
    row_labels: Int32Array,
    labels: Int32Array,
    index: Int32Array,
    rmsd: Float32Array,
    singles: Float32Array,
    bounds: Float32Array,
) -> None:
    """Nearest to each packed frame among the rows of other labels, with few pairs in float64.

    Parameters
    ----------
    lanes, traces, rows, row_traces, n_atoms, row_labels, labels, index, rmsd
        As for `nearest_other_kernel`.
    columns, column_traces, singles, bounds
        As for `screened_kernel`.
    """
    n_frames, n_leaders = index.shape[0], rows.shape[0]
    single_sums = np.empty((SCREEN_ROWS, 9 * LANES), np.float32)
    quartics = np.empty((SCREEN_ROWS, QUARTIC), np.float32)
    scratch = new_scratch()
    best = np.empty(LANES)
    which = np.empty(LANES, np.int64)
    seen = np.zeros(n_leaders, np.int32)
    for tile in range(0, n_frames, SCREEN_ROWS):
        n_rows = min(SCREEN_ROWS, n_frames - tile)
        for block in range(tile // LANES, (tile + n_rows - 1) // LANES + 1):
            at = block * LANES - tile
            unpack_kernel(lanes, block * LANES, singles[at : min(at + LANES, n_rows)])
        _bounds_of_tile(
            singles[:n_rows],
            traces[tile : tile + n_rows],
            columns,
            column_traces,
            n_atoms,
            single_sums,
            quartics,
            bounds,
        )
        for row in range(n_rows):
            own = labels[tile + row]
            for leader in range(n_leaders):
                if row_labels[leader] == own:
                    bounds[row, leader] = np.inf
        for block in range(tile // LANES, (tile + n_rows - 1) // LANES + 1):
            start = block * LANES
            n_lanes = min(LANES, n_frames - start)
            trace = traces[start : start + LANES]
            best[:] = np.inf
            which[:] = -1
            for step in range(2):
                for lane in range(n_lanes):
                    if math.isnan(trace[lane]) or labels[start + lane] < 0:
                        continue
                    of_lane = bounds[start - tile + lane, :n_leaders]
                    least = of_lane.min()
                    if least == np.inf:
                        continue
                    if step == 1:
                        # Whatever the bound doesn't rule out is compared, ties too.
                        reach = math.sqrt(best[lane]) + SLACK_NM
                        least = np.float32(reach * reach * (1.0 + 4.0 * U))
                    for leader in range(n_leaders):
                        if of_lane[leader] > least:
                            continue
                        if seen[leader] != block + 1:
                            seen[leader] = block + 1
                            one = slice(leader, leader + 1)
                            tile_kernel(
                                rows[one], row_traces[one], lanes[block], trace, n_atoms, LANES, scratch
                            )
                            for other in range(n_lanes):
                                value = scratch.squared[0, other]
                                is_nearer = value < best[other]
                                is_equal = value == best[other] and leader < which[other]
                                if (is_nearer or is_equal) and labels[start + other] != row_labels[leader]:
                                    best[other] = value
                                    which[other] = leader
                        if step == 0:
                            break
            for lane in range(n_lanes):
                is_found = which[lane] >= 0 and labels[start + lane] >= 0
                index[start + lane] = which[lane] if is_found else -1
                rmsd[start + lane] = math.sqrt(best[lane]) if is_found else np.nan
