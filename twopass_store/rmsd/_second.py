"""The loop over tiles that asks for the nearest leader of another cluster."""

import math

import numpy as np
import numpy.typing as npt

from ..jit import kernel
from ._kernels import _compare
from ._packing import LANES
from ._quartic import keep_nearer
from ._tile import ROWS, new_scratch

__all__ = ["nearest_other_kernel"]

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
