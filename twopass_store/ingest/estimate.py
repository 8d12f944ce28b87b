"""What an ingest would take, from its plan and from samples: nothing is written to the store."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig
from ..errors import ConfigError, NonFiniteError
from ..executors import available_cpus, memory_budget
from ..journal import Writer
from ..partition import FrameRange, position_chunk_frames
from ..progress import Progress
from ..schema import DEFAULT_CODEC, position_spec
from ..store import Misfit, Packing, Store
from ..trajectory import format_of
from .append import plan_append
from .chunks import Reading, read_frames
from .outcome import IngestEstimate
from .packing import choose_packing, describe_packing
from .plan import plan_ingest
from .sources import Source
from .stretches import useful_workers

__all__ = ["estimate"]

SAMPLE_BYTES = 16 << 20
"""Of positions as mdtraj decodes them, all atoms of the file, that are read of a format to time it."""

COLUMN_SHARE = 0.5
"""Part of their size that times, unit cells and provenance take on the disk (measured: 0.1 to 0.5)."""


def estimate(config: IngestConfig, progress: Progress, *, append_to: Path | None = None) -> IngestEstimate:
    """Plan an ingest, read and encode a sample of each format in it, and multiply.

    Parameters
    ----------
    config
        What is asked for.
    progress
        Who is told what was found.
    append_to
        The store that frames are added to, and only those are counted; None for a new one.

    Raises
    ------
    ConfigError
        If there is nothing to add.
    TwopassError
        As the ingest would before its first frame.
    """
    if append_to is None:
        plan = plan_ingest(config)
        packing = choose_packing(plan.reading, config)
    else:
        store = Store.open(append_to)
        longer = plan_append(store, config)
        if longer is None:
            raise ConfigError(f"{append_to} has all frames of these files; there is nothing to append.")
        plan, packing = longer, store.packing()
    for message in plan.messages:
        progress.note(message)
    budget = memory_budget(config.memory)
    asked = config.workers or min(available_cpus(), useful_workers(plan.sources))
    affordable = [workers for workers in range(1, asked + 1) if plan.memory.projected(workers) <= budget]
    workers = max(affordable, default=1)

    read_seconds, encode_seconds, bytes_per_frame = 0.0, 0.0, 0.0
    for members in _alike(plan.sources):
        sample = _read(plan.reading, members)
        if sample is None:
            continue
        n_kept = sum(len(plan.sources[member].kept) for member in members)
        read_seconds += sample.seconds_per_frame * n_kept
        encode, size = _encode(sample.positions, packing, config)
        encode_seconds += encode * n_kept
        bytes_per_frame = max(bytes_per_frame, size)
    n_frames = sum(len(source.kept) for source in plan.sources)
    column_bytes = sum(
        np.dtype(spec.dtype).itemsize * int(np.prod(shape[1:], initial=1))
        for spec, shape in plan.arrays
        if spec.dims[0] == "frame" and spec.name != "position"
    )
    return IngestEstimate(
        n_frames=n_frames,
        n_atoms=plan.stored_topology.n_atoms,
        n_trajectories=len(plan.sources),
        n_runs=len(plan.runs.get("run_label", ())),
        n_source_frames=sum(source.info.n_frames for source in plan.sources),
        source_bytes=sum(source.info.size_bytes for source in plan.sources),
        packing=describe_packing(packing),
        workers=workers,
        memory_bytes=plan.memory.projected(workers),
        budget_bytes=budget,
        disk_bytes=int(n_frames * (bytes_per_frame + COLUMN_SHARE * column_bytes)),
        # One thread of a worker reads while the other encodes.
        seconds=max(read_seconds, encode_seconds) / min(workers, available_cpus()),
    )


def _alike(sources: Sequence[Source]) -> list[list[int]]:
    """Group files that take as long a frame: of the same format, size of frame and frames left out."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for member, source in enumerate(sources):
        if len(source.kept):
            share = round(np.log2(source.info.n_frames / len(source.kept)))
            key = (Path(source.info.path).suffix.lower(), source.info.n_atoms, share)
            groups.setdefault(key, []).append(member)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class _Sample:
    positions: NDArray[np.float32]
    seconds_per_frame: float


def _read(reading: Reading, members: Sequence[int]) -> _Sample | None:
    """Time the reading of frames from the largest of some files."""
    member = max(members, key=lambda member: len(reading.sources[member].kept))
    source = reading.sources[member]
    starts = np.cumsum([0, *(len(one.kept) for one in reading.sources)])
    start, n_kept = reading.n_stored + int(starts[member]), len(source.kept)
    n_frames = min(n_kept, max(2, SAMPLE_BYTES // (12 * source.info.n_atoms)))
    if source.info.loads_whole:
        n_frames = n_kept
    # From the middle, where the format finds it without reading what is before.
    place = start if format_of(Path(source.info.path)).is_text else start + (n_kept - n_frames) // 2
    blocks = []
    try:
        # What is loaded and looked up at the first use isn't part of the time of a frame.
        if not source.info.loads_whole:
            next(read_frames(reading, FrameRange(place, place + 1)))
        begin = time.perf_counter()
        blocks += [block["position"] for block in read_frames(reading, FrameRange(place, place + n_frames))]
    except NonFiniteError:
        pass  # told when it is its turn
    n_read = sum(len(block) for block in blocks)
    return _Sample(np.concatenate(blocks), (time.perf_counter() - begin) / n_read) if n_read else None


def _encode(xyz: NDArray[np.float32], packing: Packing, config: IngestConfig) -> tuple[float, float]:
    """Encode a sample as the ingest would, in a folder for temporary files.

    Returns
    -------
    Seconds and bytes for a frame.
    """
    n_frames = min(len(xyz), position_chunk_frames(xyz.shape[1]))
    with tempfile.TemporaryDirectory(prefix="twopass-plan-") as folder:
        sample = Path(folder).resolve() / "sample.zarr"
        staging = sample.with_name("staging")
        staging.mkdir()
        store = Store.create(sample, {"topology": ""}, writer=Writer(staging))
        spec = position_spec(packing.dtype, packing.scale, rounds=packing.rounds)
        store.ensure_array("", spec, (n_frames, *xyz.shape[1:]), codec=config.codec or DEFAULT_CODEC)
        begin = time.perf_counter()
        packed = packing.pack(xyz[:n_frames])
        store.write_all("position", xyz[:n_frames] if isinstance(packed, Misfit) else packed)
        seconds = time.perf_counter() - begin
        size = sum(file.stat().st_size for file in (store.path / "position").iterdir())
    return seconds / n_frames, size / n_frames
