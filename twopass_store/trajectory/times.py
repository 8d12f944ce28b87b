"""The times of all frames of a file, without their positions."""

import numpy as np
from numpy.typing import NDArray

from ..partition import FrameList
from .containment import contained
from .info import TrajectoryInfo
from .reader import reading_bytes
from .stream import frame_offsets, numbers_at, read_frames

__all__ = ["read_all_times", "read_times"]

_XTC_TIME = 12


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
    needs_bytes = reading_bytes(info, n_selected=1) + 100 * info.n_frames
    times = contained(read_all_times, info, path=info.path, what="the times", needs_bytes=needs_bytes)
    # Programs that know no times write 0 for all frames.
    if len(times) > 1 and (times == times[0]).all():
        return None
    return times


def read_all_times(info: TrajectoryInfo) -> NDArray[np.float64]:
    """Times of the frames, shape (n_frames,), ps, bit for bit those of `mdtraj.load`; runs in a reader."""
    path, n_frames = info.path, info.n_frames
    if path.lower().endswith(".xtc"):
        return numbers_at(path, frame_offsets(path)[:n_frames] + _XTC_TIME, ">f4").astype(np.float64)
    block_frames = max(1, (8 << 20) // (24 * info.n_atoms))
    blocks = read_frames(path, info.n_atoms, FrameList.of(range(n_frames)), block_frames, np.arange(1), None)
    return np.concatenate([block.time for block in blocks if block.time is not None])
