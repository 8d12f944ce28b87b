"""Atoms by an expression of mdtraj's selection language, or by a group of a GROMACS index file (.ndx)."""

import re
from difflib import get_close_matches
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import SelectionError
from .advice import explain_kinds
from .atoms import counted
from .expression import NUMBER_WORDS, check_expression, matching, quoted, refuse, words_of
from .formats import check_file, reading

__all__ = ["read_index_group", "select_atoms"]


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
    remark, _ = explain_kinds(topology, selection)
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
