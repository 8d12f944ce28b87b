"""Where the frames of XTC and TRR files begin, found by hopping from header to header.

mdtraj finds them too, but scans the whole file at every open, keeps one offset a frame, doesn't notice that
the last frame is cut, and returns uninitialised memory for TRR frames that hold only velocities or forces.
"""

import os
from array import array
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from struct import Struct
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError, TruncatedTrajectoryError

__all__ = ["FrameIndex", "frame_index", "grid_step"]

_HEADER_BYTES = 92
_MAX_OFFSETS = 2048
# Headers of frames that are no longer than this are read many at once.
_NEAR_BYTES = 8 << 10
_WINDOW_BYTES = 256 << 10

_XTC_MAGIC = 1995
_XTC_HEAD = Struct(">ii")
_XTC_TAIL = Struct(">ii")
# Magic number, atoms, atoms again, index of small numbers, bytes of the compressed positions.
_XTC_HEADER = Struct(">ii44xi28xii")
_XTC_UNPACKED_ATOMS = 9
_XTC_UNPACKED_BYTES = 56
_TRR_MAGIC = 1993
_TRR_HEAD = Struct(">iii")
_TRR_SIZES = Struct(">13i")
_INT = Struct(">i")
_FLOAT = Struct(">f")
_DOUBLE = Struct(">d")

# (header, path, frame) -> (atoms, bytes of the whole frame)
_FrameReader = Callable[[bytes, str, int], tuple[int, int]]


