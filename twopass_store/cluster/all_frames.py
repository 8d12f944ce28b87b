"""The first pass over all frames: what it needs, and its state in the store."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ClusterConfig
from ..errors import CorruptChunkError
from ..executors import available_cpus, memory_budget, require_within
from ..journal import Plan, ledger
from ..linkage import gromos_of_pairs_bytes
from ..metric import ClusterMetric
from ..partition import FrameRange, chunk_range, n_chunks
from ..rmsd import near_bytes
from ..schema import NEIGHBOURS
from ..store import Store
from .neighbours import State, tile_frames

__all__ = ["StoredState", "affordable", "state_plan"]

Int32Array = NDArray[np.int32]

LIST_BYTES = 64 << 20
"""Least memory for lists of neighbours; more is taken where there is more."""

SAVE_SHARE = 0.05
"""Share of the time that saving the state may take."""

STATE, NEAR_PAIR = NEIGHBOURS


def state_plan(store: Store, name: str, parameters: dict[str, Any], n_frames: int) -> Plan:
    """Return the plan under which a clustering keeps its state; it is never complete."""
    stage = f"neighbours-{name}"
    product = store.product(f"journal/{stage}", STATE, (State.size(n_frames),))
    return Plan(stage, parameters, (product,), {})


class StoredState:
    """The state in the journal of its stage, a `Checkpoint`; each save replaces the last at one stroke."""

    def __init__(self, store: Store, stage: str, n_frames: int) -> None:
        self._store = store
        self._group = f"journal/{stage}"
        self._state = f"{self._group}/{STATE.name}"
        self._pairs = f"{self._group}/{NEAR_PAIR.name}"
        self._n_written = 0
        self._tail = np.empty((0, 2), np.int32)
        self._next_save = time.monotonic() + ledger.COMMIT_SECONDS
        self._n_frames = n_frames

    def load(self) -> State:
        """Return the state that was saved last, or the first one."""
        shape = (State.size(self._n_frames),)
        self._store.ensure_array(self._group, STATE, shape)
        if not self._store.has_chunk(self._state, 0):
            return State.begin(self._n_frames)
        try:
            return State.from_array(self._store.read(self._state))
        except CorruptChunkError:  # then all is counted again
            return State.begin(self._n_frames)

    def save(self, state: State, *, now: bool = False) -> None:
        """Keep the state with the pairs that were added, now or if the last time is some seconds ago."""
        begun = time.monotonic()
        if not now and begun < self._next_save:
            return
        if len(self._tail):
            self._write(self._tail)
        self._store.write_chunk(self._state, 0, state.to_array())
        ended = time.monotonic()
        self._next_save = ended + max(ledger.COMMIT_SECONDS, (ended - begun) / SAVE_SHARE)

    def expect(self, n_pairs: int, n_listed: int) -> None:
        """Make room for pairs, of which some were added before the state was saved."""
        if self._store.has(self._pairs) and self._store.shape(self._pairs)[0] != n_pairs:
            self._store.remove(self._pairs)
        self._n_written = n_listed
        if n_pairs:
            self._store.ensure_array(self._group, NEAR_PAIR, (n_pairs, 2))
            self._n_written -= n_listed % self._store.chunk_length(self._pairs)
            if n_listed > self._n_written:
                self._tail = self._store.read(self._pairs, FrameRange(self._n_written, n_listed))

    def add(self, pairs: Int32Array) -> None:
        """Take further pairs, shape (n_pairs, 2)."""
        if not len(pairs):
            return
        self._tail = np.concatenate([self._tail, pairs])
        length = self._store.chunk_length(self._pairs)
        while len(self._tail) >= length:
            self._write(self._tail[:length])
            self._tail = self._tail[length:].copy()
            self._n_written += length

    def _write(self, pairs: Int32Array) -> None:
        """Write the chunk that begins where the last whole one ends; whole, or zarr would read it before."""
        n_pairs, length = self._store.shape(self._pairs)[0], self._store.chunk_length(self._pairs)
        chunk = self._n_written // length
        values = np.full((len(chunk_range(chunk, chunk=length, length=n_pairs)), 2), -1, np.int32)
        values[: len(pairs)] = pairs
        self._store.write_chunk(self._pairs, chunk, values)

    def pairs(self, n_listed: int) -> Iterator[Int32Array]:
        """Return all pairs, in parts."""
        length = self._store.chunk_length(self._pairs) if n_listed else 1
        for chunk in range(n_chunks(n_listed, length)):
            yield self._store.read(self._pairs, chunk_range(chunk, chunk=length, length=n_listed))


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
