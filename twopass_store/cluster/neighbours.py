"""Gromos over all frames of a store: by comparing tiles of frames with the cutoff, and without a matrix.

1. Count the neighbours of every frame: all pairs once, a number a frame.
2. Take out the frame with most neighbours that are left, with them, and subtract what its members were to the
   frames that stay; again, until the neighbours left fit in memory.
3. List the pairs of neighbours that are left, and finish with those.

Every pair is compared at most twice: a pair whose frames are taken at different times in 1 and 2, one that is
left in 1 and 3, and one within a cluster that is taken only in 1.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreWriteError
from ..executors import ThreadExecutor
from ..linkage import gromos_of_pairs, gromos_of_pairs_bytes
from ..partition import FrameRange
from ..progress import Progress
from ..rmsd import NearFrames, PackedFrames
from ..store import Store

__all__ = ["AllFrames", "Checkpoint", "PositionFile", "State", "tile_frames"]

Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
Result = TypeVar("Result")
Compare = Callable[[PackedFrames, PackedFrames], Result]

ROWS_BYTES, COLUMNS_BYTES = 32 << 20, 6 << 20
"""Positions that one side of a comparison holds in its two precisions; columns are read by every thread."""

MAX_ROWS, MAX_COLUMNS, LEAST = 2048, 512, 64
TASKS_AT_ONCE = 32
"""Tasks of each thread between two moments at which the state may be saved."""

COUNT, TAKE, LIST = range(3)

MEMBER, CENTRE = -1, -2
"""Numbers of neighbours of frames that were taken."""


@dataclass(slots=True, eq=False)
class State:
    """How far it has come.

    `row` are rows that are done, among all frames, the members of the last cluster, or the frames left;
    `column` the columns that are done for the rows that come next. `n_neighbours` are counted so far among
    the frames left, the frame itself included; `labels` are 0 while a frame is left, -1 if it isn't finite.
    """

    phase: int
    row: int
    column: int
    n_listed: int
    n_neighbours: Int32Array
    labels: Int32Array

    @staticmethod
    def size(n_frames: int) -> int:
        """Return the length of `to_array`."""
        return 4 + 2 * n_frames

    @classmethod
    def begin(cls, n_frames: int) -> "State":
        """Return the state before anything is done."""
        return cls(COUNT, 0, 0, 0, np.zeros(n_frames, np.int32), np.zeros(n_frames, np.int32))

    @classmethod
    def from_array(cls, values: Int32Array) -> "State":
        """Return what `to_array` was made from."""
        n_neighbours, labels = values[4:].reshape(2, -1).copy()
        phase, row, column, n_listed = values[:4].tolist()
        return cls(phase, row, column, n_listed, n_neighbours, labels)

    def to_array(self) -> Int32Array:
        """Return it as numbers."""
        cursor = np.array([self.phase, self.row, self.column, self.n_listed], np.int32)
        return np.concatenate([cursor, self.n_neighbours, self.labels])


class Checkpoint(Protocol):
    """Where the state is kept."""

    def save(self, state: State, *, now: bool = False) -> None:
        """Keep the state with the pairs that were added, now or if the last time is some seconds ago."""

    def expect(self, n_pairs: int, n_listed: int) -> None:
        """Make room for pairs, of which some were added before the state was saved."""

    def add(self, pairs: Int32Array) -> None:
        """Take further pairs, shape (n_pairs, 2)."""

    def pairs(self, n_listed: int) -> Iterator[Int32Array]:
        """Return so many pairs that were added, in parts."""


class PositionFile:
    """Positions of some atoms of all frames, in a temporary file; a matter of scattered frames."""

    def __init__(self, descriptor: int, n_atoms: int) -> None:
        self._descriptor = descriptor
        self._n_atoms = n_atoms

    @classmethod
    @contextmanager
    def of(
        cls, store: Store, n_frames: int, atoms: NDArray[np.int64], path: Path, *, workers: int
    ) -> Iterator["PositionFile"]:
        """Copy the positions; the file goes with the block."""
        with path.open("w+b", buffering=0) as file:
            path.unlink()  # it lives as long as it is open
            positions = cls(file.fileno(), len(atoms))
            length = store.chunk_length("position")

            def copy(start: int) -> None:
                frames = FrameRange(start, min(start + length, n_frames))
                positions._write(start, store.read_positions(frames, atoms))

            for _ in ThreadExecutor(workers).map_unordered(copy, range(0, n_frames, length)):
                pass
            yield positions

    def read(self, frames: Int64Array) -> NDArray[np.float32]:
        """Read frames, ascending, shape (n_frames, n_atoms, 3), nm."""
        xyz = np.empty((len(frames), self._n_atoms, 3), np.float32)
        edges = [0, *(np.flatnonzero(np.diff(frames) != 1) + 1).tolist(), len(frames)]
        for start, stop in pairwise(edges):
            os.preadv(self._descriptor, [xyz[start:stop].data], int(frames[start]) * 12 * self._n_atoms)
        return xyz

    def _write(self, start: int, xyz: NDArray[np.float32]) -> None:
        try:
            n_written = os.pwritev(self._descriptor, [xyz.data], start * 12 * self._n_atoms)
            if n_written < xyz.nbytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise StoreWriteError(
                "Cannot copy the positions that are compared to a temporary file beside the store, 12 bytes "
                f"for each atom of each frame: {error.strerror}. Free space, and run the same command again."
            ) from error


class AllFrames:
    """The clustering of all frames; `list_bytes` is memory for the lists of neighbours."""

    def __init__(
        self,
        positions: PositionFile,
        near: NearFrames,
        checkpoint: Checkpoint,
        state: State,
        *,
        list_bytes: int,
        workers: int,
        progress: Progress,
    ) -> None:
        self._positions = positions
        self._near = near
        self._checkpoint = checkpoint
        self._state = state
        self._list_bytes = list_bytes
        self._workers = workers
        self._progress = progress
        self._n_rows, self._n_columns = tile_frames(near.n_atoms)

    def run(self) -> tuple[Int32Array, Int64Array]:
        """Cluster; returns the labels, -1 for frames that aren't finite, and the centres in their order."""
        state = self._state
        if state.phase == COUNT:
            self._count()
        if state.phase == LIST and not self._fits():
            # It was begun with more memory.
            state.phase, state.row, state.column, state.n_listed = TAKE, len(state.labels), 0, 0
        if state.phase == TAKE:
            self._take()
        self._list()
        taken = np.flatnonzero(state.n_neighbours == CENTRE)
        taken = taken[np.argsort(state.labels[taken])]
        labels = state.labels.copy()
        rest = gromos_of_pairs(partial(self._checkpoint.pairs, state.n_listed), labels)
        return labels, np.concatenate([taken, rest])

    def _count(self) -> None:
        state, frames = self._state, np.arange(len(self._state.labels))
        with self._counting_pairs("cluster: neighbours", len(frames)):
            for rows, parts in self._tiles(frames, frames, self._near.count, is_triangle=True):
                for start, (of_rows, of_columns) in parts:
                    state.n_neighbours[start : start + len(of_columns)] += of_columns
                    # Rows are compared among themselves in both orders.
                    if start > rows.frame[-1]:
                        state.n_neighbours[rows.frame] += of_rows
                    self._progress.advance(len(of_rows) * len(of_columns))
        state.labels[state.n_neighbours == 0] = -1
        self._begin(TAKE)

    def _take(self) -> None:
        state = self._state
        n_frames = len(state.labels)
        left = np.flatnonzero(state.labels == 0)
        self._progress.start(
            "cluster: largest clusters", total=n_frames, done=n_frames - len(left), unit="frames"
        )
        try:
            while True:
                label = state.labels.max(initial=0)
                members = np.flatnonzero(state.labels == label) if label > 0 else left[:0]
                for _, parts in self._tiles(members, left, self._near.count):
                    for start, (_, of_columns) in parts:
                        state.n_neighbours[left[start : start + len(of_columns)]] -= of_columns
                if self._fits():
                    break
                centre = left[state.n_neighbours[left].argmax()]
                members = self._neighbours(centre, left)
                state.labels[members] = label + 1
                state.n_neighbours[members] = MEMBER
                state.n_neighbours[centre] = CENTRE
                state.row = state.column = 0
                left = np.flatnonzero(state.labels == 0)
                self._progress.advance(len(members))
        finally:
            self._progress.finish()
        self._begin(LIST)

    def _list(self) -> None:
        state = self._state
        # Who has no neighbours left is a cluster alone.
        frames = np.flatnonzero((state.labels == 0) & (state.n_neighbours > 1))
        self._checkpoint.expect(self._n_left(), state.n_listed)
        with self._counting_pairs("cluster: pairs of neighbours", len(frames)):
            for rows, parts in self._tiles(frames, frames, self._near.pairs, is_triangle=True):
                for start, pairs in parts:
                    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
                    self._checkpoint.add(pairs)
                    state.n_listed += len(pairs)
                    n_columns = min(self._n_columns, len(frames) - start)
                    self._progress.advance(len(rows) * n_columns)
        self._checkpoint.save(state, now=True)

    def _fits(self) -> bool:
        """Tell whether the neighbours that are left fit in memory, in lists."""
        n_left = self._n_left()
        # While they are found, pairs are there twice, and not all of that is given back to the system.
        needed = gromos_of_pairs_bytes(0, n_left) + 16 * n_left
        return needed <= self._list_bytes and n_left < np.iinfo(np.int32).max

    def _n_left(self) -> int:
        """Count the pairs of neighbours that are left."""
        return int(np.sum(self._state.n_neighbours[self._state.labels == 0] - 1, dtype=np.int64)) // 2

    def _neighbours(self, centre: np.int64, frames: Int64Array) -> Int64Array:
        alone = np.array([centre])
        row = self._near.pack(self._positions.read(alone), alone, lanes=1)
        found = self._compare(row, frames, range(0, len(frames), self._n_columns), self._near.pairs)
        return np.sort(np.concatenate([pairs[:, 1] for _, pairs in found]))

    def _tiles(
        self, rows: Int64Array, columns: Int64Array, compare: Compare[Result], *, is_triangle: bool = False
    ) -> Iterator[tuple[PackedFrames, list[tuple[int, Result]]]]:
        """Compare rows with columns from where the state stands, and move it on.

        Yields some rows, and for several groups of columns the index of the first and what `compare` made of
        them. In a triangle, columns before the rows are left out.
        """
        state, wave = self._state, self._n_columns * TASKS_AT_ONCE * self._workers
        for first in range(state.row, len(rows), self._n_rows):
            frames = rows[first : first + self._n_rows]
            packed = self._near.pack(self._positions.read(frames), frames)
            for start in range(max(state.column, first * is_triangle), len(columns), wave):
                stop = min(start + wave, len(columns))
                yield packed, self._compare(packed, columns, range(start, stop, self._n_columns), compare)
                state.column = stop
                self._checkpoint.save(state)
            state.row, state.column = first + len(frames), 0

    def _compare(
        self, rows: PackedFrames, columns: Int64Array, starts: range, compare: Compare[Result]
    ) -> list[tuple[int, Result]]:
        def work(start: int) -> tuple[int, Result]:
            frames = columns[start : start + self._n_columns]
            return start, compare(rows, self._near.pack(self._positions.read(frames), frames))

        return list(ThreadExecutor(self._workers).map_unordered(work, starts))

    def _begin(self, phase: int) -> None:
        self._state.phase, self._state.row, self._state.column = phase, 0, 0
        self._checkpoint.save(self._state, now=True)

    @contextmanager
    def _counting_pairs(self, title: str, n_frames: int) -> Iterator[None]:
        """Report progress over all pairs of some frames."""
        total, left = (_n_compared(n_frames, self._n_rows, row) for row in (0, self._state.row))
        n_done = total - left + self._n_rows * max(0, self._state.column - self._state.row)
        self._progress.start(title, total=total, done=min(total, n_done), unit="pairs")
        try:
            yield
        finally:
            self._progress.finish()


def tile_frames(n_atoms: int) -> tuple[int, int]:
    """Return how many frames of so many atoms are compared with how many at once."""
    # float64 and float32, and positions as they were read.
    a_frame = 48 * n_atoms
    columns = max(LEAST, min(MAX_COLUMNS, COLUMNS_BYTES // a_frame // LEAST * LEAST))
    # Whole tiles: none may have frames both among the rows and behind them.
    rows = min(MAX_ROWS, ROWS_BYTES // a_frame) // columns * columns
    return max(columns, rows), columns


def _n_compared(n_frames: int, n_rows: int, row: int) -> int:
    return sum(min(n_rows, n_frames - first) * (n_frames - first) for first in range(row, n_frames, n_rows))
