"""Visits to clusters: stretches of frames with one label, counted chunk by chunk."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Visits"]

IntArray = NDArray[np.integer]


@dataclass(slots=True)
class Visits:
    """Counts visits while frames go by in their order.

    A visit is a stretch of consecutive frames with one label, within one run and without a gap in time. One
    that begins or ends where the run begins or ends, or at a gap, is *censored*: its whole length is unknown.

    Attributes
    ----------
    n_labels
        Labels run from 0 to n_labels − 1.
    spacing
        Usual time between two frames of each run, shape (n_runs,); a visit of n frames lasts n times that.
    n_visits, n_departures, n_complete
        Visits of each label; those whose end was seen; those whose beginning and end were.
    n_frames, n_complete_frames, longest
        Frames in all visits of each label, in those that are complete, and in the longest of all.
    time, complete_time, longest_time
        The same as times, in the unit of `spacing`.
    """

    n_labels: int
    spacing: NDArray[np.float64]
    n_visits: NDArray[np.int64] = field(init=False)
    n_departures: NDArray[np.int64] = field(init=False)
    n_complete: NDArray[np.int64] = field(init=False)
    n_frames: NDArray[np.int64] = field(init=False)
    n_complete_frames: NDArray[np.int64] = field(init=False)
    longest: NDArray[np.int64] = field(init=False)
    time: NDArray[np.float64] = field(init=False)
    complete_time: NDArray[np.float64] = field(init=False)
    longest_time: NDArray[np.float64] = field(init=False)
    # The visit under way, as arrays of one element or none.
    _label: IntArray = field(init=False)
    _run: IntArray = field(init=False)
    _length: NDArray[np.int64] = field(init=False)
    _is_begun_unseen: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("n_visits", "n_departures", "n_complete", "n_frames", "n_complete_frames", "longest"):
            setattr(self, name, np.zeros(self.n_labels, np.int64))
        for name in ("time", "complete_time", "longest_time"):
            setattr(self, name, np.zeros(self.n_labels))
        self._label, self._run = np.empty(0, np.int64), np.empty(0, np.int64)
        self._length, self._is_begun_unseen = np.empty(0, np.int64), np.empty(0, np.bool_)

    def add(self, label: IntArray, run: IntArray, is_break: NDArray[np.bool_]) -> None:
        """Take the next frames.

        Parameters
        ----------
        label
            Label of each frame, shape (n_frames,), from 0.
        run
            Run of each frame, likewise.
        is_break
            Whether the frame doesn't continue the one before it: another run, or a gap in time.
        """
        if len(label) == 0:
            return
        before = np.concatenate([self._label[-1:] if len(self._label) else [-1], label[:-1]])
        first = np.flatnonzero(is_break | (label != before))
        if len(self._length):
            self._length[0] += first[0] if len(first) else len(label)
        if len(first) == 0:
            return
        labels = np.concatenate([self._label, label[first]])
        runs = np.concatenate([self._run, run[first]])
        lengths = np.concatenate([self._length, np.diff(first, append=len(label))])
        is_begun_unseen = np.concatenate([self._is_begun_unseen, is_break[first]])
        # A visit ends where the next begins; the last is still under way.
        is_left_unseen = is_break[first] if len(self._label) else is_break[first[1:]]
        self._close(labels[:-1], runs[:-1], lengths[:-1], is_begun_unseen[:-1], is_left_unseen)
        self._label, self._run = labels[-1:], runs[-1:]
        self._length, self._is_begun_unseen = lengths[-1:], is_begun_unseen[-1:]

    def finish(self) -> None:
        """Close the visit under way: there are no more frames."""
        is_left_unseen = np.ones(len(self._label), np.bool_)
        self._close(self._label, self._run, self._length, self._is_begun_unseen, is_left_unseen)
        self._label, self._run = self._label[:0], self._run[:0]
        self._length, self._is_begun_unseen = self._length[:0], self._is_begun_unseen[:0]

    def _close(
        self,
        label: IntArray,
        run: IntArray,
        length: NDArray[np.int64],
        is_begun_unseen: NDArray[np.bool_],
        is_left_unseen: NDArray[np.bool_],
    ) -> None:
        time = length * self.spacing[run]
        is_complete = ~is_begun_unseen & ~is_left_unseen
        everything = np.ones(len(label), np.bool_)
        for total, chosen in (
            (self.n_visits, everything),
            (self.n_departures, ~is_left_unseen),
            (self.n_complete, is_complete),
        ):
            total += np.bincount(label[chosen], minlength=self.n_labels)
        for frames, times, chosen in (
            (self.n_frames, self.time, everything),
            (self.n_complete_frames, self.complete_time, is_complete),
        ):
            np.add.at(frames, label[chosen], length[chosen])
            np.add.at(times, label[chosen], time[chosen])
        np.maximum.at(self.longest, label, length)
        # NaN where no run has two frames to tell a spacing by.
        with np.errstate(invalid="ignore"):
            np.maximum.at(self.longest_time, label, time)
