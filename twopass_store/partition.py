"""Integer arithmetic: chunk-aligned frame ranges, subset indices, where a store's frames come from.

Every shape here depends on the data's shape alone, never on the memory or the workers that a run is
given, so that the same input makes the same bytes everywhere.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FRAME_CHUNK",
    "MAX_FRAME_FILES",
    "MAX_POSITION_FILES",
    "PAIR_CHUNK",
    "POSITION_CHUNK_BYTES",
    "FrameList",
    "FrameRange",
    "chunk_range",
    "chunks_per_file",
    "chunks_per_shard",
    "consecutive_runs",
    "format_ranges",
    "largest_subset",
    "n_chunks",
    "n_pairs",
    "next_power_of_two",
    "parse_ranges",
    "position_chunk_frames",
    "stride_for_subset",
    "subset_size",
]

FRAME_CHUNK = 65_536
"""Frames in a chunk of every per-frame array; a whole multiple of any position chunk."""

PAIR_CHUNK = 1 << 20
"""Pairs in a chunk of a condensed distance matrix: 4 MiB of float32."""

POSITION_CHUNK_BYTES = 4 << 20
"""Upper bound of a position chunk, decoded to float32; larger only where a single frame is."""

MAX_POSITION_FILES = 8_000
"""More make a store hard to copy, to list and to fit into a quota; the other arrays have some too."""

MAX_FRAME_FILES = 512
"""Likewise of each per-frame array, of which a store has nine to thirteen."""


@dataclass(frozen=True, slots=True)
class FrameRange:
    """A half-open range of indices, `start` to `stop`."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True, eq=False)
