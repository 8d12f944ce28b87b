"""What a trajectory file holds, and whether it is whole; runs in a reader process.

mdtraj's readers of DCD, NetCDF and text take the end of a file within a frame for the end of the trajectory.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError, TruncatedTrajectoryError
from ..partition import FrameList
from .formats import plain_name
from .stream import bare_topology, frame_offsets, iterload, read_frames

__all__ = ["Findings", "examine", "read_all_times"]

_TRR_SIZES = 52
_XTC_TIME = 12
# What mdtraj looks for; it fails on "t=" followed by anything else.
_GRO_TIME = re.compile(rb"t= *(\d+\.\d+)")
_MAX_LINE = 1_000_000


@dataclass(frozen=True, slots=True)
class Findings:
    """Counts of a file, and what its first frames carry.

    Attributes
    ----------
    n_frames, n_atoms
        Whole frames in the file, atoms in each.
    size_bytes
        Bytes of these frames.
    has_time, has_unitcell
        Whether frames carry a time and a unit cell.
    spacing
        Time between two of the first frames, ps; None where there are no times, or one frame.
    """

    n_frames: int
    n_atoms: int
    size_bytes: int
    has_time: bool
    has_unitcell: bool = False
    spacing: float | None = None


def examine(path: str, n_atoms: int, is_growing: bool) -> Findings:
    """Count the frames of a file, check that it is whole, and look at its first frames.

    Parameters
    ----------
    path
        The file.
    n_atoms
        Atoms of its topology, for formats that don't say how many they hold.
    is_growing
        Whether the file is one that is still being written: of XTC and TRR, the whole frames are taken.

    Raises
    ------
    TruncatedTrajectoryError
        If the file ends within a frame, or before the frames that it promises.
    TrajectoryError
        If it is damaged or holds no frames.
    """
    extension = Path(path).suffix.lower()
    if extension in (".xtc", ".trr"):
        found = _examine_xdr(path, is_growing)
    elif extension == ".dcd":
        found = _examine_dcd(path)
    elif extension in (".nc", ".netcdf", ".ncdf"):
        found = _examine_netcdf(path)
    elif extension in (".h5", ".hdf5"):
        found = _examine_hdf5(path)
    elif extension == ".pdb":
        return _examine_pdb(path)
    elif extension in (".mdcrd", ".crd"):
        found = _examine_mdcrd(path, n_atoms)
    else:
        found = _examine_lines(path, extension)
    n_frames, n_atoms, has_time, size = found
    if not n_frames:
        raise TrajectoryError(f"{path} holds no frames. Write it again, or leave it out.")
    first = next(iterload(path, bare_topology(n_atoms), chunk=3))
    # VMD and NAMD write a cell of zeros where there is none.
    has_unitcell = first.unitcell_lengths is not None and bool(np.any(first.unitcell_lengths[0]))
    spacing = None
    if has_time and n_frames > 1:
        # Not of the very first, which programs write out of turn.
        last = min(2, n_frames - 1)
        spacing = float(first.time[last]) - float(first.time[last - 1])
    return Findings(n_frames, n_atoms, size, has_time, has_unitcell, spacing)


_Count = tuple[int, int, bool, int]


def _size(path: str) -> int:
    return Path(path).stat().st_size


def _examine_xdr(path: str, is_growing: bool) -> _Count:
    offsets, size = frame_offsets(path), _size(path)
    n_frames = len(offsets)
    with plain_name(path) as name, md.open(name) as file:
        n_atoms = file.read(1)[0].shape[1]
        is_whole = True
        try:
            file.seek(n_frames - 1)
            # The end of the file must come right behind the last frame.
            is_whole = len(file.read(2)[0]) == 1
        except RuntimeError:
            is_whole = False
        if not is_whole:
            if not is_growing or n_frames == 1:
                raise _cut(path, n_frames - 1)
            n_frames, size = n_frames - 1, int(offsets[-1])
    if path.lower().endswith(".trr"):
        _check_positions(path, offsets[:n_frames])
    return n_frames, n_atoms, True, size


def _check_positions(path: str, offsets: NDArray[np.int64]) -> None:
    """Refuse TRR frames of velocities alone, for which mdtraj returns whatever was in the memory."""
    absent = _numbers_at(path, offsets + _TRR_SIZES, ">i4") == 0
    if absent.any():
        raise TrajectoryError(
            f"Frame {int(np.argmax(absent))} of {path} holds no positions (only velocities or forces). "
            "Write the frames with positions to a file of their own, as with `gmx trjconv`."
        )


def _numbers_at(path: str, places: NDArray[np.int64], dtype: str) -> NDArray[Any]:
    width = np.dtype(dtype).itemsize
    content = np.memmap(path, np.uint8, "r")
    found = content[places[:, None] + np.arange(width)]
    numbers: NDArray[Any] = found.view(dtype)[:, 0]
    return numbers


def _examine_dcd(path: str) -> _Count:
    with Path(path).open("rb") as head:
        start = head.read(16)
    for order, code, width in (("<", "i", 4), (">", "i", 4), ("<", "q", 8), (">", "q", 8)):
        if start[width : width + 4] == b"CORD" and struct.unpack(order + code, start[:width])[0] == 84:
            promised = struct.unpack(order + "i", start[width + 4 : width + 8])[0]
            break
    else:
        raise TrajectoryError(f"{path} isn't a DCD file: it doesn't begin like one. Rename or copy it again.")
    with plain_name(path) as name, md.open(name) as file:
        n_frames = len(file)
        n_atoms = file.read(1)[0].shape[1] if n_frames else 0
    if n_frames < promised:
        raise _short(path, promised, n_frames)
    return n_frames, n_atoms, False, _size(path)


def _examine_netcdf(path: str) -> _Count:
    with Path(path).open("rb") as head:
        is_classic = head.read(3) == b"CDF"
        n_records = struct.unpack(">i", head.read(5)[1:])[0] if is_classic else 0
    if n_records < 0:
        raise TruncatedTrajectoryError(
            f"{path} doesn't say how many frames it holds, as one that is a stream, or isn't finished. "
            "Write it again, as with `cpptraj`."
        )
    if is_classic:
        from scipy.io import netcdf_file

        try:
            with netcdf_file(path, mmap=True) as classic:  # maps all that the header promises
                _ = classic.variables["coordinates"].shape
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise TruncatedTrajectoryError(
                f"{path} is cut off: its header promises {n_records} frames, and the file is shorter "
                f"({error}). If it is still being written, wait; otherwise copy it again."
            ) from error
    with plain_name(path) as name, md.open(name) as file:
        there = file._handle.variables
        shape = there["coordinates"].shape
        if shape[1:] != (file.n_atoms, 3):
            raise TrajectoryError(f"{path} has positions of shape {shape}, and {file.n_atoms} atoms.")
        _check_cell(path, "cell_lengths" in there, "cell_angles" in there)
        found = int(shape[0]), int(file.n_atoms), "time" in there, _size(path)
    if not is_classic:
        _check_stored(path)
    return found


def _examine_hdf5(path: str) -> _Count:
    with plain_name(path) as name, md.open(name) as file:
        n_frames, n_atoms, n_axes = file.root.coordinates.shape
        if n_axes != 3:
            raise TrajectoryError(f"{path} has positions of {n_axes} dimensions instead of 3.")
        has_time = hasattr(file.root, "time")
        _check_cell(path, hasattr(file.root, "cell_lengths"), hasattr(file.root, "cell_angles"))
    _check_stored(path)
    return int(n_frames), int(n_atoms), has_time, _size(path)


def _check_cell(path: str, has_lengths: bool, has_angles: bool) -> None:
    if has_lengths != has_angles:
        there, missing = ("lengths", "angles") if has_lengths else ("angles", "lengths")
        raise TrajectoryError(
            f"{path} has {there} of a unit cell and no {missing}: it is damaged, or another program's. Write "
            "both, or neither."
        )


def _check_stored(path: str) -> None:
    """Refuse an HDF5 file with pieces of positions that were never written: they would read as zeros."""
    import h5py

    with h5py.File(path, "r") as file:
        positions = file["coordinates"]
        if positions.chunks is None:
            return
        n_there = positions.id.get_num_chunks()
        n_due = math.prod(-(-n // chunk) for n, chunk in zip(positions.shape, positions.chunks, strict=True))
    if n_there < n_due:
        raise TruncatedTrajectoryError(
            f"{path} is damaged: it promises {n_due} pieces of positions and holds {n_there}. Copy it again, "
            "or write the frames that it holds to a new file."
        )


def _examine_pdb(path: str) -> Findings:
    n_models = n_closed = 0
    last = b""
    with Path(path).open("rb") as file:
        for line in file:
            n_models += line.startswith(b"MODEL")
            n_closed += line.startswith(b"ENDMDL")
            last = line
    if n_closed < n_models:
        raise TruncatedTrajectoryError(
            f"{path} is cut off: {n_closed} of {n_models} models are whole. Copy it again."
        )
    # Models are counted by what opens them, so a file cut between two of them can't be told from a whole one.
    if last.startswith((b"ATOM", b"HETATM")) and not last.endswith(b"\n"):
        raise TruncatedTrajectoryError(f"{path} is cut off within its last atom. Copy it again.")
    whole = next(iterload(path, bare_topology(0), chunk=1 << 40), None)
    if whole is None or not whole.n_atoms:
        raise TrajectoryError(f"{path} holds no ATOM or HETATM line: it isn't a PDB file, or it is cut off.")
    has_unitcell = whole.unitcell_lengths is not None and bool(np.any(whole.unitcell_lengths))
    return Findings(whole.n_frames, whole.n_atoms, _size(path), False, has_unitcell)


def _examine_mdcrd(path: str, n_atoms: int) -> _Count:
    per_frame = -(-3 * n_atoms // 10)
    width = 8 * ((3 * n_atoms - 1) % 10 + 1)
    with Path(path).open("rb") as file:
        _line(file)  # the title
        first = list(islice(file, per_frame))
        if len(first) < per_frame:
            raise _cut(path, 0, f" (with {n_atoms} atoms a frame, as the topology has it)")
        widths = [len(line.rstrip()) for line in first]
        if widths[-1] != width or any(width != 80 for width in widths[:-1]):
            raise TrajectoryError(
                f"The first frame of {path} doesn't end where a frame of {n_atoms} atoms should. "
                "The topology has another number of atoms than the file, or the file is no mdcrd file."
            )
        following = _line(file)
        n_lines = per_frame + bool(following) + sum(1 for _ in file)
    # Boxes are written as 3F8.3 by Amber and with blanks between by mdtraj: three numbers either way.
    has_box = len(following.split()) == 3 and per_frame * 10 != 3
    n_frames, left = divmod(n_lines, per_frame + has_box)
    if left:
        raise _cut(path, n_frames, f" (with {n_atoms} atoms a frame, as the topology has it)")
    _check_last_line(path, n_frames)
    return n_frames, n_atoms, False, _size(path)


def _examine_lines(path: str, extension: str) -> _Count:
    """Count the frames of a GRO, XYZ or LAMMPS file, which say their atoms in each."""
    count_row, head = {".xyz": (0, 2), ".gro": (1, 2), ".lammpstrj": (3, 9)}[extension]
    tail = 1 if extension == ".gro" else 0
    n_frames, n_atoms, has_time = 0, -1, extension == ".gro"
    with Path(path).open("rb") as file:
        while lines := [line for line in (_line(file) for _ in range(head)) if line]:
            if extension == ".xyz" and not lines[0].strip():  # some programs end the file with an empty line
                if file.read(_MAX_LINE).strip():
                    raise TrajectoryError(
                        f"{path} is damaged: an empty line stands where the number of atoms should."
                    )
                break
            try:
                here = int(lines[count_row])
            except (IndexError, ValueError):
                if n_frames and not file.read(1):
                    raise _cut(path, n_frames) from None
                raise TrajectoryError(
                    f"{path} can't be read at frame {n_frames}: there is no number of atoms where it should "
                    "be. It is damaged, or isn't what its extension says."
                ) from None
            if here <= 0 or (n_frames and here != n_atoms):
                if n_frames and not file.read(1):
                    raise _cut(path, n_frames)
                raise TrajectoryError(
                    f"Frame {n_frames} of {path} claims {here} atoms"
                    + (f", the frames before it {n_atoms}. Split the file there." if n_frames else ".")
                    + " Or it is damaged."
                )
            n_atoms = here
            if extension == ".gro":
                has_time &= _gro_time(path, lines[0]) is not None
            atoms = islice(file, n_atoms + tail)
            if extension == ".lammpstrj":
                n_read = _count_ids(path, n_frames, lines, atoms)
            else:
                n_read = sum(1 for _ in atoms)
            if len(lines) < head or n_read < n_atoms + tail:
                raise _cut(path, n_frames)
            n_frames += 1
    _check_last_line(path, n_frames)
    return n_frames, n_atoms, has_time, _size(path)


def _count_ids(path: str, frame: int, head: list[bytes], atoms: Iterator[bytes]) -> int:
    """Count atoms; where an id is there twice, mdtraj returns what was in the memory for another."""
    columns = head[-1].split()[2:] if len(head) == 9 else []
    if not {b"x", b"xu"} & set(columns) and {b"xs", b"xsu"} & set(columns):
        # mdtraj takes fractions of the box for Å.
        raise TrajectoryError(
            f"{path} holds scaled coordinates (xs, ys, zs), which mdtraj doesn't read. Dump x, y and z "
            "(`dump … custom … id type x y z`), or convert the file, as OVITO and MDAnalysis do."
        )
    if b"id" not in columns:
        return sum(1 for _ in atoms)
    ids: list[int] = []
    column = columns.index(b"id")
    try:
        ids.extend(int(line.split(None, column + 1)[column]) for line in atoms)
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


def _gro_time(path: str, title: bytes) -> float | None:
    found = _GRO_TIME.search(title)
    if b"t=" in title and found is None:
        raise TrajectoryError(
            f"{path}: the time in the title {title.strip()[:80]!r} isn't written like 't= 1.5'. Correct it."
        )
    return None if found is None else float(found[1])


def _line(file: Any) -> bytes:
    line: bytes = file.readline(_MAX_LINE)
    if len(line) == _MAX_LINE:
        raise ValueError("a line of a million characters")
    return line


def _check_last_line(path: str, n_frames: int) -> None:
    with Path(path).open("rb") as file:
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            raise TruncatedTrajectoryError(
                f"{path} seems cut off within the last line of frame {n_frames - 1}: it doesn't end with a "
                "line end. If the last number is whole, add a line end; otherwise copy the file again."
            )


def _cut(path: str, frame: int, more: str = "") -> TruncatedTrajectoryError:
    last = f"the last whole one is frame {frame - 1}" if frame else "not one of them is whole"
    return TruncatedTrajectoryError(
        f"{path} is cut off within frame {frame} (counted from 0){more}, or damaged there: {last}. "
        "If it is still being written, wait; otherwise copy it again, or cut it after its whole frames."
    )


def _short(path: str, promised: int, found: int) -> TruncatedTrajectoryError:
    return TruncatedTrajectoryError(
        f"{path} is cut off: its header promises {promised} frames, the file holds {found} whole frames. "
        "If it is still being written, wait; otherwise copy it again, or write the whole frames to a new "
        "file, as with `mdconvert`."
    )


def read_all_times(path: str, n_atoms: int, n_frames: int) -> NDArray[np.float64]:
    """Times of the first `n_frames` frames, shape (n_frames,), ps, bit for bit those of `mdtraj.load`."""
    if path.lower().endswith(".xtc"):
        return _numbers_at(path, frame_offsets(path)[:n_frames] + _XTC_TIME, ">f4").astype(np.float64)
    block_frames = max(1, (8 << 20) // (24 * n_atoms))
    blocks = read_frames(path, n_atoms, FrameList.of(range(n_frames)), block_frames, np.arange(1), None)
    return np.concatenate([block.time for block in blocks if block.time is not None])
