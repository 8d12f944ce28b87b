"""Whether the atoms chosen of two topologies match: of apo and holo, mutants, with and without solvent."""

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

__all__ = ["AtomMatch", "match_atoms"]


@dataclass(frozen=True, slots=True)
class AtomMatch:
    """How the chosen atoms of a topology compare with those of a reference.

    Attributes
    ----------
    difference
        The first one that keeps them from matching, such as ``"atom 17 is ALA3-CX and atom 12 is ALA3-CA"``;
        None where they match.
    mutated
        Residues of equal number whose names differ, such as ``"ALA12→VAL"``.
    is_renumbered
        Whether residues of equal name have other numbers.
    """

    difference: str | None
    mutated: tuple[str, ...] = ()
    is_renumbered: bool = False


def match_atoms(
    topology: md.Topology,
    atom_indices: NDArray[np.int64] | None,
    reference: md.Topology,
    reference_indices: NDArray[np.int64] | None,
) -> AtomMatch:
    """Compare chosen atoms in order: atom names must agree, and residues by their number or their name.

    A residue of the same number with another name is a mutation, one of the same name with another number a
    renumbering: both match. Where number and name differ, the sequences are shifted against each other, and
    nothing says which atom stands for which.

    Parameters
    ----------
    topology, reference
        All atoms of both.
    atom_indices, reference_indices
        Those chosen, ascending; None for all.
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
    symbols = {one.element.symbol for one in (atom, expected) if one.element is not None}
    # Some topology files name no elements, or call what they don't know a virtual site.
    return len(symbols - {"VS"}) <= 1


def _difference(atom: Any, expected: Any) -> str:
    texts = [
        "there is no further one" if one is None else f"atom {one.index} is {one}" for one in (atom, expected)
    ]
    if atom is not None and expected is not None and not _have_same_element(atom, expected):
        texts = [f"{text} ({one.element.name})" for text, one in zip(texts, (atom, expected), strict=True)]
    return " and ".join(texts)
