"""The runs of a store: which frames follow each other in time, how far apart they are, where gaps are."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..executors import available_cpus, in_order
from ..partition import FRAME_CHUNK, FrameRange, chunk_range, n_chunks

__all__ = [
    "FrameArrays",
    "Groups",
    "Runs",
    "frame_chunks",
    "frames_at_once",
    "group_of_frames",
    "over_chunks",
    "short_names",
]

MAX_WALKERS = 4
"""Threads that look at chunks: they wait for each other's Python, so more bring little."""

N_HEAD = 256
"""Frames at the beginning of a run whose spacings tell what is usual in it."""

GAP = 1.5
"""A longer step, in usual spacings, is a gap."""

Seen = TypeVar("Seen")

Groups = tuple[tuple[str, ...], Callable[[FrameRange, NDArray[np.integer]], NDArray[np.integer]]]
"""Names of groups, and a function of a range of frames and their runs that tells the group of each."""


class FrameArrays(Protocol):
    """A store, or whatever has its arrays along frame."""

    def has(self, path: str, /) -> bool:
        """Tell whether there is such an array."""

    def shape(self, path: str, /) -> tuple[int, ...]:
        """Return its shape."""

    def read(self, path: str, rows: FrameRange | None = None, /) -> NDArray[Any]:
        """Read rows of it, or all."""


def frame_chunks(n_frames: int) -> Iterator[FrameRange]:
    """Yield the ranges of the chunks of per-frame arrays."""
    for chunk in range(n_chunks(n_frames, FRAME_CHUNK)):
        yield chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)


def over_chunks(look: Callable[[FrameRange], Seen], n_frames: int) -> Iterator[Seen]:
    """Yield what `look` finds in each chunk, in their order; it is called from several threads."""
    return in_order(look, frame_chunks(n_frames), workers=_n_walkers())


def frames_at_once(n_frames: int) -> int:
    """Return how many frames `over_chunks` holds at once, at most."""
    return min(n_frames, FRAME_CHUNK * (_n_walkers() + 1))


def _n_walkers() -> int:
    return min(MAX_WALKERS, available_cpus())


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The runs of a store."""

    column: str  # the array along frame that tells them apart
    names: tuple[str, ...]  # their labels, or paths of the files if these weren't grouped
    n_frames: NDArray[np.int64]  # of each, shape (n_runs,)
    # Usual time between two frames of each, shape (n_runs,): in ps, or in frames if the input has no times.
    # A run of one frame has that of the others, NaN if there is none.
    spacing: NDArray[np.float64]
    start: float  # first time of the store
    stop: float  # and the last

    @classmethod
    def of(cls, store: FrameArrays) -> Self:
        """Read the times of a store."""
        column = "run" if store.has("run") else "trajectory"
        names = tuple(map(str, store.read("run_label" if column == "run" else "trajectory_path")))
        n_frames = np.zeros(len(names), np.int64)
        heads = [np.empty(0)] * len(names)
        start, stop = np.inf, -np.inf

        def look(frames: FrameRange) -> tuple[float, float, list[tuple[int, int, NDArray[np.float64]]]]:
            run, time = store.read(column, frames), store.read("time", frames)
            parts = [
                (one, part.stop - part.start, time[part][:N_HEAD].copy()) for one, part in _stretches(run)
            ]
            return float(time.min()), float(time.max()), parts

        for first, last, parts in over_chunks(look, store.shape("position")[0]):
            start, stop = min(start, first), max(stop, last)
            for one, size, head in parts:
                n_frames[one] += size
                if len(heads[one]) < N_HEAD:
                    heads[one] = np.append(heads[one], head)[:N_HEAD]
        spacing = np.array([_usual(np.diff(head)) for head in heads])
        if not np.isnan(spacing).all():
            spacing[np.isnan(spacing)] = np.nanmedian(spacing)
        return cls(column, names, n_frames, spacing, start, stop)

    def breaks(
        self, run: NDArray[np.integer], time: NDArray[np.float64], before: tuple[int, float] | None
    ) -> NDArray[np.bool_]:
        """Tell which frames don't continue the one before: a run begins, time goes back, stops or has a gap.

        `run` and `time` are of consecutive frames, shape (n_frames,); `before` of the frame before them.
        """
        run_before, time_before = before or (-1, np.nan)
        step = np.diff(time, prepend=time_before)
        follows = (step > 0) & ~(step > GAP * self.spacing[run])
        is_break: NDArray[np.bool_] = ~follows | (np.diff(run, prepend=run_before) != 0)
        return is_break


def _usual(steps: NDArray[np.float64]) -> float:
    """Return the mean of the steps near their median: times are often rounded to float32."""
    steps = steps[steps > 0]
    if not len(steps):
        return np.nan
    median = np.median(steps)
    near = steps[(steps > median / GAP) & (steps < median * GAP)]
    return float(near.mean() if len(near) else median)


def _stretches(values: NDArray[np.integer]) -> Iterator[tuple[int, slice]]:
    """Yield each stretch of equal values, and where it is."""
    for start, stop in pairwise([0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]):
        yield int(values[start]), slice(start, stop)


def group_of_frames(store: FrameArrays, runs: Runs, by: str) -> Groups:
    """Return the groups that frames are counted by, whose function is to be called from the first frame on.

    Groups are by ``run``, ``trajectory`` or ``blocks:N``: each run is cut into N blocks of as many frames,
    and the k-th blocks of all runs are one group.
    """
    if by == "run":
        return runs.names, lambda _, run: run
    if by == "trajectory":
        names = tuple(map(str, store.read("trajectory_path")))
        return names, lambda frames, _: store.read("trajectory", frames)
    found = re.fullmatch(r"blocks:([1-9][0-9]*)", by)
    if found is None:
        raise ConfigError(
            f"Tables can't be split by {by!r}: use run, trajectory, or blocks:N such as blocks:5."
        )
    n_blocks = int(found[1])
    if n_blocks > runs.n_frames.max():
        raise ConfigError(f"by {by}: the longest run has {runs.n_frames.max()} frames. Ask for fewer blocks.")
    seen = np.zeros(len(runs.names), np.int64)

    def block_of(_: FrameRange, run: NDArray[np.integer]) -> NDArray[np.integer]:
        blocks = np.empty(len(run), np.int64)
        for one, part in _stretches(run):
            place = np.arange(seen[one], seen[one] + part.stop - part.start)
            seen[one] += len(place)
            blocks[part] = place * n_blocks // runs.n_frames[one]
        return blocks

    return tuple(f"block {block + 1} of {n_blocks}" for block in range(n_blocks)), block_of


def short_names(names: Sequence[str]) -> list[str]:
    """Leave out the folders that the paths of files have in common; other names stay."""
    if len(names) == 1 or not all(Path(name).is_absolute() for name in names):
        return [Path(name).name for name in names]
    shared = os.path.commonpath([Path(name).parent for name in names])
    return [os.path.relpath(name, shared) for name in names]
