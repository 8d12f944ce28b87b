"""Which frames of a run are kept, by their times: arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig

__all__ = ["Choice", "choose_by_number", "choose_by_time", "typical_spacing"]

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choice:
    """The frames kept of one run.

    Attributes
    ----------
    kept
        Ascending indices for each part, in the order given.
    n_repeated
        Frames of each part at times that a later part covers again, whether they are kept or not.
    n_beyond
        Those of them that lie after the end of all later parts.
    spacing
        Usual time between the frames of the run, ps; NaN for a single frame.
    kept_spacing
        The same of the frames kept.
    goes_back
        Parts within which time goes back, as indices.
    """

    kept: tuple[NDArray[np.int64], ...]
    n_repeated: tuple[int, ...]
    n_beyond: int
    spacing: float
    kept_spacing: float
    goes_back: tuple[int, ...] = ()


def choose_by_time(parts: Sequence[Times], config: IngestConfig) -> Choice:
    """Choose frames of a run by the times of its parts, ps, in order of their first times.

    In this order: frames at or after the first time of a later part are left out (`overlap`), then the first
    frames of each part (`discard_first`), then what lies before `begin` or within `burn_in` of the run's
    first time, or after `end`; of the rest, the first frame in each interval `every` from the first one left,
    or each `stride`-th. `overlap` ``error`` does as ``later``: the caller refuses.
    """
    time = np.concatenate(parts)
    sizes = np.array([len(part) for part in parts])
    part_of = np.repeat(np.arange(len(parts)), sizes)
    index = np.concatenate([np.arange(size) for size in sizes])
    spacing = typical_spacing(parts)
    tolerance = _tolerance(time, spacing)

    firsts = np.array([part.min(initial=np.inf) for part in parts])
    lasts = np.array([part.max(initial=-np.inf) for part in parts])
    # First and last time of all parts after each.
    first_after = np.append(np.minimum.accumulate(firsts[::-1])[::-1][1:], np.inf)
    last_after = np.append(np.maximum.accumulate(lasts[::-1])[::-1][1:], -np.inf)
    repeated = time >= first_after[part_of] - tolerance
    beyond = repeated & (time > last_after[part_of] + tolerance)

    keep = index >= config.discard_first
    if config.overlap != "keep":
        keep &= ~repeated
    if config.burn_in is not None:
        keep &= time >= time.min() + config.burn_in - tolerance
    if config.begin is not None:
        keep &= time >= config.begin - tolerance
    if config.end is not None:
        keep &= time <= config.end + tolerance

    chosen = np.flatnonzero(keep)
    if config.every is not None and len(chosen):
        chosen = chosen[_first_of_each(time[chosen], config.every, spacing, tolerance)]
    else:
        chosen = chosen[:: config.stride]
    of_part = np.searchsorted(part_of[chosen], np.arange(len(parts) + 1))
    kept = tuple(index[chosen[a:b]] for a, b in pairwise(of_part))
    return Choice(
        kept=kept,
        n_repeated=tuple(np.bincount(part_of[repeated], minlength=len(parts)).tolist()),
        n_beyond=int(beyond.sum()),
        spacing=spacing,
        kept_spacing=typical_spacing([time[chosen]]),
        goes_back=tuple(number for number, part in enumerate(parts) if (np.diff(part) < 0).any()),
    )


def choose_by_number(sizes: Sequence[int], config: IngestConfig) -> Choice:
    """Choose frames of a run without times, by the sizes of its parts: discard the first, then stride."""
    kept, n_before = [], 0
    for size in sizes:
        first = min(config.discard_first, size)
        kept.append(np.arange(first + -n_before % config.stride, size, config.stride))
        n_before += size - first
    return Choice(tuple(kept), (0,) * len(kept), 0, np.nan, np.nan)


def typical_spacing(parts: Sequence[Times]) -> float:
    """Mean of the usual times between neighbouring frames, ps; NaN if there are none."""
    steps = np.concatenate([np.diff(part) for part in parts])
    forward = steps[steps > 0]
    if not len(forward):
        return np.nan
    median = np.median(forward)
    # Late times in float32 are 0.06 ps apart and more; over many steps that evens out.
    near = forward[np.abs(forward - median) <= 0.5 * median]
    # The median of an even number may be near none of them.
    return float(np.mean(near) if len(near) else median)


def _tolerance(time: Times, spacing: float) -> float:
    """Return how far apart two times may be and still mean the same: most formats keep float32."""
    rounding = 2 * float(np.finfo(np.float32).eps) * float(np.abs(time).max(initial=0))
    if np.isnan(spacing):
        return rounding
    return min(max(1e-3 * spacing, rounding), 0.4 * spacing)


def _first_of_each(time: Times, every: float, spacing: float, tolerance: float) -> NDArray[np.bool_]:
    """Tell which frames are the first in their interval of length `every`."""
    since = time - time[0] + tolerance
    interval = np.floor(since / every)
    first = np.append(True, interval[1:] != interval[:-1])
    # Where time goes back, the first frame there may lie anywhere in its interval.
    back = np.append(False, np.diff(time) < 0)
    first[back] &= (since - interval * every)[back] < spacing
    return first
