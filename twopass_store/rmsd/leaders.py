"""Distances of many frames to a fixed set of leaders."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError, NonFiniteError
from ._blas import one_blas_thread
from ._packing import Float64Array, frames_at_once, pack
from ._screen import LANES, NO_LABEL, ZERO, nearest_fitted, nearest_plain
from .metric import Metric, as_positions

__all__ = [
    "Nearest",
    "PreparedLeaders",
    "best_permutations",
    "nearest_leaders",
    "nearest_other_leaders",
    "prepare_leaders",
]

PRODUCT_BYTES = 256 * 1024
"""Inner products that are worked on together; they stay in the second-level cache."""

MAX_WIDTH = 8 * 3 * LANES
"""Columns of one matrix product."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedLeaders:
    """Leaders as the kernels want them; made by `prepare_leaders`, shared freely between threads.

    A row is a leader by one of the permutations of equivalent atoms, those of the first leader first.
    """

    rows: Float64Array  # centred and weighted positions, shape (n_rows, 3, n_atoms), nm
    traces: Float64Array  # Σ|y|² of each row, nm²
    columns: npt.NDArray[np.float32]  # the rows in blocks; none if frames are compared without a fit
    column_traces: npt.NDArray[np.float32]
    n_frame_atoms: int  # of a frame: more than `n_atoms` if it is superposed by others than those compared
    metric: Metric

    @property
    def n_permutations(self) -> int:
        """Rows of each leader."""
        return len(self.metric.orders(self.n_atoms))

    @property
    def n_leaders(self) -> int:
        """Number of leaders."""
        return len(self.rows) // self.n_permutations

    def only(self, leader: int) -> "PreparedLeaders":
        """One of the leaders."""
        rows = slice(leader * self.n_permutations, (leader + 1) * self.n_permutations)
        return _laid_out(self.rows[rows], self.traces[rows], self.n_frame_atoms, self.metric)

    @property
    def n_atoms(self) -> int:
        """Atoms that are compared."""
        return int(self.rows.shape[2])


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The leader of each frame: the nearest, or the first that is near enough."""

    index: npt.NDArray[np.int32]  # of the leader, shape (n_frames,); -1 if the frame isn't finite
    rmsd: npt.NDArray[np.float32]  # to it, shape (n_frames,), nm; NaN if the frame isn't finite


def prepare_leaders(xyz: npt.ArrayLike, metric: Metric | None = None) -> PreparedLeaders:
    """Centre leaders, shape (n_leaders, n_atoms, 3), nm, and lay them out, once for many calls.

    Frames are compared with them by minimal RMSD if `metric` is None.

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
    rows = np.empty((n_leaders, 3, n_atoms))
    traces = np.empty(n_leaders)
    pack(positions, metric, rows[:, :, np.newaxis], traces)
    if np.isnan(traces).any():
        bad = np.flatnonzero(np.isnan(traces))
        raise NonFiniteError(
            f"{bad.size} of {n_leaders} leaders hold coordinates that are not finite numbers, the first at "
            f"index {bad[0]}: no frame can be compared with them, leave them out."
        )
    orders = metric.orders(n_atoms)
    if len(orders) > 1:
        expanded = np.empty((n_leaders, len(orders), 3, n_atoms))
        for number, order in enumerate(orders):
            expanded[:, number] = rows[:, :, order]
        rows, traces = expanded.reshape(-1, 3, n_atoms), np.repeat(traces, len(orders))
    return _laid_out(rows, traces, positions.shape[1], metric)


