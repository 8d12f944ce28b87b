"""How the elements of a topology came about: written in its file, or guessed by mdtraj from atom names.

A guess serves to tell hydrogens from heavy atoms, but gives beads of coarse-grained models and virtual sites
elements, and so masses, that they don't have.
"""

import gzip
from itertools import takewhile
from pathlib import Path
from typing import IO

import mdtraj as md
import numpy as np
from mdtraj.core import element as elements
from mdtraj.formats.pdb.pdbstructure import PdbStructure
from numpy.typing import NDArray

from .formats import check_file, reading

__all__ = ["guessed_elements"]

_PDB = (".pdb", ".pdb.gz")
_AMBER = (".prmtop", ".parm7", ".prm7")
# These name atoms or types, and nothing else.
_NAMES_ONLY = (".gro", ".hoomdxml", ".gsd", ".arc")


def guessed_elements(path: str | Path, topology: md.Topology) -> NDArray[np.bool_]:
    """Atoms whose element isn't written in the topology file, so that mdtraj guessed it or left it out.

    Parameters
    ----------
    path
        The file that `load_topology` read.
    topology
        What it gave.

    Returns
    -------
    Shape (n_atoms,). Formats that keep elements (or PSF, masses) by themselves count as written, whatever
    made them.
    """
    file = check_file(path)
    name = file.name.lower()
    if name.endswith(_NAMES_ONLY):
        return np.ones(topology.n_atoms, dtype=bool)
    if not name.endswith((*_PDB, *_AMBER)):
        return np.zeros(topology.n_atoms, dtype=bool)
    with reading(file, "the elements"):
        if name.endswith(_AMBER):
            with _opened(file) as lines:
                has_numbers = any(line.startswith("%FLAG ATOMIC_NUMBER") for line in lines)
            return np.full(topology.n_atoms, not has_numbers)
        with _opened(file) as lines:
            first_model = takewhile(lambda line: not line.startswith("ENDMDL"), lines)
            atom_lines = (line for line in first_model if line.startswith(("ATOM  ", "HETATM")))
            written = {_is_element(line[76:78]) for line in atom_lines}
        if len(written) == 1:
            return np.full(topology.n_atoms, not written.pop())
        # mdtraj's order of atoms isn't always that of the lines.
        with _opened(file) as lines:
            structure = PdbStructure(lines, load_all_models=False)
        atoms = [atom for chain in structure.iter_chains() for residue in chain for atom in residue.atoms]
        return np.array([not _is_element(atom.element_symbol) for atom in atoms], dtype=bool)


def _opened(file: Path) -> IO[str]:
    return gzip.open(file, "rt") if file.suffix == ".gz" else file.open()


def _is_element(text: str) -> bool:
    try:
        elements.get_by_symbol(text.strip())
    except KeyError:
        return False
    return True
