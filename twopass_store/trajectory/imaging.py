"""Periodic images: molecules made whole and brought together."""

from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError
from .selection import select_atoms

__all__ = ["ANCHOR", "Imager", "make_imager", "with_bonds"]

Imager = Callable[[md.Trajectory], None]  # moves the atoms of frames, which must have a unit cell, in place
ANCHOR = "anchor="  # what a selection of molecules to bring together begins with


def make_imager(
    topology: md.Topology, image: str, atom_indices: NDArray[np.int64] | None, *, path: str
) -> Imager:
    """Find the molecules that some atoms belong to, and return what undoes their periodic images with mdtraj.

    `image` is ``whole``, or ``anchor=`` and a selection of atoms whose molecules are brought together.
    Molecules without one of `atom_indices` (None is all) are left as they are. Where the topology, from the
    file `path`, names no bonds, those of standard residues are taken. Raises a `TrajectoryError` if an atom
    that matters isn't bonded to the rest of its residue.
    """
    index, bonded = attrgetter("index"), with_bonds(topology)
    chosen = np.empty(0, np.int64) if image == "whole" else select_atoms(topology, image.removeprefix(ANCHOR))
    kept = np.arange(topology.n_atoms) if atom_indices is None else atom_indices
    wanted = set(np.union1d(kept, chosen).tolist())
    molecules = bonded.find_molecules() if bonded.n_bonds else [{atom} for atom in bonded.atoms]
    _refuse_loose_atoms(bonded, wanted, molecules, path)
    members = [sorted(molecule, key=index) for molecule in molecules if wanted & set(map(index, molecule))]
    bonds, together = _outwards(bonded, members), set(chosen.tolist())
    anchors = [molecule for molecule in members if together & set(map(index, molecule))]
    others = [molecule for molecule in members if not together & set(map(index, molecule))]

    def undo(trajectory: md.Trajectory) -> None:
        # GRO and others give cells in float64, which mdtraj's code for images doesn't take.
        trajectory.unitcell_lengths = np.asarray(trajectory.unitcell_lengths, np.float32)
        trajectory.unitcell_angles = np.asarray(trajectory.unitcell_angles, np.float32)
        if anchors:
            trajectory.image_molecules(
                inplace=True,
                anchor_molecules=anchors,
                other_molecules=others,
                sorted_bonds=bonds if len(bonds) else None,
                make_whole=len(bonds) > 0,
            )
        elif len(bonds):
            trajectory.make_molecules_whole(inplace=True, sorted_bonds=bonds)

    return undo


def _outwards(topology: md.Topology, molecules: list[list[Any]]) -> NDArray[np.int32]:
    """Bonds of molecules in the order of a walk from their first atoms, so that no atom is moved twice."""
    neighbours: dict[int, list[int]] = {atom.index: [] for molecule in molecules for atom in molecule}
    for one, other in topology.bonds:
        if one.index in neighbours:
            neighbours[one.index].append(other.index)
            neighbours[other.index].append(one.index)
    bonds: list[tuple[int, int]] = []
    for molecule in molecules:
        reached, walk = {molecule[0].index}, [molecule[0].index]
        for index in walk:
            for neighbour in neighbours[index]:
                if neighbour not in reached:
                    reached.add(neighbour)
                    walk.append(neighbour)
                    bonds.append((index, neighbour))
    return np.array(bonds, np.int32).reshape(-1, 2)


def with_bonds(topology: md.Topology) -> md.Topology:
    """Return a topology with bonds: its own, or those of standard residues."""
    if topology.n_bonds:
        return topology
    # A copy, since readers share the topology.
    bonded = topology.copy()
    bonded.create_standard_bonds()
    return bonded


def _refuse_loose_atoms(
    topology: md.Topology, wanted: set[int], molecules: list[set[Any]], path: str
) -> None:
    """Refuse atoms that no bond ties to the rest of their residue: they would stay behind."""
    molecule_of = {atom.index: number for number, molecule in enumerate(molecules) for atom in molecule}
    loose: Counter[str] = Counter()
    example = ""
    for residue in topology.residues:
        # Virtual sites have no bonds in any topology.
        own = [atom for atom in residue.atoms if atom.element is None or atom.element.symbol != "VS"]
        if len(own) < 2:
            continue
        main, _ = Counter(molecule_of[atom.index] for atom in own).most_common(1)[0]
        is_single = len(molecules[main]) == 1
        behind = [a for a in own if a.index in wanted and (is_single or molecule_of[a.index] != main)]
        if behind:
            loose[residue.name] += 1
            example = example or f"{residue}-{behind[0].name}"
    if loose:
        counted = ", ".join(f"{n} {name}" for name, n in loose.most_common(10))
        raise TrajectoryError(
            f"`image` needs the bonds of the atoms kept, and {path} doesn't give them for these residues: "
            f"{counted} (such as {example}). Give a topology with bonds (prmtop, psf, a PDB with CONECT "
            "records), or keep only atoms whose bonds are known, such as those of the protein."
        )
