"""Frames and topologies as MDAnalysis reads them, for what mdtraj doesn't read; runs in a reader process.

MDAnalysis is optional, so it is imported where it is used.
"""

import io
import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np

from ..errors import TrajectoryError
from .atoms import element_of
from .compressed import open_unpacked
from .info import Count, remembered

__all__ = ["count_frames", "frames_of", "psf_atoms", "topology_of"]

# What MDAnalysis calls formats and aren't any of files.
_NO_FILES = "CHAIN IMD MEMORY MINIMAL OPENMMAPP OPENMMSIMULATION OPENMMTOPOLOGY PARMED RDKIT"
# MDAnalysis makes up times: of the step, or of a header that many programs don't fill.
_TIMELESS = ("DCD", "LAMMPS", "LAMMPSDUMP")
# Nothing follows their last frame; MDAnalysis leaves out one that is cut off.
_TEXT = ("ARC", "CRDBOX", "HISTORY", "LAMMPSDUMP", "MDCRD", "TRJ", "TXYZ", "XYZ")
_PSF_FIELDS = 9
# Lines of a frame that aren't atoms: title, number, box.
_GRO_OTHERS = 3
_FRAME = "ITEM: TIMESTEP"  # with which a frame of a LAMMPS dump begins
_ATOM_STYLES = {
    "atomic": "id type x y z",
    "charge": "id type charge x y z",
    **dict.fromkeys(("angle", "bond", "molecular"), "id resid type x y z"),
    "full": "id resid type charge x y z",
}


def count_frames(path: str, n_atoms: int, format_name: str) -> Count:
    """Count the whole frames of a file, of `n_atoms` unless it says; one cut off counts as promised."""
    reader = _open(path, n_atoms, format_name)
    name = str(np.ravel(reader.format)[0]).upper()
    n_frames, n_atoms = int(reader.n_frames), int(reader.n_atoms)
    n_begun = n_frames
    try:
        reader[n_frames - 1]
    except Exception:  # whatever a reader runs into where a file is cut off
        n_frames = max(0, n_frames - 1)
        if n_frames:
            reader[n_frames - 1]
    else:
        if name in ("TRR", "XTC"):
            n_begun += reader._xdr._bytes_tell() < Path(path).stat().st_size
        elif name in _TEXT:
            files = [each for each in vars(reader).values() if isinstance(each, io.TextIOBase)]
            has_rest = bool("".join(file.read(4096) for file in files).strip())
            n_begun += has_rest
            if name == "LAMMPSDUMP" and not has_rest and not _ends_with_line(path):
                n_frames -= 1  # the last number may be cut
    if name == "GRO":
        with open_unpacked(path) as lines:
            n_lines = sum(not line.isspace() for line in lines)
        if n_lines > n_atoms + _GRO_OTHERS:
            raise TrajectoryError(
                f"{path} holds several frames, of which MDAnalysis reads only the first. Leave `reader` out."
            )
    has_time = "time" in reader.ts.data and name not in _TIMELESS
    return Count(n_frames, n_atoms, has_time, n_promised=-1 if n_begun == n_frames else n_begun)


def _ends_with_line(path: str) -> bool:
    with Path(path).open("rb") as file:
        file.seek(-1, io.SEEK_END)
        return file.read() == b"\n"


def frames_of(
    path: str, topology: md.Topology, format_name: str, *, chunk: int, skip: int
) -> Iterator[md.Trajectory]:
    """Yield the frames of a file from `skip` on, so many at once, as `mdtraj.iterload` does."""
    reader = _open(path, topology.n_atoms, format_name)
    while skip < reader.n_frames:
        numbers = range(skip, min(skip + chunk, reader.n_frames))
        xyz = np.empty((len(numbers), reader.n_atoms, 3), np.float32)
        times, cells = np.empty(len(numbers)), np.zeros((len(numbers), 6))
        n_read = 0
        for number in numbers:
            try:
                frame = reader[number]
            except Exception:
                if not n_read:
                    raise
                break  # those before it may be all that is asked for
            if not frame.has_positions:
                raise TrajectoryError(
                    f"Frame {number} of {path} holds no positions (only velocities or forces). Write the "
                    "frames with positions to a file of their own."
                )
            np.divide(frame.positions, np.float32(10), out=xyz[n_read])  # Å
            times[n_read] = frame.time
            cells[n_read] = 0.0 if frame.dimensions is None else frame.dimensions
            n_read += 1
        part = md.Trajectory(xyz[:n_read], topology, time=times[:n_read])
        if cells.any():
            part.unitcell_lengths, part.unitcell_angles = cells[:n_read, :3] / 10, cells[:n_read, 3:]
        yield part
        skip += n_read


