"""Frames of PDB files, cut from their text: mdtraj parses all models at once, and gives all the last cell.

Atoms, positions and the borders of models are those that mdtraj finds, positions bit for bit.
"""

import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import mdtraj as md
import numpy as np
from mdtraj.utils import in_units_of
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ..errors import TrajectoryError
from .compressed import compression_of, open_unpacked
from .formats import TrajectoryFormat
from .info import Count, remembered

__all__ = ["add_bonds", "count_lines", "count_models", "find_bonds", "first_model", "read_models"]

_ATOM = b"ATOM  ", b"HETATM"
_BORDERS = b"MODEL", b"END"
_SERIAL, _ALTERNATE, _X, _Z_END = 6, 16, 30, 54
_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Models:
    """Where the whole models of a file are."""

    # Bytes of the text at which each begins and ends, and that of its CRYST1 record, -1 if it has none.
    places: NDArray[np.int64]  # shape (n_models, 3)
    n_atoms: int  # of each
    n_left: int  # bytes of a last model that is cut off


@remembered(1)
def find_models(path: str) -> Models:
    """Find the models of a file, which MODEL, ENDMDL or END records separate.

    A CRYST1 record is of the model that it stands in, or else of the next; a model without one has that of
    the model before it. All must have the same number of atoms.
    """
    places = array("q")
    n_lines = n_atoms = n_left = end = 0
    with open_unpacked(path, "rb") as walked, open_unpacked(path, "rb") as file:
        for start, stop, cell, n_found, is_open, is_torn in _walk(walked):
            if is_open and (is_torn or (places and n_found != n_lines)):
                n_left = stop - end
                break
            if not places:
                n_lines, n_atoms = n_found, len(_positions(_text(file, start, stop)))
            elif n_found != n_lines:
                # Alternate locations are lines, but no atoms.
                n_found = len(_positions(_text(file, start, stop)))
                if n_found != n_atoms:
                    raise TrajectoryError(
                        f"Frame {len(places) // 3} (counted from 0) of {path} has {n_found} atoms, and the "
                        f"first frame has {n_atoms}. Split the file into one for each set of atoms."
                    )
            places.extend((start, stop, cell))
            end = stop
    return Models(np.array(places, np.int64).reshape(-1, 3), n_atoms, n_left)


def count_models(path: str, _entry: TrajectoryFormat, _n_atoms: int) -> Count:
    """Count the models of a PDB file."""
    models, size_bytes = find_models(path), None
    if models.n_left and compression_of(path) is None:
        size_bytes = Path(path).stat().st_size - models.n_left
    return Count(len(models.places), models.n_atoms, False, size_bytes, bytes_left=models.n_left)


def _walk(file: IO[bytes]) -> Iterator[tuple[int, int, int, int, bool, bool]]:
    """Yield where each model begins and ends, and its cell; its lines of atoms; if it is open, and torn."""
    start = cell = next_cell = -1
    n_lines, place, has_own, line = 0, 0, False, b""
    for line in file:
        head = line[:6]
        if head in _ATOM and start >= 0:
            n_lines += 1
        elif head == b"CRYST1":
            if start < 0 or has_own:
                next_cell = place
            else:
                cell, has_own = place, True
        elif head in _ATOM or head.startswith(_BORDERS):
            is_end = head.startswith(b"END")
            if start >= 0:
                yield start, place + is_end * len(line), cell, n_lines, False, False
                start = -1
            if not is_end:
                start, n_lines, has_own = place, int(head in _ATOM), next_cell >= 0
                if has_own:
                    cell, next_cell = next_cell, -1
        place += len(line)
    if start >= 0:
        is_torn = line.startswith(_ATOM) and not line.endswith(b"\n") and len(line) < _Z_END
        yield start, place, cell, n_lines, True, is_torn


def read_models(path: str, topology: md.Topology, *, chunk: int, skip: int) -> Iterator[md.Trajectory]:
    """Yield models as `mdtraj.iterload` does, but each with its own unit cell."""
    models = find_models(path)
    cells: dict[int, list[float]] = {}
    with open_unpacked(path, "rb") as file:
        for start in range(skip, len(models.places), chunk):
            places = models.places[start : start + chunk]
            records = places[:, 2].tolist()
            cells = {record: cells.get(record) or _cell(file, record) for record in dict.fromkeys(records)}
            positions = _positions(_text(file, places[0, 0], places[-1, 1]))
            xyz = positions.reshape(len(places), models.n_atoms, 3)
            part = md.Trajectory(in_units_of(xyz, "angstroms", "nanometers", inplace=True), topology)
            if min(records) >= 0:
                numbers = np.array([cells[record] for record in records])
                part.unitcell_lengths = in_units_of(numbers[:, :3], "angstroms", "nanometers")
                part.unitcell_angles = numbers[:, 3:]
            yield part


def _cell(file: IO[bytes], place: int) -> list[float]:
    if place < 0:
        return []
    file.seek(place)
    line = file.readline()
    return [float(line[one:other]) for one, other in pairwise((6, 15, 24, 33, 40, 47, 54))]


