"""Visits to clusters: stretches of frames with one label, counted chunk by chunk."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Visits", "visits_within"]

_VISIT = np.dtype([("label", np.int64), ("run", np.int64), ("frames", np.float64), ("is_entered", np.bool_)])

# Departures are visits whose end was seen; of complete ones, the beginning was seen too.
_SUMS = ("n_visits", "n_departures", "n_complete", "n_frames", "time", "n_complete_frames", "complete_time")


def visits_within(
    label: NDArray[np.integer], run: NDArray[np.integer], is_break: NDArray[np.bool_]
) -> NDArray[np.void]:
    """Cut consecutive frames into visits.

    Labels and runs, from 0, and if a run or a gap in time breaks before each frame, are of shape (n_frames,).
    The first frame always begins a visit.
    """
    starts = np.flatnonzero(is_break | (np.diff(label, prepend=-1) != 0))
    visits = np.empty(len(starts), _VISIT)
    visits["label"], visits["run"], visits["is_entered"] = label[starts], run[starts], ~is_break[starts]
    visits["frames"] = np.diff(starts, append=len(label))
    return visits


class Visits:
    """Counts visits while frames go by in order.

    A visit is a stretch of consecutive frames with one label, within one run and without a gap in time. If it
    begins or ends where the run does, or at a gap, its whole length is unknown: it is *censored*. A visit of
    n frames lasts n times the usual `spacing` of its run.
    """

    def __init__(self, n_labels: int, spacing: NDArray[np.float64]) -> None:
        self._spacing = spacing
        self._sums = {name: np.zeros(n_labels) for name in _SUMS}
        self._longest_frames = np.zeros(n_labels)
        self._longest_time = np.full(n_labels, np.nan)
        self._open = np.empty(0, _VISIT)

    def add(self, visits: NDArray[np.void], *, follows: bool) -> None:
        """Take the visits of the next frames, of `visits_within`.

        `follows` says whether the first frame continues the one before, without a break.
        """
        if follows and visits["label"][0] == self._open["label"][0]:
            self._open["frames"] += visits["frames"][0]
            visits = visits[1:]
        elif follows:
            visits["is_entered"][0] = True
        visits = np.concatenate([self._open, visits])
        self._count(visits)
        self._open = visits[-1:].copy()

    def finish(self) -> dict[str, NDArray[np.float64]]:
        """Count the last visit; return all figures by name, each of shape (n_labels,)."""
        end = self._open.copy()
        end["is_entered"] = False
        self._count(np.concatenate([self._open, end]))
        return {**self._sums, "longest_frames": self._longest_frames, "longest_time": self._longest_time}

    def _count(self, visits: NDArray[np.void]) -> None:
        """Count all visits but the last, which is still under way."""
        # A visit was left where the next one was entered.
        is_left = visits["is_entered"][1:]
        visits = visits[:-1]
        label, frames = np.ascontiguousarray(visits["label"]), np.ascontiguousarray(visits["frames"])
        time = frames * self._spacing[visits["run"]]
        is_complete = visits["is_entered"] & is_left
        complete_time = np.where(is_complete, time, 0.0)
        values = (1, is_left, is_complete, frames, time, frames * is_complete, complete_time)
        for name, weights in zip(_SUMS, values, strict=True):
            weights = np.broadcast_to(weights, len(visits))
            self._sums[name] += np.bincount(label, weights, len(self._longest_frames))
        np.maximum.at(self._longest_frames, label, frames)
        np.fmax.at(self._longest_time, label, time)
