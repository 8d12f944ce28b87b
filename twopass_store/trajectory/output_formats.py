"""The formats that trajectories are written in, and what each has room for."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

__all__ = ["XTC_GRID_NM", "OutputFormat", "file_extension", "fit_names", "output_format", "rounding_nm"]

XTC_GRID_NM = 0.001
"""What XTC rounds positions to unless another precision is asked for."""

_XTC_UNPACKED_ATOMS = 9


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """What a format has room for.

    Attributes
    ----------
    name
        Its name in messages.
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
        What positions are rounded to; None if float32 is kept.
    max_names
        Characters of a residue's name and of an atom's, and the first residue number that is too large; None
        if there is room for any.
    """

    name: str
    extensions: tuple[str, ...]
    has_time: bool = False
    needs_time: bool = False
    unitcell: str = "each"
    has_topology: bool = False
    grid_nm: float | None = None
    max_names: tuple[int, int, int] | None = None


# The text formats except GRO and CIF write Å with three decimals.
_FORMATS: tuple[OutputFormat, ...] = (
    OutputFormat("XTC", (".xtc",), has_time=True, needs_time=True, grid_nm=XTC_GRID_NM),
    OutputFormat("TRR", (".trr",), has_time=True, needs_time=True),
    OutputFormat("DCD", (".dcd",)),
    OutputFormat("MDTraj HDF5", (".h5",), has_time=True, has_topology=True),
    OutputFormat("Amber NetCDF", (".nc", ".netcdf", ".ncdf"), has_time=True),
    OutputFormat("Amber mdcrd", (".mdcrd", ".crd"), grid_nm=1e-4),
    OutputFormat("XYZ", (".xyz", ".xyz.gz"), unitcell="none", grid_nm=1e-4),
    OutputFormat("LAMMPS", (".lammpstrj",), grid_nm=1e-4),
    OutputFormat("GRO", (".gro",), has_time=True, has_topology=True, grid_nm=1e-3, max_names=(5, 5, 100_000)),
    OutputFormat(
        "PDB",
        (".pdb", ".pdb.gz"),
        unitcell="first",
        has_topology=True,
        grid_nm=1e-4,
        max_names=(3, 4, 10_000),
    ),
    OutputFormat("mmCIF", (".cif", ".cif.gz"), unitcell="first", has_topology=True, grid_nm=1e-5),
)

_BY_EXTENSION = {extension: entry for entry in _FORMATS for extension in entry.extensions}


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
        If there is no such format, or it holds no topology; the message lists those that there are.
    """
    extension = file_extension(path)
    known = [name for name, each in _BY_EXTENSION.items() if each.has_topology or not with_topology]
    if extension in known:
        return _BY_EXTENSION[extension]
    what = "topologies" if with_topology else "trajectories"
    raise ConfigError(
        f"Cannot write {path}: {extension or 'a name without an extension'} is none of the formats that "
        f"{what} are written in ({', '.join(known)}). Give a name with one of these extensions."
    )


def file_extension(path: str | os.PathLike[str]) -> str:
    """Extension in lower case; two if the last is ``.gz``."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])


def rounding_nm(entry: OutputFormat, xyz: NDArray[np.float32], *, xtc_grid_nm: float = XTC_GRID_NM) -> float:
    """Largest distance that writing moves positions along an axis, nm; 0 if float32 can't show it.

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


def fit_names(topology: md.Topology, entry: OutputFormat) -> tuple[md.Topology, list[str]]:
    """Topology with names and residue numbers that fit into the columns of a format.

    Parameters
    ----------
    topology
        The atoms; not modified.
    entry
        The format.

    Returns
    -------
    The topology itself if all fits, otherwise a copy; and what was cut, for messages.
    """
    if entry.max_names is None:
        return topology, []
    n_residue, n_atom, n_numbers = entry.max_names
    cut = []
    if names := {residue.name for residue in topology.residues if len(residue.name) > n_residue}:
        cut.append(f"names of residues cut to {n_residue} characters ({_listed(names)})")
    if names := {atom.name for atom in topology.atoms if len(atom.name) > n_atom}:
        cut.append(f"names of atoms cut to {n_atom} characters ({_listed(names)})")
    if any(residue.resSeq >= n_numbers for residue in topology.residues):
        cut.append(f"residues counted from 0 again at {n_numbers}")
    if not cut:
        return topology, []
    fitted = topology.copy()
    for residue in fitted.residues:
        residue.name = residue.name[:n_residue]
        residue.resSeq %= n_numbers
    for atom in fitted.atoms:
        atom.name = atom.name[:n_atom]
    return fitted, cut


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if found[3:] else "")