class FrameIndex:
    """Byte offsets of the frames of one file, found as far as they are asked for.

    Memory is bounded: at most 2,048 offsets are kept, evenly spaced, and the frames between them are
    found again by hopping. It can be sent to another process.

    Parameters
    ----------
    path
        An XTC or TRR file.
    is_growing
        Whether a frame that is cut at the end is one that is still being written, and doesn't count.
    """

    def __init__(self, path: str, *, is_growing: bool = False) -> None:
        self._path = path
        self._is_growing = is_growing
        self._size = Path(path).stat().st_size
        self._read: _FrameReader = _trr_frame if path.lower().endswith(".trr") else _xtc_frame
        self._offsets = array("q")
        self._every = 1
        self._frontier = (0, 0)
        # The frame asked for last: the next is mostly one soon after it.
        self._last = (0, 0)
        self._lock = Lock()
        self.n_atoms = -1

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())

    def offset(self, frame: int) -> int:
        """Byte at which a frame begins.

        Raises
        ------
        TruncatedTrajectoryError
            If the file ends before the frame, or within it.
        TrajectoryError
            If a header on the way there is damaged.
        """
        with self._lock, Path(self._path).open("rb") as file:
            descriptor = file.fileno()
            while self._frontier[0] <= frame:
                if not self._advance(descriptor):
                    raise TruncatedTrajectoryError(
                        f"{self._path} ends after {self._frontier[0]} frames; frame {frame} was asked for. "
                        "Copy the file again, or use the frames that are there."
                    )
            kept = frame // self._every
            near, position = max((kept * self._every, self._offsets[kept]), self._last)
            if near > frame:
                near, position = kept * self._every, self._offsets[kept]
            for between in range(near, frame):
                position += self._measure(descriptor, between, position)
            self._last = frame, position
            return position

    def count(self) -> int:
        """Frames of the file.

        Raises
        ------
        TruncatedTrajectoryError
            If the last frame is cut; the message says how many are whole.
        TrajectoryError
            If a header is damaged.
        """
        with self._lock, Path(self._path).open("rb") as file:
            try:
                while self._advance(file.fileno()):
                    self._advance_near(file.fileno())
            except TruncatedTrajectoryError:
                if not self._is_growing or self._frontier[0] == 0:
                    raise
                self._size = self._frontier[1]
            return self._frontier[0]

    @property
    def size_bytes(self) -> int:
        """Bytes of the file that count."""
        return self._size

    def times(self) -> NDArray[np.float64]:
        """Times of all frames, shape (n_frames,), ps, as mdtraj reads them: float32, widened.

        Raises
        ------
        TrajectoryError
            If the last frame is cut, or a header is damaged.
        """
        n_frames, position = self.count(), 0
        times = np.empty(n_frames, np.float32)
        is_trr = self._read is _trr_frame
        with self._lock, Path(self._path).open("rb") as file:
            for frame in range(n_frames):
                header = os.pread(file.fileno(), _HEADER_BYTES, position)
                times[frame] = _trr_time(header) if is_trr else _FLOAT.unpack_from(header, 12)[0]
                position += self._read(header, self._path, frame)[1]
        return times.astype(np.float64)

    def _advance(self, descriptor: int) -> bool:
        frame, position = self._frontier
        if position == self._size:
            return False
        length = self._measure(descriptor, frame, position)
        if frame % self._every == 0:
            self._keep(position)
        self._frontier = (frame + 1, position + length)
        return True

    def _advance_near(self, descriptor: int) -> None:
        """Advance over frames so short that a system call for each would cost more than reading them all."""
        frame, start = self._frontier
        if self._read is not _xtc_frame or start > self._offsets[-1] + self._every * _NEAR_BYTES:
            return
        window = os.pread(descriptor, min(_WINDOW_BYTES, self._size - start), start)
        n_atoms, length_of, position = self.n_atoms, _XTC_HEADER.unpack_from, 0
        # Whatever isn't a plain frame is left to `_measure`, which tells what is wrong with it.
        if n_atoms <= _XTC_UNPACKED_ATOMS:
            self._advance_alike(window)
            return
        last = len(window) - _HEADER_BYTES
        while position <= last:
            magic, atoms, again, small, n_bytes = length_of(window, position)
            if magic != _XTC_MAGIC or atoms != n_atoms or again != n_atoms or not 0 <= small < 73:
                break
            length = _HEADER_BYTES + (n_bytes + 3) // 4 * 4
            if not 0 < n_bytes <= 4 * (n_atoms * 36 // 10 - 3) or start + position + length > self._size:
                break
            if frame % self._every == 0:
                self._keep(start + position)
            frame += 1
            position += length
        self._frontier = (frame, start + position)

    def _advance_alike(self, window: bytes) -> None:
        """Advance over frames of so few atoms that they aren't compressed, and all have the same length."""
        frame, start = self._frontier
        length = _XTC_UNPACKED_BYTES + 12 * self.n_atoms
        n_frames = len(window) // length
        numbers = np.frombuffer(window, np.dtype(">i4"), n_frames * length // 4)
        expected = np.array([_XTC_MAGIC, self.n_atoms, self.n_atoms])
        numbers = numbers.reshape(n_frames, length // 4)
        is_plain = (numbers[:, [0, 1, _XTC_UNPACKED_BYTES // 4 - 1]] == expected).all(axis=1)
        n_plain = n_frames if is_plain.all() else int(np.argmin(is_plain))
        for plain in range(-frame % self._every, n_plain, self._every):
            # Whoever keeps may come to keep fewer.
            if (frame + plain) % self._every == 0:
                self._keep(start + plain * length)
        self._frontier = (frame + n_plain, start + n_plain * length)

    def _keep(self, position: int) -> None:
        self._offsets.append(position)
        if len(self._offsets) > _MAX_OFFSETS:
            self._offsets = self._offsets[::2]
            self._every *= 2

    def _measure(self, descriptor: int, frame: int, position: int) -> int:
        header = os.pread(descriptor, _HEADER_BYTES, position)
        n_atoms, length = self._read(header, self._path, frame)
        if length == 0 or position + length > self._size:
            last = f"the last whole one is frame {frame - 1}" if frame else "not one of them is whole"
            raise TruncatedTrajectoryError(
                f"{self._path} is cut off within frame {frame} (counted from 0), at byte {self._size}: "
                f"{last}. "
                "If it is still being written, wait; otherwise copy it again, or cut it after its whole "
                "frames."
            )
        if self.n_atoms < 0:
            self.n_atoms = n_atoms
        if n_atoms != self.n_atoms:
            raise TrajectoryError(
                f"Frame {frame} of {self._path} has {n_atoms} atoms, the frames before it {self.n_atoms}. "
                "Split the file where its atoms change."
            )
        return length


def frame_index(path: str) -> FrameIndex:
    """Index of a file, shared by all who read the file in this process while it stays unchanged."""
    status = Path(path).stat()
    return _cached(path, status.st_size, status.st_mtime_ns)


def grid_step(path: str) -> float | None:
    """Step of the grid that the first frame of an XTC file says its positions are on, nm.

    None for other formats, and for XTC frames of so few atoms that they aren't compressed.
    """
    if not path.lower().endswith(".xtc"):
        return None
    with Path(path).open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or _INT.unpack_from(header, 52)[0] <= _XTC_UNPACKED_ATOMS:
        return None
    per_nm = float(_FLOAT.unpack_from(header, 56)[0])
    return 1.0 / per_nm if per_nm > 0 else None


@lru_cache(maxsize=256)
def _cached(path: str, size: int, modified_ns: int) -> FrameIndex:
    # Size and time are part of the cache's key only.
    return FrameIndex(path)


def _xtc_frame(header: bytes, path: str, frame: int) -> tuple[int, int]:
    if len(header) < 56:
        if frame == 0 and (len(header) < 4 or _INT.unpack_from(header)[0] != _XTC_MAGIC):
            raise _damaged(path, frame, "XTC")
        return 0, 0
    magic, n_atoms = _XTC_HEAD.unpack_from(header)
    if magic != _XTC_MAGIC or n_atoms <= 0 or _INT.unpack_from(header, 52)[0] != n_atoms:
        raise _damaged(path, frame, "XTC")
    if n_atoms <= _XTC_UNPACKED_ATOMS:
        return n_atoms, _XTC_UNPACKED_BYTES + 12 * n_atoms
    if len(header) < _HEADER_BYTES:
        return n_atoms, 0
    small, n_bytes = _XTC_TAIL.unpack_from(header, 84)
    # The one is an index into a table of 73 numbers. Readers take the other into a buffer of 3.6 integers an
    # atom, 3 of them used otherwise, so no writer goes beyond.
    if not 0 <= small < 73 or not 0 < n_bytes <= 4 * (n_atoms * 36 // 10 - 3):
        raise _damaged(path, frame, "XTC")
    return n_atoms, _HEADER_BYTES + (n_bytes + 3) // 4 * 4


def _trr_frame(header: bytes, path: str, frame: int) -> tuple[int, int]:
    if len(header) < 76:
        if frame == 0 and (len(header) < 4 or _INT.unpack_from(header)[0] != _TRR_MAGIC):
            raise _damaged(path, frame, "TRR")
        return 0, 0
    magic, _, n_name = _TRR_HEAD.unpack_from(header)
    if magic != _TRR_MAGIC or n_name != 12:
        raise _damaged(path, frame, "TRR")
    *sizes, n_atoms, _, _ = _TRR_SIZES.unpack_from(header, 24)
    box, positions = sizes[2], sizes[7]
    if n_atoms <= 0 or min(sizes) < 0:
        raise _damaged(path, frame, "TRR")
    if positions == 0:
        raise TrajectoryError(
            f"Frame {frame} of {path} holds no positions (only velocities or forces). "
            "Write the frames with positions to a file of their own, as with `gmx trjconv`."
        )
    if positions not in (12 * n_atoms, 24 * n_atoms) or box not in (0, 36, 72):
        raise _damaged(path, frame, "TRR")
    width = positions // (3 * n_atoms)
    return n_atoms, 76 + 2 * width + sum(sizes)


def _trr_time(header: bytes) -> float:
    sizes = _TRR_SIZES.unpack_from(header, 24)
    is_double = sizes[7] == 24 * sizes[10]
    time: float = (_DOUBLE if is_double else _FLOAT).unpack_from(header, 76)[0]
    return time


def _damaged(path: str, frame: int, name: str) -> TrajectoryError:
    if frame == 0:
        return TrajectoryError(
            f"{path} isn't of format {name}, or its first header is damaged. Rename it to the extension "
            "of its format, or copy it again."
        )
    return TrajectoryError(
        f"{path} is damaged: where frame {frame} should begin there is no {name} header; "
        f"frames 0 to {frame - 1} are whole. Copy the file again, or cut it after its whole frames."
    )
