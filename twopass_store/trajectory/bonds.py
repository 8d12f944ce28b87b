"""Whether bonds have the lengths of bonds, as atoms in another order haven't, and jump across the box."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from .atoms import is_solvent, symbol_of

if TYPE_CHECKING:
    from .stream import Block

__all__ = ["BondCheck", "JumpCheck", "OddBonds"]

COVALENT_RADII_NM = {
    "H": 0.031, "B": 0.084, "C": 0.076, "N": 0.071, "O": 0.066, "F": 0.057, "Si": 0.111, "P": 0.107,
    "S": 0.105, "Cl": 0.102, "Se": 0.120, "Br": 0.120, "I": 0.139,
}  # fmt: skip
"""Cordero et al., Dalton Trans. (2008) 2832; bonds of metals vary too much to judge."""

STRETCHED = 0.25  # part by which bonds may differ from the sum of the radii: triple bonds do by 0.22
C_ALPHAS_NM = (0.25, 0.45)  # distance of neighbouring C-alphas: 0.29 if cis, 0.38 if trans
CHAIN_BREAKS = 0.1  # share of the pairs up to which those between residues may be odd: loops are missing
NEAR_NM = 1.0  # neighbouring residues of a chain lie nearer than this, by the nearest image


@dataclass(frozen=True, slots=True)
class OddBonds:
    """Bonds of one file whose lengths are implausible in most frames."""

    n_odd: int
    n_pairs: int
    worst: str
    is_other_order: bool  # most are odd, though the atoms lie as close to each other as in a molecule

    @property
    def share(self) -> float:
        """Share of the pairs looked at."""
        return self.n_odd / self.n_pairs


class BondCheck:
    """Compares bonds, and neighbouring C-alphas, of the atoms kept with lengths that they can have.

    Judged are bonds between non-metals within a residue or to the next one. Beads and virtual sites, which
    have no true elements, aren't; bonds of `guessed` elements only in proteins and nucleic acids.
    """

    def __init__(self, topology: md.Topology, guessed: NDArray[np.int64]) -> None:
        self._atoms = list(topology.atoms)
        names = [{atom.name for atom in residue.atoms} for residue in topology.residues]
        is_polymer = [{"N", "CA", "C"} <= each or {"C3'", "C4'"} <= each for each in names]
        unknown = set(guessed.tolist())
        bonds = [(a, b, *lengths) for a, b in topology.bonds if (lengths := _plausible(a, b))]
        # Polymers of beads can bear the names of elements, but have no hydrogens.
        has_hydrogens = any("H" in (symbol_of(a), symbol_of(b)) for a, b, *_ in bonds)
        pairs = [
            each
            for each in bonds
            if all(is_polymer[atom.residue.index] for atom in each[:2])
            or (has_hydrogens and not {each[0].index, each[1].index} & unknown)
        ]
        self._has_bonds = bool(pairs)
        for chain in topology.chains:
            for one, other in pairwise(chain.residues):
                ends = [next(each.atoms_by_name("CA"), None) for each in (one, other) if each.is_protein]
                if len(ends) == 2 and all(ends) and other.resSeq == one.resSeq + 1:
                    pairs.append((ends[0], ends[1], *C_ALPHAS_NM))
        self._pairs = np.array([(a.index, b.index) for a, b, *_ in pairs], np.int64).reshape(-1, 2)
        self._low, self._high = np.array([each[2:] for each in pairs]).reshape(-1, 2).T
        self._is_within = np.array([a.residue is b.residue for a, b, *_ in pairs], bool)

    def look(self, blocks: Sequence["Block"]) -> OddBonds | None:
        """Judge the frames of one file; None if the lengths are plausible, or nothing can be judged."""
        frames = [frame for block in blocks for frame in self._lengths(block)]
        if not len(self._pairs) or not frames:
            return None
        # The median: a frame before minimization, or a bond that breaks, doesn't count.
        lengths = np.median(frames, axis=0)
        off = np.maximum(self._low / np.maximum(lengths, 1e-6), lengths / self._high)
        odd = off > 1
        share = odd.mean()
        if not (odd & self._is_within).any() and share <= CHAIN_BREAKS:
            return None
        worst = int(np.where(odd, off, 0).argmax())
        one, other = (self._atoms[index] for index in self._pairs[worst])
        text = f"{one} to {other}, {lengths[worst]:.3g} nm"
        is_other_order = bool(share > 0.5 and self._is_molecule(blocks[0]))
        return OddBonds(int(odd.sum()), len(odd), text, is_other_order)

    def _lengths(self, block: "Block") -> NDArray[np.float64]:
        """Lengths by the nearest image, shape (n_frames, n_pairs)."""
        positions = block.xyz.astype(np.float64)
        apart = positions[:, self._pairs[:, 1]] - positions[:, self._pairs[:, 0]]
        for frame, box in _cells(block):
            apart[frame] = _nearest(apart[frame], box)
        return np.asarray(np.linalg.norm(apart, axis=2))

    def _is_molecule(self, block: "Block") -> bool:
        """Tell whether most atoms have a neighbour as near as in a molecule, whatever the topology says."""
        positions = block.xyz[0, np.unique(self._pairs)]
        if not np.isfinite(positions).all():
            return False
        from scipy.spatial import KDTree  # takes 0.15 s to import

        nearest = KDTree(positions).query(positions, k=2)[0][:, 1]
        low, high = (0.09, 0.17) if self._has_bonds else (0.36, 0.40)
        return bool(((nearest > low) & (nearest < high)).mean() > 0.7)


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
                self._chains.append((chain.chain_id or str(chain.index), atoms))
            for residue, following in pairwise(residues):
                # Where few atoms are kept, no bonds are left: C-alphas are neighbours all the same.
                if _is_polymer(residue) and _is_polymer(following):
                    pairs.add((next(residue.atoms).index, next(following.atoms).index))
        self._pairs = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
        self._first: NDArray[np.float64] | None = None

    def look(self, block: "Block") -> dict[int, str]:
        """Find the first jump of each frame that has a unit cell; by index of the frame."""
        found = {}
        for frame, box in _cells(block):
            positions = block.xyz[frame].astype(np.float64)
            if what := self._broken_pair(positions, box) or self._moved_chain(positions, box):
                found[frame] = what
        return found

    def _broken_pair(self, positions: NDArray[np.float64], box: NDArray[np.float64]) -> str | None:
        apart = positions[self._pairs[:, 1]] - positions[self._pairs[:, 0]]
        nearest = _nearest(apart, box)
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


def _cells(block: "Block") -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the frames that have a unit cell, by index, and its vectors."""
    for frame, box in enumerate(() if block.unitcell_vectors is None else block.unitcell_vectors):
        if np.isfinite(box).all() and abs(np.linalg.det(box)) > 1e-6:
            yield frame, box


def _nearest(apart: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors between atoms by the nearest image."""
    return np.asarray(apart - np.round(apart @ np.linalg.inv(box)) @ box)


def _is_polymer(residue: Any) -> bool:
    return bool(residue.is_protein or residue.is_nucleic) or any(atom.name == "CA" for atom in residue.atoms)


def _plausible(one: Any, other: Any) -> tuple[float, float] | None:
    """Range of a bond's length, nm; None of metals, across residues, and where it keeps a water rigid."""
    symbols = symbol_of(one), symbol_of(other)
    is_near = one.residue is other.residue or abs(one.residue.resSeq - other.residue.resSeq) == 1
    if not is_near or symbols == ("H", "H") or not COVALENT_RADII_NM.keys() >= {*symbols}:
        return None
    length = sum(COVALENT_RADII_NM[symbol] for symbol in symbols)
    return (1 - STRETCHED) * length, (1 + STRETCHED) * length
