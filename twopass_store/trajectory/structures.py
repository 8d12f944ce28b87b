"""Structures written for other programs."""

from pathlib import Path

import mdtraj as md
import numpy as np
from mdtraj.formats import PDBTrajectoryFile
from numpy.typing import NDArray

from ..errors import TrajectoryError

__all__ = ["write_pdb_models"]


def write_pdb_models(xyz: NDArray[np.float32], topology: md.Topology, *, path: Path) -> None:
    """Write structures as the models of one PDB file, numbered from 1.

    Parameters
    ----------
    xyz
        Positions, shape (n_models, n_atoms, 3), nm.
    topology
        Their atoms.
    path
        Where to; replaced where it exists.

    Raises
    ------
    TrajectoryError
        If the format has no room for a coordinate.
    """
    try:
        with PDBTrajectoryFile(str(path), "w", force_overwrite=True) as file:
            for model, positions in enumerate(xyz, start=1):
                # PDB is in Å.
                file.write(10.0 * positions.astype(np.float64), topology, modelIndex=model)
    except ValueError as error:
        raise TrajectoryError(f"Cannot write {path} as PDB: {error}.") from error
