"""The work on stretches of a store's chunks of positions: read, check, encode, write."""

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..executors import ThreadExecutor
from ..journal import Record, Writer
from ..partition import FrameRange
from ..store import Store
from .chunks import Chunk, Reading, read_chunks
from .packing import Advice, pack_chunk

__all__ = ["IngestUnit", "Receipt"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one chunk of positions.

    Attributes
    ----------
    frames
        Its frames in the store.
    record
        The ledger's entry of the chunk, which is durable.
    columns
        The small per-frame arrays by name; the driver writes them.
    rounded_by
        The most that a coordinate was moved by rounding, nm.
    """

    frames: FrameRange
    record: Record
    columns: Mapping[str, NDArray[Any]]
    rounded_by: float


@dataclass(frozen=True, slots=True)
class IngestUnit:
    """The work on chunks of positions, as a function that can be sent to another process.

    Attributes
    ----------
    path
        The store.
    staging
        Folder for temporary files, from the lock that the driver holds.
    reading
        What is ingested.
    advice
        How to go on where a coordinate doesn't fit.
    """

    path: Path
    staging: Path
    reading: Reading
    advice: Advice

    def __call__(self, stretches: Iterable[FrameRange]) -> Generator[Receipt, None, None]:
        """Ingest stretches of consecutive chunks, one after the other; yields a receipt for each chunk.

        Stretches are drawn when they are begun, so that several processes can share them.
        """
        store = Store.open(self.path, writer=Writer(self.staging))

        packing = store.packing()

        def write(chunk: Chunk) -> Receipt:
            packed = pack_chunk(chunk, packing, self.reading, self.advice)
            record = store.write_chunk("position", chunk.index, packed)
            rounded_by = packing.largest_error(chunk.positions, packed) if packing.rounds else 0.0
            return Receipt(chunk.frames, record, chunk.columns, rounded_by)

        chunks = read_chunks(self.reading, stretches, chunk_frames=store.unit_length("position"), store=store)
        # Two threads encode and write while this one reads the next chunk: one waits for the disk mostly.
        yield from ThreadExecutor(2, queued=1).map_unordered(write, chunks)
