"""Times of any number of frames in little memory: evenly spaced ones are calculated when they are needed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..partition import FRAME_CHUNK

__all__ = ["Times", "as_meant", "rounding_of"]

_DIGITS = range(-3, 13)  # decimals of round numbers, the roundest first


@dataclass(frozen=True, slots=True)
class _Even:
    """Multiples of a step, counted from a first time."""

    first: float
    step: float
    multiples: range
    is_single: bool = False  # rounded to float32

    def __len__(self) -> int:
        return len(self.multiples)

    def __getitem__(self, places: slice) -> Self:
        return replace(self, multiples=self.multiples[places])

    def to_array(self) -> NDArray[np.float64]:
        times = np.arange(self.multiples.start, self.multiples.stop, dtype=np.float64)
        times *= self.step
        times += self.first
        return times.astype(np.float32).astype(np.float64) if self.is_single else times


_Piece = _Even | NDArray[np.float32 | np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Times of successive frames, ps; iteration yields them as float64, at most `FRAME_CHUNK` at once."""

    _pieces: Sequence[_Piece]

    @classmethod
    def of(cls, arrays: Iterable[NDArray[np.float64]]) -> Self:
        """Keep the very numbers of successive arrays, each of shape (n_frames,)."""
        pieces: list[_Piece] = []
        likely: float | None = None
        for array in arrays:
            for start in range(0, len(array), FRAME_CHUNK):
                piece, likely = _packed(array[start : start + FRAME_CHUNK], likely)
                pieces.append(piece)
        return cls(pieces)

    @classmethod
    def evenly(cls, first: float, step: float, n_frames: int) -> Self:
        """Make evenly spaced times."""
        starts = range(0, n_frames, FRAME_CHUNK)
        return cls([_Even(first, step, range(at, min(at + FRAME_CHUNK, n_frames))) for at in starts])

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        return map(_unpacked, self._pieces)

    def __array__(self, *_arguments: Any, **_options: Any) -> NDArray[np.float64]:
        return np.concatenate([np.empty(0), *self])

    def part(self, start: int, stop: int) -> Self:
        """Return the times of the frames `start` to `stop`."""
        found: list[_Piece] = []
        for piece in self._pieces:
            if start < len(piece) and stop > 0:
                found.append(piece[max(start, 0) : stop])
            start, stop = start - len(piece), stop - len(piece)
        return type(self)(found)

    def at(self, frames: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the times of ascending frames, shape (n_frames,)."""
        found, start = [np.empty(0)], 0
        for piece in self._pieces:
            first, last = np.searchsorted(frames, [start, start + len(piece)])
            if first < last:
                found.append(_unpacked(piece)[frames[first:last] - start])
            start += len(piece)
        return np.concatenate(found)

    def steps(self) -> Iterator[NDArray[np.float64]]:
        """Yield the times from each frame to the next, in pieces."""
        last = np.empty(0)
        for times in self:
            yield np.diff(times, prepend=last)
            last = times[-1:]


def _unpacked(piece: _Piece) -> NDArray[np.float64]:
    return piece.to_array() if isinstance(piece, _Even) else piece.astype(np.float64, copy=False)


def _packed(times: NDArray[np.float64], likely: float | None) -> tuple[_Piece, float | None]:
    """Return what takes least memory and gives the very same times, and their step if they are even."""
    found = _even(Times([times]), likely)
    if found is not None:
        for is_single in (False, True):
            even = _Even(*found, range(len(times)), is_single)
            if np.array_equal(even.to_array(), times):
                return even, even.step
    single = _single(times)
    return (single if np.array_equal(single, times) else times), None


def as_meant(parts: Sequence[Times]) -> list[Times]:
    """Return the ascending times of parts as they were before they were rounded to float32, where even.

    Of all even times that round to the given ones, those with the roundest spacing are taken, and of these,
    multiples of it: programs write every nth step. Uneven times stay as given.
    """
    longest = _even(max(parts, key=len), None)
    found = [_even(part, longest and longest[1]) for part in parts]
    return [
        part if even is None else Times.evenly(*even, len(part))
        for part, even in zip(parts, found, strict=True)
    ]


def _even(times: Times, likely: float | None) -> tuple[float, float] | None:
    """Return first and spacing, if possible the likely one, of even times that round to the given ones."""
    n_steps = len(times) - 1
    is_single, largest = _scale(times)
    if (n_steps < 2 and likely is None) or not np.isfinite(largest):
        return None
    ends = times.at(np.array([0, n_steps]))
    mean = float(ends[1] - ends[0]) / max(1, n_steps)
    # Rounded once, or calculated in float32.
    for n_ulps in (0.5, 2.0):
        slack = float((n_ulps * _resolution(ends, is_single)).sum()) / max(1, n_steps)
        rounded = [round(mean, digits) for digits in _DIGITS] if n_steps > 1 else []
        for step in rounded if likely is None else [likely, *rounded]:
            if step > 0 and (n_steps == 0 or abs(step - mean) <= slack):
                low, high, start = -np.inf, np.inf, 0
                for values in times:
                    first = values - step * np.arange(start, start + len(values), dtype=np.float64)
                    error = n_ulps * _resolution(values, is_single)
                    low, high = (
                        max(low, float((first - error).max())),
                        min(high, float((first + error).min())),
                    )
                    if low > high:
                        break
                    start += len(values)
                else:
                    return _roundest(low, high, step), step
    return None


def _roundest(low: float, high: float, step: float) -> float:
    """Return the number of a range that is a multiple of `step`, or else has the fewest decimals."""
    middle = (low + high) / 2
    rounded = (round(middle, digits) for digits in _DIGITS)
    candidates = (step * round(middle / step), *rounded)
    return next((number for number in candidates if low <= number <= high), middle)


def rounding_of(times: Times) -> float:
    """Return how far apart numbers are near the largest time."""
    is_single, largest = _scale(times)
    return float(_resolution(np.array([largest]), is_single)[0])


def _scale(times: Times) -> tuple[bool, float]:
    """Tell whether all times are in float32, and return the largest; NaN if one is."""
    is_single, largest = True, 0.0
    for values in times:
        is_single = is_single and np.array_equal(_single(values), values)
        largest = float(np.maximum(largest, np.abs(values).max(initial=0)))
    return is_single, largest


def _resolution(times: NDArray[np.float64], is_single: bool) -> NDArray[np.float64]:
    """Return how far apart numbers near each time are: most formats keep float32, others enough decimals."""
    if not is_single:
        return 1e-12 * np.abs(times)
    with np.errstate(invalid="ignore"):
        return np.spacing(np.abs(_single(times))).astype(np.float64)


def _single(times: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return times.astype(np.float32)
