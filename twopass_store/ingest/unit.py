"""The work on a store's chunks of positions: read, check, encode, write."""

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..executors import ThreadExecutor, merged
from ..journal import Record, Writer
from ..partition import FrameRange
from ..store import Store
from ..trajectory import check_unchanged
from ..units import Receipt, Unit
from .chunks import Chunk, Columns, parts_read, read_chunks
from .columns import COLUMNS_PER_WORKER, FrameColumns
from .packing import pack
from .plan import IngestPlan
from .stretches import cut_stretches

__all__ = ["IngestUnit", "Written", "chunks_per_unit", "n_new", "write_missing"]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one chunk of positions, which is durable."""

    frames: FrameRange
    record: Record
    n_new: int  # of the frames, those that weren't in the store before an append
    columns: Columns  # small per-frame arrays, which lie in longer chunks
    rounded_by: float  # the most that a coordinate was moved by rounding, nm


def write_missing(
    store: Store, plan: IngestPlan, missing: NDArray[np.integer], *, workers: int
) -> Generator[Written, None, None]:
    """Read, check, encode and write chunks of positions; yields what became of each as it is written.

    So many workers read at once, each in a process, and encode and write, each in a thread.
    """
    packing, chunk_frames = store.packing(), store.unit_length("position")
    stretches = list(cut_stretches(plan, missing, chunk_frames=chunk_frames, workers=workers))
    workers = max(1, min(workers, len(stretches)))

    def write(chunk: Chunk) -> Written:
        packed = pack(chunk.columns, packing, plan)
        positions = chunk.columns.pop("position")
        record = store.write_chunk("position", chunk.index, packed)
        rounded_by = packing.largest_error(positions, packed) if packing.rounds else 0.0
        return Written(chunk.frames, record, n_new(plan, chunk.frames), chunk.columns, rounded_by)

    def read(stretch: FrameRange) -> Generator[Chunk, None, None]:
        return read_chunks(plan, stretch, chunk_frames=chunk_frames, store=store)

    with closing(merged(read, stretches, workers=workers)) as chunks:
        # Two threads at least, since one mostly waits for the disk.
        yield from ThreadExecutor(max(2, workers), queued=1).map_unordered(write, chunks)
    for each in stretches:
        frames = FrameRange(each.start * chunk_frames, each.stop * chunk_frames)
        for source, _, _ in parts_read(plan, frames):
            check_unchanged(source.info)  # one that is lost after its last frame was read is told, too


def n_new(plan: IngestPlan, frames: FrameRange) -> int:
    """Count the frames that aren't in the store yet: an append completes a chunk of which some are."""
    return max(0, frames.stop - max(frames.start, plan.n_stored))


def chunks_per_unit(store: Store) -> int:
    """Return how many files of positions make whole files of the other per-frame arrays, too."""
    length = store.unit_length("position")
    # One of them, both being powers of two but in stores of old.
    return math.lcm(length, store.frames_per_file) // length


@dataclass(frozen=True, kw_only=True)
class IngestUnit(Unit):
    """The work on frames that are whole chunks of all arrays, so that no other unit writes to these."""

    def __call__(self, chunks: FrameRange) -> Receipt:
        """Read and write the frames of units with these numbers, as far as the ledger lacks them."""
        from .resume import plan_rest

        store = Store.open(self.path, writer=Writer(self.staging))
        per_unit = chunks_per_unit(store)
        plan, _ = plan_rest(store, within=FrameRange(chunks.start * per_unit, chunks.stop * per_unit))
        journal = store.journal("ingest")
        assert journal is not None
        missing = np.flatnonzero(~journal.done("position"))
        missing = missing[np.isin(missing // per_unit, range(chunks.start, chunks.stop))]
        columns = FrameColumns(store, plan.n_frames, at_once=COLUMNS_PER_WORKER * self.threads)
        records, count, rounded_by = [], 0, 0.0
        with closing(write_missing(store, plan, missing, workers=self.threads)) as written:
            for each in written:
                columns.put(each.frames.start, each.columns)
                records.append(each.record)
                count += each.n_new
                rounded_by = max(rounded_by, each.rounded_by)
        # A chunk may have been written before it was full.
        last = {(record.path, record.chunk): record for record in (*records, *columns.flush())}
        return Receipt(chunks, tuple(last.values()), count, rounded_by)
