"""Small trajectories of every claimed format, made in the test from a random walk."""

from pathlib import Path

import mdtraj as md
import numpy as np
from mdtraj.core import element

# What mdtraj can write and we read. `.hdf5` it reads but doesn't write: the tests copy the `.h5` file.
WITH_CELL = (
    "xtc",
    "trr",
    "dcd",
    "h5",
    "hdf5",
    "nc",
    "netcdf",
    "ncdf",
    "mdcrd",
    "crd",
    "lammpstrj",
    "pdb",
    "gro",
)
FORMATS = (*WITH_CELL, "xyz")
WITH_TIME = {"xtc", "trr", "h5", "hdf5", "nc", "netcdf", "ncdf", "gro"}
WITH_TOPOLOGY = {"h5", "hdf5", "pdb", "gro"}


def make_topology(n_residues: int = 4, *, n_waters: int = 0) -> md.Topology:
    """A chain of alanines (5 heavy atoms and 2 hydrogens each), then waters in a chain of their own."""
    topology = md.Topology()
    chain = topology.add_chain("A")
    serial = 0
    for number in range(n_residues):
        residue = topology.add_residue("ALA", chain, resSeq=number + 3)
        for name in ("N", "H", "CA", "HA", "CB", "C", "O"):
            serial += 1
            topology.add_atom(name, element.get_by_symbol(name[0]), residue, serial=serial)
    if n_waters:
        chain = topology.add_chain("W")
    for number in range(n_waters):
        residue = topology.add_residue("HOH", chain, resSeq=900 + number)
        for name in ("O", "H1", "H2"):
            serial += 1
            topology.add_atom(name, element.get_by_symbol(name[0]), residue, serial=serial)
    topology.create_standard_bonds()
    return topology


def make_trajectory(
    n_frames: int = 17, *, n_residues: int = 4, has_cell: bool = True, seed: int = 7
) -> md.Trajectory:
    """A random walk of a made-up chain, with changing unit cell and times that are no frame counts."""
    topology = make_topology(n_residues)
    rng = np.random.default_rng(seed)
    start = rng.normal(scale=0.5, size=(1, topology.n_atoms, 3)) + 1
    xyz = start + np.cumsum(rng.normal(scale=0.05, size=(n_frames, topology.n_atoms, 3)), axis=0)
    trajectory = md.Trajectory(xyz.astype(np.float32), topology, time=np.arange(n_frames) * 2.5 + 10)
    if has_cell:
        trajectory.unitcell_lengths = (3 + 0.01 * np.arange(n_frames)[:, None] + np.arange(3)).astype(
            np.float32
        )
        trajectory.unitcell_angles = np.full((n_frames, 3), 90, np.float32)
    return trajectory


def write(trajectory: md.Trajectory, path: Path) -> Path:
    """Save with mdtraj, in the format of the extension."""
    if path.suffix == ".hdf5":
        other = path.with_name(f"{path.stem}-to-rename.h5")
        trajectory.save(str(other))
        other.rename(path)
    else:
        trajectory.save(str(path))
    return path


def load(path: Path, topology: md.Topology) -> md.Trajectory:
    """The reference: all of the file by ``md.load``."""
    if path.suffix in (".h5", ".hdf5"):
        return md.load(str(path))
    return md.load(str(path), top=topology)