def topology_of(path: str, format_name: str) -> md.Topology:
    """Return the atoms that a file names, with their elements, residues, chains and bonds as it says."""
    import MDAnalysis
    from MDAnalysis.lib.util import NamedStream

    name = format_name or _format_name(path, MDAnalysis._PARSERS | MDAnalysis._READERS)
    parser = MDAnalysis._PARSERS.get(name)
    if parser is None:
        raise TrajectoryError(
            f"MDAnalysis finds no atoms' names in {path}. Give a topology of the same atoms with `top`, such "
            "as a PDB, PSF or TPR file."
        )
    text, numbers, options = "", None, {}
    if name == "LAMMPSDUMP":
        text = _first_frame(path)
    elif name == "PSF":
        text, numbers = _spaced_psf(path)
    elif name == "DATA":
        options = _style_of_atoms(path)
    with parser(NamedStream(io.StringIO(text), path) if text else path) as file:
        return _converted(MDAnalysis.Universe(file.parse(**options), to_guess=()).atoms, numbers)


def _converted(atoms: Any, numbers: list[str] | None) -> md.Topology:
    """Return mdtraj's topology of MDAnalysis' atoms; `numbers` of residues tell those apart that it joins."""
    topology, residue, chain = md.Topology(), None, None
    previous: tuple[Any, Any] = None, None
    blank = [""] * len(atoms)
    symbols = getattr(atoms, "elements", blank)
    names = getattr(atoms, "names", symbols if all(symbols) else getattr(atoms, "types", blank))
    residue_names = getattr(atoms, "resnames", blank)
    # MDAnalysis' own name for a segment without one.
    segments = ["" if segment == "SYSTEM" else str(segment) for segment in atoms.segids]
    chains = getattr(atoms, "chainIDs", segments)
    serials = getattr(atoms, "ids", [0])
    if min(serials) < 1:  # counted by MDAnalysis
        serials = [None] * len(atoms)
    for row, of_residue in enumerate(zip(atoms.resindices, numbers or atoms.resids, strict=True)):
        of_chain = chains[row], segments[row]
        if of_chain != previous[0]:
            chain = topology.add_chain()
            chain.chain_id = str(chains[row]) or None
        # The atoms of a molecule may lie apart; mdtraj's follow one another.
        if (of_chain, of_residue) != previous:
            name, number = str(residue_names[row] or "UNK"), int(atoms.resids[row])
            residue = topology.add_residue(name, chain, number, segments[row])
        previous = of_chain, of_residue
        element = element_of(symbols[row])
        atom = topology.add_atom(str(names[row]), element, residue, serial=serials[row])
        atom.element = element  # add_atom() makes a virtual site of None
    made = list(topology.atoms)
    for one, other in atoms.bonds.to_indices().tolist() if hasattr(atoms, "bonds") else ():
        topology.add_bond(made[one], made[other])
    return topology


@remembered(1)
def _open(path: str, n_atoms: int, format_name: str) -> Any:
    """Return MDAnalysis' reader of a file; the latest is kept, since many scan the file as they open it."""
    from MDAnalysis import _READERS

    _prepare()
    name = format_name.upper() or _format_name(path, _READERS)
    if name not in _READERS:
        raise TrajectoryError(
            f"MDAnalysis has no format {name!r} for trajectories. Use one of {_listed(_READERS)}."
        )
    return _READERS[name](path, n_atoms=n_atoms)


