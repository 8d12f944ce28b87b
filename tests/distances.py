"""Distances of frames to every leader, through the library's public functions."""

import numpy as np
import numpy.typing as npt

from twopass_store.rmsd import PreparedLeaders, nearest_other_leaders

__all__ = ["rmsd_to_leaders"]


def rmsd_to_leaders(xyz: npt.ArrayLike, leaders: PreparedLeaders) -> npt.NDArray[np.float32]:
    """RMSD, shape (n_frames, n_leaders), nm, to each leader as the only one of another label."""
    ones = np.ones(len(np.asarray(xyz)), np.int32)
    numbers = np.arange(leaders.n_leaders)
    columns = [nearest_other_leaders(xyz, leaders, numbers != k, ones).rmsd for k in numbers]
    return np.stack(columns, axis=1)
