"""How far the first pass over all frames has come, and what of it is kept in the store."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptChunkError
from ..journal import Plan, ledger
from ..partition import FrameRange, chunk_range, n_chunks
from ..schema import NEIGHBOURS
from ..store import Store

__all__ = ["COUNT", "LIST", "TAKE", "State", "StoredState", "state_plan"]

Int32Array = NDArray[np.int32]

COUNT, TAKE, LIST = range(3)

STATE, NEAR_PAIR = NEIGHBOURS


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
        """Return the length of `to_array`; it is all zeros before anything is done."""
        return 4 + 2 * n_frames

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


def state_plan(store: Store, name: str, parameters: dict[str, Any], n_frames: int) -> Plan:
    """Return the plan under which a clustering keeps its state; it is never complete."""
    stage = f"neighbours-{name}"
    product = store.product(f"journal/{stage}", STATE, (State.size(n_frames),))
    return Plan(stage, parameters, (product,), {})


class StoredState:
    """The state in the journal of its stage; each save replaces the last at one stroke."""

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
        values = np.zeros(State.size(self._n_frames), np.int32)
        self._store.ensure_array(self._group, STATE, values.shape)
        if self._store.has_chunk(self._state, 0):
            with suppress(CorruptChunkError):  # then all is counted again
                values = self._store.read(self._state)
        return State.from_array(values)

    def save(self, state: State, *, now: bool = False) -> None:
        """Keep the state with the pairs that were added, now or if the last time is some seconds ago."""
        begun = time.monotonic()
        if not now and begun < self._next_save:
            return
        if len(self._tail):
            self._write(self._tail)
        self._store.write_chunk(self._state, 0, state.to_array())
        self._next_save = ledger.next_commit(begun)

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
