"""One walk over all frames of a clustering, in memory that doesn't grow with them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..schema import LABEL_STATUS
from ..store import Store
from .groups import GroupOf, Tally
from .quantiles import LengthHistogram, ShareHistogram
from .runs import Runs, frame_chunks
from .visits import Visits

__all__ = ["NEAR_TIE", "N_TIME_BINS", "FrameStatistics", "Moments", "walk_frames"]

NEAR_TIE = 0.1
"""A margin below this is near a tie: the leader is less than 10 % nearer than the second."""

N_TIME_BINS = 10
"""Bins of time in which frames beyond the noise cutoff are counted."""


@dataclass(slots=True, eq=False)
class Moments:
    """Sums of RMSDs by label, shape (n_labels,)."""

    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    def add(self, label: NDArray[np.integer], value: NDArray[np.float64]) -> None:
        """Take numbers, each with a label, shapes (n,)."""
        self.sums += np.bincount(label, weights=value, minlength=len(self.sums))
        self.squares += np.bincount(label, weights=value * value, minlength=len(self.sums))


@dataclass(slots=True, eq=False)
class FrameStatistics:
    """What the walk gathers, by label: 0 to K − 1 stand for the clusters 1 to K, K for frames beyond the
    noise cutoff, K + 1 for those that aren't finite.

    Attributes
    ----------
    by_run, by_file, by_group, by_time
        Frames by run, source file, group and bin of time.
    visits
        Visits to each.
    rmsd, rmsd_histogram
        RMSDs to the leader.
    margin_histogram, n_near_ties
        Margins; empty where they weren't asked for.
    first_frame, last_frame
        Of each label, -1 for none.
    """

    by_run: Tally
    by_file: Tally
    by_group: Tally | None
    by_time: Tally
    visits: Visits
    rmsd: Moments
    rmsd_histogram: LengthHistogram
    margin_histogram: ShareHistogram | None
    n_near_ties: NDArray[np.int64]
    first_frame: NDArray[np.int64]
    last_frame: NDArray[np.int64]


def walk_frames(
    store: Store,
    group: str,
    runs: Runs,
    *,
    n_clusters: int,
    n_files: int,
    n_groups: int = 0,
    group_of: GroupOf | None = None,
) -> FrameStatistics:
    """Read the labels of a finished clustering from the first frame to the last.

    Parameters
    ----------
    store, group
        The clustering's group in its store.
    runs
        The store's runs.
    n_clusters, n_files
        Sizes.
    n_groups, group_of
        Groups to split tables by, from `group_of_frames`.
    """
    n_labels = n_clusters + 2
    has_margin = store.is_complete(f"{group}/rmsd_to_second")
    found = FrameStatistics(
        by_run=Tally(len(runs.names), n_labels),
        by_file=Tally(n_files, n_labels),
        by_group=None if group_of is None else Tally(n_groups, n_labels),
        by_time=Tally(N_TIME_BINS, n_labels),
        visits=Visits(n_labels, runs.spacing),
        rmsd=Moments(np.zeros(n_labels), np.zeros(n_labels)),
        rmsd_histogram=LengthHistogram(n_labels),
        margin_histogram=ShareHistogram(n_labels) if has_margin else None,
        n_near_ties=np.zeros(n_labels, np.int64),
        first_frame=np.full(n_labels, -1, np.int64),
        last_frame=np.full(n_labels, -1, np.int64),
    )
    before = None
    begin, end = float(np.nanmin(runs.first_time)), float(np.nanmax(runs.last_time))
    for frames in frame_chunks(store.shape("position")[0]):
        run, time = store.read(runs.column, frames), store.read("time", frames)
        file = store.read("trajectory", frames)
        status = store.read(f"{group}/label_status", frames)
        label = store.read(f"{group}/label", frames).astype(np.int64) - 1
        label[status == LABEL_STATUS["beyond_noise_cutoff"]] = n_clusters
        label[status == LABEL_STATUS["not_finite"]] = n_clusters + 1
        place = (time - begin) * (N_TIME_BINS / (end - begin)) if end > begin else np.zeros(len(time))
        found.by_run.add(run, label, time)
        found.by_file.add(file, label, time)
        found.by_time.add(np.minimum(place.astype(np.int64), N_TIME_BINS - 1), label, time)
        if found.by_group is not None and group_of is not None:
            found.by_group.add(group_of(frames, run), label, time)
        found.visits.add(label, run, runs.breaks(run, time, before))
        before = int(run[-1]), float(time[-1])
        _note_ends(found, label, frames.start)

        rmsd = store.read(f"{group}/rmsd_to_leader", frames)
        is_finite = label <= n_clusters
        found.rmsd.add(label[is_finite], rmsd[is_finite].astype(np.float64))
        found.rmsd_histogram.add(label[is_finite], rmsd[is_finite])
        if found.margin_histogram is not None:
            second = store.read(f"{group}/rmsd_to_second", frames)
            has_second = np.isfinite(second)
            margin = margins(rmsd[has_second], second[has_second])
            found.margin_histogram.add(label[has_second], margin)
            near = label[has_second][margin < NEAR_TIE]
            found.n_near_ties += np.bincount(near, minlength=n_labels)
    found.visits.finish()
    return found


def margins(rmsd: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far frames are from a tie: 1 − RMSD to the leader / RMSD to the second, 0 where both are 0."""
    nearer, farther = rmsd.astype(np.float64), second.astype(np.float64)
    ratio = np.ones(len(nearer))
    np.divide(nearer, farther, out=ratio, where=farther > 0)
    return 1.0 - ratio


def _note_ends(found: FrameStatistics, label: NDArray[np.int64], start: int) -> None:
    # Of several values for one label, numpy keeps the last.
    frames = np.arange(start, start + len(label))
    found.last_frame[label] = frames
    first = np.full(len(found.first_frame), -1, np.int64)
    first[label[::-1]] = frames[::-1]
    found.first_frame = np.where(found.first_frame < 0, first, found.first_frame)