def _laid_out(
    rows: Float64Array, traces: Float64Array, n_frame_atoms: int, metric: Metric
) -> PreparedLeaders:
    n_rows, _, n_atoms = rows.shape
    n_blocks = -(-n_rows // LANES) if metric.fit else 0
    columns: npt.NDArray[np.float32] = np.zeros((n_blocks, 3, LANES, n_atoms), np.float32)
    column_traces = np.zeros(n_blocks * LANES, np.float32)
    with np.errstate(over="ignore"):  # to infinity, which the kernel sorts out
        for block in range(n_blocks):
            some = slice(block * LANES, min((block + 1) * LANES, n_rows))
            n_lanes = some.stop - some.start
            columns[block, :, :n_lanes] = rows[some].transpose(1, 0, 2)
            column_traces[some] = traces[some]
    columns = columns.reshape(n_blocks * 3 * LANES, n_atoms)
    return PreparedLeaders(rows, traces, columns, column_traces, n_frame_atoms, metric)


def nearest_leaders(
    xyz: npt.ArrayLike, leaders: PreparedLeaders, *, first_within: float | None = None
) -> Nearest:
    """Nearest leader of every frame, by the metric that the leaders were prepared for.

    Takes positions, shape (n_frames, n_atoms, 3), nm. With `first_within`, nm, it is the first leader nearer
    than that, and the nearest only where there is none. Of equally near ones it is that with the lowest
    index. Distances are compared with each other in float64, and with `first_within` after rounding both to
    float32, as the first pass compares the distances of `PairwiseRmsd` with its cutoff. Raises a
    `TopologyMismatchError` if the atom counts differ.
    """
    positions = as_positions(xyz, n_atoms=leaders.n_frame_atoms)
    found = _of_leaders(_nearest(positions, leaders, below=np.float32(first_within or 0.0)), leaders)
    if first_within is not None and leaders.n_permutations > 1:
        # The first permutation within isn't the nearest one.
        for leader in np.unique(found.index[found.index >= 0]).tolist():
            here = found.index == leader
            found.rmsd[here] = _nearest(positions[here], leaders.only(leader)).rmsd
    return found


def best_permutations(xyz: npt.ArrayLike, reference: npt.ArrayLike, metric: Metric) -> npt.NDArray[np.int32]:
    """Permutation of a reference's equivalent atoms, shape (n_atoms, 3), that is nearest to each frame.

    Returns indices into ``metric.permutations``, shape (n_frames,); -1 for a frame that isn't finite. Raises
    what `prepare_leaders` and `nearest_leaders` raise.
    """
    prepared = prepare_leaders(np.asarray(reference)[np.newaxis], metric)
    return _nearest(as_positions(xyz, n_atoms=prepared.n_frame_atoms), prepared).index


def nearest_other_leaders(
    xyz: npt.ArrayLike, leaders: PreparedLeaders, leader_label: npt.ArrayLike, label: npt.ArrayLike
) -> Nearest:
    """Nearest leader of every frame among those of other labels than its own, as `nearest_leaders` finds it.

    Labels are from 0, shapes (n_leaders,) and (n_frames,); -1 for a frame that has none. The index is -1 and
    the distance NaN for a frame that has no label or isn't finite, and if all leaders have its label. Raises
    a `ConfigError` if the labels don't fit to leaders or frames.
    """
    positions = as_positions(xyz, n_atoms=leaders.n_frame_atoms)
    of_leaders = np.ascontiguousarray(leader_label, np.int32)
    of_frames = np.ascontiguousarray(label, np.int32)
    if of_leaders.shape != (leaders.n_leaders,) or of_frames.shape != positions.shape[:1]:
        raise ConfigError(
            f"There are {leaders.n_leaders} leaders with labels of shape {of_leaders.shape}, and "
            f"{positions.shape[0]} frames with labels of shape {of_frames.shape}: give one label for each."
        )
    return _of_leaders(_nearest(positions, leaders, of_leaders, of_frames), leaders)


def _of_leaders(rows: Nearest, leaders: PreparedLeaders) -> Nearest:
    # Rounded down, so that -1 stays.
    return Nearest(rows.index // np.int32(leaders.n_permutations), rows.rmsd)


def _nearest(
    positions: npt.NDArray[np.float32],
    leaders: PreparedLeaders,
    leader_label: npt.NDArray[np.int32] | None = None,
    label: npt.NDArray[np.int32] | None = None,
    *,
    below: np.float32 = ZERO,
) -> Nearest:
    """Find the nearest row: a leader by one of the permutations."""
    n_frames, n_atoms = len(positions), leaders.n_atoms
    if leader_label is None or label is None:
        leader_label, label = np.zeros(leaders.n_leaders, np.int32), np.full(n_frames, NO_LABEL)
    leader_label = np.repeat(leader_label, leaders.n_permutations)
    index, rmsd = np.empty(n_frames, np.int32), np.empty(n_frames, np.float32)
    step = max(1, min(frames_at_once(n_atoms), n_frames))
    frames, traces = np.empty((step, 3, n_atoms)), np.empty(step)
    width = min(len(leaders.columns), MAX_WIDTH)
    at_once = min(PRODUCT_BYTES // (12 * width), step) if width else 0
    scratch = (
        np.empty((3 * at_once, n_atoms), np.float32),
        np.empty(3 * at_once * width, np.float32),
        np.empty((at_once, leaders.column_traces.size), np.float32),
    )
    with one_blas_thread():
        for start in range(0, n_frames, step):
            part = slice(start, min(start + step, n_frames))
            size = part.stop - start
            pack(positions[part], leaders.metric, frames[:size, :, np.newaxis], traces[:size])
            some = frames[:size], traces[:size], leaders.rows, leaders.traces
            answer = index[part], rmsd[part]
            if leaders.metric.fit:
                columns = leaders.columns, leaders.column_traces
                nearest_fitted(*some, *columns, leader_label, label[part], below, *scratch, *answer)
            else:
                nearest_plain(*some, leader_label, label[part], below, *answer)
    return Nearest(index, rmsd)
