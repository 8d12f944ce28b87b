"""Periodic images: molecules made whole and brought together, and frames in which something jumps."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError
from .atoms import is_solvent
from .selection import select_atoms

__all__ = ["Imager", "Jump", "JumpCheck", "make_imager"]

ANCHOR = "anchor="

NEAR_NM = 1.0
"""Neighbouring residues of a chain lie nearer than this, by the nearest image."""


@dataclass(frozen=True, slots=True, eq=False)
class Imager:
    """Puts the molecules of some atoms where they belong, with mdtraj.

    Attributes
    ----------
    bonds
        Bonds of the molecules concerned, each molecule as a tree, from the inside out; shape (n_bonds, 2).
    anchors
        Molecules that are brought together; none to make molecules whole only.
    others
        Molecules that are brought to the anchors.
    """

    bonds: NDArray[np.int32]
    anchors: tuple[list[Any], ...]
    others: tuple[list[Any], ...]

    def apply(self, trajectory: md.Trajectory) -> None:
        """Move the atoms of frames, which must have a unit cell, in place."""
        # GRO and others give cells in float64, which mdtraj's code for images doesn't take.
        trajectory.unitcell_lengths = np.asarray(trajectory.unitcell_lengths, np.float32)
        trajectory.unitcell_angles = np.asarray(trajectory.unitcell_angles, np.float32)
        if self.anchors:
            trajectory.image_molecules(
                inplace=True,
                anchor_molecules=list(self.anchors),
                other_molecules=list(self.others),
                sorted_bonds=self.bonds if len(self.bonds) else None,
                make_whole=len(self.bonds) > 0,
            )
        elif len(self.bonds):
            trajectory.make_molecules_whole(inplace=True, sorted_bonds=self.bonds)


def make_imager(
    topology: md.Topology, image: str, atom_indices: NDArray[np.int64] | None, *, path: str
) -> Imager:
    """Find the molecules that some atoms belong to, and how their periodic images are to be undone.

    Parameters
    ----------
    topology
        All atoms. Where it names no bonds, those of standard residues are taken.
    image
        ``whole``, or ``anchor=`` and a selection of atoms whose molecules are brought together.
    atom_indices
        The atoms that matter; None for all. Molecules without one of them are left as they are.
    path
        Where the topology is from; for messages.

    Raises
    ------
    TrajectoryError
        If an atom that matters isn't bonded to the rest of its residue.
    SelectionError
        If the selection can't be used.
    """
    from scipy.sparse.csgraph import breadth_first_order, connected_components

    n_atoms = topology.n_atoms
    kept = np.arange(n_atoms) if atom_indices is None else atom_indices
    chosen = select_atoms(topology, image.removeprefix(ANCHOR)) if image.startswith(ANCHOR) else kept[:0]
    wanted = np.union1d(kept, chosen)
    bonds = np.array([(bond[0].index, bond[1].index) for bond in _with_bonds(topology).bonds], np.int64)
    bonds = bonds.reshape(-1, 2)
    _, molecule_of = connected_components(_graph(bonds, n_atoms), directed=False)
    _refuse_loose_atoms(topology, wanted, molecule_of, path)
    # A walk outwards from the lowest atom of each molecule, as mdtraj does; they hang on one more node.
    numbers, lowest = np.unique(molecule_of, return_index=True)
    lowest = lowest[np.isin(numbers, molecule_of[wanted])]
    hung = np.stack([np.full_like(lowest, n_atoms), lowest], axis=1)
    order, parents = breadth_first_order(
        _graph(np.concatenate([bonds, hung]), n_atoms + 1), n_atoms, directed=False
    )
    outwards = np.stack([parents[order], order], axis=1)[1:]
    atoms = list(topology.atoms)
    members: dict[int, list[Any]] = {int(number): [] for number in molecule_of[lowest]}
    for index in np.flatnonzero(np.isin(molecule_of, list(members))):
        members[int(molecule_of[index])].append(atoms[index])
    anchors = set(molecule_of[chosen].tolist())
    return Imager(
        np.ascontiguousarray(outwards[outwards[:, 0] < n_atoms], np.int32),
        tuple(molecule for number, molecule in members.items() if number in anchors),
        tuple(molecule for number, molecule in members.items() if number not in anchors),
    )


def _graph(bonds: NDArray[np.int64], n_nodes: int) -> Any:
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(bonds)), bonds.T), shape=(n_nodes, n_nodes)).tocsr()


def _with_bonds(topology: md.Topology) -> md.Topology:
    if topology.n_bonds:
        return topology
    # A copy, since readers share the topology.
    bonded = topology.copy()
    bonded.create_standard_bonds()
    return bonded


def _refuse_loose_atoms(
    topology: md.Topology, wanted: NDArray[np.int64], molecule_of: NDArray[np.int64], path: str
) -> None:
    """Refuse atoms that no bond ties to the rest of their residue: they would stay behind."""
    sizes = np.bincount(molecule_of)
    is_wanted = np.isin(np.arange(topology.n_atoms), wanted)
    loose: Counter[str] = Counter()
    example = ""
    for residue in topology.residues:
        # Virtual sites have no bonds in any topology.
        own = [atom.index for atom in residue.atoms if atom.element is None or atom.element.symbol != "VS"]
        if len(own) < 2 or not is_wanted[own].any():
            continue
        main, _ = Counter(molecule_of[own].tolist()).most_common(1)[0]
        behind = [k for k in own if sizes[main] == 1 or (is_wanted[k] and molecule_of[k] != main)]
        if behind:
            loose[residue.name] += 1
            example = example or f"{residue}-{topology.atom(behind[0]).name}"
    if loose:
        counted = ", ".join(f"{n} {name}" for name, n in loose.most_common(10))
        raise TrajectoryError(
            f"--image needs the bonds of the atoms kept, and {path} doesn't give them for these residues: "
            f"{counted} (such as {example}). Give a topology with bonds (prmtop, psf, a PDB with CONECT "
            "records), or keep only atoms whose bonds are known, such as those of the protein."
        )


@dataclass(frozen=True, slots=True)
class Jump:
    """Something that lies across the box from where it belongs.

    Attributes
    ----------
    frame
        Index of the frame among those looked at.
    what
        As in "ALA5-C and ALA6-N lie 4.1 nm apart, 0.13 nm by the nearest image".
    """

    frame: int
    what: str


class JumpCheck:
    """Looks for bonds, and for chains against their neighbours, that jump across the box.

    Chains are compared with the first frame that was looked at.

    Parameters
    ----------
    topology
        The atoms kept.
    """

    def __init__(self, topology: md.Topology) -> None:
        self._atoms = list(topology.atoms)
        pairs = {(bond.atom1.index, bond.atom2.index) for bond in _with_bonds(topology).bonds}
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

    def look(self, xyz: NDArray[np.float32], vectors: NDArray[np.float64]) -> list[Jump]:
        """Return the first jump of each frame that has one.

        Parameters
        ----------
        xyz
            Positions of the atoms kept, shape (n_frames, n_atoms, 3), nm.
        vectors
            Vectors of the unit cells, shape (n_frames, 3, 3), nm.
        """
        found = []
        for frame, (positions, box) in enumerate(zip(xyz.astype(np.float64), vectors, strict=True)):
            if np.isfinite(box).all() and abs(np.linalg.det(box)) > 1e-6:
                what = self._broken_pair(positions, box) or self._moved_chain(positions, box)
                if what:
                    found.append(Jump(frame, what))
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
