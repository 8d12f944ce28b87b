"""Where single frames are from."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..partition import FRAME_CHUNK, chunk_range
from ..store import Store

__all__ = ["Column", "origins", "source_paths"]

Column = tuple[str, Any, str, str]
"""Name, values of the clusters in order of label, unit, and meaning of a variable."""


def source_paths(store: Store, path: str = "trajectory_path") -> NDArray[np.str_]:
    """Return the paths of files, shape (n_files,)."""
    return np.array(store.read(path).tolist(), dtype=str)


def origins(store: Store, what: str, frames: NDArray[np.int64], *, has_times: bool) -> Iterator[Column]:
    """Tell the file, the frame in it and the time of frames, in variables that begin with `what`.

    Parameters
    ----------
    store
        The store.
    what
        What the frames are to their clusters, such as ``medoid``.
    frames
        Frames of the store, shape (n_clusters,); -1 for none.
    has_times
        Whether the input has times.
    """
    files = _values(store, "trajectory", frames, 0)
    yield f"{what}_frame", frames, "1", f"{what} frame of the cluster, in the store; -1 for none"
    paths = np.where(frames >= 0, source_paths(store)[files], "")
    yield f"{what}_path", paths, "1", f"{what} frame of the cluster: its file"
    source_frames = _values(store, "source_frame", frames, -1)
    yield f"{what}_source_frame", source_frames, "1", f"{what} frame of the cluster, in its file"
    times = _values(store, "time", frames, np.nan) if has_times else np.full(len(frames), np.nan)
    yield f"{what}_time_ps", times, "ps", f"{what} frame of the cluster: its time"


def _values(store: Store, column: str, frames: NDArray[np.int64], unknown: float) -> NDArray[Any]:
    """Read values of single frames, chunk by chunk."""
    values = np.full(len(frames), unknown, np.float64 if np.isnan(unknown) else np.int64)
    for chunk in np.unique(frames[frames >= 0] // FRAME_CHUNK):
        part = chunk_range(int(chunk), chunk=FRAME_CHUNK, length=store.shape(column)[0])
        inside = (frames >= 0) & (frames // FRAME_CHUNK == chunk)
        values[inside] = store.read(column, part)[frames[inside] - part.start]
    return values
