"""Which frames of a run are kept, by their times."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig
from ..partition import FrameList
from ..trajectory import Times, as_meant, rounding_of

__all__ = ["Choice", "choose_by_number", "choose_by_time", "is_backwards", "seams", "typical_spacing"]

SAMPLE_STEPS = 1 << 20  # from which the usual time between frames is taken


@dataclass(frozen=True, slots=True)
class Choice:
    """The frames kept of one run."""

    kept: tuple[FrameList, ...] = ()  # of each part, in the order given
    # Frames of each part at times that a later part covers again, kept or not; empty if chosen by number.
    n_repeated: tuple[int, ...] = ()
    n_beyond: int = 0  # those of them that lie after the end of all later parts
    spacing: float = np.nan  # usual time between the frames of the run, ps; NaN for a single frame
    kept_spacing: float = np.nan  # the same of the frames kept


def choose_by_time(parts: Sequence[Times], config: IngestConfig) -> Choice:
    """Choose frames of a run by the times of its parts, which ascend, in order of their first times.

    In this order: frames at or after the first time of a later part are left out (`overlap`), then the first
    frames of each part (`discard_first`), then what lies before `begin` or within `burn_in` of the run's
    first time, or after `end`; of the rest, the first frame in each interval `every` from the first one left,
    or each `stride`-th. `overlap` ``error`` does as ``later``: the caller refuses.
    """
    rounding = 2 * max(map(rounding_of, parts))
    parts, nth = as_meant(parts), _nth_piece(sum(map(len, parts)))
    spacing = typical_spacing(islice(chain.from_iterable(part.steps() for part in parts), 0, None, nth))
    tolerance = rounding
    if not np.isnan(spacing):
        tolerance = min(max(1e-3 * spacing, rounding), 0.4 * spacing)

    firsts = np.array([min(times.min() for times in part) for part in parts])
    lasts = np.array([max(times.max() for times in part) for part in parts])
    # First and last time of all parts after each.
    first_after = np.append(np.minimum.accumulate(firsts[::-1])[::-1][1:], np.inf)
    last_after = np.append(np.maximum.accumulate(lasts[::-1])[::-1][1:], -np.inf)
    begin = -np.inf if config.begin is None else config.begin - tolerance
    end = np.inf if config.end is None else config.end + tolerance
    if config.burn_in is not None:
        begin = max(begin, firsts.min() + config.burn_in - tolerance)

    thin = _Thinning(config, spacing, tolerance)
    kept, n_repeated, n_beyond = [], [], 0
    kept_steps: list[NDArray[np.float64]] = []
    last_kept, n_pieces = np.empty(0), 0
    for part, next_first, next_last in zip(parts, first_after, last_after, strict=True):
        frames, start = FrameList.of(), 0
        n_repeated.append(0)
        for times in part:
            repeated = times >= next_first - tolerance
            n_repeated[-1] += int(repeated.sum())
            n_beyond += int((repeated & (times > next_last + tolerance)).sum())
            keep = ~((times < begin) | (times > end))
            keep[: max(0, config.discard_first - start)] = False
            if config.overlap != "keep":
                keep &= ~repeated
            chosen = np.flatnonzero(keep)
            chosen = chosen[thin(times[chosen])]
            frames, start = frames.followed_by(start + chosen), start + len(times)
            if n_pieces % nth == 0:
                kept_steps.append(np.diff(times[chosen], prepend=last_kept))
            n_pieces += 1
            last_kept = times[chosen][-1:] if len(chosen) else last_kept
        kept.append(frames)
    return Choice(tuple(kept), tuple(n_repeated), n_beyond, spacing, typical_spacing(kept_steps))


class _Thinning:
    """Takes of successive times the first in each interval `every`, or each `stride`-th."""

    def __init__(self, config: IngestConfig, spacing: float, tolerance: float) -> None:
        self._every, self._stride = config.every, config.stride
        self._spacing, self._tolerance = spacing, tolerance
        self._n_before = 0
        self._first = self._last = self._interval = np.empty(0)  # of the times before, once there are some

    def __call__(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the indices of those taken of the times that come next."""
        if self._every is None:
            first, self._n_before = -self._n_before % self._stride, self._n_before + len(times)
            return np.arange(first, len(times), self._stride)
        if not len(times):
            return np.empty(0, np.int64)
        if not len(self._first):
            self._first, self._last, self._interval = times[:1], times[:1], np.array([np.nan])
        since = times - self._first + self._tolerance
        interval = np.floor(since / self._every)
        is_first = np.append(self._interval, interval[:-1]) != interval
        # Where time goes back, the first frame there may lie anywhere in its interval.
        back = np.diff(times, prepend=self._last) < 0
        is_first[back] &= (since - interval * self._every)[back] < self._spacing
        self._last, self._interval = times[-1:], interval[-1:]
        return np.flatnonzero(is_first)


def choose_by_number(sizes: Sequence[int], config: IngestConfig) -> Choice:
    """Choose frames of a run without times, by the sizes of its parts: discard the first, then stride."""
    kept, n_before = [], 0
    for size in sizes:
        first = min(config.discard_first, size)
        kept.append(FrameList.of(range(first + -n_before % config.stride, size, config.stride)))
        n_before += size - first
    return Choice(tuple(kept))


def seams(times: Times) -> NDArray[np.int64]:
    """Frames at which time goes back, or comes a second time: another part of the run begins there.

    Frames closer than float32 can tell have the same time without being the same.
    """
    rounding = rounding_of(times)
    forward = _forward(islice(times.steps(), 0, None, _nth_piece(len(times))))
    can_tell = len(forward) > 0 and float(np.median(forward)) > 2 * rounding
    found, start = [np.empty(0, np.int64)], 1
    for steps in times.steps():
        found.append(np.flatnonzero(steps <= rounding if can_tell else steps < 0) + start)
        start += len(steps)
    return np.concatenate(found)


def is_backwards(times: Times) -> bool:
    """Tell whether time usually goes back."""
    steps = islice(times.steps(), 0, None, _nth_piece(len(times)))
    return bool(np.median(np.concatenate(list(steps))) < 0)


def _nth_piece(n_frames: int) -> int:
    """Tell of how many pieces of the steps between so many frames one is enough to know the usual one."""
    return max(1, -(-n_frames // SAMPLE_STEPS))


def _forward(steps: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([np.empty(0), *(each[each > 0] for each in steps)])


def typical_spacing(steps: Iterable[NDArray[np.float64]]) -> float:
    """Mean of the usual times from frame to frame, ps, of which pieces are given; NaN if there are none."""
    forward = _forward(steps)
    if not len(forward):
        return np.nan
    median = np.median(forward)
    # Late times in float32 are 0.06 ps apart and more; over many steps that evens out.
    near = forward[np.abs(forward - median) <= 0.5 * median]
    # The median of an even number may be near none of them.
    return float(np.mean(near) if len(near) else median)
