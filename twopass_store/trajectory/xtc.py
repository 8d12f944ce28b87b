"""XTC files, decoded by kernels of our own.

Where a run of atoms in a damaged frame is too long, mdtraj's decoder writes one atom behind the end of two of
its buffers, which takes the process down, now or later; of a frame that ends early or late it says nothing.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import TrajectoryError
from ._xtc_kernels import BEYOND_DATA, BEYOND_FRAME, MAGIC, NO_SUCH_SIZE, TOO_SHORT, decode, find_frames
from .xdr import FrameIndex

__all__ = ["XtcFile"]

_HEADER_BYTES = 92
_BARE_HEADER_BYTES = 56
_BARE_ATOMS = 9
# What the kernels may look at behind the last frame.
_SLACK_BYTES = 32
_WINDOW_BYTES = 64 << 10
_WRONG = {
    BEYOND_DATA: "its positions take more bytes than it has",
    BEYOND_FRAME: "it holds more atoms than it says",
    NO_SUCH_SIZE: "its positions are packed in a size that doesn't exist",
    TOO_SHORT: "its positions end before its bytes do",
}

# Positions, times, steps, vectors of the unit cell.
Frames = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]


class XtcFile:
    """An open XTC file.

    Parameters
    ----------
    path
        The file.
    index
        Where its frames begin.
    """

    def __init__(self, path: str, index: FrameIndex) -> None:
        self._path = path
        self._index = index
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (closed by `close`)
        index.offset(0)
        self._n_atoms = index.n_atoms
        # Frame that was not read yet, and where it begins.
        self._next = (0, 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start: int, n_frames: int) -> Frames:
        """Read consecutive frames, as many as there are.

        Returns
        -------
        Positions, shape (n_frames, n_atoms, 3), nm; times, shape (n_frames,), ps; steps, shape (n_frames,);
        vectors of the unit cell, shape (n_frames, 3, 3), nm: bit for bit those that mdtraj reads.

        Raises
        ------
        TrajectoryError
            If a frame is damaged.
        """
        position = self._next[1] if start == self._next[0] else self._index.offset(start)
        if self._n_atoms <= _BARE_ATOMS:
            return self._read_bare(start, n_frames, position)
        data, offsets, end = self._compressed(start, n_frames, position)
        header = data[offsets[:, None] + np.arange(_HEADER_BYTES)]
        integers = header.view(">i4").astype(np.int32)
        reals = header.view(">f4").astype(np.float32)
        small = np.concatenate([integers[:, 15:21], integers[:, 21:23]], axis=1).astype(np.int64)
        extent = small[:, 3:6] - small[:, :3]
        precision = reals[:, 14].astype(np.float64)
        is_sound = (
            (extent >= 0).all(axis=1)
            & (extent < 0xFFFFFFFF).all(axis=1)
            & (small[:, 6] >= np.flatnonzero(MAGIC)[0])
            & (small[:, 6] < len(MAGIC))
            & np.isfinite(precision)
            & (precision > 0)
        )
        if not is_sound.all():
            raise self._damaged(start + int(np.argmin(is_sound)), "its header holds impossible numbers")
        xyz = np.empty((len(offsets), self._n_atoms, 3), np.float32)
        per_grid = (1.0 / precision).astype(np.float32)
        n_whole, wrong = decode(data, offsets + _HEADER_BYTES, small, per_grid, xyz)
        if wrong:
            raise self._damaged(start + n_whole, _WRONG[wrong])
        self._next = (start + len(offsets), position + end)
        return xyz, reals[:, 3].copy(), integers[:, 2].copy(), reals[:, 4:13].reshape(-1, 3, 3).copy()

    def _compressed(
        self, start: int, n_frames: int, position: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
        """Read the bytes of consecutive frames; also where each begins, and where the last one ends."""
        left = self._index.size_bytes - position
        offsets = np.empty(n_frames, np.int64)
        mean = self._index.size_bytes // max(1, self._index.count())
        wanted = n_frames * mean + _WINDOW_BYTES
        while True:
            n_bytes = min(left, wanted)
            data = self._bytes(position, n_bytes)
            found, end = find_frames(data, n_bytes, self._n_atoms, offsets)
            if found == n_frames or end == left:
                return data, offsets[:found], end
            if n_bytes == left:
                # Says what is wrong there, if it was so when the file was looked at.
                self._index.offset(start + found)
                raise self._damaged(start + found, "there is no header")
            wanted *= 2

    def _read_bare(self, start: int, n_frames: int, position: int) -> Frames:
        """Read frames of so few atoms that they aren't compressed."""
        length = _BARE_HEADER_BYTES + 12 * self._n_atoms
        n_found = min(n_frames, (self._index.size_bytes - position) // length)
        frames = self._bytes(position, n_found * length)[: n_found * length].reshape(n_found, length)
        integers = frames.view(">i4").astype(np.int32)
        reals = frames.view(">f4").astype(np.float32)
        is_sound = (integers[:, [0, 1, 13]] == [1995, self._n_atoms, self._n_atoms]).all(axis=1)
        if not is_sound.all():
            raise self._damaged(start + int(np.argmin(is_sound)), "there is no header")
        self._next = (start + n_found, position + n_found * length)
        xyz = reals[:, 14:].reshape(n_found, self._n_atoms, 3).copy()
        return xyz, reals[:, 3].copy(), integers[:, 2].copy(), reals[:, 4:13].reshape(-1, 3, 3).copy()

    def _bytes(self, position: int, n_bytes: int) -> NDArray[np.uint8]:
        data = np.zeros(n_bytes + _SLACK_BYTES, np.uint8)
        view, done = data.data[:n_bytes], 0
        self._file.seek(position)
        while done < n_bytes and (got := self._file.readinto(view[done:])):
            done += got
        # Where it was cut since it was looked at, zeros are left, which are no header.
        return data

    def _damaged(self, frame: int, what: str) -> TrajectoryError:
        return TrajectoryError(
            f"Frame {frame} (counted from 0) of {self._path} is damaged: {what}. "
            "Copy the file again, or cut it before that frame."
        )
