"""The times of all frames of a file, without their positions."""

import numpy as np
from numpy.typing import NDArray

from .containment import contained
from .examine import read_all_times
from .probe import TrajectoryInfo
from .reader import reading_bytes

__all__ = ["read_times"]


def read_times(info: TrajectoryInfo) -> NDArray[np.float64] | None:
    """Times of the frames, bit for bit those that are read with their positions.

    XTC files have them in the headers of frames; other files are read through.

    Returns
    -------
    Shape (n_frames,), ps; None if the file has none, or the same for all frames.

    Raises
    ------
    TrajectoryError
        If the file can't be read.
    """
    if not info.has_time:
        return None
    times = contained(
        read_all_times,
        info.path,
        info.n_atoms,
        info.n_frames,
        path=info.path,
        what="the times",
        needs_bytes=reading_bytes(info, n_selected=1) + 100 * info.n_frames,
    )
    # Programs that know no times write 0 for all frames.
    if len(times) > 1 and (times == times[0]).all():
        return None
    return times
