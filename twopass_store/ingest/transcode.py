"""Positions that are committed, turned into another type without a change of any value.

The new array grows beside the old one with a ledger of its own. When it has all that is committed, it takes
the old one's place, and the ledger of the ingest gets its digests. Each step can be repeated: what a kill
leaves, the next call goes on with.
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ..config import IngestConfig
from ..errors import CorruptChunkError
from ..journal import METADATA, Plan, Product, Record, StageJournal, digest
from ..partition import FrameRange, chunk_range, chunks_per_shard
from ..progress import Progress
from ..schema import position_spec
from ..store import LOSSLESS, Misfit, Packing, Store

__all__ = ["ensure_packing", "finish_exchange", "kept_choices"]

STAGE = "transcode"
NEW = "position_transcoded"


def ensure_packing(store: Store, ingest: StageJournal, config: IngestConfig, progress: Progress) -> Packing:
    """Return how positions are stored, after turning them into the type asked for where it is another.

    Parameters
    ----------
    store
        A store with an array of positions.
    ingest
        The ledger of the ingest; gets the digests of the new chunks.
    config
        Whether float32, or wider integers, are asked for. Where neither is, the store keeps what it has, and
        a change that was begun is brought to its end.
    progress
        Who is told.
    """
    present = store.packing()
    pending = store.journal(STAGE)
    begun = None if pending is None else Packing(**pending.plan.parameters["packing"])
    wanted = _wanted(present, config) or begun or present
    if pending is not None and pending.plan.parameters != _parameters(store, wanted):
        store.remove_journal(STAGE)
    if wanted != present:
        _transcode(store, ingest, wanted, progress)
        finish_exchange(store, ingest)
    return wanted


def finish_exchange(store: Store, ingest: StageJournal) -> None:
    """Put a new array that is whole in the place of the old one, also where a kill came in between."""
    journal = store.journal(STAGE)
    if journal is None or not journal.digest_of(NEW, METADATA):
        return
    if store.has(NEW):
        store.exchange("position", NEW)
    # The chunk that an append has still to complete is there too, but not finished.
    chunks = [int(chunk) for chunk in np.flatnonzero(journal.done(NEW) & ingest.done("position"))]
    ingest.commit(Record("position", chunk, journal.digest_of(NEW, chunk)) for chunk in chunks)
    store.remove_journal(STAGE)


def kept_choices(store: Store, config: IngestConfig) -> list[str]:
    """Say what is asked for, but stays as the store was begun; no value depends on it."""
    n_frames, n_atoms, _ = store.shape("position")
    remarks = []
    codec = store.codec("position")
    if config.codec not in (None, codec):
        remarks.append(f"the store was begun with --codec {codec} and keeps it")
    per_file = store.unit_length("position") // store.chunk_length("position")
    if config.shard is not None and per_file != chunks_per_shard(n_frames, n_atoms, shard=config.shard):
        remarks.append(f"the store was begun with another --shard, {per_file} chunks a file, and keeps it")
    packing = store.packing()
    if (_wanted(packing, config) or packing) != packing:
        remarks.append(f"the store has the same positions as {packing.dtype} and keeps them so")
    return remarks


def _wanted(present: Packing, config: IngestConfig) -> Packing | None:
    if config.precision == "lossless":
        return LOSSLESS
    return replace(present, dtype="int32") if config.wide and present.dtype == "int16" else None


def _parameters(store: Store, packing: Packing) -> dict[str, Any]:
    return {"packing": asdict(packing), "shape": list(store.shape("position"))}


def _transcode(store: Store, ingest: StageJournal, packing: Packing, progress: Progress) -> None:
    shape = store.shape("position")
    length = store.unit_length("position")
    committed = ingest.done("position")
    frames = [chunk_range(chunk, chunk=length, length=shape[0]) for chunk in range(len(committed))]
    n_stored = int(ingest.plan.request.get("append", {}).get("n_frames", 0))
    edge, part = divmod(n_stored, length)
    if part and not committed[edge]:
        committed[edge] = True
        frames[edge] = FrameRange(frames[edge].start, n_stored)
    spec = position_spec(packing.dtype, packing.scale, rounds=packing.rounds)
    if store.journal(STAGE) is None:
        store.remove(NEW)  # of a change that was given up
    plan = Plan(STAGE, _parameters(store, packing), (Product(NEW, len(committed)),), {})
    journal = StageJournal.begin(store, plan, hint="")
    store.ensure_array_like("position", NEW, spec)

    done = journal.done(NEW)
    progress.start(
        f"ingest: positions to {packing.dtype}",
        total=sum(len(frames[chunk]) for chunk in np.flatnonzero(committed)),
        done=sum(len(frames[chunk]) for chunk in np.flatnonzero(committed & done)),
        unit="frames",
    )
    try:
        with journal.batches() as finished:
            for chunk in np.flatnonzero(committed & ~done):
                positions = store.read_positions(frames[chunk])
                packed = packing.pack(positions)
                if isinstance(packed, Misfit) or not np.array_equal(packing.unpack(packed), positions):
                    raise CorruptChunkError(
                        f"{store.path}: positions of frames {frames[chunk].start} to {frames[chunk].stop} "
                        f"can't be turned into {packing.dtype} without a change. Make the store anew."
                    )
                whole = chunk_range(int(chunk), chunk=length, length=shape[0])
                filled = np.full((len(whole), *shape[1:]), spec.fill_value, spec.dtype)
                filled[: len(packed)] = packed
                finished(store.write_chunk(NEW, int(chunk), filled))
                progress.advance(len(frames[chunk]))
    finally:
        progress.finish()
    # The ledger's entry of the metadata says that nothing is missing.
    digests = [journal.digest_of(NEW, int(chunk)) for chunk in np.flatnonzero(committed)]
    journal.commit([Record(NEW, METADATA, digest(np.array(digests, np.uint64).tobytes()))])
