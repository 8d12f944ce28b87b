"""Where the frames of XTC and TRR files begin, and which parts their headers say are there."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mdtraj.formats.registry import FormatRegistry
from numpy.typing import NDArray

from ..errors import TrajectoryError
from .formats import TrajectoryFormat, plain_name

__all__ = ["XdrFrames", "find_frames", "numbers_at"]

_CACHE_BYTES = 32 << 20

_XTC_HEADER = 92
_XTC_UNPACKED_HEADER, _XTC_UNPACKED_ATOMS = 56, 9
_XTC_BOX = 16
_XTC_MOST_PER_ATOM = 24
_TRR_START = 24
_TRR_SIZES = struct.Struct(">13i")
_TRR_HEADER = _TRR_START + _TRR_SIZES.size
_BOX, _POSITIONS, _VELOCITIES, _FORCES = 2, 7, 8, 9


@dataclass(frozen=True, slots=True)
class XdrFrames:
    """The whole frames of a file.

    Attributes
    ----------
    offsets
        Bytes at which they begin, shape (n_frames,).
    end
        First byte behind them.
    n_atoms
        Atoms in each.
    has_box, has_positions
        What each has, shape (n_frames,); a box of zeros is none.
    """

    offsets: NDArray[np.int64]
    end: int
    n_atoms: int
    has_box: NDArray[np.bool_]
    has_positions: NDArray[np.bool_]


_READERS = {extension: FormatRegistry.fileobjects[extension] for extension in (".xtc", ".trr")}
_found: dict[tuple[str, int, int], XdrFrames] = {}


def find_frames(path: str, entry: TrajectoryFormat) -> XdrFrames:
    """Find the whole frames of an XTC or TRR file, which may end within another one.

    Raises
    ------
    TrajectoryError
        If there is something else between them or behind them.
    """
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


def _scan_xtc(path: str, entry: TrajectoryFormat) -> XdrFrames:
    with plain_name(path, entry.extensions) as name, _READERS[".xtc"](name) as file:
        offsets = np.array(file.offsets, np.int64)
    content = np.memmap(path, np.uint8, "r")
    # The magic number and the number of atoms.
    starts = numbers_at(path, offsets, ">i8")[:, 0]
    n_atoms = int(starts[0] & 0xFFFFFFFF)
    is_alike = starts == starts[0]
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
        if end > len(content) and n_packed <= _XTC_MOST_PER_ATOM * n_atoms:
            n_frames, end = n_frames - 1, int(offsets[-1])
        elif end > len(content):
            raise _damaged(path, n_frames - 1, int(offsets[-1]))
    if not _is_begun(content[end:], bytes(content[:8])):
        raise _damaged(path, n_frames, end)
    has_box = (numbers_at(path, offsets[:n_frames] + _XTC_BOX, ">f4", count=9) != 0).any(axis=1)
    return XdrFrames(offsets[:n_frames], end, n_atoms, has_box, np.ones(n_frames, np.bool_))


def _scan_trr(path: str) -> XdrFrames:
    # mdtraj finds no frame of a TRR file that ends within one.
    content = np.memmap(path, np.uint8, "r")
    magic = bytes(content[:4])
    offsets: list[int] = []
    has_box, has_positions, end, n_atoms = [], [], 0, 0
    while bytes(content[end : end + 4]) == magic and end + _TRR_HEADER <= len(content):
        header = content[end + _TRR_START : end + _TRR_HEADER].tobytes()
        *sizes, n_atoms_here, _step, _energies = _TRR_SIZES.unpack(header)
        n_atoms = n_atoms or n_atoms_here
        width = _bytes_per_number(sizes, n_atoms)
        if n_atoms_here != n_atoms or n_atoms <= 0 or not {*sizes} <= {0, 9 * width, 3 * n_atoms * width}:
            raise _damaged(path, len(offsets), end)
        stop = end + _TRR_HEADER + 2 * width + sum(sizes)
        if stop > len(content):
            break
        offsets.append(end)
        box = stop - sum(sizes[_BOX:])
        has_box.append(bool(content[box : box + sizes[_BOX]].any()))
        has_positions.append(sizes[_POSITIONS] > 0)
        end = stop
    if not _is_begun(content[end:], magic):
        raise _damaged(path, len(offsets), end)
    return XdrFrames(np.array(offsets, np.int64), end, n_atoms, np.array(has_box), np.array(has_positions))


def _bytes_per_number(sizes: list[int], n_atoms: int) -> int:
    """Return 4 or 8: time and lambda are in the precision of the rest of the frame."""
    counts = {_BOX: 9, _POSITIONS: 3 * n_atoms, _VELOCITIES: 3 * n_atoms, _FORCES: 3 * n_atoms}
    return next((sizes[part] // n for part, n in counts.items() if sizes[part] and n), 4)


def _is_begun(rest: NDArray[np.uint8], begin: bytes) -> bool:
    """Tell whether what follows the whole frames is the beginning of another, or was never written."""
    head = bytes(rest[: len(begin)])
    return begin.startswith(head) if len(head) < len(begin) or any(head) else not rest.any()


def _damaged(path: str, frame: int, byte: int) -> TrajectoryError:
    return TrajectoryError(
        f"{path} is damaged in frame {max(0, frame - 1)} or {frame} (counted from 0): at byte {byte} no "
        "whole frame begins, and the file goes on. Copy it again, or write the frames before it to a new "
        "file, as with `gmx trjconv -e`."
    )


def numbers_at(path: str, places: NDArray[np.int64], dtype: str, *, count: int = 1) -> NDArray[Any]:
    """Numbers that begin at some bytes of a file, shape (n_places, count)."""
    content = np.memmap(path, np.uint8, "r")
    found: NDArray[Any] = content[places[:, None] + np.arange(count * np.dtype(dtype).itemsize)].view(dtype)
    return found
