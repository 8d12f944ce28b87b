"""Which frames of a run are kept, by their times: arrays in, arrays out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..config import IngestConfig

__all__ = ["Choice", "Times", "as_meant", "choose_by_number", "choose_by_time", "seams", "typical_spacing"]

Times = NDArray[np.float64]

_DIGITS = range(-3, 13)  # decimals of round numbers, the roundest first


@dataclass(frozen=True, slots=True)
class Choice:
    """The frames kept of one run."""

    kept: tuple[NDArray[np.int64], ...]  # ascending indices for each part, in the order given
    # Frames of each part at times that a later part covers again, kept or not; empty if chosen by number.
    n_repeated: tuple[int, ...]
    n_beyond: int  # those of them that lie after the end of all later parts
    spacing: float  # usual time between the frames of the run, ps; NaN for a single frame
    kept_spacing: float  # the same of the frames kept


def choose_by_time(parts: Sequence[Times], config: IngestConfig) -> Choice:
    """Choose frames of a run by the times of its parts, ps, which ascend, in order of their first times.

    In this order: frames at or after the first time of a later part are left out (`overlap`), then the first
    frames of each part (`discard_first`), then what lies before `begin` or within `burn_in` of the run's
    first time, or after `end`; of the rest, the first frame in each interval `every` from the first one left,
    or each `stride`-th. `overlap` ``error`` does as ``later``: the caller refuses.
    """
    rounding = 2 * max(map(_rounding, parts))
    parts = as_meant(parts)
    time = np.concatenate(parts)
    sizes = np.array([len(part) for part in parts])
    part_of = np.repeat(np.arange(len(parts)), sizes)
    index = np.concatenate([np.arange(size) for size in sizes])
    spacing = typical_spacing(parts)
    tolerance = rounding
    if not np.isnan(spacing):
        tolerance = min(max(1e-3 * spacing, rounding), 0.4 * spacing)

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
    )


def choose_by_number(sizes: Sequence[int], config: IngestConfig) -> Choice:
    """Choose frames of a run without times, by the sizes of its parts: discard the first, then stride."""
    kept, n_before = [], 0
    for size in sizes:
        first = min(config.discard_first, size)
        kept.append(np.arange(first + -n_before % config.stride, size, config.stride))
        n_before += size - first
    return Choice(tuple(kept), (), 0, np.nan, np.nan)


def seams(times: Times) -> NDArray[np.int64]:
    """Frames at which time goes back, or comes a second time: another part of the run begins there.

    Frames closer than float32 can tell have the same time without being the same.
    """
    steps, rounding = np.diff(times), _rounding(times)
    forward = steps[steps > 0]
    can_tell = len(forward) > 0 and float(np.median(forward)) > 2 * rounding
    return np.flatnonzero(steps <= rounding if can_tell else steps < 0) + 1


def as_meant(parts: Sequence[Times]) -> list[Times]:
    """Return the ascending times of parts as they were before they were rounded to float32, where even.

    Of all even times that round to the given ones, those with the roundest spacing are taken, and of these,
    multiples of it: programs write every nth step. Uneven times stay as given.
    """
    longest = max(parts, key=len)
    _, spacing = _even(longest, None)
    return [_even(part, spacing)[0] for part in parts]


def _even(times: Times, likely: float | None) -> tuple[Times, float | None]:
    """Return even times that round to the given ones, and their spacing, if possible the likely one."""
    n_steps = len(times) - 1
    if (n_steps < 2 and likely is None) or not np.isfinite(times).all():
        return times, likely
    number = np.arange(n_steps + 1, dtype=np.float64)
    mean = float(times[-1] - times[0]) / max(1, n_steps)
    # Rounded once, or calculated in float32.
    for error in (0.5 * _resolution(times), 2 * _resolution(times)):
        slack = float(error[0] + error[-1]) / max(1, n_steps)
        rounded = [round(mean, digits) for digits in _DIGITS] if n_steps > 1 else []
        for step in rounded if likely is None else [likely, *rounded]:
            if step > 0 and (n_steps == 0 or abs(step - mean) <= slack):
                first = times - step * number
                low, high = float(np.max(first - error)), float(np.min(first + error))
                if low <= high:
                    number *= step
                    return number + _roundest(low, high, step), step
    return times, None


def _roundest(low: float, high: float, step: float) -> float:
    """Return the number of a range that is a multiple of `step`, or else has the fewest decimals."""
    middle = (low + high) / 2
    rounded = (round(middle, digits) for digits in _DIGITS)
    candidates = (step * round(middle / step), *rounded)
    return next((number for number in candidates if low <= number <= high), middle)


def _resolution(times: Times) -> Times:
    """Return how far apart numbers near each time are: most formats keep float32, others enough decimals."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = times.astype(np.float32)
        if (single == times).all():
            return np.spacing(np.abs(single)).astype(np.float64)
    return 1e-12 * np.abs(times)


def _rounding(times: Times) -> float:
    return float(_resolution(times).max(initial=0))


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


def _first_of_each(time: Times, every: float, spacing: float, tolerance: float) -> NDArray[np.bool_]:
    """Tell which frames are the first in their interval of length `every`."""
    since = time - time[0] + tolerance
    interval = np.floor(since / every)
    first = np.append(True, interval[1:] != interval[:-1])
    # Where time goes back, the first frame there may lie anywhere in its interval.
    back = np.append(False, np.diff(time) < 0)
    first[back] &= (since - interval * every)[back] < spacing
    return first
