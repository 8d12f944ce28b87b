"""What an ingest would take, from its plan and from samples: nothing is written to the store."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig, list_inputs
from ..errors import ConfigError, NonFiniteError
from ..executors import available_cpus, memory_budget
from ..partition import FrameRange, position_chunk_frames
from ..progress import Progress
from ..schema import DEFAULT_CODEC, position_spec
from ..store import Misfit, Packing, Store, encoded_bytes
from .append import plan_append
from .chunks import read_frames
from .columns import BYTES
from .packing import choose_packing, describe_packing
from .plan import IngestPlan, plan_ingest
from .runs import Source
from .stage import IngestEstimate
from .stretches import useful_workers

__all__ = ["estimate"]

# Of positions as mdtraj decodes them, all atoms of the file, that are read of a format to time it.
SAMPLE_BYTES = 16 << 20
# Part of their size that times, unit cells and provenance take on the disk (measured: 0.1 to 0.5).
COLUMN_SHARE = 0.5


def estimate(config: IngestConfig, progress: Progress, *, append_to: Path | None = None) -> IngestEstimate:
    """Plan an ingest, read and encode a sample of each format in it, and multiply.

    With `append_to`, a store, only the frames that are added to it count; a `ConfigError` if there are none.
    """
    files = list_inputs(config, progress.note)
    if append_to is None:
        plan = plan_ingest(config, files)
        packing = choose_packing(plan, config)
    else:
        store = Store.open(append_to)
        longer = plan_append(store, config, files)
        if longer is None:
            raise ConfigError(f"{append_to} has all frames of these files; there is nothing to append.")
        plan, packing = longer, store.packing()
    for message in plan.messages:
        progress.note(message)
    budget = memory_budget(config.memory)
    asked = config.workers or min(available_cpus(), useful_workers(plan.sources))
    shared_bytes, worker_bytes = plan.memory
    workers = max(1, min(asked, (budget - shared_bytes) // worker_bytes))

    read_seconds, encode_seconds, bytes_per_frame = 0.0, 0.0, 0.0
    for member, n_kept in _samples(plan.sources):
        positions, seconds = _read(plan, member)
        if len(positions):
            read_seconds += seconds * n_kept
            seconds, size = _encode(positions, packing, config.codec or DEFAULT_CODEC)
            encode_seconds += seconds * n_kept
            bytes_per_frame = max(bytes_per_frame, size)
    n_frames = sum(len(source.kept) for source in plan.sources)
    column_bytes = sum(BYTES[name] for name in BYTES.keys() & plan.names)
    return IngestEstimate(
        n_frames=n_frames,
        n_atoms=plan.n_atoms,
        n_trajectories=len(plan.sources),
        n_runs=len(plan.tables.get("run_label", ())),
        n_source_frames=sum(source.info.n_frames for source in plan.sources),
        source_bytes=sum(source.info.size_bytes for source in plan.sources),
        packing=describe_packing(packing),
        workers=workers,
        memory_bytes=shared_bytes + workers * worker_bytes,
        budget_bytes=budget,
        disk_bytes=int(n_frames * (bytes_per_frame + COLUMN_SHARE * column_bytes)),
        # One thread of a worker reads while the other encodes.
        seconds=max(read_seconds, encode_seconds) / min(workers, available_cpus()),
    )


def _samples(sources: Sequence[Source]) -> Iterator[tuple[int, int]]:
    """Yield the largest of the files that take as long a frame, and the frames kept of them together.

    These have the same format, size of a frame, and share of frames left out.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for member, source in enumerate(sources):
        if len(source.kept):
            share = round(np.log2(source.info.n_frames / len(source.kept)))
            key = (source.info.format.name, source.info.n_atoms, share)
            groups.setdefault(key, []).append(member)
    for members in groups.values():
        n_kept = [len(sources[member].kept) for member in members]
        yield members[int(np.argmax(n_kept))], sum(n_kept)


def _read(plan: IngestPlan, member: int) -> tuple[NDArray[np.float32], float]:
    """Read some frames of a file; returns their positions and the seconds that one takes."""
    source = plan.sources[member]
    start, n_kept = plan.n_stored + sum(len(one.kept) for one in plan.sources[:member]), len(source.kept)
    n_frames = min(n_kept, max(2, SAMPLE_BYTES // (12 * source.info.n_atoms)))
    # From the middle, where the format finds it without reading what is before.
    place = start + (n_kept - n_frames) // 2 if source.info.format.can_seek else start
    blocks = [np.empty((0, plan.n_atoms, 3), np.float32)]
    begin = time.perf_counter()
    try:
        # What is loaded and looked up at the first use isn't part of the time of a frame.
        next(read_frames(plan, FrameRange(place, place + 1)))
        begin = time.perf_counter()
        blocks += [block["position"] for block in read_frames(plan, FrameRange(place, place + n_frames))]
    except NonFiniteError:
        pass  # told when it is its turn
    seconds = time.perf_counter() - begin
    positions = np.concatenate(blocks)
    return positions, seconds / max(1, len(positions))


def _encode(xyz: NDArray[np.float32], packing: Packing, codec: str) -> tuple[float, float]:
    """Encode a chunk of a sample as the ingest would; returns seconds and bytes for a frame."""
    xyz = xyz[: position_chunk_frames(xyz.shape[1])]
    spec = position_spec(packing.dtype, packing.scale, rounds=packing.rounds)
    begin = time.perf_counter()
    packed = packing.pack(xyz)
    size = encoded_bytes(spec, xyz if isinstance(packed, Misfit) else packed, codec=codec)
    return (time.perf_counter() - begin) / len(xyz), size / len(xyz)
