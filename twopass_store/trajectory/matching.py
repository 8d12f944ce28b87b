"""Match chosen atoms of two topologies: apo and holo, mutants, with and without solvent."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import TopologyMismatchError, TrajectoryError
from .atoms import symbol_of

__all__ = ["match_atoms", "place_atoms"]


@dataclass(frozen=True, slots=True)
class AtomMatch:
    """How the chosen atoms of a topology compare with those of a reference."""

    difference: str | None  # the first, such as "atom 17 is ALA3-CX and atom 12 is ALA3-CA"; None: they match
    mutated: tuple[str, ...] = ()  # residues of the same number whose names differ, such as "ALA12→VAL"
    is_renumbered: bool = False  # residues of the same name have other numbers


def match_atoms(
    topology: md.Topology,
    atom_indices: NDArray[np.int64] | None,
    reference: md.Topology,
    reference_indices: NDArray[np.int64] | None,
) -> AtomMatch:
    """Compare chosen atoms in order: atom names must agree, and residues by their number or their name.

    A residue of the same number with another name is a mutation, one of the same name with another number is
    renumbered: both match. If number and name differ, the sequences are shifted against each other, and
    nothing says which atoms correspond. Indices ascend; None is all atoms.
    """
    mutated: dict[str, None] = {}
    is_renumbered = False
    last: tuple[Any, Any] = (None, None)
    pairs = zip_longest(_chosen(topology, atom_indices), _chosen(reference, reference_indices))
    for atom, expected in pairs:
        if atom is None or expected is None or not _is_same(atom, expected, last):
            return AtomMatch(_difference(atom, expected))
        residue, other = atom.residue, expected.residue
        if residue.name != other.name:
            mutated[f"{other}→{residue.name}"] = None
        is_renumbered = is_renumbered or residue.resSeq != other.resSeq
        last = residue, other
    return AtomMatch(None, tuple(mutated), is_renumbered)


def _chosen(topology: md.Topology, indices: NDArray[np.int64] | None) -> list[Any]:
    atoms = list(topology.atoms)
    return atoms if indices is None else [atoms[index] for index in indices]


def _is_same(atom: Any, expected: Any, last: tuple[Any, Any]) -> bool:
    residue, other = atom.residue, expected.residue
    return (
        atom.name == expected.name
        and _have_same_element(atom, expected)
        # Both go on in their residue, or both begin the next one.
        and (residue is last[0]) == (other is last[1])
        and (residue.name == other.name or residue.resSeq == other.resSeq)
    )


def _have_same_element(atom: Any, expected: Any) -> bool:
    # Some topology files name no elements, or call what they don't know a virtual site.
    return len({symbol_of(atom), symbol_of(expected)} - {""}) <= 1


def _difference(atom: Any, expected: Any) -> str:
    texts = [
        "there is no further one" if one is None else f"atom {one.index} is {one}" for one in (atom, expected)
    ]
    if atom is not None and expected is not None and not _have_same_element(atom, expected):
        texts = [f"{text} ({one.element.name})" for text, one in zip(texts, (atom, expected), strict=True)]
    return " and ".join(texts)


def place_atoms(
    xyz: NDArray[np.float32],
    structure: md.Topology,
    topology: md.Topology,
    *,
    required: NDArray[np.int64],
    name: str,
) -> NDArray[np.float32]:
    """Order the atoms of structures, shape (n_models, n_structure_atoms, 3), as in another topology.

    Atoms are matched by chain, residue number, residue name and atom name; if chains have other names, by the
    other three; in mutants, by residue number and atom name. Each match must be unambiguous. Atoms of
    `topology` that the structures lack are NaN.

    Raises a `TopologyMismatchError` if one that is `required` (indices) is missing, a `TrajectoryError` if
    its position isn't finite; `name` is what they call the structures.
    """
    source = np.full(topology.n_atoms, -1, np.int64)
    for key in _KEYS:
        theirs = Counter(map(key, structure.atoms))
        ours = Counter(map(key, topology.atoms))
        index_of = {key(atom): atom.index for atom in structure.atoms if theirs[key(atom)] == 1}
        for atom in topology.atoms:
            if source[atom.index] < 0 and ours[key(atom)] == 1:
                source[atom.index] = index_of.get(key(atom), -1)
    missing = required[source[required] < 0]
    if len(missing):
        listed = ", ".join(str(topology.atom(index)) for index in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise TopologyMismatchError(
            f"{name} has no atom, or several, for {listed}{more} of the store, which the RMSD is over. Give "
            "a structure with the residue numbers and atom names of the trajectories' topology, or select "
            "atoms that it has (`select`)."
        )
    ordered = np.full((len(xyz), topology.n_atoms, 3), np.nan, np.float32)
    is_there = source >= 0
    ordered[:, is_there] = xyz[:, source[is_there]]
    if not np.isfinite(ordered[:, required]).all():
        raise TrajectoryError(f"{name} has positions that aren't finite numbers. Mend or leave it out.")
    return ordered


_KEYS: tuple[Callable[[Any], tuple[Any, ...]], ...] = (
    lambda atom: (atom.residue.chain.chain_id, atom.residue.resSeq, atom.residue.name, atom.name),
    lambda atom: (atom.residue.resSeq, atom.residue.name, atom.name),
    lambda atom: (atom.residue.resSeq, atom.name),
)
