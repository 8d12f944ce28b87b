"""Visits to clusters: stretches of frames with one label, counted block by block."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Visits"]


class Visits:
    """Counts visits while frames go by in order.

    A visit is a stretch of consecutive frames with one label, within one run and without a gap in time. If it
    begins or ends where the run does, or at a gap, its whole length is unknown: it is *censored*.

    Parameters
    ----------
    n_labels
        Labels run from 0 to n_labels − 1.
    spacing
        Usual time between two frames of each run, shape (n_runs,); a visit of n frames lasts n times that.
    """

    def __init__(self, n_labels: int, spacing: NDArray[np.float64]) -> None:
        self._spacing = spacing
        self._sums = pd.DataFrame(index=pd.RangeIndex(n_labels))
        self._longest = pd.DataFrame({"frames": 0.0, "time": np.nan}, index=pd.RangeIndex(n_labels))
        self._open: pd.DataFrame | None = None

    def add(self, label: NDArray[np.integer], run: NDArray[np.integer], is_break: NDArray[np.bool_]) -> None:
        """Take the next frames.

        Parameters
        ----------
        label, run
            Label and run of each frame, shape (n_frames,), from 0.
        is_break
            Whether the frame doesn't continue the one before it: another run, or a gap in time.
        """
        before = np.append(-1 if self._open is None else self._open.label.iloc[0], label[:-1])
        starts = np.flatnonzero(is_break | (label != before)) if len(label) else np.empty(0, np.int64)
        visits = pd.DataFrame(
            {
                "label": label[starts],
                "run": run[starts],
                "frames": np.diff(starts, append=len(label)),
                "is_entered": ~is_break[starts],
            }
        )
        if self._open is not None:
            self._open.loc[0, "frames"] += starts[0] if len(starts) else len(label)
            visits = pd.concat([self._open, visits], ignore_index=True)
        if len(visits):
            self._count(visits)
            self._open = visits.iloc[-1:].reset_index(drop=True)

    def finish(self) -> pd.DataFrame:
        """Count the last visit.

        Returns
        -------
        A row for each label with ``n_visits``, ``n_departures`` (visits whose end was seen), ``n_complete``
        (those whose beginning was seen too), ``n_frames`` and ``time`` in all visits, ``n_complete_frames``
        and ``complete_time`` in the complete ones, and ``longest_frames`` and ``longest_time``.
        """
        if self._open is not None:
            self._count(pd.concat([self._open, self._open.assign(is_entered=False)]))
        return self._sums.join(self._longest.add_prefix("longest_"))

    def _count(self, visits: pd.DataFrame) -> None:
        """Count all visits but the last, which is still under way."""
        # A visit was left where the next one was entered.
        visits = visits.assign(
            is_left=visits.is_entered.shift(-1, fill_value=False),
            time=visits.frames * self._spacing[visits.run],
        ).iloc[:-1]
        every = visits.groupby("label")
        complete = visits[visits.is_entered & visits.is_left].groupby("label")
        found = pd.DataFrame(
            {
                "n_visits": every.size(),
                "n_departures": every.is_left.sum(),
                "n_frames": every.frames.sum(),
                "time": every.time.sum(),
                "n_complete": complete.size(),
                "n_complete_frames": complete.frames.sum(),
                "complete_time": complete.time.sum(),
            }
        )
        self._sums = self._sums.add(found, fill_value=0).fillna(0)
        longest = every[["frames", "time"]].max()
        self._longest = pd.concat([self._longest, longest]).groupby(level=0).max()
