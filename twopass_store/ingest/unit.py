"""The work on stretches of a store's chunks of positions: read, check, encode, write."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from ..executors import ThreadExecutor, merged
from ..journal import Record
from ..partition import FrameRange
from ..store import Store
from .chunks import Chunk, Columns, read_chunks
from .packing import pack
from .plan import IngestPlan

__all__ = ["Receipt", "ingest_chunks"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one chunk of positions, which is durable."""

    frames: FrameRange
    record: Record
    columns: Columns  # small per-frame arrays, which the driver writes
    rounded_by: float  # the most that a coordinate was moved by rounding, nm


def ingest_chunks(
    store: Store, plan: IngestPlan, stretches: Sequence[FrameRange], *, workers: int
) -> Generator[Receipt, None, None]:
    """Read, check, encode and write stretches of chunks; yields a receipt for each chunk as it is written.

    So many workers read at once, each in a process, and encode and write, each in a thread.
    """
    packing, chunk_frames = store.packing(), store.unit_length("position")

    def write(chunk: Chunk) -> Receipt:
        packed = pack(chunk.columns, packing, plan)
        positions = chunk.columns.pop("position")
        record = store.write_chunk("position", chunk.index, packed)
        rounded_by = packing.largest_error(positions, packed) if packing.rounds else 0.0
        return Receipt(chunk.frames, record, chunk.columns, rounded_by)

    def read(stretch: FrameRange) -> Generator[Chunk, None, None]:
        return read_chunks(plan, stretch, chunk_frames=chunk_frames, store=store)

    with closing(merged(read, stretches, workers=workers)) as chunks:
        # Two threads at least, since one mostly waits for the disk.
        yield from ThreadExecutor(max(2, workers), queued=1).map_unordered(write, chunks)
