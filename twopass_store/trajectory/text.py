"""Counting the frames of text formats line by line, without keeping them.

mdtraj's parsers take the end of a file within a frame for the end of the trajectory, and a number that is cut
("1.2" of "1.234") for a number. So the counts are made here, and a file must end with its last line whole.
"""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError, TruncatedTrajectoryError

__all__ = ["TextCount", "check_pdb_end", "count_text_frames", "read_gro_times"]

_MAX_LINE = 1_000_000
_PDB_ATOMS = (b"ATOM", b"HETATM")
# What mdtraj looks for; it fails on "t=" followed by anything else.
_GRO_TIME = re.compile(rb"t= *(\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class TextCount:
    """What reading a text file through has shown: counts, and whether all frames carry a box or a time."""

    n_frames: int
    n_atoms: int
    has_box: bool = False
    has_time: bool = False


def count_text_frames(path: str, *, n_atoms: int | None = None) -> TextCount:
    """Read a GRO, XYZ, LAMMPS or mdcrd file through and count its frames.

    Parameters
    ----------
    path
        The file.
    n_atoms
        Atoms of a frame; needed for mdcrd, which doesn't say it.

    Raises
    ------
    TruncatedTrajectoryError
        If the last frame isn't whole.
    TrajectoryError
        If the lines aren't those of the format, or frames differ in their number of atoms.
    """
    extension = Path(path).suffix.lower()
    with Path(path).open("rb") as file:
        if extension in (".mdcrd", ".crd"):
            if n_atoms is None:
                raise TrajectoryError(f"{path} doesn't say how many atoms it holds. Give a topology with it.")
            count = _count_mdcrd(file, path, n_atoms)
        else:
            count = _count_headed(file, path, _HEADS[extension])
        _check_last_line(file, path, count.n_frames)
    return count


def _check_last_line(file: BinaryIO, path: str, n_frames: int) -> None:
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b"\n":
        raise TruncatedTrajectoryError(
            f"{path} seems cut off within the last line of frame {n_frames - 1}: it doesn't end with a "
            "line end. "
            "If the last number is whole, add a line end; otherwise copy the file again."
        )


@dataclass(slots=True)
class _Head:
    """What the first lines of a frame say: its atoms, the lines that follow, whether it has a time."""

    n_atoms: int
    n_lines_left: int
    has_time: bool = False
    # Where lines come in any order: the column that says whose each is.
    id_column: int | None = None


def _line(file: BinaryIO) -> bytes:
    line = file.readline(_MAX_LINE)
    if len(line) == _MAX_LINE:
        raise ValueError("a line of a million characters")
    return line


def _xyz_head(file: BinaryIO) -> _Head | None:
    first = _line(file)
    if first.isspace():  # some programs end the file with an empty line
        if file.read(_MAX_LINE).strip():
            raise TrajectoryError(
                f"{file.name} is damaged: an empty line stands where the number of atoms should. Remove it."
            )
        return None
    if not first:
        return None
    n_atoms = int(first)
    return _Head(n_atoms, n_atoms + 1)


def _gro_head(file: BinaryIO) -> _Head | None:
    title = _line(file)
    if not title:
        return None
    n_atoms = int(_line(file) or b"0")
    has_time = b"t=" in title
    if has_time and not _GRO_TIME.search(title):
        raise ValueError(f"the time in the title {title.strip()[:80]!r} isn't written like 't= 1.5'")
    return _Head(n_atoms, n_atoms + 1, has_time)


def read_gro_times(path: str) -> NDArray[np.float64]:
    """Times in the titles of a GRO file whose frames all have one, shape (n_frames,), ps."""
    times = []
    with Path(path).open("rb") as file:
        while title := _line(file):
            found = _GRO_TIME.search(title)
            if found is None:
                raise ValueError(f"there is no time in the title {title.strip()[:80]!r}")
            times.append(float(found[1]))
            for _ in islice(file, int(_line(file)) + 1):
                pass
    return np.array(times, dtype=np.float64)


def _lammps_head(file: BinaryIO) -> _Head | None:
    first = _line(file)
    if not first:
        return None
    if not first.startswith(b"ITEM: TIMESTEP"):
        raise ValueError(f"{first.strip()[:40]!r} stands where 'ITEM: TIMESTEP' should")
    _line(file)
    if not _line(file).startswith(b"ITEM: NUMBER OF ATOMS"):
        raise ValueError("there is no 'ITEM: NUMBER OF ATOMS'")
    n_atoms = int(_line(file) or b"0")
    for _ in islice(file, 4):
        pass
    columns = _line(file).split()
    if not ({b"x", b"xu"} & set(columns)) and {b"xs", b"xsu"} & set(columns):
        # mdtraj takes fractions of the box for Å.
        raise TrajectoryError(
            f"{file.name} holds scaled coordinates (xs, ys, zs), which mdtraj doesn't read. Dump x, y and z "
            "(`dump … custom … id type x y z`), or convert the file, as OVITO and MDAnalysis do."
        )
    return _Head(n_atoms, n_atoms, id_column=columns.index(b"id") - 2 if b"id" in columns[2:] else None)


_HEADS: dict[str, Callable[[BinaryIO], _Head | None]] = {
    ".xyz": _xyz_head,
    ".gro": _gro_head,
    ".lammpstrj": _lammps_head,
}


def _count_headed(file: BinaryIO, path: str, read_head: Callable[[BinaryIO], _Head | None]) -> TextCount:
    n_frames, n_atoms, has_time = 0, 0, True
    while True:
        try:
            head = read_head(file)
        except ValueError as error:
            # A header that the end of the file cuts, and one that is no header, look alike but for this.
            if n_frames and not file.read(1):
                raise _cut(path, n_frames) from None
            raise TrajectoryError(
                f"{path} can't be read at frame {n_frames}: {error}. It is damaged, or isn't what its "
                "extension says."
            ) from error
        if head is None:
            return TextCount(n_frames, n_atoms, has_time=has_time and n_frames > 0)
        if head.n_atoms <= 0:
            if n_frames and not file.read(1):
                raise _cut(path, n_frames)
            raise TrajectoryError(
                f"Frame {n_frames} of {path} claims {head.n_atoms} atoms: the file is damaged."
            )
        if n_frames and head.n_atoms != n_atoms:
            raise TrajectoryError(
                f"Frame {n_frames} of {path} has {head.n_atoms} atoms, the frames before it {n_atoms}. "
                "Split the file where its atoms change."
            )
        n_atoms, has_time = head.n_atoms, has_time and head.has_time
        lines = islice(file, head.n_lines_left)
        if head.id_column is None:
            n_got = sum(1 for _ in lines)
        else:
            n_got = _count_atoms(lines, head.id_column, path, n_frames)
        if n_got < head.n_lines_left:
            raise _cut(path, n_frames)
        n_frames += 1


def _count_atoms(lines: Iterable[bytes], id_column: int, path: str, frame: int) -> int:
    """Count lines of different atoms; of one that has none, mdtraj would return what was in the memory."""
    ids: list[int] = []
    try:
        ids.extend(int(line.split(None, id_column + 1)[id_column]) for line in lines)
    except (ValueError, IndexError):
        raise TrajectoryError(
            f"Frame {frame} of {path} is damaged: line {len(ids) + 1} of its atoms has no id."
        ) from None
    if len(set(ids)) < len(ids) or min(ids, default=1) < 1:
        raise TrajectoryError(
            f"Frame {frame} of {path} has an atom twice, or one with an id below 1, so that another is "
            "missing: the file is damaged. Write it again."
        )
    return len(ids)


def _count_mdcrd(file: BinaryIO, path: str, n_atoms: int) -> TextCount:
    _line(file)  # the title
    lines_per_frame = -(-3 * n_atoms // 10)
    first = list(islice(file, lines_per_frame))
    last_width = 8 * ((3 * n_atoms - 1) % 10 + 1)
    widths = [len(line.rstrip()) for line in first]
    if len(first) < lines_per_frame:
        raise _cut(path, 0, f" (with {n_atoms} atoms a frame, as the topology has it)")
    if widths[-1] != last_width or any(width != 80 for width in widths[:-1]):
        raise TrajectoryError(
            f"The first frame of {path} doesn't end where a frame of {n_atoms} atoms should. "
            "The topology has another number of atoms than the file, or the file is no mdcrd file."
        )
    following = _line(file)
    # Boxes are written as 3F8.3 by Amber and with blanks between by mdtraj: three numbers either way.
    has_box = len(following.split()) == 3 and lines_per_frame * 10 != 3
    n_lines = lines_per_frame + (1 if following else 0) + sum(1 for _ in file)
    n_frames, left = divmod(n_lines, lines_per_frame + has_box)
    if left:
        raise _cut(path, n_frames, f" (with {n_atoms} atoms a frame, as the topology has it)")
    return TextCount(n_frames, n_atoms, has_box=has_box)


def _cut(path: str, frame: int, more: str = "") -> TruncatedTrajectoryError:
    last = f"the last whole one is frame {frame - 1}" if frame else "not one of them is whole"
    return TruncatedTrajectoryError(
        f"{path} is cut off within frame {frame} (counted from 0){more}: {last}. "
        "If it is still being written, wait; otherwise copy it again, or cut it after its whole frames."
    )


def check_pdb_end(path: str) -> None:
    """Refuse a PDB file that holds no atoms, or ends within a model or an atom.

    Raises
    ------
    TruncatedTrajectoryError
        If a MODEL isn't closed, or the last atom's line is cut.
    TrajectoryError
        If there is no ATOM or HETATM line.
    """
    n_atoms, n_models, n_closed, last = 0, 0, 0, b""
    with Path(path).open("rb") as file:
        for line in file:
            if line.startswith(_PDB_ATOMS):
                n_atoms += 1
            elif line.startswith(b"MODEL"):
                n_models += 1
            elif line.startswith(b"ENDMDL"):
                n_closed += 1
            last = line
    if n_closed < n_models:
        raise TruncatedTrajectoryError(
            f"{path} is cut off: {n_closed} of {n_models} models are whole. Copy it again."
        )
    # Models are counted by what opens them, so a file cut between two of them can't be told from a whole one.
    if last.startswith(_PDB_ATOMS) and not last.endswith(b"\n"):
        raise TruncatedTrajectoryError(f"{path} is cut off within its last atom. Copy it again.")
    if n_atoms == 0:
        raise TrajectoryError(f"{path} holds no ATOM or HETATM line: it isn't a PDB file, or it is cut off.")
