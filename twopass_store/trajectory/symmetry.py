"""Equivalent atoms: those that a renumbering of the same molecules exchanges.

Permutations are products of levels, each a list of permutations of which one is taken: a residue swapped or
not, or the images of one atom of a ligand while those before it stay (its transversal in a stabiliser chain).
So their number is known before any is made, and no product comes twice.

References
----------
Sims, in: Computational Problems in Abstract Algebra (1970) 169: a group from transversals.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import prod
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .atoms import has_polymer_name, is_solvent, symbol_of
from .expression import quoted

__all__ = ["find_symmetry"]

MAX_PERMUTATIONS = 1_000

_RING = (("CD1", "CD2"), ("CE1", "CE2"))
_PAIRS = {
    "ARG": (("NH1", "NH2"),),
    "ASP": (("OD1", "OD2"),),
    "GLU": (("OE1", "OE2"),),
    "LEU": (("CD1", "CD2"),),
    "PHE": _RING,
    "TYR": _RING,
    "VAL": (("CG1", "CG2"),),
}

Mapping = dict[int, int]  # a permutation: which atom comes to the place of which, without those that stay


@dataclass(frozen=True, slots=True, eq=False)
class Symmetry:
    """The permutations of equivalent atoms, the identity first."""

    atoms: NDArray[np.int64]  # that any of them moves, ascending, shape (n_moved,)
    permutations: NDArray[np.int64]  # in the place of each, shape (n_permutations, n_moved)
    text: str  # their number, and what contributes how many


@dataclass(frozen=True, slots=True)
class _Part:
    """Independent permutations of one residue, ligand or set of chains."""

    kind: str
    label: str
    levels: list[list[Mapping]]

    @property
    def size(self) -> int:
        return prod(map(len, self.levels))


def find_symmetry(
    topology: md.Topology,
    atom_indices: NDArray[np.int64],
    *,
    chains: bool = False,
    guessed: Collection[int] = (),
    select: str | None = None,
) -> tuple[Symmetry | None, list[str]]:
    """Permutations of equivalent atoms, each different on the chosen atoms, and none that leads out of them.

    In the amino acids Arg, Asp, Glu, Leu, Phe, Tyr and Val, atoms are equivalent by name, together with their
    hydrogens; in residues that are neither protein, nucleic acid, water nor single ions, by the bonds and the
    elements: every automorphism counts. Atoms bonded to other molecules stay.

    Parameters
    ----------
    topology
        All atoms, with bonds.
    atom_indices
        The chosen atoms, ascending, shape (n_selected,).
    chains
        Whether chains with the same residues, atoms and bonds are exchanged, too.
    guessed
        Atoms whose elements aren't in the topology file: they are told apart by their names.
    select
        The selection that chose the atoms, to write a smaller one.

    Returns
    -------
    The permutations, None if there is only the identity; and what the user should know.

    Raises
    ------
    ConfigError
        If there are more than `MAX_PERMUTATIONS`, or networkx is needed and isn't there.
    """
    parts, remarks = _find_parts(topology, atom_indices, chains, guessed)
    n_permutations = _size(parts)
    if n_permutations > MAX_PERMUTATIONS:
        raise ConfigError(_too_many(topology, atom_indices, chains, guessed, parts, select))
    if n_permutations == 1:
        return None, remarks
    moved = np.array(sorted(_moved(parts)), np.int64)
    place = {atom: number for number, atom in enumerate(moved.tolist())}
    found = np.arange(len(moved))[np.newaxis]
    for level in (level for part in parts for level in part.levels):
        images = [[place[mapping.get(atom, atom)] for atom in place] for mapping in level]
        found = found[:, images].reshape(-1, len(moved))
    # In an order that doesn't depend on which of equal permutations was found first.
    chosen = np.flatnonzero(np.isin(moved, atom_indices))
    order = np.lexsort(found[:, chosen[::-1]].T)
    ranked = sorted(parts, key=lambda part: part.size)
    sizes = [(n, [part.label for part in some]) for n, some in groupby(ranked, key=lambda part: part.size)]
    told = "; ".join(f"{', '.join(labels)}: {n}{' each' * (len(labels) > 1)}" for n, labels in sizes)
    return Symmetry(moved, moved[found[order]], f"{n_permutations} permutations ({told})"), remarks


def _find_parts(
    topology: md.Topology, atom_indices: NDArray[np.int64], chains: bool, guessed: Collection[int]
) -> tuple[list[_Part], list[str]]:
    selected, unknown = set(atom_indices.tolist()), set(guessed)
    neighbours: dict[int, set[int]] = {atom.index: set() for atom in topology.atoms}
    for one, other in topology.bonds:
        neighbours[one.index].add(other.index)
        neighbours[other.index].add(one.index)
    parts = list(_chain_parts(topology, selected, neighbours)) if chains else []
    has_chains, loose = bool(parts), []
    for chain in topology.chains:
        colours: dict[int, tuple[str, bool]] = {}
        for residue in chain.residues:
            swap = _named_swap(residue, selected)
            if swap:
                parts.append(_Part(residue.name, _label(residue), [[{}, swap]]))
            if has_polymer_name(residue) or is_solvent(residue):
                continue
            symbols = {atom: "" if atom.index in unknown else symbol_of(atom) for atom in residue.atoms}
            for atom, symbol in symbols.items():
                colours[atom.index] = (symbol or f"named {atom.name}", atom.index in selected)
            chosen = [atom for atom in residue.atoms if atom.index in selected]
            if len(chosen) > 1 and not all(symbols[atom] and neighbours[atom.index] for atom in chosen):
                loose.append(_label(residue))
        parts += _ligand_parts(topology, colours, neighbours) if selected & colours.keys() else []
    remarks = []
    if loose:
        shown = ", ".join(loose[:5]) + (", …" if len(loose) > 5 else "")
        remarks.append(
            f"warning: --symmetry: the topology lacks bonds or elements of atoms of {shown}, so it isn't "
            "known which are equivalent: ingest with one that has both (prmtop, psf, mol2, a PDB with CONECT)"
        )
    if chains and not has_chains:
        remarks.append(
            "warning: --symmetry: no two chains with selected atoms have the same residues, atoms and bonds"
        )
    return parts, remarks


def _label(residue: Any) -> str:
    chain = f" {_chain_name(residue.chain)}" if residue.chain.topology.n_chains > 1 else ""
    return f"{residue.name} {residue.resSeq}{chain}"


def _chain_name(chain: Any) -> str:
    return (chain.chain_id or "").strip() or str(chain.index)


def _named_swap(residue: Any, selected: set[int]) -> Mapping:
    """Swap the named atoms with their hydrogens; empty if one side has others, as where it is protonated."""
    name = residue.name.strip().upper()
    name = name[1:] if len(name) == 4 and name[0] in "NC" else name
    if name not in _PAIRS:
        return {}
    # 1HD1 is HD11, too.
    index = {
        (bare := atom.name.lstrip("0123456789")) + atom.name[: len(atom.name) - len(bare)]: atom.index
        for atom in residue.atoms
    }
    swap: Mapping = {}
    for pair in _PAIRS[name]:
        one, other = (
            [index[each] for each in sorted(index) if each == of or each.startswith(f"H{of[1:]}")]
            for of in pair
        )
        if len(one) != len(other):
            return {}
        swap |= dict(zip(one + other, other + one, strict=True))
    leads_out = any((one in selected) != (other in selected) for one, other in swap.items())
    return {} if leads_out or selected.isdisjoint(swap) else swap


def _ligand_parts(
    topology: md.Topology, colours: dict[int, tuple[str, bool]], neighbours: dict[int, set[int]]
) -> Iterator[_Part]:
    """Yield the automorphisms of the molecules that some atoms of a chain make up."""
    try:
        import networkx as nx
    except ImportError as error:
        raise ConfigError(
            "The equivalent atoms of ligands are found by networkx, which isn't installed: "
            "pip install 'twopass-store[symmetry]'"
        ) from error
    graph = nx.Graph()
    graph.add_nodes_from(colours)
    graph.add_edges_from((one, other) for one in colours for other in neighbours[one] if other in colours)
    for members in nx.connected_components(graph):
        atoms = sorted(members)
        place = {atom: number for number, atom in enumerate(atoms)}
        # An atom that is bonded to something else has a colour of its own.
        anchors = [place[atom] if neighbours[atom] - members else -1 for atom in atoms]
        own = tuple((*colours[atom], anchor) for atom, anchor in zip(atoms, anchors, strict=True))
        edges = tuple((place[one], place[other]) for one, other in graph.subgraph(members).edges)
        levels = [
            [{atoms[one]: atoms[other] for one, other in mapping.items()} for mapping in level]
            for level in _automorphisms(own, edges)
        ]
        if levels:
            residue = topology.atom(min(atom for atom in levels[0][1] if colours[atom][1])).residue
            yield _Part(residue.name, _label(residue), levels)


@lru_cache(maxsize=64)
def _automorphisms(
    colours: tuple[tuple[str, bool, int], ...], edges: tuple[tuple[int, int], ...]
) -> list[list[Mapping]]:
    """Find the levels of a connected graph's automorphisms, by their action on the selected atoms."""
    import networkx as nx

    graph = nx.Graph(edges)
    graph.add_nodes_from(range(len(colours)))
    # Colours become integers, so that networkx goes through them in the same order always.
    refined = _refine(graph, dict(enumerate(colours)))
    levels: list[list[Mapping]] = []
    for atom in (atom for atom, (_, is_selected, _) in enumerate(colours) if is_selected):
        alike = [each for each in refined if refined[each] == refined[atom] and each != atom]
        if not alike:
            continue
        level: list[Mapping] = [{}]
        for other in alike:
            sides = graph.copy(), graph.copy()
            for side, marked in zip(sides, (atom, other), strict=True):
                nx.set_node_attributes(side, {**refined, marked: -1}, "colour")
            found = nx.vf2pp_isomorphism(*sides, node_label="colour")
            if found is not None:
                level.append({one: to for one, to in found.items() if one != to})
        if len(level) > 1:
            levels.append(level)
        refined = _refine(graph, {**refined, atom: -1})
    return levels


