"""Atoms by an expression of mdtraj's selection language, or by a group of a GROMACS index file (.ndx)."""

import re
import warnings
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import SelectionError
from .formats import check_file, reading

__all__ = ["read_index_group", "select_atoms"]

_HELP = (
    "Note that `resid` counts residues from 0 while `residue` is the number in the file, `protein` omits "
    'unusual residues, and names with characters other than letters and digits need quotes (name "O5\'").'
)


def select_atoms(topology: md.Topology, selection: str) -> NDArray[np.int64]:
    """Atoms that match an expression of mdtraj's selection language.

    Parameters
    ----------
    topology
        The atoms.
    selection
        Such as ``"all"``, ``"name CA"``, ``"protein and not element H"``, ``"resid 0 to 9"``.

    Returns
    -------
    Ascending indices, shape (n_selected,).

    Raises
    ------
    SelectionError
        If the expression can't be parsed or matches no atom.
    """
    try:
        with warnings.catch_warnings():
            # mdtraj makes Python strings of regular expressions, and Python warns of escapes such as \d.
            warnings.simplefilter("ignore")
            found = topology.select(selection)
    except Exception as error:  # mdtraj lets through whatever parsing and comparing raise
        raise SelectionError(
            f"Cannot use the selection {selection!r:.120}: {_reason(error)}. {_HELP}"
        ) from error
    if not len(found):
        raise SelectionError(
            f"The selection {selection!r:.120} matches none of the {topology.n_atoms} atoms. {_HELP}"
        )
    return np.asarray(found, np.int64)


def _reason(error: Exception) -> str:
    text = str(error)
    # The parser's own message lists its whole grammar.
    if found := re.search(r"found (.{1,80}?)\s+\(at char|with value (.{1,80})", text):
        return f"it doesn't make sense at {found[1] or found[2]}"
    if text.startswith("Expected"):
        return 'it is empty (use "all" for all atoms)'
    return (text.splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def read_index_group(path: str | Path, group: str, *, n_atoms: int) -> tuple[NDArray[np.int64], str]:
    """Atoms of a group, in the order of the topology.

    Parameters
    ----------
    path
        An index file: ``[ name ]`` lines, each followed by the numbers of its atoms, from 1.
    group
        Name of the group, the first of them counts; or its number from 0, if no group has that name.
    n_atoms
        Number of atoms in the topology.

    Returns
    -------
    Ascending indices from 0, shape (n_selected,), and a remark if the file's order or duplicates are not
    kept, otherwise empty.

    Raises
    ------
    TrajectoryError
        If the file is missing or is no index file.
    SelectionError
        If there is no such group, or it is empty or beyond the topology.
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
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
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
