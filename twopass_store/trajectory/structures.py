"""Single structures, read as references."""

from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError
from .containment import contained, end_readers
from .formats import check_file

__all__ = ["load_structures"]

_STRUCTURE_EXTENSIONS = (".pdb", ".pdb.gz", ".gro", ".h5", ".hdf5")


def load_structures(path: str | Path, *, only_first: bool = False) -> tuple[md.Topology, NDArray[np.float32]]:
    """Atoms and positions of the structures in a file that has both: PDB, GRO or MDTraj HDF5.

    Parameters
    ----------
    path
        The file.
    only_first
        Read the first structure only.

    Returns
    -------
    The topology, and the positions, shape (n_models, n_atoms, 3), nm.

    Raises
    ------
    TrajectoryNotFoundError
        If there is no such file.
    TrajectoryError
        If its format is another, or it can't be read.
    """
    file = check_file(path)
    name = file.name.lower()
    if not name.endswith(_STRUCTURE_EXTENSIONS):
        raise TrajectoryError(
            f"Cannot take a structure from {file}: its format must be one that holds atoms and positions "
            f"({', '.join(_STRUCTURE_EXTENSIONS)}). Write the structure in one of these."
        )
    needs_bytes = 40 * file.stat().st_size
    try:
        return contained(
            _read, str(file), only_first, path=file, what="the structure", needs_bytes=needs_bytes
        )
    finally:
        end_readers()  # what comes next doesn't count its memory


def _read(path: str, only_first: bool) -> tuple[md.Topology, NDArray[np.float32]]:
    name = path.lower()
    options: dict[str, Any] = {}
    if name.endswith((".pdb", ".pdb.gz")):
        options["no_boxchk"] = True  # the check of the unit cell warns
    if only_first and not name.endswith(".gro"):  # whose reader can't seek
        options["frame"] = 0
    loaded = md.load(path, **options)
    return loaded.topology, np.asarray(loaded.xyz[:1] if only_first else loaded.xyz, np.float32)