def _refine(graph: Any, colours: dict[int, Any]) -> dict[int, Any]:
    """Tell atoms apart by the colours of their neighbours, again and again."""
    n_colours = 0
    while len(set(colours.values())) > n_colours:
        n_colours = len(set(colours.values()))
        numbers: dict[Any, int] = {}
        around = {one: tuple(sorted(map(hash, (colours[other] for other in graph[one])))) for one in colours}
        colours = {
            one: numbers.setdefault((colour, around[one]), len(numbers)) for one, colour in colours.items()
        }
    return colours


def _chain_parts(
    topology: md.Topology, selected: set[int], neighbours: dict[int, set[int]]
) -> Iterator[_Part]:
    """Yield the exchanges of chains with the same residues, atoms and bonds; solvent in a chain stays."""
    alike: dict[Any, list[tuple[str, list[int]]]] = {}
    for chain in topology.chains:
        atoms = [atom for residue in chain.residues if not is_solvent(residue) for atom in residue.atoms]
        place = {atom.index: number for number, atom in enumerate(atoms)}
        if selected.isdisjoint(place):
            continue
        signature = tuple(
            (
                *(place[next(atom.residue.atoms).index], atom.residue.name, atom.name, symbol_of(atom)),
                atom.index in selected,
                # -1 is an atom of another chain.
                *sorted(place.get(other, -1) for other in neighbours[atom.index]),
            )
            for atom in atoms
        )
        alike.setdefault(signature, []).append((_chain_name(chain), list(place)))
    for chains in alike.values():
        if len(chains) == 1:
            continue
        names, atoms_of = zip(*chains, strict=True)
        swaps: list[list[Mapping]] = [
            [{}, *(dict(zip(some + others, others + some, strict=True)) for others in atoms_of[first:])]
            for first, some in enumerate(atoms_of[:-1], start=1)
        ]
        yield _Part("chains", f"chains {', '.join(names)}", swaps)


