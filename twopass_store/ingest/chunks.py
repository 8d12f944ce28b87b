"""From files to chunks of positions: read, check, cut."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteError
from ..partition import FrameList, FrameRange, chunk_range
from ..store import Store
from ..trajectory import read_blocks
from .plan import IngestPlan
from .runs import Source, times_by_user

__all__ = ["Chunk", "Columns", "parts_read", "read_chunks", "read_frames"]

Columns = dict[str, NDArray[Any]]  # consecutive frames: ``position`` and the small per-frame arrays by name


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of positions, as read: its index, its frames in the store, and what they hold."""

    index: int
    frames: FrameRange
    columns: Columns


def read_chunks(
    plan: IngestPlan, stretch: FrameRange, *, chunk_frames: int, store: Store
) -> Generator[Chunk, None, None]:
    """Yield consecutive chunks of positions; of one that was filled in part, what the store has comes first.

    What can't be read is an error when it is its turn.
    """
    n_frames, specs = plan.n_frames, plan.along_frame
    wanted = FrameRange(stretch.start * chunk_frames, min(stretch.stop * chunk_frames, n_frames))
    edge = max(wanted.start, min(wanted.stop, plan.n_stored))
    blocks = chain(
        _stored_frames(plan, store, FrameRange(wanted.start, edge)),
        # Blocks that are chunks aren't copied.
        read_frames(plan, FrameRange(edge, wanted.stop), block_frames=chunk_frames),
    )
    left: Columns | None = None
    for index in range(stretch.start, stretch.stop):
        frames = chunk_range(index, chunk=chunk_frames, length=n_frames)
        left = left or next(blocks)
        if len(left["time"]) == len(frames):
            columns = {spec.name: left[spec.name].astype(spec.dtype, copy=False) for spec in specs}
            left = None
        else:
            shapes = {name: (len(frames), *values.shape[1:]) for name, values in left.items()}
            columns = {spec.name: np.empty(shapes[spec.name], spec.dtype) for spec in specs}
            filled = 0
            while filled < len(frames):
                block = left or next(blocks)
                taken = min(len(block["time"]), len(frames) - filled)
                for name, column in columns.items():
                    column[filled : filled + taken] = block[name][:taken]
                left = {name: values[taken:] for name, values in block.items()}
                left = left if len(left["time"]) else None
                filled += taken
        yield Chunk(index, frames, columns)


def _stored_frames(plan: IngestPlan, store: Store, frames: FrameRange) -> Iterator[Columns]:
    if len(frames):
        yield {spec.name: store.read(spec.name, frames) for spec in plan.along_frame}


def read_frames(
    plan: IngestPlan, frames: FrameRange, *, block_frames: int | None = None
) -> Iterator[Columns]:
    """Yield what the files hold of some of the store's frames, at most `block_frames` at once."""
    for source, trajectory, wanted in parts_read(plan, frames):
        system, offset = source.system, 0
        given = None if source.user_time is None else times_by_user(source)
        blocks = read_blocks(
            source.info,
            frames=wanted,
            atom_indices=system.atom_indices,
            images=system.images,
            block_frames=block_frames,
        )
        with closing(blocks):
            for block in blocks:
                part = wanted.part(offset, offset + block.n_frames)
                source_frames, offset = source.info.in_file(part).to_array(), offset + block.n_frames
                n_good = _n_finite(block.xyz)
                time = None if plan.time_source == "index" else block.time
                if given is not None:
                    time = given.at(part.to_array())
                columns: Columns = {
                    "position": block.xyz,
                    "time": source_frames.astype(np.float64) if time is None else time,
                    "trajectory": np.full(block.n_frames, trajectory, np.int32),
                    "source_frame": source_frames,
                    "run": np.full(block.n_frames, source.run, np.int32),
                    "unitcell_lengths": _or_nan(block.unitcell_lengths, block.n_frames),
                    "unitcell_angles": _or_nan(block.unitcell_angles, block.n_frames),
                }
                yield {name: values[:n_good] for name, values in columns.items()}
                if n_good < block.n_frames:
                    raise NonFiniteError(
                        f"{source.info.path}: frame {source_frames[n_good]} (counted from 0) has coordinates "
                        "that are not finite. Remove that frame from the file, or leave it out with "
                        "`discard_first` or `stride`, and `restart`."
                    )


def parts_read(plan: IngestPlan, frames: FrameRange) -> Iterator[tuple[Source, int, FrameList]]:
    """Yield the files that some of the store's frames come from, their indices, and the frames in them."""
    start = plan.n_stored
    for source, trajectory in zip(plan.sources, plan.trajectories, strict=True):
        stop = start + len(source.kept)
        wanted = source.kept.part(max(frames.start, start) - start, min(frames.stop, stop) - start)
        if len(wanted):
            yield source, trajectory, wanted
        start = stop


def _n_finite(xyz: NDArray[np.float32]) -> int:
    """Count the frames before the first that isn't finite."""
    # One pass without an array of flags; a sum may overflow where nothing is wrong.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(xyz.sum()):
            return len(xyz)
    finite = np.isfinite(xyz).all(axis=(1, 2))
    return len(xyz) if finite.all() else int(np.argmin(finite))


def _or_nan(values: NDArray[Any] | None, n_frames: int) -> NDArray[Any]:
    return np.full((n_frames, 3), np.nan) if values is None else values
