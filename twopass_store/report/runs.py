"""The runs of a store: which frames belong together in time, how far apart they are, where gaps are."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..partition import FRAME_CHUNK, FrameRange, chunk_range, n_chunks
from ..store import Store

__all__ = ["Runs", "frame_chunks", "stretches"]

N_SPACINGS = 255
"""Frames at the beginning of a run whose spacings tell what is usual in it."""

GAP = 1.5
"""Spacings that are no gap yet."""


def frame_chunks(n_frames: int) -> Iterator[FrameRange]:
    """Yield the ranges of the chunks that per-frame arrays have."""
    for chunk in range(n_chunks(n_frames, FRAME_CHUNK)):
        yield chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The runs of a store.

    Attributes
    ----------
    column
        The array along frame that tells them apart.
    names
        Labels of the runs, or paths of the files where these weren't grouped.
    n_frames
        Frames of each, shape (n_runs,).
    spacing
        Usual time between two frames of each, from its first spacings; that of the other runs where it has
        one frame only, and NaN where all have. In ps, or in frames where the input has no times.
    first_time, last_time
        The times that each covers; NaN where it has no frame.
    """

    column: str
    names: tuple[str, ...]
    n_frames: NDArray[np.int64]
    spacing: NDArray[np.float64]
    first_time: NDArray[np.float64]
    last_time: NDArray[np.float64]

    @classmethod
    def of(cls, store: Store) -> Self:
        """Look through the times of a store."""
        column = "run" if store.has("run") else "trajectory"
        names = store.read("run_label" if column == "run" else "trajectory_path")
        n_frames = np.zeros(len(names), np.int64)
        first_time, last_time = np.full(len(names), np.inf), np.full(len(names), -np.inf)
        samples: list[list[NDArray[np.float64]]] = [[] for _ in names]
        n_samples = np.zeros(len(names), np.int64)
        last_seen = np.full(len(names), np.nan)
        for frames in frame_chunks(store.shape("position")[0]):
            run, time = store.read(column, frames), store.read("time", frames)
            for one, part in stretches(run):
                times = time[part]
                n_frames[one] += len(times)
                first_time[one] = min(first_time[one], times.min())
                last_time[one] = max(last_time[one], times.max())
                if n_samples[one] < N_SPACINGS:
                    # NaN where the run begins, which is dropped with gaps backwards.
                    steps = np.diff(times[: N_SPACINGS + 1], prepend=last_seen[one])
                    steps = steps[steps > 0][: N_SPACINGS - n_samples[one]]
                    samples[one].append(steps)
                    n_samples[one] += len(steps)
                last_seen[one] = times[-1]
        spacing = np.array([_usual(one) for one in samples])
        if np.isnan(spacing).any() and not np.isnan(spacing).all():
            spacing[np.isnan(spacing)] = np.nanmedian(spacing)
        is_empty = n_frames == 0
        first_time[is_empty] = last_time[is_empty] = np.nan
        return cls(column, tuple(map(str, names)), n_frames, spacing, first_time, last_time)

    def breaks(
        self,
        run: NDArray[np.integer],
        time: NDArray[np.float64],
        before: tuple[int, float] | None,
    ) -> NDArray[np.bool_]:
        """Tell of each frame whether it doesn't continue the one before it in time.

        Parameters
        ----------
        run, time
            Of consecutive frames, shape (n_frames,).
        before
            Run and time of the frame before the first; None where there is none.

        Returns
        -------
        True where another run begins, where time goes back or stands still, and after a gap of more than 1.5
        usual spacings; shape (n_frames,).
        """
        run_before, time_before = before or (-1, np.nan)
        step = np.diff(time, prepend=time_before)
        is_next = (step > 0) & ~(step > GAP * self.spacing[run])
        is_other: NDArray[np.bool_] = ~is_next | (np.diff(run, prepend=run_before) != 0)
        return is_other


def _usual(steps: list[NDArray[np.float64]]) -> float:
    """Return the mean of the steps near their median: times are often rounded to float32."""
    if not sum(map(len, steps)):
        return np.nan
    joined = np.concatenate(steps)
    median = np.median(joined)
    return float(joined[(joined > median / GAP) & (joined < median * GAP)].mean())


def stretches(values: NDArray[np.integer]) -> Iterator[tuple[int, slice]]:
    """Yield each stretch of equal values: the value, and where it is."""
    edges = [0, *(int(edge) for edge in np.flatnonzero(np.diff(values)) + 1), len(values)]
    for start, stop in pairwise(edges):
        yield int(values[start]), slice(start, stop)
