"""Atoms of outside structures are found by chain, residue and name, or not at all."""

import mdtraj as md
import numpy as np
import pytest

from twopass_store.errors import TopologyMismatchError, TrajectoryError
from twopass_store.trajectory import place_atoms


def topology(*chains):
    """Chains as ``("A", [("ALA", 1), ...])``, each residue with N, CA and C."""
    made = md.Topology()
    for name, residues in chains:
        chain = made.add_chain(name)
        for residue, number in residues:
            added = made.add_residue(residue, chain, number)
            for atom in ("N", "CA", "C"):
                made.add_atom(atom, md.element.get_by_symbol(atom[0]), added)
    return made


def placed(structure, stored, required=()):
    """Index of the structure's atom at each stored one, -1 where there is none."""
    index = np.arange(structure.n_atoms, dtype=np.float32)
    xyz = np.repeat(index[:, None], 3, axis=1)[None]
    found = place_atoms(xyz, structure, stored, required=np.array(required, int), name="x.pdb")[0, :, 0]
    return np.nan_to_num(found, nan=-1).astype(int).tolist()


DIMER = topology(("A", [("ALA", 1), ("GLY", 2)]), ("B", [("ALA", 1), ("GLY", 2)]))


def test_chains__tell_equal_residues_apart():
    swapped = topology(("B", [("ALA", 1), ("GLY", 2)]), ("A", [("ALA", 1), ("GLY", 2)]))
    assert placed(swapped, DIMER) == [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]


def test_chains__may_be_called_otherwise_where_residues_are_unique():
    stored = topology(("A", [("ALA", 1), ("GLY", 2)]))
    structure = topology(("X", [("GLY", 2), ("ALA", 1)]))
    assert placed(structure, stored) == [3, 4, 5, 0, 1, 2]


def test_ambiguous_atoms__are_not_guessed():
    monomer = topology(("X", [("ALA", 1), ("GLY", 2)]))
    assert placed(monomer, DIMER) == [-1] * 12
    with pytest.raises(TopologyMismatchError, match=r"x\.pdb has no atom, or several, for ALA1-CA"):
        placed(monomer, DIMER, required=[1])


def test_mutants__are_matched_by_number_and_name():
    stored = topology(("A", [("ALA", 1), ("GLY", 2), ("SER", 3)]))
    mutant = topology(("A", [("ALA", 1), ("VAL", 2)]))
    assert placed(mutant, stored, required=[0, 4]) == [0, 1, 2, 3, 4, 5, -1, -1, -1]


def test_positions__must_be_finite_where_they_are_needed():
    stored = topology(("A", [("ALA", 1)]))
    xyz = np.zeros((2, 3, 3), np.float32)
    xyz[1, 2] = np.nan
    place_atoms(xyz, stored, stored, required=np.array([0, 1]), name="x.pdb")
    with pytest.raises(TrajectoryError, match="finite"):
        place_atoms(xyz, stored, stored, required=np.array([2]), name="x.pdb")