def _text(file: IO[bytes], start: int, stop: int) -> NDArray[np.uint8]:
    """Read some bytes of a file, with a line's width behind them."""
    text = np.full(stop - start + _WIDTH, ord(" "), np.uint8)
    file.seek(start)
    file.readinto(text[: stop - start].data)  # type: ignore[attr-defined]
    return text


def _positions(text: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Positions of the atoms in a text, shape (n_atoms, 3), Å."""
    starts, lengths = _atoms(text)
    columns = sliding_window_view(text, _Z_END - _X)[starts + _X]
    if (lengths < _Z_END).any():
        columns[np.arange(_X, _Z_END) >= lengths[:, None]] = ord(" ")
    return columns.view("S8").astype(np.float64)


def _atoms(text: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the lines of atoms begin, and their lengths; of alternate locations, only the first."""
    ends = np.append(np.flatnonzero(text[:-_WIDTH] == ord("\n")), len(text) - _WIDTH)
    starts = np.append(0, ends[:-1] + 1)
    heads = sliding_window_view(text, 6)[starts].view("S6")[:, 0]
    is_atom = (heads == _ATOM[0]) | (heads == _ATOM[1])
    lines = starts[is_atom]
    if (text[lines + _ALTERNATE] != text[lines[:1] + _ALTERNATE]).any():
        chains = np.cumsum(np.isin(heads.astype("S3"), (b"TER", b"MOD", b"END")))
        is_atom[is_atom] = _is_first(text, lines, chains[is_atom])
    return starts[is_atom], (ends - starts)[is_atom]


def _is_first(
    text: NDArray[np.uint8], lines: NDArray[np.int64], chains: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell which lines aren't further locations of atoms that their residue has already."""
    is_first, residue, residue_name = np.ones(len(lines), bool), None, b""
    locations: dict[bytes, bytes] = {}
    for number, (start, chain) in enumerate(zip(lines.tolist(), chains.tolist(), strict=True)):
        line = text[start : start + _X].tobytes()
        atom_name, alternate, name, place = line[12:16], line[16:17], line[17:21], (chain, line[21:27])
        if place != residue or (name != residue_name and alternate == b" "):
            residue, residue_name, locations = place, name, {}
        if alternate in locations.get(atom_name, alternate):
            locations[atom_name] = alternate
        else:
            locations[atom_name] += alternate
            is_first[number] = False
    return is_first


def count_lines(path: str) -> int:
    """Count the lines of atoms of the first model."""
    with open_unpacked(path, "rb") as file:
        return next((n_lines for _, _, _, n_lines, _, _ in _walk(file)), 0)


@contextmanager
def first_model(path: str) -> Iterator[str]:
    """Yield a file of the first model alone, without its CONECT records."""
    places = find_models(path).places.tolist()
    if not places:
        raise TrajectoryError(f"{path} holds no whole model. Copy it again, or write it again.")
    start, stop, _ = places[0]
    with TemporaryDirectory(prefix="twopass-") as folder, open_unpacked(path, "rb") as file:
        file.seek(start)
        alone = Path(folder) / "first.pdb"
        alone.write_bytes(re.sub(rb"(?m)^CONECT.*\n?", b"", file.read(stop - start)))
        yield str(alone)


def add_bonds(topology: md.Topology, path: str) -> None:
    """Add the bonds of the CONECT records of a file to its topology, except those that are unclear."""
    pairs, _ = find_bonds(path)
    known = {frozenset((bond.atom1.index, bond.atom2.index)) for bond in topology.bonds} if pairs else set()
    for pair in pairs:
        if frozenset(pair) not in known:
            known.add(frozenset(pair))
            topology.add_bond(*map(topology.atom, pair))


def find_bonds(path: str) -> tuple[list[tuple[int, int]], int]:
    """Find the pairs of atoms in the CONECT records of the last model, and count the unclear records."""
    places = find_models(path).places
    with open_unpacked(path, "rb") as file:
        text = _text(file, places[0, 0], places[0, 1])
        file.seek(places[-1, 0])
        lines = [line.rstrip() for line in file if line.startswith(b"CONECT")]
    records = [
        [number for place in range(6, 31, 5) if (number := line[place : place + 5].strip())] for line in lines
    ]
    if not records:
        return [], 0
    # As text: where there are more than 99,999 atoms, numbers begin anew, or go on as hexadecimal or stars.
    found = np.char.strip(sliding_window_view(text, 5)[_atoms(text)[0] + _SERIAL].view("S5")[:, 0])
    numbers, atoms, counts = np.unique(found, return_index=True, return_counts=True)
    is_named = np.isin(numbers, list({number for record in records for number in record}))
    repeated = set(numbers[is_named & (counts > 1)].tolist())
    atom_of = dict(zip(numbers[is_named].tolist(), atoms[is_named].tolist(), strict=True))
    pairs, n_unclear = [], 0
    for record in records:
        if not repeated.isdisjoint(record):
            n_unclear += 1
            continue
        first, *others = record or [b""]
        pairs += [(atom_of[first], atom_of[other]) for other in others if {first, other} <= atom_of.keys()]
    return pairs, n_unclear
