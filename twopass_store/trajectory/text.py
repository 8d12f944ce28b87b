"""Frames of text files in which all have the same number of lines: GRO, XYZ, mdcrd and LAMMPS dumps."""

import re
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError, UnreadableError
from ..partition import FrameList
from .compressed import compression_of, open_unpacked
from .formats import TrajectoryFormat, plain_name
from .info import Count

__all__ = ["GRO_TIME", "GroReader", "count_text", "text_numbers"]

# The time in the title of a GRO frame; `t=300K` is none.
GRO_TIME = re.compile(r"\bt= *([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)(?= *(?:ps)?(?:\s|,|$))")

# Lines of a frame: of the number of atoms, of its time or step, and how many aren't of atoms.
_LAYOUTS = {"XYZ": (0, 0, 2), "GRO": (1, 0, 3), "LAMMPS": (3, 1, 9)}


class GroReader(md.formats.GroTrajectoryFile):  # type: ignore[misc]
    """With the frames that `iterload` asks for, where mdtraj has it load all."""

    def seek(self, offset: int) -> None:
        """Skip frames from the first on."""
        n_lines = offset * (self.n_atoms + _LAYOUTS["GRO"][2])
        deque(islice(self._file, n_lines), maxlen=0)

    def read_as_traj(self, n_frames: int, **options: Any) -> md.Trajectory:
        """Read so many frames."""
        self.read = partial(super().read, n_frames)
        return super().read_as_traj(**options)


def count_text(path: str, entry: TrajectoryFormat, n_atoms: int) -> Count:
    """Count the frames of a text file, which all have the same number of lines."""
    name, row, n_title, n_last = entry.name, 0, 0, 0
    with open_unpacked(path, "rb") as file:
        head = [file.readline() for _ in range(9)]
        if name == "Amber mdcrd":
            has_box = _has_box(path, entry, n_atoms)
            n_title, per_frame = 1, -(-3 * n_atoms // 10) + has_box
            n_last = 3 if has_box else (3 * n_atoms - 1) % 10 + 1
        else:
            row, _, n_others = _LAYOUTS[name]
            n_atoms = int(head[row])
            per_frame = n_others + n_atoms
        if name == "LAMMPS":
            _check_columns(path, head[8].split())
        file.seek(0)
        n_lines, untimed, wrong, place = 0, None if name == "GRO" else 0, None, 0
        ends, last = deque([0], maxlen=2), deque[bytes](maxlen=6)
        for number, line in enumerate(file):
            place += len(line)
            if not line.isspace():  # some programs end the file with an empty line
                n_lines = number + 1
                last.append(line)
            of_frame = (number - n_title) % per_frame
            if of_frame == row and wrong is None and not n_title and line.strip() != head[row].strip():
                wrong = number
            elif of_frame == per_frame - 1:
                ends.append(place)
            if untimed is None and of_frame == 0 and not GRO_TIME.search(line.decode("utf-8", "replace")):
                untimed = number
    has_time = untimed is None or untimed >= n_lines
    n_frames, n_left = divmod(n_lines - n_title, per_frame)
    if wrong is not None and (wrong < n_lines - 1 or (wrong < n_lines and last[-1].endswith(b"\n"))):
        raise TrajectoryError(
            f"{path} is damaged before line {wrong + 1}: frame {wrong // per_frame} (counted from 0) doesn't "
            f"begin where one of {n_atoms} atoms should. All frames must have the same atoms; copy the file "
            "again, or write the frames before to a new file."
        )
    if not n_left and _is_cut(name, [*last], n_last):
        n_frames, n_left = n_frames - 1, per_frame
    if not n_left:
        return Count(n_frames, n_atoms, has_time)
    end = ends[-1] if n_left < per_frame else ends[0]
    # A compressed file can't be taken in part.
    size_bytes = end if compression_of(path) is None else None
    return Count(n_frames, n_atoms, has_time, size_bytes, bytes_left=place - end)


def _is_cut(name: str, lines: list[bytes], n_numbers: int) -> bool:
    """Tell whether a text file of whole frames ends within its last number, as far as columns tell."""
    *before, last = lines
    if last.endswith(b"\n"):
        return False
    if name == "Amber mdcrd":
        return b"*" not in last and (last.count(b".") < n_numbers or last.rstrip()[-4:-3] != b".")
    *others, number = last.split()
    if name == "GRO":
        if len(others) not in (2, 8):
            return True
    elif len(others) + 1 < len(before[-1].split()):
        return True
    else:
        others = [line.split()[-1] for line in before[2 - len(lines) :]]
    decimals = {len(other.partition(b".")[2]) for other in others}
    return len(decimals) == 1 and len(number.partition(b".")[2]) < decimals.pop()


def _has_box(path: str, entry: TrajectoryFormat, n_atoms: int) -> bool:
    with plain_name(path, entry.extensions) as name, md.open(name, n_atoms=n_atoms) as file:
        try:
            return file.read(1)[1] is not None
        except OSError as error:
            raise TrajectoryError(
                f"The first frame of {path} doesn't end where one of {n_atoms} atoms should. The topology "
                "has another number of atoms than the file, or the file is no mdcrd file."
            ) from error


def _check_columns(path: str, columns: list[bytes]) -> None:
    """Refuse fractions of the box, which mdtraj takes for Å."""
    if not {b"x", b"xu"} & set(columns) and {b"xs", b"xsu"} & set(columns):
        raise UnreadableError(
            f"{path} holds scaled coordinates (xs, ys, zs), which mdtraj doesn't read. Dump x, y and z "
            "(`dump … custom … id type x y z`), or convert the file."
        )


def text_numbers(
    path: str, entry: TrajectoryFormat, n_atoms: int, frames: FrameList
) -> Iterator[NDArray[np.float64]]:
    """Yield times of frames of a GRO file, ps, or steps of those of a LAMMPS dump."""
    _, row, n_others = _LAYOUTS[entry.name]
    with open_unpacked(path, "rb") as file:
        titles = islice(file, row, None, n_others + n_atoms)
        for piece in frames.pieces():
            lines = [next(titles).decode("utf-8", "replace") for _ in piece]
            words = [GRO_TIME.findall(line)[-1] for line in lines] if entry.name == "GRO" else lines
            yield np.array(words, np.float64)