def _format_name(path: str, known: Mapping[str, Any]) -> str:
    # The whole name may say it, such as HISTORY.
    suffix = re.sub(r"\.(gz|bz2)$", "", Path(path).name.lower()).rpartition(".")[2].upper()
    if suffix in known:
        return suffix
    raise TrajectoryError(
        f"MDAnalysis can't tell the format of {path} by its content or name. Name it with `format`, one of "
        f"{_listed(known)}."
    )


def _listed(known: Mapping[str, Any]) -> str:
    return ", ".join(sorted(each.lower() for each in known if each not in _NO_FILES.split()))


@cache
def _prepare() -> None:
    """Keep MDAnalysis from writing beside the user's files, and let it read all of LAMMPS' dumps."""
    from MDAnalysis.coordinates.LAMMPS import DumpReader
    from MDAnalysis.coordinates.XDR import XDRBaseReader

    find = XDRBaseReader._read_offsets
    XDRBaseReader._read_offsets = lambda self, store=False: find(self, store=False)
    XDRBaseReader._load_offsets = find

    class Dump(DumpReader):  # type: ignore[misc]
        """With `ITEM: UNITS` and `ITEM: TIME` too, which come before the first line of a frame."""

        format = "LAMMPSDUMP"

        @cached_property
        def n_atoms(self) -> int:
            return int(_first_frame(self.filename).split("\n", 4)[3])

        @property
        def n_frames(self) -> int:
            return len(self._offsets)

        def _reopen(self) -> None:
            super()._reopen()
            self._offsets = _frame_starts(self.filename)
            columns = _first_frame(self.filename).split("\n", 9)[8].split()
            if "id" not in columns:
                raise TrajectoryError(
                    f"{self.filename} has no column `id`, so nothing says which atom is which. Dump it "
                    "with that column."
                )
            self._file.seek(self._offsets[0])


def _frame_starts(path: str) -> list[int]:
    starts, place = [], 0
    with Path(path).open("rb") as file:
        for line in file:
            if line.startswith(_FRAME.encode()):
                starts.append(place)
            place += len(line)
    if not starts:
        raise TrajectoryError(f"{path} has no line `{_FRAME}`. If it is compressed, unpack it.")
    return starts


def _first_frame(path: str) -> str:
    with open_unpacked(path) as file:
        lines = dropwhile(lambda line: not line.startswith(_FRAME), file)
        return next(lines, "") + "".join(takewhile(lambda line: not line.startswith(_FRAME), lines))


def _style_of_atoms(path: str) -> dict[str, str]:
    """Return the columns of the atoms in a file of LAMMPS data, if it says their style."""
    with open_unpacked(path) as file:
        found = (re.match(r"\s*Atoms\s*#\s*(\w+)", line) for line in file)
        style = next((match[1] for match in found if match), "")
    return {"atom_style": _ATOM_STYLES[style]} if style in _ATOM_STYLES else {}


def _spaced_psf(path: str) -> tuple[str, list[str] | None]:
    """Return a PSF file with spaces between columns and a segment for all, and the atoms' residue numbers."""
    # Unless the first line says NAMD, MDAnalysis takes whatever stands in fixed columns. It leaves out the
    # codes of inserted residues (52A), which joins those of one name.
    text, atoms = _text_of(path), psf_atoms(path)
    if not all(len(fields) >= _PSF_FIELDS for fields in atoms):
        return text, None
    head, mark, rest = text.replace("PSF", "PSF NAMD", 1).partition("!NATOM")
    lines = rest.split("\n")
    lines[1 : len(atoms) + 1] = map(" ".join, atoms)
    return head + mark + "\n".join(lines), [fields[2] for fields in atoms]


def psf_atoms(path: str) -> list[list[str]]:
    """Return the fields of the atoms in a PSF file: number, segment, residue, its name, atom, type, …"""
    head, _, rest = _text_of(path).partition("!NATOM")
    atoms = [line.split() for line in rest.split("\n")[1 : int(head.split()[-1]) + 1]]
    for fields in atoms:
        if len(fields) == _PSF_FIELDS - 1:  # some files have no column of segments
            fields.insert(1, "SYSTEM")
    return atoms


def _text_of(path: str) -> str:
    with open_unpacked(path, "rb") as file:
        return str(file.read().decode("utf-8", "replace"))
