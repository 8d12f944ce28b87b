"""Where the frames of XTC, TRR and DCD files begin, and which parts of them are there."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from mdtraj.formats.registry import FormatRegistry
from mdtraj.utils.unitcell import box_vectors_to_lengths_and_angles
from numpy.typing import NDArray

from ..errors import TrajectoryError
from ..partition import FRAME_CHUNK, FrameList
from .formats import TrajectoryFormat, plain_name
from .info import Count, mixed_cells

__all__ = [
    "count_dcd",
    "count_xdr",
    "find_frames",
    "grid_step",
    "is_zero_from",
    "mended_cells",
    "numbers_at",
    "xdr_times",
]

_CACHE_BYTES = 32 << 20

_WINDOW_BYTES = 16 << 20
_XTC_HEADER = 92
_XTC_UNPACKED_HEADER, _XTC_UNPACKED_ATOMS = 56, 9
_XTC_BOX = 16
_XTC_MOST_PER_ATOM = 24
_XTC_TIME, _XTC_GRID = 12, 52
_TRR_START = 24
_TRR_POSITION_BYTES, _TRR_TIME = 52, 76
_TRR_SIZES = struct.Struct(">13i")
_TRR_HEADER = _TRR_START + _TRR_SIZES.size
_BOX, _POSITIONS = 2, 7  # behind which are velocities and forces


@dataclass(frozen=True, slots=True)
class XdrFrames:
    """The whole frames of a file; arrays have shape (n_frames,)."""

    offsets: NDArray[np.int64]  # bytes at which they begin
    end: int  # first byte behind them
    n_atoms: int
    has_box: NDArray[np.bool_]  # a box of zeros is none
    has_positions: NDArray[np.bool_]


_READERS = {extension: FormatRegistry.fileobjects[extension] for extension in (".xtc", ".trr")}
_found: dict[tuple[str, int, int], XdrFrames] = {}


def find_frames(path: str, entry: TrajectoryFormat) -> XdrFrames:
    """Find the whole frames of an XTC or TRR file, which holds nothing else, but may end within another."""
    key = _key(path)
    if key not in _found:
        found = _scan_trr(path) if entry.name == "TRR" else _scan_xtc(path, entry)
        while _found and sum(map(_n_bytes, _found.values())) + _n_bytes(found) > _CACHE_BYTES:
            _found.pop(next(iter(_found)))
        _found[key] = found
        FormatRegistry.fileobjects.update(dict.fromkeys(_READERS, _open_where_known))
    return _found[key]


def _key(path: str) -> tuple[str, int, int]:
    status = Path(path).stat()
    return os.path.realpath(path), status.st_size, status.st_mtime_ns


def _n_bytes(frames: XdrFrames) -> int:
    return frames.offsets.nbytes + frames.has_box.nbytes + frames.has_positions.nbytes


def _open_where_known(name: str, *arguments: Any, **options: Any) -> Any:
    """Open a file for `iterload`, which otherwise scans all of it at each open to skip frames."""
    file = _READERS[name[-4:]](name, *arguments, **options)
    known = _found.get(_key(name))
    if known is not None:
        file.offsets = known.offsets
    return file


def count_xdr(path: str, entry: TrajectoryFormat, _n_atoms: int) -> Count:
    """Count the frames of an XTC or TRR file that have positions."""
    found = find_frames(path, entry)
    has_box = found.has_box[found.has_positions]
    if len(found.offsets) and not len(has_box):
        raise TrajectoryError(
            f"No frame of {path} holds positions (only velocities or forces). Give the file that has them."
        )
    if has_box.any() and not has_box.all():
        # mdtraj gives whatever was in the memory as the cell of a frame without one.
        other = np.flatnonzero(found.has_positions & (found.has_box != has_box[0]))[0]
        raise mixed_cells(path, int(other), has_cell=not has_box[0])
    n_without = len(found.offsets) - len(has_box)
    return Count(
        n_frames=len(has_box),
        n_atoms=found.n_atoms,
        has_time=True,
        size_bytes=found.end,
        has_unitcell=bool(has_box.all()),
        n_without_positions=n_without,
        positions_at=FrameList.from_indices(np.flatnonzero(found.has_positions)) if n_without else None,
    )


def xdr_times(
    path: str, entry: TrajectoryFormat, n_atoms: int, frames: FrameList
) -> Iterator[NDArray[np.float64]]:
    """Yield times of frames of an XTC or TRR file, ps."""
    offsets = find_frames(path, entry).offsets
    for piece in frames.pieces():
        starts = offsets[piece]
        # In floats of 4 bytes mdtraj gives doubles, too.
        times = numbers_at(path, starts + (_XTC_TIME if entry.name == "XTC" else _TRR_TIME), ">f4")[:, 0]
        if entry.name == "TRR":
            is_double = numbers_at(path, starts + _TRR_POSITION_BYTES, ">i4")[:, 0] == 24 * n_atoms
            times[is_double] = numbers_at(path, starts[is_double] + _TRR_TIME, ">f8")[:, 0]
        yield times.astype(np.float64)


def _scan_xtc(path: str, entry: TrajectoryFormat) -> XdrFrames:
    with plain_name(path, entry.extensions) as name, _READERS[".xtc"](name) as file:
        offsets = np.asarray(file.offsets, np.int64)
    size = Path(path).stat().st_size
    # The magic number and the number of atoms.
    start = numbers_at(path, offsets[:1], ">i8")[:, 0]
    n_atoms = int(start[0] & 0xFFFFFFFF)
    is_alike = np.concatenate([numbers_at(path, some, ">i8")[:, 0] == start for some in _pieces(offsets)])
    if not is_alike.all():
        n_frames = int(np.argmin(is_alike))
        end = int(offsets[n_frames])
    else:
        n_frames, end = len(offsets), int(offsets[-1])
        n_packed = 12 * n_atoms
        if n_atoms > _XTC_UNPACKED_ATOMS:
            n_packed = int(numbers_at(path, offsets[-1:] + _XTC_HEADER - 4, ">i4")[0, 0])
            end += _XTC_HEADER - _XTC_UNPACKED_HEADER
        end += _XTC_UNPACKED_HEADER + -(-n_packed // 4) * 4
        if end > size and n_packed <= _XTC_MOST_PER_ATOM * n_atoms:
            n_frames, end = n_frames - 1, int(offsets[-1])
        elif end > size:
            raise _damaged(path, n_frames - 1, int(offsets[-1]))
    if not _is_begun(path, end, start.tobytes()):
        raise _damaged(path, n_frames, end)
    offsets = offsets[:n_frames]
    boxes = (numbers_at(path, some + _XTC_BOX, ">f4", count=9) for some in _pieces(offsets))
    has_box = np.concatenate([(box != 0).any(axis=1) for box in boxes])
    return XdrFrames(offsets, end, n_atoms, has_box, np.ones(n_frames, np.bool_))


def _pieces(places: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return np.split(places, range(FRAME_CHUNK, len(places), FRAME_CHUNK))


def _scan_trr(path: str) -> XdrFrames:
    # mdtraj finds no frame of a TRR file that ends within one.
    offsets: list[int] = []
    has_box, has_positions, end, n_atoms, size = [], [], 0, 0, Path(path).stat().st_size
    with Path(path).open("rb") as file:
        magic = os.pread(file.fileno(), 4, 0)
        while len(head := os.pread(file.fileno(), _TRR_HEADER, end)) == _TRR_HEADER and head[:4] == magic:
            *sizes, n_atoms_here, _step, _energies = _TRR_SIZES.unpack(head[_TRR_START:])
            n_atoms = n_atoms or n_atoms_here
            # Time and lambda are in the precision of the rest of the frame.
            width = 8 if sizes[_BOX] == 72 or 24 * n_atoms in sizes[_POSITIONS:] else 4
            if n_atoms_here != n_atoms or n_atoms <= 0 or not {*sizes} <= {0, 9 * width, 3 * n_atoms * width}:
                raise _damaged(path, len(offsets), end)
            stop = end + _TRR_HEADER + 2 * width + sum(sizes)
            if stop > size:
                break
            offsets.append(end)
            has_box.append(any(os.pread(file.fileno(), sizes[_BOX], stop - sum(sizes[_BOX:]))))
            has_positions.append(sizes[_POSITIONS] > 0)
            end = stop
    if not _is_begun(path, end, magic):
        raise _damaged(path, len(offsets), end)
    return XdrFrames(np.array(offsets, np.int64), end, n_atoms, np.array(has_box), np.array(has_positions))


def _is_begun(path: str, end: int, begin: bytes) -> bool:
    """Tell whether what follows the whole frames is the beginning of another, or was never written."""
    with Path(path).open("rb") as file:
        file.seek(end)
        return begin.startswith(file.read(len(begin))) or is_zero_from(path, end)


def _damaged(path: str, frame: int, byte: int) -> TrajectoryError:
    return TrajectoryError(
        f"{path} is damaged in frame {max(0, frame - 1)} or {frame} (counted from 0): at byte {byte} no "
        "whole frame begins, and the file goes on. Copy it again, or write the frames before it to a new "
        "file, as with `gmx trjconv -e`."
    )


def grid_step(path: str, entry: TrajectoryFormat) -> float | None:
    """Step of the grid that the first frame of an XTC file says its positions are on, nm.

    None for other formats, and for XTC frames of so few atoms that they aren't compressed.
    """
    if entry.name != "XTC" or Path(path).stat().st_size < _XTC_HEADER:
        return None
    n_atoms, per_nm = struct.unpack(">if", numbers_at(path, np.array([_XTC_GRID]), "S8").tobytes())
    return 1.0 / per_nm if n_atoms > _XTC_UNPACKED_ATOMS and per_nm > 0 else None


def count_dcd(path: str, _entry: TrajectoryFormat, _n_atoms: int) -> Count:
    """Count the frames of a DCD file by its size: its header may promise more or fewer."""
    start = np.fromfile(path, "<i4", 25)
    order = "<" if start[0] == 84 else ">"

    def number(place: int) -> int:
        return int(numbers_at(path, np.array([place]), order + "i4")[0, 0])

    control = [number(8 + 4 * index) for index in range(20)]
    n_promised, n_fixed, is_charmm = control[0], control[8], control[19] != 0
    place = 92 + 12 + 80 * number(96)
    n_atoms = number(place + 4)
    place += 12 + (8 + 4 * (n_atoms - n_fixed) if n_fixed else 0)
    cell = 56 if is_charmm and control[10] else 0
    n_arrays = 4 if is_charmm and control[11] else 3
    first = cell + n_arrays * (8 + 4 * n_atoms)
    each = first - n_arrays * 4 * n_fixed
    n_frames = max(0, (Path(path).stat().st_size - place - first) // each + 1)
    # Where a machine has lost its power, zeros may be in the place of what was written last.
    ends = place + first - 4 + each * np.arange(n_frames)
    is_written = numbers_at(path, ends, order + "i4")[:, 0] != 0
    if not is_written.all() and is_zero_from(path, int(ends[np.argmin(is_written)])):
        n_frames = int(np.argmin(is_written))
    end = place + first + (n_frames - 1) * each
    return Count(n_frames, n_atoms, False, end, n_promised)


def mended_cells(
    lengths: NDArray[np.float64], angles: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mend cells that CHARMM wrote as a symmetric matrix, of which mdtraj makes lengths and angles."""
    is_cell = (angles > 0).all(axis=1) & (angles.sum(axis=1) > 2 * angles.max(axis=1))
    is_matrix = lengths.any(axis=1) & ~(is_cell & (angles.sum(axis=1) < 360))
    if not is_matrix.any():
        return lengths, angles
    (xx, yy, zz), (yz, xz, xy) = lengths.T, 0.1 * angles.T
    vectors = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]).swapaxes(1, 2)
    cell = np.stack(box_vectors_to_lengths_and_angles(*vectors), axis=1)
    here = is_matrix[:, None]
    return np.where(here, cell[:, :3], lengths), np.where(here, cell[:, 3:], angles)


