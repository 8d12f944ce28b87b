"""The formats that trajectories are written in, and what each has room for."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

__all__ = ["XTC_GRID_NM", "ZARRMD", "OutputFormat", "file_extension", "output_format", "rounding_nm"]

ZARRMD = "H5MD in Zarr"
"""Name of the format that MDAnalysis reads through zarrtraj."""

XTC_GRID_NM = 0.001
"""What XTC rounds positions to where nobody asks for another precision."""

_XTC_UNPACKED_ATOMS = 9


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """What a format has room for.

    Attributes
    ----------
    name
        How messages call it.
    extensions
        Lower case, with the dot.
    has_time
        Whether frames carry times.
    needs_time
        Whether they must.
    unitcell
        ``each`` frame has one, only the ``first`` has, or ``none``.
    has_topology
        Whether a file says which atoms it holds.
    grid_nm
        What positions are rounded to; None where float32 is kept.
    """

    name: str
    extensions: tuple[str, ...]
    has_time: bool = False
    needs_time: bool = False
    unitcell: str = "each"
    has_topology: bool = False
    grid_nm: float | None = None


# The text formats but GRO and CIF write Å with three decimals.
OUTPUT_FORMATS: tuple[OutputFormat, ...] = (
    OutputFormat("XTC", (".xtc",), has_time=True, needs_time=True, grid_nm=XTC_GRID_NM),
    OutputFormat("TRR", (".trr",), has_time=True, needs_time=True),
    OutputFormat("DCD", (".dcd",)),
    OutputFormat("MDTraj HDF5", (".h5",), has_time=True, has_topology=True),
    OutputFormat("Amber NetCDF", (".nc", ".netcdf", ".ncdf"), has_time=True),
    OutputFormat("Amber mdcrd", (".mdcrd", ".crd"), grid_nm=1e-4),
    OutputFormat("XYZ", (".xyz", ".xyz.gz"), unitcell="none", grid_nm=1e-4),
    OutputFormat("LAMMPS", (".lammpstrj",), grid_nm=1e-4),
    OutputFormat("GRO", (".gro",), has_time=True, has_topology=True, grid_nm=1e-3),
    OutputFormat("PDB", (".pdb", ".pdb.gz"), unitcell="first", has_topology=True, grid_nm=1e-4),
    # Not by mdtraj, and a folder.
    OutputFormat(ZARRMD, (".zarrmd",), has_time=True, needs_time=True),
    OutputFormat("mmCIF", (".cif", ".cif.gz"), unitcell="first", has_topology=True, grid_nm=1e-5),
)

_BY_EXTENSION = {extension: entry for entry in OUTPUT_FORMATS for extension in entry.extensions}


def output_format(path: str | os.PathLike[str], *, with_topology: bool = False) -> OutputFormat:
    """Format that a file is written in, by its extension in any case.

    Parameters
    ----------
    path
        The file.
    with_topology
        Whether it has to say which atoms it holds.

    Raises
    ------
    ConfigError
        If mdtraj doesn't write it frame by frame, or it holds no topology; the message lists those that do.
    """
    extension = file_extension(path)
    entry = _BY_EXTENSION.get(extension)
    if entry is not None and (entry.has_topology or not with_topology):
        return entry
    known = [name for name, each in _BY_EXTENSION.items() if each.has_topology or not with_topology]
    what = "topologies are written to" if with_topology else "trajectories are written frame by frame to"
    raise ConfigError(
        f"Cannot write {path}: {extension or 'a name without an extension'} is none of the formats that "
        f"{what} ({', '.join(known)}). Give a name with one of these extensions."
    )


def file_extension(path: str | os.PathLike[str]) -> str:
    """Extension in lower case; two where the last is ``.gz``."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def rounding_nm(entry: OutputFormat, xyz: NDArray[np.float32], *, xtc_grid_nm: float = XTC_GRID_NM) -> float:
    """Return how far positions move when they are written, at most, nm; 0 for what float32 can't show.

    Parameters
    ----------
    entry
        The format.
    xyz
        Positions, shape (n_frames, n_atoms, 3), nm.
    xtc_grid_nm
        What XTC rounds positions to.
    """
    grid = xtc_grid_nm if entry.name == "XTC" else entry.grid_nm
    if grid is None or (entry.name == "XTC" and xyz.shape[1] <= _XTC_UNPACKED_ATOMS):
        return 0.0
    exact = xyz.astype(np.float64)
    moved = float(np.abs(np.rint(exact / grid) * grid - exact).max(initial=0.0))
    noise = 1e-7 * float(np.abs(exact).max(initial=0.0)) + 1e-9
    return 0.0 if moved <= noise else moved
