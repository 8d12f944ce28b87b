"""The times of all frames of a file, without their positions."""

import mdtraj as md
import numpy as np
from mdtraj.utils import in_units_of
from numpy.typing import NDArray

from .containment import contained, is_fragile
from .formats import reading
from .probe import TrajectoryInfo
from .text import read_gro_times

__all__ = ["read_times"]


def read_times(info: TrajectoryInfo) -> NDArray[np.float64] | None:
    """Times of the frames, bit for bit those that are read with their positions.

    From the headers of XTC and TRR, the array of times of HDF5 and NetCDF, the titles of GRO.

    Returns
    -------
    Shape (n_frames,), ps; None where the file has none, or the same for all frames.

    Raises
    ------
    TrajectoryError
        If the file can't be read.
    """
    if not info.has_time:
        return None
    with reading(info.path, "the times"):
        if info.index is not None:
            times = info.index.times()
        elif is_fragile(info.path):
            times = contained(
                _read, info.path, path=info.path, what="the times", needs_bytes=100 * info.n_frames
            )
        else:
            times = _read(info.path)
    times = times[: info.n_frames]
    # Programs that know no times write 0 for all frames.
    if len(times) > 1 and (times == times[0]).all():
        return None
    return times


def _read(path: str) -> NDArray[np.float64]:
    extension = path.lower().rpartition(".")[2]
    if extension in ("h5", "hdf5"):
        with md.formats.HDF5TrajectoryFile(path) as file:
            node = file.root.time
            units = node.attrs.units
            units = units if isinstance(units, str) else units.decode()
            return np.array(in_units_of(node[:], units, "picoseconds"), dtype=np.float64)
    if extension == "gro":
        return read_gro_times(path)
    with md.formats.NetCDFTrajectoryFile(path) as file:
        # The file object reads them together with the positions only.
        return np.array(np.ma.filled(file._handle.variables["time"][:], np.nan), dtype=np.float64)
