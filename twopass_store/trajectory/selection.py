"""Atoms by an expression of mdtraj's selection language, or by a group of a GROMACS index file (.ndx).

And what a user should know about a selection, with a better one, which was tried before it is told.
"""

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from mdtraj.core.element import Element
from numpy.typing import NDArray

from ..errors import SelectionError
from .atoms import counted, is_missed, is_solvent, symbol_of
from .expression import (
    ELEMENT_WORDS,
    KIND_WORDS,
    NUMBER_WORDS,
    check_expression,
    matching,
    quoted,
    refuse,
    replaced,
    words_of,
)
from .formats import check_file, reading

__all__ = ["read_index_group", "select_atoms", "selection_remarks", "solvent_remark"]

_MOSTLY = 0.5
# mdtraj's own lists.
_BACKBONE = "C CA N O"
_NO_SIDECHAIN = "C CA N O H HA"
_SHOWN_GUESSES = 12
_SYMBOLS = frozenset(symbol.upper() for symbol in Element._elements_by_symbol if len(symbol) == 2)


def select_atoms(topology: md.Topology, selection: str) -> NDArray[np.int64]:
    """Atoms that match an expression of mdtraj's selection language: ascending indices, shape (n_selected,).

    Raises a `SelectionError` if it can't be parsed or matches no atom.
    """
    names = {
        "name": {atom.name for atom in topology.atoms},
        "resname": {residue.name for residue in topology.residues},
    }
    compared = check_expression(selection, names=names)
    try:
        found = matching(topology, selection)
    except Exception as error:  # mdtraj lets through whatever parsing and comparing raise
        if isinstance(error, AttributeError):
            problem = "it asks for elements, and some atoms have none in the topology file: select by name"
        else:
            problem = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        place = re.search(r"\(at char (\d+)\)", str(error))
        refuse(selection, int(place[1]) if place else 0, "mdtraj can't read it" if place else problem)
    if not len(found):
        raise SelectionError(
            f"The selection {selection!r:.120} matches none of the {topology.n_atoms} atoms"
            f": {_why_none(topology, selection, compared, names)}"
        )
    return found


def _why_none(
    topology: md.Topology, selection: str, compared: list[tuple[str, str]], names: dict[str, set[str]]
) -> str:
    residues = f"the residues are {counted(residue.name for residue in topology.residues)}"
    for word, value in compared:
        known = names.get({"resn": "resname"}.get(word, word))
        if known is not None and value not in known:
            by_case = {name.upper(): name for name in sorted(known)}
            close = get_close_matches(value.upper(), by_case, 1)
            hint = f'did you mean "{word} {quoted([by_case[close[0]]])}"?' if close else f"{residues}."
            return f'there is no {word} "{value:.40}"; {hint}'
    remark, _ = _explain_kinds(topology, selection)
    counts = "resid and chainid count from 0, and residue is the number in the file"
    return f"{remark or (counts if words_of(selection) & NUMBER_WORDS else residues)}."


def read_index_group(path: str | Path, group: str, *, n_atoms: int) -> tuple[NDArray[np.int64], str]:
    """Atoms of a group of an index file, and a remark if its order or duplicates are not kept, or "".

    The file has ``[ name ]`` lines, each followed by the numbers of its atoms, from 1. `group` is a name, of
    which the first counts, or a number from 0 if no group has that name. Returns ascending indices from 0.

    Raises a `TrajectoryError` if the file is missing or is no index file, a `SelectionError` if there is no
    such group, or it is empty or beyond the `n_atoms` of the topology.
    """
    file = check_file(path)
    wanted = group.strip()
    with reading(file, "the index groups"):
        groups = _parse_index_groups(file)
    found = [numbers for name, numbers in groups if name == wanted]
    found = found or [numbers for k, (_, numbers) in enumerate(groups) if str(k) == wanted]
    listed = ", ".join(f"{k} {name[:40]} ({len(atoms)} atoms)" for k, (name, atoms) in enumerate(groups[:30]))
    listed += ", …" if len(groups) > 30 else ""
    if not found:
        raise SelectionError(f"There is no group {wanted!r:.80} in {file}. There are: {listed}.")
    numbers = found[0]
    if not len(numbers):
        raise SelectionError(f"The group {group!r} of {file} is empty. Use another one: {listed}.")
    outside = numbers[(numbers < 1) | (numbers > n_atoms)]
    if len(outside):
        raise SelectionError(
            f"The group {group!r} of {file} has atom {outside[0]}, and the topology has atoms 1 to "
            f"{n_atoms}. Give the index file that was made for these very atoms."
        )
    unique = np.unique(numbers)
    remarks = []
    if len(unique) < len(numbers):
        remarks.append(f"{len(numbers) - len(unique)} atoms are listed twice and taken once")
    if (np.diff(numbers) < 0).any():
        remarks.append("its atoms are taken in the topology's order, not in the file's")
    return unique - 1, "; ".join(remarks)


def _parse_index_groups(file: Path) -> list[tuple[str, NDArray[np.int64]]]:
    groups: list[tuple[str, list[NDArray[np.int64]]]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        text = line.partition(";")[0].strip()
        if text.startswith("[") and text.endswith("]"):
            groups.append((text[1:-1].strip(), [np.empty(0, np.int64)]))
        elif text and not groups:
            raise ValueError(f"line {number} comes before the first [ group ]")
        elif text:
            groups[-1][1].append(np.array(text.split(), np.int64))
    if not groups:
        raise ValueError("there is no [ group ] in it")
    return [(name, np.concatenate(lines)) for name, lines in groups]


def selection_remarks(
    topology: md.Topology, selection: str, guessed: Callable[[], Collection[int]] = tuple
) -> list[str]:
    """Warn of what a selection unexpectedly leaves out or takes in, with better ones, which were tried.

    `guessed` returns the atoms whose elements aren't in the topology file, see `guessed_elements`.
    """
    by_element = words_of(selection) & ELEMENT_WORDS
    remark, better = _explain_kinds(topology, selection)
    remarks = [_explain_guesses(topology, selection, guessed()) if by_element else "", remark]
    if selection.strip() not in ("all", "everything"):
        solvent, advice = solvent_remark(topology, matching(topology, better), better)
        remarks.append(solvent + (f'; to leave it out, use "{advice}"' if advice else ""))
    return [f"warning: {remark}" for remark in remarks if remark]


def _explain_kinds(topology: md.Topology, selection: str) -> tuple[str, str]:
    """Say which residues words miss, as ``protein`` does HIE; returns a remark, and a better selection."""
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
    share, n_atoms = len(wet) / len(atom_indices), len(atom_indices)
    remark = f"{share:.0%} of the {n_atoms} atoms are solvent ({counted(names)})"
    within = "" if selection is None else f"({selection}) and "
    residues = quoted(sorted(set(names)))
    atoms = quoted(sorted({topology.atom(i).name for i in wet.tolist()}))
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
