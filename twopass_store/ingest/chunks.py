"""From files to chunks of positions: read, check, cut."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteError
from ..partition import FrameRange, chunk_range, segments
from ..schema import ArraySpec
from ..store import Store
from ..trajectory import read_blocks
from .sources import Source

__all__ = ["Chunk", "Reading", "read_chunks", "read_frames"]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What reading the frames of an ingest takes.

    Attributes
    ----------
    sources
        The files in the order of their frames in the store.
    trajectories
        Their indices in the store's table of files.
    n_stored
        Frames at the beginning that are in the store already, before those of `sources`.
    n_frames, n_atoms
        Frames and atoms in the store.
    time_source
        ``file`` or ``index``; see the schema.
    specs
        The arrays along ``frame``.
    """

    sources: tuple[Source, ...]
    trajectories: tuple[int, ...]
    n_stored: int
    n_frames: int
    n_atoms: int
    time_source: str
    specs: tuple[ArraySpec, ...]

    def path_of(self, trajectory: int) -> str:
        """Return the path of a file by its index in the store's table."""
        return self.sources[self.trajectories.index(trajectory)].info.path


@dataclass(frozen=True, slots=True)
class Chunk:
    """The frames of one chunk of positions, as read.

    Attributes
    ----------
    index
        Of the chunk.
    frames
        Its frames in the store.
    positions
        Shape (n_frames, n_atoms, 3), nm.
    columns
        The small per-frame arrays by name, each of length n_frames.
    """

    index: int
    frames: FrameRange
    positions: NDArray[np.float32]
    columns: Mapping[str, NDArray[Any]]


def read_chunks(
    reading: Reading, stretch: FrameRange, *, chunk_frames: int, store: Store
) -> Generator[Chunk, None, None]:
    """Yield a stretch of chunks of positions.

    Parameters
    ----------
    reading
        What is read.
    stretch
        Indices of the chunks.
    chunk_frames
        Frames in a chunk.
    store
        Where the frames of a chunk are that was filled in part before.

    Raises
    ------
    TrajectoryError
        If a file can't be read on, or a frame isn't finite; the chunks before it have been yielded.
    """
    wanted = FrameRange(stretch.start * chunk_frames, min(stretch.stop * chunk_frames, reading.n_frames))
    edge = max(wanted.start, min(wanted.stop, reading.n_stored))
    blocks = chain(
        _stored_frames(reading, store, FrameRange(wanted.start, edge)),
        # Blocks that are chunks aren't copied.
        read_frames(reading, FrameRange(edge, wanted.stop), block_frames=chunk_frames),
    )
    left: dict[str, NDArray[Any]] | None = None
    for index in range(stretch.start, stretch.stop):
        frames = chunk_range(index, chunk=chunk_frames, length=reading.n_frames)
        left = left or next(blocks)
        if len(left["time"]) == len(frames):
            columns = {spec.name: left[spec.name].astype(spec.dtype, copy=False) for spec in reading.specs}
            left = None
            yield Chunk(index, frames, columns.pop("position"), columns)
            continue
        buffers = _empty(reading.specs, len(frames), reading.n_atoms)
        filled = 0
        while filled < len(frames):
            block = left or next(blocks)
            taken = min(len(block["time"]), len(frames) - filled)
            for name, buffer in buffers.items():
                buffer[filled : filled + taken] = block[name][:taken]
            left = {name: values[taken:] for name, values in block.items()}
            left = left if len(left["time"]) else None
            filled += taken
        positions = buffers.pop("position")
        yield Chunk(index, frames, positions, buffers)


def _stored_frames(reading: Reading, store: Store, frames: FrameRange) -> Iterator[dict[str, NDArray[Any]]]:
    if len(frames):
        yield {spec.name: store.read(spec.name, frames) for spec in reading.specs}


def read_frames(
    reading: Reading, frames: FrameRange, *, block_frames: int | None = None
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield what the files hold of some of the store's frames, as arrays by name; so many at once at most.

    Raises
    ------
    TrajectoryError
        If a file can't be read on, or a frame isn't finite; the frames before it have been yielded.
    """
    no_times = reading.time_source == "index"
    among = FrameRange(frames.start - reading.n_stored, frames.stop - reading.n_stored)
    for segment in segments([source.kept for source in reading.sources], among):
        source = reading.sources[segment.trajectory]
        trajectory = reading.trajectories[segment.trajectory]
        info, system = source.info, source.system
        offset = 0
        blocks = read_blocks(
            info,
            frames=segment.source_frames,
            atom_indices=system.atom_indices,
            images=None if system.image is None else (system.topology_path, system.image),
            block_frames=block_frames,
        )
        with closing(blocks):
            for block in blocks:
                source_frames = segment.source_frames.part(offset, offset + block.n_frames).to_array()
                offset += block.n_frames
                n_good = _n_finite(block.xyz)
                columns: dict[str, NDArray[Any]] = {
                    "position": block.xyz,
                    "time": _times(source, source_frames, None if no_times else block.time),
                    "trajectory": np.full(block.n_frames, trajectory, np.int32),
                    "source_frame": source_frames,
                    "run": np.full(block.n_frames, source.run, np.int32),
                    "unitcell_lengths": _or_nan(block.unitcell_lengths, block.n_frames),
                    "unitcell_angles": _or_nan(block.unitcell_angles, block.n_frames),
                }
                yield {name: values[:n_good] for name, values in columns.items()}
                if n_good < block.n_frames:
                    raise NonFiniteError(
                        f"{info.path}: frame {source_frames[n_good]} (counted from 0) has coordinates that "
                        "are not finite. Remove that frame from the file, or leave it out with "
                        "`discard_first` or `stride`, and `restart`."
                    )


def _n_finite(xyz: NDArray[np.float32]) -> int:
    """Count the frames before the first that isn't finite."""
    # One pass without an array of flags; a sum may overflow where nothing is wrong.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(xyz.sum()):
            return len(xyz)
    finite = np.isfinite(xyz).all(axis=(1, 2))
    return len(xyz) if finite.all() else int(np.argmin(finite))


def _times(
    source: Source, frames: NDArray[np.int64], found: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the times of frames of a file: its own, the user's, or their numbers where there are none."""
    if source.user_time is not None:
        first, step = source.user_time
        return first + step * frames.astype(np.float64)
    return frames.astype(np.float64) if found is None else found


def _or_nan(values: NDArray[Any] | None, n_frames: int) -> NDArray[Any]:
    return np.full((n_frames, 3), np.nan) if values is None else values


def _empty(specs: Iterable[ArraySpec], n_frames: int, n_atoms: int) -> dict[str, NDArray[Any]]:
    sizes = {"frame": n_frames, "atom": n_atoms, "xyz": 3}
    return {spec.name: np.empty([sizes[dim] for dim in spec.dims], spec.dtype) for spec in specs}
