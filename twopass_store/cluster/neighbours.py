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
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..config import ClusterConfig
from ..errors import StoreWriteError
from ..executors import ThreadExecutor, available_cpus, memory_budget, require_within
from ..linkage import gromos_of_pairs, gromos_of_pairs_bytes
from ..metric import ClusterMetric
from ..partition import FrameRange
from ..progress import Progress, counting
from ..rmsd import NearFrames, PackedFrames, near_bytes
from ..store import Store
from .state import COUNT, LIST, TAKE, StoredState

__all__ = ["AllFrames", "PositionFile", "affordable", "tile_frames"]

Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
Result = TypeVar("Result")
Compare = Callable[[PackedFrames, PackedFrames], Result]

ROWS_BYTES, COLUMNS_BYTES = 32 << 20, 6 << 20
"""Positions that one side of a comparison holds in its two precisions; columns are read by every thread."""

MAX_ROWS, MAX_COLUMNS, LEAST = 2048, 512, 64
TASKS_AT_ONCE = 32
"""Tasks of each thread between two moments at which the state may be saved."""

LIST_BYTES = 64 << 20
"""Least memory for lists of neighbours; more is taken where there is more."""

MEMBER, CENTRE = -1, -2
"""Numbers of neighbours of frames that were taken."""


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
        kept: StoredState,
        *,
        list_bytes: int,
        workers: int,
        progress: Progress,
    ) -> None:
        self._positions = positions
        self._near = near
        self._kept = kept
        self._state = kept.load()
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
        rest = gromos_of_pairs(partial(self._kept.pairs, state.n_listed), labels)
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
        title, done = "cluster: largest clusters", n_frames - len(left)
        with counting(self._progress, title, total=n_frames, done=done, unit="frames"):
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
        self._begin(LIST)

    def _list(self) -> None:
        state = self._state
        # Who has no neighbours left is a cluster alone.
        frames = np.flatnonzero((state.labels == 0) & (state.n_neighbours > 1))
        self._kept.expect(self._n_left(), state.n_listed)
        with self._counting_pairs("cluster: pairs of neighbours", len(frames)):
            for rows, parts in self._tiles(frames, frames, self._near.pairs, is_triangle=True):
                for start, pairs in parts:
                    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
                    self._kept.add(pairs)
                    state.n_listed += len(pairs)
                    n_columns = min(self._n_columns, len(frames) - start)
                    self._progress.advance(len(rows) * n_columns)
        self._kept.save(state, now=True)

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
                self._kept.save(state)
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
        self._kept.save(self._state, now=True)

    def _counting_pairs(self, title: str, n_frames: int) -> AbstractContextManager[None]:
        """Report progress over all pairs of some frames."""
        total, left = (_n_compared(n_frames, self._n_rows, row) for row in (0, self._state.row))
        n_done = total - left + self._n_rows * max(0, self._state.column - self._state.row)
        return counting(self._progress, title, total=total, done=min(total, n_done), unit="pairs")


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


def affordable(
    store: Store, config: ClusterConfig, metric: ClusterMetric, n_frames: int, fixed_bytes: int
) -> tuple[int, int]:
    """Return the threads to use, and the memory for lists of neighbours.

    Raises a `MemoryBudgetError` if there is no room for one thread.
    """
    budget = memory_budget(config.memory)
    n_atoms = store.shape("position")[1]
    rows, a_thread = near_bytes(
        *tile_frames(len(metric.atoms)), len(metric.atoms), n_frame_atoms=metric.n_frame_atoms
    )
    # A chunk of positions as it lies on disk, decoded, and cut to the atoms needed.
    block = store.chunk_length("position") * (2 * n_atoms + len(metric.read_atoms)) * 12
    a_thread = max(a_thread, block)
    # Counts, labels, and both once more while they are saved, encoded too; indices of frames that are left.
    # Some rows while the next are read.
    shared = fixed_bytes + 2 * rows + 64 * n_frames + gromos_of_pairs_bytes(n_frames, 0)
    mend = "Or cluster a subset, without --all-frames."
    require_within(budget, shared + a_thread + LIST_BYTES, stage="cluster", mend=mend)
    workers = min(config.workers or available_cpus(), (budget - shared - LIST_BYTES) // a_thread)
    return workers, budget - shared - workers * a_thread
