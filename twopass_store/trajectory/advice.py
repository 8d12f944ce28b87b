"""What a user should know about a selection, and a better one, which was tried before it is told."""

from collections.abc import Callable, Collection
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.core.element import Element
from numpy.typing import NDArray

from .atoms import counted, is_missed, is_solvent, symbol_of
from .expression import ELEMENT_WORDS, KIND_WORDS, matching, quoted, replaced, words_of

__all__ = ["explain_kinds", "selection_remarks", "solvent_remark"]

_MOSTLY = 0.5
# mdtraj's own lists.
_BACKBONE = "C CA N O"
_NO_SIDECHAIN = "C CA N O H HA"
_SHOWN_GUESSES = 12
_SYMBOLS = frozenset(symbol.upper() for symbol in Element._elements_by_symbol if len(symbol) == 2)


def selection_remarks(
    topology: md.Topology, selection: str, guessed: Callable[[], Collection[int]] = tuple
) -> list[str]:
    """Warn of what a selection unexpectedly leaves out or takes in, with better ones, which were tried.

    `guessed` returns the atoms whose elements aren't in the topology file, see `guessed_elements`.
    """
    by_element = words_of(selection) & ELEMENT_WORDS
    remark, better = explain_kinds(topology, selection)
    remarks = [_explain_guesses(topology, selection, guessed()) if by_element else "", remark]
    if selection.strip() not in ("all", "everything"):
        solvent, advice = solvent_remark(topology, matching(topology, better), better)
        remarks.append(solvent + (f'; to leave it out, use "{advice}"' if advice else ""))
    return [f"warning: {remark}" for remark in remarks if remark]


def explain_kinds(topology: md.Topology, selection: str) -> tuple[str, str]:
    """Say which residues words miss, as ``protein`` does HIE; returns a remark, and a better selection.

    That takes them for what they look like; the remark is empty if it changes nothing.
    """
    wider = dict.fromkeys(words_of(selection) & KIND_WORDS.keys(), "")
    for word in wider:
        kind = KIND_WORDS[word]
        whole = kind if kind in ("nucleic", "water") else "protein"
        missed = dict.fromkeys(residue.name for residue in topology.residues if is_missed(residue, whole))
        if missed:
            part = f"resname {quoted(missed)}"
            part = f"({part} and name {_BACKBONE})" if kind == "backbone" else part
            part = f"({part} and not name {_NO_SIDECHAIN})" if kind == "sidechain" else part
            wider[word] = f"({word} or {part})"
    better = replaced(selection, lambda word: wider.get(word) or word)
    if better == selection:
        return "", selection
    taken, meant = set(matching(topology, selection).tolist()), set(matching(topology, better).tolist())
    texts = []
    for verb, atoms in (("leaves out", meant - taken), ("takes", taken - meant)):
        if atoms:
            texts.append(f"{verb} {counted(_residue_names(topology, atoms))}")
    if not texts:
        return "", selection
    looks = " and ".join(sorted({KIND_WORDS[word] for word, text in wider.items() if text}))
    remark = f'"{selection}" {" and ".join(texts)}, which mdtraj doesn\'t count as {looks}'
    return f'{remark}; if they are, use "{better}" instead', better


def solvent_remark(
    topology: md.Topology, atom_indices: NDArray[np.int64], selection: str | None = None
) -> tuple[str, str]:
    """Say that most of some atoms are solvent, and how to leave it out of the `selection` of them, if any.

    Returns a remark, empty if at most half of the atoms are solvent; and a selection of the others, empty if
    there are none, or names alone don't tell them apart.
    """
    is_wet = np.zeros(topology.n_atoms, bool)
    for residue in topology.residues:
        if is_solvent(residue):
            is_wet[[atom.index for atom in residue.atoms]] = True
    wet, dry = atom_indices[is_wet[atom_indices]], atom_indices[~is_wet[atom_indices]]
    if len(wet) <= _MOSTLY * len(atom_indices):
        return "", ""
    names = _residue_names(topology, wet)
    remark = (
        f"{len(wet) / len(atom_indices):.0%} of the {len(atom_indices)} atoms are solvent ({counted(names)})"
    )
    within = "" if selection is None else f"({selection}) and "
    residues, atoms = (
        quoted(sorted(set(names))),
        quoted(sorted({topology.atom(i).name for i in wet.tolist()})),
    )
    # A ligand may have the name of an ion.
    for outside in (f"not resname {residues}", f"not (resname {residues} and name {atoms})"):
        if len(dry) and np.array_equal(matching(topology, within + outside), dry):
            return remark, within + outside
    return remark, ""


def _explain_guesses(topology: md.Topology, selection: str, guessed: Collection[int]) -> str:
    """Say which elements are guesses: first of residues that are selected, and those that may be wrong."""
    chosen = {topology.atom(index).residue for index in matching(topology, selection).tolist()}
    guesses: dict[str, tuple[bool, int]] = {}
    for index in sorted(guessed):
        atom = topology.atom(index)
        symbol = symbol_of(atom) or "none"
        is_usual = symbol in tuple("CHNO") or atom.name in ("P", "SD", "SG")
        is_usual &= atom.residue.is_protein or atom.residue.is_nucleic or is_solvent(atom.residue)
        is_doubtful = not atom.name.startswith(symbol) or atom.name[:2].upper() in _SYMBOLS
        rank = (atom.residue not in chosen, 2 if is_usual else int(not is_doubtful))
        text = f"{atom.name} is {symbol}"
        guesses[text] = min(rank, guesses.get(text, rank))
    if not guesses:
        return ""
    shown = sorted(guesses, key=guesses.__getitem__)
    rest = f" and {len(shown) - _SHOWN_GUESSES} more" if len(shown) > _SHOWN_GUESSES else ""
    return (
        f'"{selection}" uses elements that the topology file doesn\'t have, guessed from names: '
        f"{', '.join(shown[:_SHOWN_GUESSES])}{rest}; if one is wrong, select by name, or ingest with a "
        "topology file that has elements (`top`)"
    )


def _residue_names(topology: md.Topology, atoms: Any) -> list[str]:
    residues = dict.fromkeys(topology.atom(int(index)).residue for index in sorted(atoms))
    return [residue.name for residue in residues]