class FrameList:
    """Ascending frame indices, kept as runs of equal steps: a few numbers, however many frames.

    Attributes
    ----------
    starts, steps
        First frame and step of each run, shape (n_runs,).
    ends
        Frames in all runs up to and with this one, shape (n_runs,).
    """

    starts: NDArray[np.int64]
    steps: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, *runs: range) -> Self:
        """Make a list of ranges, which ascend and don't overlap."""
        runs = tuple(run for run in runs if len(run))
        return cls(
            np.array([run.start for run in runs], np.int64),
            np.array([run.step for run in runs], np.int64),
            np.cumsum([len(run) for run in runs], dtype=np.int64),
        )

    @classmethod
    def from_indices(cls, indices: NDArray[np.integer]) -> Self:
        """Make a list of ascending indices, shape (n_frames,)."""
        if len(indices) < 2:
            return cls.of(*(range(int(index), int(index) + 1) for index in indices))
        steps = np.diff(indices)
        # The first and last index of each stretch of equal steps: the last is the first of the next, too.
        first = np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))
        last = np.append(first[1:], len(indices) - 1)
        # What two stretches share stays with the one before, which may leave a stretch of one step nothing.
        place = np.arange(len(first))
        n_single = place - np.maximum.accumulate(np.where((last - first == 1) & (place > 0), 0, place))
        is_run = n_single % 2 == 0
        first[1:] += is_run[:-1]
        steps, starts, last = steps[first[is_run]], indices[first[is_run]], last[is_run]
        if not is_run[-1]:
            steps, starts = np.append(steps, 1), np.append(starts, indices[-1])
            last = np.append(last, len(indices) - 1)
        return cls(starts.astype(np.int64), steps.astype(np.int64), last + 1)

    def followed_by(self, indices: NDArray[np.int64]) -> Self:
        """Return a list with more frames, ascending and after its last, shape (n_frames,)."""
        if not len(self) or not len(indices):
            return self if len(self) else self.from_indices(indices)
        # The last run goes on if the step is the same: its last two frames tell, or the only one.
        n_before = int(self.ends[-2]) if len(self.ends) > 1 else 0
        known = self.part(max(n_before, len(self) - 2), len(self))
        more = self.from_indices(np.concatenate([known.to_array(), indices]))
        return type(self)(
            np.append(self.starts, more.starts[1:]),
            np.concatenate([self.steps[:-1], more.steps]),
            np.concatenate([self.ends[:-1], len(self) - len(known) + more.ends]),
        )

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def part(self, start: int, stop: int) -> Self:
        """Return the frames at the positions `start` to `stop` of this list."""
        if stop <= start:
            return self.of()
        first, last = np.searchsorted(self.ends, [start, stop - 1], side="right")
        starts, steps = self.starts[first : last + 1].copy(), self.steps[first : last + 1]
        before = int(self.ends[first - 1]) if first else 0
        starts[0] += steps[0] * (start - before)
        ends = np.minimum(self.ends[first : last + 1], stop) - start
        return type(self)(starts, steps, ends)

    def at(self, places: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the frames at some positions of this list, shape (n_places,)."""
        run = np.searchsorted(self.ends, places, side="right")
        found: NDArray[np.int64] = (
            self.starts[run] + (places - np.append(0, self.ends)[run]) * self.steps[run]
        )
        return found

    def before(self, frame: int) -> int:
        """Count those before a frame."""
        run = int(np.searchsorted(self.starts, frame))
        if not run:
            return 0
        within = -(-(frame - self.starts[run - 1]) // self.steps[run - 1])
        return int(min(self.ends[run - 1], within + (self.ends[run - 2] if run > 1 else 0)))

    def pieces(self) -> Iterator[NDArray[np.int64]]:
        """Yield the frames, at most `FRAME_CHUNK` at once."""
        for start in range(0, len(self), FRAME_CHUNK):
            yield self.at(np.arange(start, min(start + FRAME_CHUNK, len(self))))

    def to_array(self) -> NDArray[np.int64]:
        """Return the frames, shape (n_frames,)."""
        return self.at(np.arange(len(self)))


def n_chunks(length: int, chunk: int) -> int:
    """Count the chunks of size `chunk` that cover `length`."""
    return -(-length // chunk)


def chunk_range(index: int, *, chunk: int, length: int) -> FrameRange:
    """Return the indices that the chunk with that index covers."""
    return FrameRange(index * chunk, min((index + 1) * chunk, length))


def position_chunk_frames(n_atoms: int) -> int:
    """Frames in a chunk of positions: a power of two, so that it divides `FRAME_CHUNK`.

    A chunk of 2 to 4 MiB reads best; a frame larger than that is a chunk of its own.
    """
    frames = max(1, POSITION_CHUNK_BYTES // (12 * max(1, n_atoms)))
    return min(1 << (frames.bit_length() - 1), FRAME_CHUNK)


def next_power_of_two(number: int) -> int:
    """Return the smallest power of two that isn't less."""
    return 1 << max(0, number - 1).bit_length()


def chunks_per_file(n_frames: int) -> int:
    """Chunks of a per-frame array that go into one file: one, unless that makes more than `MAX_FRAME_FILES`.

    A power of two, as those of positions are: so the longer of two files is whole files of the other array.
    """
    return next_power_of_two(n_chunks(n_chunks(n_frames, FRAME_CHUNK), MAX_FRAME_FILES))


def chunks_per_shard(n_frames: int, n_atoms: int, *, shard: str | int) -> int:
    """Chunks of positions that go into one file, a power of two.

    Parameters
    ----------
    n_frames, n_atoms
        Of the store.
    shard
        ``none`` gives each chunk its file; ``auto`` too, unless that makes more than `MAX_POSITION_FILES`; a
        number is the size of a shard in bytes, decoded to float32, which it doesn't exceed.
    """
    frames = position_chunk_frames(n_atoms)
    if shard == "none":
        return 1
    if shard == "auto":
        return next_power_of_two(n_chunks(n_chunks(n_frames, frames), MAX_POSITION_FILES))
    most = max(1, int(shard) // (frames * n_atoms * 12))
    return 1 << (most.bit_length() - 1)


def consecutive_runs(indices: Iterable[int]) -> Iterator[FrameRange]:
    """Group ascending indices into half-open runs without gaps."""
    start = stop = None
    for index in indices:
        if start is None or stop is None:
            start = index
        elif index != stop:
            yield FrameRange(start, stop)
            start = index
        stop = index + 1
    if start is not None and stop is not None:
        yield FrameRange(start, stop)


def format_ranges(indices: Iterable[int]) -> str:
    """Write ascending indices compactly, such as ``0-3,7``; both ends of a range are in it."""
    runs = consecutive_runs(indices)
    return ",".join(str(run.start) if len(run) == 1 else f"{run.start}-{run.stop - 1}" for run in runs)


def parse_ranges(text: str) -> list[int]:
    """Read what `format_ranges` wrote."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def stride_for_subset(n_frames: int, subset_frames: int) -> int:
    """Return the smallest stride that takes at most `subset_frames` of `n_frames`."""
    return max(1, -(-n_frames // subset_frames))


def subset_size(n_frames: int, stride: int) -> int:
    """Count the frames 0, stride, 2·stride, … below `n_frames`."""
    return -(-n_frames // stride)


def n_pairs(n_frames: int) -> int:
    """Count the pairs of a condensed distance matrix."""
    return n_frames * (n_frames - 1) // 2


def largest_subset(fits: Callable[[int], bool], *, at_most: int) -> int:
    """Return the largest subset size that `fits` accepts, 0 where none does.

    Parameters
    ----------
    fits
        Tells whether a subset of that many frames fits; once false, false for all larger ones.
    at_most
        The largest size to try.
    """
    low, high = 0, at_most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