def _too_many(
    topology: md.Topology,
    atom_indices: NDArray[np.int64],
    chains: bool,
    guessed: Collection[int],
    parts: list[_Part],
    select: str | None,
) -> str:
    """Say what contributes most, and which atoms to leave out."""
    n_permutations, most = _size(parts), _largest(parts)
    what = most[0].label if len(most) == 1 else f"{len(most)} residues {most[0].kind}"
    problem = (
        f"--symmetry: the selected atoms have {n_permutations:,} permutations, more than the "
        f"{MAX_PERMUTATIONS:,} that are compared at most; a factor of {_size(most):,} comes from {what}."
    )
    option, left_out = "--symmetry auto,chains" if chains else "--symmetry auto", []
    left, atoms = set(atom_indices.tolist()), list(topology.atoms)
    hydrogens = {atom.index for atom in atoms if symbol_of(atom) == "H"}
    if all(atom.element for atom in atoms) and hydrogens & left & _moved(parts):
        left -= hydrogens
        left_out.append("element H")
        parts, _ = _find_parts(topology, np.array(sorted(left)), chains, guessed)
    while _size(parts) > MAX_PERMUTATIONS:
        most = _largest(parts)
        parts = [part for part in parts if part.kind != most[0].kind]
        if most[0].kind == "chains":
            option = "--symmetry auto"
            continue
        moved = left & _moved(most)
        left -= moved
        for residue in dict.fromkeys(atoms[atom].residue.name for atom in sorted(moved)):
            names = sorted({atoms[atom].name for atom in moved if atoms[atom].residue.name == residue})
            left_out.append(f"(resname {quoted([residue])} and name {quoted(names)})")
    if not left:
        return f"{problem} Leave the option out, or select other atoms."
    base = "element != H and not water" if select is None else f"({select})"
    smaller = f' --select "{" and not ".join([base, *left_out])}"' if left_out else ""
    return f"{problem} It works with: {option}{smaller}"


def _largest(parts: list[_Part]) -> list[_Part]:
    """Return the parts of the kind that contributes most."""
    kinds = dict.fromkeys(part.kind for part in parts)
    return max(([part for part in parts if part.kind == kind] for kind in kinds), key=_size)


def _size(parts: list[_Part]) -> int:
    return prod(part.size for part in parts)


def _moved(parts: list[_Part]) -> set[int]:
    return {atom for part in parts for level in part.levels for mapping in level for atom in mapping}
