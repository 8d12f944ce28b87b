"""Atoms by a group of a GROMACS index file (.ndx)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SelectionError
from .formats import check_file, reading

__all__ = ["read_index_group"]


def read_index_group(path: str | Path, group: str, *, n_atoms: int) -> tuple[NDArray[np.int64], str]:
    """Atoms of a group, in the order of the topology.

    Parameters
    ----------
    path
        An index file: ``[ name ]`` lines, each followed by the numbers of its atoms, from 1.
    group
        Name of the group, or its number as GROMACS counts, from 0, where no group is named so.
    n_atoms
        Atoms of the topology that it is for.

    Returns
    -------
    Ascending indices from 0, shape (n_selected,), and a remark where the file's order or duplicates had to be
    given up; empty where not.

    Raises
    ------
    TrajectoryError
        If the file is missing or no index file.
    SelectionError
        If there is no such group, or several that differ, or it is empty or beyond the topology.
    """
    file = check_file(path)
    with reading(file, "the index groups"):
        groups = _parse(file)
    chosen = _chosen(file, groups, group)
    if not chosen:
        raise SelectionError(f"The group {group!r} of {file} is empty. Use another one: {_names(groups)}.")
    numbers = np.array(chosen, dtype=np.int64)
    if numbers.min() < 1 or numbers.max() > n_atoms:
        wrong = int(numbers[(numbers < 1) | (numbers > n_atoms)][0])
        raise SelectionError(
            f"The group {group!r} of {file} has atom {wrong}, and the topology has atoms 1 to {n_atoms}. "
            "Give the index file that was made for these very atoms."
        )
    unique = np.unique(numbers)
    remarks = []
    if len(unique) < len(numbers):
        remarks.append(f"{len(numbers) - len(unique)} atoms are listed twice and taken once")
    if (np.diff(numbers) < 0).any():
        remarks.append("its atoms are taken in the topology's order, not in the file's")
    return unique - 1, "; ".join(remarks)


def _parse(file: Path) -> list[tuple[str, list[int]]]:
    groups: list[tuple[str, list[int]]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.partition(";")[0].strip()
        if text.startswith("[") and text.endswith("]"):
            groups.append((text[1:-1].strip(), []))
        elif text and not groups:
            raise ValueError(f"line {number} stands before the first [ group ]")
        elif text:
            groups[-1][1].extend(int(part) for part in text.split())
    if not groups:
        raise ValueError("there is no [ group ] in it")
    return groups


def _chosen(file: Path, groups: list[tuple[str, list[int]]], group: str) -> list[int]:
    found = [atoms for name, atoms in groups if name == group.strip()]
    if not found and group.strip().isdigit() and int(group) < len(groups):
        found = [groups[int(group)][1]]
    if not found:
        raise SelectionError(f"There is no group {group!r} in {file}. There are: {_names(groups)}.")
    if any(atoms != found[0] for atoms in found):
        raise SelectionError(
            f"{file} has {len(found)} groups {group!r}, and their atoms differ. Name one by its number: "
            f"{_names(groups)}."
        )
    return found[0]


def _names(groups: list[tuple[str, list[int]]]) -> str:
    shown = [f"{number} {name} ({len(atoms)} atoms)" for number, (name, atoms) in enumerate(groups)]
    return ", ".join(shown[:30]) + (", …" if len(shown) > 30 else "")
