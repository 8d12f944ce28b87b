"""Distances of many frames to a fixed set of leaders."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError, NonFiniteError
from ._kernels import matrix_kernel, nearest_kernel
from ._packing import LANES, Float64Array, aligned, as_positions, n_blocks, padded_atoms, slabs, unpack_kernel
from ._screen import SCREEN_FROM, SCREEN_ROWS, columns_kernel, screened_kernel
from .metric import Metric

__all__ = ["Nearest", "PreparedLeaders", "nearest_leaders", "prepare_leaders", "rmsd_to_leaders"]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedLeaders:
    """Leaders as the kernels want them; made by `prepare_leaders`, shared freely between threads.

    Attributes
    ----------
    rows
        Centred (and weighted) positions, shape (n_leaders, 3 * padded atoms), nm.
    traces
        Σ|y|² of each leader, shape (n_leaders,), nm².
    columns, column_traces
        The same in float32, in blocks with the leader index fastest; none where there are few leaders.
    n_atoms
        Atoms that are compared.
    n_frame_atoms
        Atoms of a frame; more where frames are superposed by others than those compared.
    metric
        How frames are compared with them.
    """

    rows: Float64Array
    traces: Float64Array
    columns: npt.NDArray[np.float32]
    column_traces: npt.NDArray[np.float32]
    n_atoms: int
    n_frame_atoms: int
    metric: Metric

    @property
    def n_leaders(self) -> int:
        """Number of leaders."""
        return int(self.rows.shape[0])

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(a.nbytes for a in (self.rows, self.traces, self.columns, self.column_traces))


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The nearest leader of each frame.

    Attributes
    ----------
    index
        Leader index, shape (n_frames,), int32; -1 for a frame that isn't finite.
    rmsd
        Distance to it, shape (n_frames,), float32, nm; NaN for a frame that isn't finite.
    """

    index: npt.NDArray[np.int32]
    rmsd: npt.NDArray[np.float32]


def prepare_leaders(xyz: npt.ArrayLike, metric: Metric | None = None) -> PreparedLeaders:
    """Centre leaders and lay them out, once for many calls.

    Parameters
    ----------
    xyz
        Leader positions, shape (n_leaders, n_atoms, 3), nm. Copied, not modified.
    metric
        How frames are compared with them; by minimal RMSD where None.

    Returns
    -------
    The prepared leaders, in the same order.

    Raises
    ------
    TopologyMismatchError
        If the shape isn't (n_leaders, n_atoms, 3) with at least one atom, or the metric is of other atoms.
    ConfigError
        If there is no leader.
    NonFiniteError
        If a leader holds a coordinate that isn't a finite number.
    """
    positions = as_positions(xyz)
    metric = metric or Metric()
    n_leaders, n_atoms = positions.shape[0], metric.n_measured(positions.shape[1])
    if n_leaders == 0:
        raise ConfigError("There are no leaders to compare frames with: give at least one.")
    rows = np.empty((n_leaders, 3 * padded_atoms(n_atoms)))
    traces = np.empty(n_leaders)
    for part, lanes, lane_traces in slabs(positions, metric):
        unpack_kernel(lanes, 0, rows[part])
        traces[part] = lane_traces[: part.stop - part.start]
    if np.isnan(traces).any():
        bad = np.flatnonzero(np.isnan(traces))
        raise NonFiniteError(
            f"{bad.size} of {n_leaders} leaders hold coordinates that are not finite numbers, the first at "
            f"index {bad[0]}: no frame can be compared with them, leave them out."
        )
    # The bounds are those of a fit; without one, the distances themselves cost no more.
    blocks = n_blocks(n_leaders) if metric.fit and n_leaders >= SCREEN_FROM else 0
    columns = aligned(blocks, rows.shape[1] * LANES, np.float32)
    columns_kernel(rows, columns)
    column_traces = np.zeros(blocks * LANES, np.float32)
    if blocks:
        with np.errstate(over="ignore"):  # to infinity, which the kernel sorts out
            column_traces[:n_leaders] = traces
    return PreparedLeaders(
        rows, traces, columns, column_traces, n_atoms, n_frame_atoms=positions.shape[1], metric=metric
    )


def nearest_leaders(xyz: npt.ArrayLike, leaders: PreparedLeaders) -> Nearest:
    """Nearest leader of every frame, by the metric that the leaders were prepared for.

    Runs on the calling thread and releases the GIL. Neither the cutting of frames into calls nor the number
    of threads that call changes a bit of the result.

    Parameters
    ----------
    xyz
        Positions, shape (n_frames, n_atoms, 3), nm; float32 or float64, others are converted. Not modified.
    leaders
        From `prepare_leaders`.

    Returns
    -------
    Index and distance of the nearest leader, the lowest index of equals. Distances are compared in float64,
    before they are rounded to float32.

    Raises
    ------
    TopologyMismatchError
        If the atom counts differ.
    """
    positions = as_positions(xyz, n_atoms=leaders.n_frame_atoms)
    index = np.empty(positions.shape[0], np.int32)
    rmsd = np.empty(positions.shape[0], np.float32)
    if leaders.columns.size:
        singles = aligned(SCREEN_ROWS, leaders.rows.shape[1], np.float32)
        bounds = aligned(SCREEN_ROWS, leaders.column_traces.size, np.float32)
    for part, lanes, traces in slabs(positions, leaders.metric):
        frames = lanes, traces, leaders.rows, leaders.traces
        answer = leaders.n_atoms, index[part], rmsd[part]
        if leaders.columns.size:
            screened_kernel(*frames, leaders.columns, leaders.column_traces, *answer, singles, bounds)
        else:
            nearest_kernel(leaders.metric.fit, *frames, *answer)
    return Nearest(index=index, rmsd=rmsd)


def rmsd_to_leaders(xyz: npt.ArrayLike, leaders: PreparedLeaders) -> npt.NDArray[np.float32]:
    """RMSD of every frame to every leader, by the metric that the leaders were prepared for.

    Parameters
    ----------
    xyz
        Positions, shape (n_frames, n_atoms, 3), nm; float32 or float64, others are converted. Not modified.
    leaders
        From `prepare_leaders`.

    Returns
    -------
    Distances, shape (n_frames, n_leaders), nm; a row of NaN for a frame that isn't finite.

    Raises
    ------
    TopologyMismatchError
        If the atom counts differ.
    """
    positions = as_positions(xyz, n_atoms=leaders.n_frame_atoms)
    rmsd = np.empty((positions.shape[0], leaders.n_leaders), np.float32)
    for part, lanes, traces in slabs(positions, leaders.metric):
        of_leaders = leaders.rows, leaders.traces, leaders.n_atoms
        matrix_kernel(leaders.metric.fit, lanes, traces, *of_leaders, rmsd[part])
    return rmsd
