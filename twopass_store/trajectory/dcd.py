"""Frames and unit cells of DCD files, where mdtraj takes them for what they aren't."""

from pathlib import Path

import numpy as np
from mdtraj.utils.unitcell import box_vectors_to_lengths_and_angles
from numpy.typing import NDArray

from .formats import TrajectoryFormat
from .info import Count
from .xdr import is_zero_from, numbers_at

__all__ = ["count_dcd", "mended_cells"]


def count_dcd(path: str, _entry: TrajectoryFormat, _n_atoms: int) -> Count:
    """Count the frames of a DCD file by its size: its header may promise more or fewer."""
    start = np.fromfile(path, "<i4", 25)
    order = "<" if start[0] == 84 else ">"

    def number(place: int) -> int:
        return int(numbers_at(path, np.array([place]), order + "i4")[0, 0])

    control = [number(8 + 4 * index) for index in range(20)]
    n_promised, n_fixed, is_charmm = control[0], control[8], control[19] != 0
    place = 92 + 12 + 80 * number(96)
    n_atoms = number(place + 4)
    place += 12 + (8 + 4 * (n_atoms - n_fixed) if n_fixed else 0)
    cell = 56 if is_charmm and control[10] else 0
    n_arrays = 4 if is_charmm and control[11] else 3
    first = cell + n_arrays * (8 + 4 * n_atoms)
    each = first - n_arrays * 4 * n_fixed
    n_frames = max(0, (Path(path).stat().st_size - place - first) // each + 1)
    # Where a machine has lost its power, zeros may be in the place of what was written last.
    ends = place + first - 4 + each * np.arange(n_frames)
    is_written = numbers_at(path, ends, order + "i4")[:, 0] != 0
    if not is_written.all() and is_zero_from(path, int(ends[np.argmin(is_written)])):
        n_frames = int(np.argmin(is_written))
    end = place + first + (n_frames - 1) * each
    return Count(n_frames, n_atoms, False, end, n_promised)


def mended_cells(
    lengths: NDArray[np.float64], angles: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mend cells that CHARMM wrote as a symmetric matrix, of which mdtraj makes lengths and angles."""
    is_cell = (angles > 0).all(axis=1) & (angles.sum(axis=1) > 2 * angles.max(axis=1))
    is_matrix = lengths.any(axis=1) & ~(is_cell & (angles.sum(axis=1) < 360))
    if not is_matrix.any():
        return lengths, angles
    (xx, yy, zz), (yz, xz, xy) = lengths.T, 0.1 * angles.T
    vectors = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).swapaxes(1, 2)
    cell = np.stack(box_vectors_to_lengths_and_angles(*vectors), axis=1)
    here = is_matrix[:, None]
    return np.where(here, cell[:, :3], lengths), np.where(here, cell[:, 3:], angles)
