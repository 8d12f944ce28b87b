"""Atoms by a group of a GROMACS index file (.ndx)."""

from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SelectionError
from .formats import check_file, reading

__all__ = ["read_index_group"]

_MAX_LINE = 1_000_000


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
    wanted = group.strip()
    with reading(file, "the index groups"):
        groups = _parse(file, wanted)
    chosen = _chosen(file, groups, wanted)
    if not chosen:
        raise SelectionError(f"The group {group!r} of {file} is empty. Use another one: {_names(groups)}.")
    numbers = np.array(chosen)
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


@dataclass(slots=True)
class _Group:
    """A group; the numbers of its atoms are kept only if it may be the one that is wanted."""

    name: str
    is_wanted: bool
    n_atoms: int = 0
    atoms: "array[int]" = field(default_factory=lambda: array("q"))


def _parse(file: Path, wanted: str) -> list[_Group]:
    groups: list[_Group] = []
    place = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else -1
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_MAX_LINE), ""), start=1):
            if len(line) == _MAX_LINE:
                raise ValueError(f"line {number} is longer than a million characters")
            text = line.partition(";")[0].strip()
            if text.startswith("[") and text.endswith("]"):
                name = text[1:-1].strip()
                groups.append(_Group(name, name == wanted or len(groups) == place))
            elif text and not groups:
                raise ValueError(f"line {number} stands before the first [ group ]")
            elif text:
                atoms = [int(part) for part in text.split()]
                groups[-1].n_atoms += len(atoms)
                if groups[-1].is_wanted:
                    groups[-1].atoms.extend(atoms)
    if not groups:
        raise ValueError("there is no [ group ] in it")
    return groups


def _chosen(file: Path, groups: list[_Group], wanted: str) -> "array[int]":
    found = [group.atoms for group in groups if group.name == wanted]
    found = found or [group.atoms for group in groups if group.is_wanted]
    if not found:
        raise SelectionError(f"There is no group {wanted[:80]!r} in {file}. There are: {_names(groups)}.")
    if any(atoms != found[0] for atoms in found):
        raise SelectionError(
            f"{file} has {len(found)} groups {wanted!r}, and their atoms differ. Name one by its number: "
            f"{_names(groups)}."
        )
    return found[0]


def _names(groups: list[_Group]) -> str:
    first = enumerate(groups[:30])
    shown = [f"{number} {group.name[:40]} ({group.n_atoms} atoms)" for number, group in first]
    return ", ".join(shown) + (", …" if len(groups) > 30 else "")
