"""One unit of the second pass: a chunk of the per-frame arrays, read, labelled and written."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..journal import Record, Writer
from ..metric import read_metric
from ..partition import FRAME_CHUNK, FrameRange, chunk_range
from ..rmsd import Nearest, PreparedLeaders, nearest_leaders, prepare_leaders
from ..schema import LABEL_STATUS
from ..store import Store

__all__ = ["AssignUnit", "Receipt", "complete_chunk", "read_inputs"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a unit did: the frames it labelled, and the ledger's entries of the chunks that it wrote."""

    frames: FrameRange
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class AssignUnit:
    """The work on one chunk, as a function that can be sent to another process.

    Attributes
    ----------
    path
        The store.
    staging
        Folder for temporary files, from the lock that the driver holds.
    group
        Path of the clustering's group.
    fingerprint
        Of the plan: a process that has worked on an older clustering of that name must not mix them up.
    noise_cutoff
        Frames farther (nm) than this from every leader get no label; all get one where None.
    covered
        Frames at the beginning of the store that have labels already: a chunk that they fill in part is
        completed.
    threads
        Threads in the unit; they share its blocks. The result doesn't depend on them.
    """

    path: Path
    staging: Path
    group: str
    fingerprint: str
    noise_cutoff: float | None = None
    covered: int = 0
    threads: int = 1

    @property
    def title(self) -> str:
        """What it does, for whoever watches."""
        return "assign"

    def with_threads(self, threads: int) -> Self:
        """Return the same with another number of threads."""
        return replace(self, threads=threads)

    def __call__(self, chunk: int) -> Receipt:
        """Label the frames of one chunk and write it; returns what was done."""
        inputs = read_inputs(self)
        store = inputs.store
        n_frames = store.shape("position")[0]
        frames = chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)
        step = store.chunk_length("position")
        first = self.covered if frames.start < self.covered < frames.stop else frames.start
        blocks = [
            FrameRange(start, min(start + step, frames.stop)) for start in range(first, frames.stop, step)
        ]

        def nearest(block: FrameRange) -> Nearest:
            return nearest_leaders(store.read_positions(block, inputs.atoms), inputs.leaders)

        if self.threads == 1:
            found = [nearest(block) for block in blocks]
        else:
            with ThreadPoolExecutor(self.threads, thread_name_prefix="twopass-block") as pool:
                found = list(pool.map(nearest, blocks))
        index = np.concatenate([part.index for part in found])
        rmsd = np.concatenate([part.rmsd for part in found])
        status = np.full(len(index), LABEL_STATUS["assigned"], np.int8)
        if self.noise_cutoff is not None:
            # In float32, as whoever compares the stored distances with the cutoff does.
            status[rmsd > np.float32(self.noise_cutoff)] = LABEL_STATUS["beyond_noise_cutoff"]
        status[index < 0] = LABEL_STATUS["not_finite"]
        is_assigned = status == LABEL_STATUS["assigned"]
        label = np.where(is_assigned, inputs.leader_label[index], np.int32(-1))
        columns = {"label": label, "label_status": status, "leader_index": index, "rmsd_to_leader": rmsd}
        present = FrameRange(frames.start, first)
        records = (
            store.write_chunk(path, chunk, complete_chunk(store, path, present, values))
            for path, values in ((f"{self.group}/{name}", values) for name, values in columns.items())
        )
        return Receipt(frames, tuple(records))


def complete_chunk(store: Store, path: str, present: FrameRange, values: NDArray[Any]) -> NDArray[Any]:
    """Return a chunk's values: those of the frames that have some already, then the new ones."""
    if not len(present):
        return values
    return np.concatenate([store.read(path, present), values])


@dataclass(frozen=True, slots=True)
class Inputs:
    store: Store
    atoms: NDArray[np.int64] | None
    leaders: PreparedLeaders
    leader_label: NDArray[np.int32]


@lru_cache(maxsize=2)
def read_inputs(unit: AssignUnit) -> Inputs:
    """Open the store and prepare the leaders, once for all units of a process."""
    store = Store.open(unit.path, writer=Writer(unit.staging))
    metric = read_metric(store, unit.group)
    atoms = metric.read_atoms
    leaders = prepare_leaders(store.read(f"{unit.group}/leader_position")[:, atoms], metric.for_kernels())
    is_all = np.array_equal(atoms, np.arange(store.shape("position")[1]))
    return Inputs(store, None if is_all else atoms, leaders, store.read(f"{unit.group}/leader_label"))
