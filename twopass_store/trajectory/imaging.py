"""Periodic images: molecules made whole and brought together, and frames in which something jumps."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError
from .atoms import is_solvent
from .selection import select_atoms

if TYPE_CHECKING:
    from .stream import Block

__all__ = ["ANCHOR", "Imager", "JumpCheck", "make_imager", "with_bonds"]

Imager = Callable[[md.Trajectory], None]
"""Moves the atoms of frames, which must have a unit cell, in place."""

ANCHOR = "anchor="
"""What a selection of molecules to bring together begins with."""

NEAR_NM = 1.0
"""Neighbouring residues of a chain lie nearer than this, by the nearest image."""


def make_imager(
    topology: md.Topology, image: str, atom_indices: NDArray[np.int64] | None, *, path: str
) -> Imager:
    """Find the molecules that some atoms belong to, and return what undoes their periodic images with mdtraj.

    `image` is ``whole``, or ``anchor=`` and a selection of atoms whose molecules are brought together.
    Molecules without one of `atom_indices` (None is all) are left as they are. Where the topology, from the
    file `path`, names no bonds, those of standard residues are taken. Raises a `TrajectoryError` if an atom
    that matters isn't bonded to the rest of its residue.
    """
    bonded = with_bonds(topology)
    chosen = np.empty(0, np.int64) if image == "whole" else select_atoms(topology, image.removeprefix(ANCHOR))
    kept = np.arange(topology.n_atoms) if atom_indices is None else atom_indices
    wanted = set(np.union1d(kept, chosen).tolist())
    molecules = bonded.find_molecules() if bonded.n_bonds else [{atom} for atom in bonded.atoms]
    _refuse_loose_atoms(bonded, wanted, molecules, path)
    members = [sorted(molecule, key=_index) for molecule in molecules if wanted & set(map(_index, molecule))]
    bonds, together = _outwards(bonded, members), set(chosen.tolist())
    anchors = [molecule for molecule in members if together & set(map(_index, molecule))]
    others = [molecule for molecule in members if not together & set(map(_index, molecule))]

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


def _index(atom: Any) -> int:
    return int(atom.index)


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
        main, _ = Counter(molecule_of[atom.index] for atom in own).most_common(1)[0] if own else (0, 0)
        behind = [
            a
            for a in own
            if a.index in wanted and (molecule_of[a.index] != main or len(molecules[main]) == 1)
        ]
        if len(own) > 1 and behind:
            loose[residue.name] += 1
            example = example or f"{residue}-{behind[0].name}"
    if loose:
        counted = ", ".join(f"{n} {name}" for name, n in loose.most_common(10))
        raise TrajectoryError(
            f"`image` needs the bonds of the atoms kept, and {path} doesn't give them for these residues: "
            f"{counted} (such as {example}). Give a topology with bonds (prmtop, psf, a PDB with CONECT "
            "records), or keep only atoms whose bonds are known, such as those of the protein."
        )


class JumpCheck:
    """Looks for bonds, and for chains against their neighbours, that jump across the box.

    Chains are compared with the first frame that was looked at. `topology` has the atoms kept, with bonds.
    """

    def __init__(self, topology: md.Topology) -> None:
        self._atoms = list(topology.atoms)
        pairs = {(bond.atom1.index, bond.atom2.index) for bond in topology.bonds}
        self._chains: list[tuple[str, list[int]]] = []
        for chain in topology.chains:
            residues = [residue for residue in chain.residues if not is_solvent(residue)]
            atoms = [atom.index for residue in residues for atom in residue.atoms]
            if atoms:
                name = getattr(chain, "chain_id", None) or str(chain.index)
                self._chains.append((name, atoms))
            for residue, following in pairwise(residues):
                # Where few atoms are kept, no bonds are left: C-alphas are neighbours all the same.
                if _is_polymer(residue) and _is_polymer(following):
                    pairs.add((next(residue.atoms).index, next(following.atoms).index))
        self._pairs = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
        self._first: NDArray[np.float64] | None = None

    def look(self, block: "Block") -> dict[int, str]:
        """Find the first jump of each frame, which must have a unit cell; by index of the frame."""
        found = {}
        vectors = np.asarray(block.unitcell_vectors)
        for frame, (positions, box) in enumerate(zip(block.xyz.astype(np.float64), vectors, strict=True)):
            if np.isfinite(box).all() and abs(np.linalg.det(box)) > 1e-6:
                what = self._broken_pair(positions, box) or self._moved_chain(positions, box)
                if what:
                    found[frame] = what
        return found

    def _broken_pair(self, positions: NDArray[np.float64], box: NDArray[np.float64]) -> str | None:
        apart = positions[self._pairs[:, 1]] - positions[self._pairs[:, 0]]
        nearest = apart - np.round(apart @ np.linalg.inv(box)) @ box
        near = np.linalg.norm(nearest, axis=1)
        jumps = np.flatnonzero((np.abs(apart - nearest).max(axis=1, initial=0) > 1e-3) & (near < NEAR_NM))
        if not len(jumps):
            return None
        pair = jumps[0]
        one, other = (self._atoms[index] for index in self._pairs[pair])
        return (
            f"{one} and {other} lie {np.linalg.norm(apart[pair]):.3g} nm apart, {near[pair]:.2g} nm by the "
            "nearest image"
        )

    def _moved_chain(self, positions: NDArray[np.float64], box: NDArray[np.float64]) -> str | None:
        centres = np.array([positions[atoms].mean(axis=0) for _, atoms in self._chains]).reshape(-1, 3)
        apart = np.diff(centres, axis=0)
        if self._first is None:
            self._first = apart
        shifts = np.round((apart - self._first) @ np.linalg.inv(box))
        moved = np.flatnonzero(shifts.any(axis=1))
        if not len(moved):
            return None
        one, other = self._chains[moved[0]][0], self._chains[moved[0] + 1][0]
        return f"chain {other} lies on another side of chain {one} than in the first frame looked at"


def _is_polymer(residue: Any) -> bool:
    return bool(residue.is_protein or residue.is_nucleic) or any(atom.name == "CA" for atom in residue.atoms)