def numbers_at(path: str, places: NDArray[np.int64], dtype: str, *, count: int = 1) -> NDArray[Any]:
    """Numbers that begin at some bytes of a file, ascending, shape (n_places, count)."""
    size = count * np.dtype(dtype).itemsize
    found = np.empty((len(places), size), np.uint8)
    # A window at a time: a file of any size is read within a limit of address space.
    for first in range(0, len(places), FRAME_CHUNK):
        here, rows = places[first : first + FRAME_CHUNK], found[first : first + FRAME_CHUNK]
        edges = np.flatnonzero(np.diff(here // _WINDOW_BYTES)) + 1
        for begin, end in pairwise([0, *edges.tolist(), len(here)]):
            start, stop = int(here[begin]), int(here[end - 1]) + size
            window = np.memmap(path, np.uint8, "r", offset=start, shape=(stop - start,))
            rows[begin:end] = window[(here[begin:end] - start)[:, np.newaxis] + np.arange(size)]
    return found.view(dtype)


def is_zero_from(path: str, place: int) -> bool:
    """Tell whether a file holds nothing but zeros from a byte on: what was never written."""
    with Path(path).open("rb") as file:
        file.seek(place)
        return not any(piece.strip(b"\0") for piece in iter(partial(file.read, 1 << 20), b""))
