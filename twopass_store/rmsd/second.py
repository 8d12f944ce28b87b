"""The nearest leader of another cluster, which tells how sure a label is."""

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ._packing import aligned, as_positions, slabs
from ._screen import SCREEN_ROWS
from ._second import nearest_other_kernel, screened_other_kernel
from .leaders import Nearest, PreparedLeaders

__all__ = ["nearest_other_leaders"]


def nearest_other_leaders(
    xyz: npt.ArrayLike, leaders: PreparedLeaders, leader_label: npt.ArrayLike, label: npt.ArrayLike
) -> Nearest:
    """Nearest leader of every frame among those of other labels than its own.

    Runs on the calling thread and releases the GIL, with the same promises as `nearest_leaders`: distances
    are compared in float64, by the metric that the leaders were prepared for.

    Parameters
    ----------
    xyz
        Positions, shape (n_frames, n_atoms, 3), nm; float32 or float64, others are converted. Not modified.
    leaders
        From `prepare_leaders`.
    leader_label
        Label of each leader, shape (n_leaders,), from 0.
    label
        Label of each frame, shape (n_frames,), from 0; -1 for a frame that has none, and is passed over.

    Returns
    -------
    Index and distance, the lowest index of equals; -1 and NaN for a frame that has no label or isn't finite,
    and where all leaders have the frame's label.

    Raises
    ------
    TopologyMismatchError
        If the atom counts differ.
    ConfigError
        If the labels don't fit to leaders or frames.
    """
    positions = as_positions(xyz, n_atoms=leaders.n_frame_atoms)
    of_leaders = np.ascontiguousarray(leader_label, np.int32)
    of_frames = np.ascontiguousarray(label, np.int32)
    if of_leaders.shape != (leaders.n_leaders,) or of_frames.shape != positions.shape[:1]:
        raise ConfigError(
            f"There are {leaders.n_leaders} leaders with labels of shape {of_leaders.shape}, and "
            f"{positions.shape[0]} frames with labels of shape {of_frames.shape}: give one label for each."
        )
    index = np.empty(positions.shape[0], np.int32)
    rmsd = np.empty(positions.shape[0], np.float32)
    is_screened = leaders.columns.size > 0
    if is_screened:
        singles = aligned(SCREEN_ROWS, leaders.rows.shape[1], np.float32)
        bounds = aligned(SCREEN_ROWS, leaders.column_traces.size, np.float32)
    for part, lanes, traces in slabs(positions, leaders.metric):
        frames = lanes, traces, leaders.rows, leaders.traces
        own, to_index, to_rmsd = of_frames[part], index[part], rmsd[part]
        if is_screened:
            columns = leaders.columns, leaders.column_traces
            n_atoms, scratch = leaders.n_atoms, (singles, bounds)
            screened_other_kernel(*frames, *columns, n_atoms, of_leaders, own, to_index, to_rmsd, *scratch)
        else:
            fit, n_atoms = leaders.metric.fit, leaders.n_atoms
            nearest_other_kernel(fit, *frames, n_atoms, of_leaders, own, to_index, to_rmsd)
    return Nearest(index=index, rmsd=rmsd)
