"""One walk over all frames of a clustering, in memory that doesn't grow with them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..schema import LABEL_STATUS
from ..store import Store
from .quantiles import LENGTH_EDGES, SHARE_EDGES, Histogram
from .runs import Groups, Runs, frame_chunks
from .visits import Visits

__all__ = ["FrameTotals", "walk_frames"]

NEAR_TIE = 0.1
"""A margin below this is near a tie: the leader is less than 10 % nearer than the second."""

N_TIME_BINS = 10
"""Bins of time in which frames beyond the noise cutoff are counted."""


@dataclass(slots=True, eq=False)
class FrameTotals:
    """What the walk gathers by label: 0 to K − 1 stand for the clusters 1 to K, K for frames without a
    label, beyond the noise cutoff or noise of the first pass that is kept, K + 1 for those not finite.

    Attributes
    ----------
    counts
        Frames by ``run``, ``file``, ``group`` and ``time`` bin, each of shape (n, n_labels).
    spans
        First and last time of each ``file`` and ``group``, shape (n, 2); infinite without frames.
    rmsd_sum, rmsd_squares
        Sums over the RMSDs to the leader, shape (n_labels,), nm and nm².
    n_recovered, n_of_subset
        Subset frames with the same label in both passes, and those of each label, shape (n_labels,).
    first_frame, last_frame
        Of each label, shape (n_labels,), -1 for none.
    rmsd, margin, n_near_ties, visits
        Histograms, and what `Visits` found; None without details, or without margins.
    """

    counts: dict[str, NDArray[np.int64]]
    spans: dict[str, NDArray[np.float64]]
    rmsd_sum: NDArray[np.float64]
    rmsd_squares: NDArray[np.float64]
    first_frame: NDArray[np.int64]
    last_frame: NDArray[np.int64]
    n_near_ties: NDArray[np.int64]
    n_of_subset: NDArray[np.int64]
    n_recovered: int = 0
    rmsd: Histogram | None = None
    margin: Histogram | None = None
    visits: dict[str, NDArray[np.float64]] | None = None


def walk_frames(
    store: Store,
    group: str,
    runs: Runs,
    *,
    n_clusters: int,
    subset: tuple[NDArray[np.int64], NDArray[np.int32]],
    groups: Groups | None = None,
    details: bool = True,
) -> FrameTotals:
    """Read the labels of a finished clustering from the first frame to the last.

    `subset` holds the frames and labels of the first pass, without its noise; groups come from
    `group_of_frames`. Visits, and RMSDs and margins for their quantiles, are details.
    """
    n_labels = n_clusters + 2
    group_names, group_of = groups or ((), None)
    n_files = store.shape("trajectory_path")[0]
    sizes = {"run": len(runs.names), "file": n_files, "group": len(group_names), "time": N_TIME_BINS}
    found = FrameTotals(
        counts={what: np.zeros((size, n_labels), np.int64) for what, size in sizes.items()},
        spans={what: np.tile([np.inf, -np.inf], (sizes[what], 1)) for what in ("file", "group")},
        rmsd_sum=np.zeros(n_labels),
        rmsd_squares=np.zeros(n_labels),
        first_frame=np.full(n_labels, -1, np.int64),
        last_frame=np.full(n_labels, -1, np.int64),
        n_near_ties=np.zeros(n_labels, np.int64),
        n_of_subset=np.zeros(n_labels, np.int64),
    )
    if details:
        found.rmsd = Histogram(n_labels, LENGTH_EDGES)
        if store.is_complete(f"{group}/rmsd_to_second"):
            found.margin = Histogram(n_labels, SHARE_EDGES)
    visits = Visits(n_labels, runs.spacing)
    before = None
    for frames in frame_chunks(store.shape("position")[0]):
        run, time = store.read(runs.column, frames), store.read("time", frames)
        status = store.read(f"{group}/label_status", frames)
        label = store.read(f"{group}/label", frames).astype(np.int64) - 1
        inside = slice(*np.searchsorted(subset[0], [frames.start, frames.stop]))
        found.n_recovered += int((label[subset[0][inside] - frames.start] + 1 == subset[1][inside]).sum())
        label[label < 0] = n_clusters
        label[status == LABEL_STATUS["not_finite"]] = n_clusters + 1
        found.n_of_subset += np.bincount(label[subset[0][inside] - frames.start], minlength=n_labels)
        place = (time - runs.start) / max(runs.stop - runs.start, 1e-300) * N_TIME_BINS
        codes = {
            "run": run,
            "file": store.read("trajectory", frames),
            "time": np.minimum(place.astype(np.int64), N_TIME_BINS - 1),
        }
        if group_of is not None:
            codes["group"] = group_of(frames, run)
        for what, code in codes.items():
            np.add.at(found.counts[what].reshape(-1), code.astype(np.int64) * n_labels + label, 1)
            if what in found.spans:
                np.minimum.at(found.spans[what][:, 0], code, time)
                np.maximum.at(found.spans[what][:, 1], code, time)
        rmsd = store.read(f"{group}/rmsd_to_leader", frames)
        finite = label <= n_clusters
        weights = rmsd[finite].astype(np.float64)
        found.rmsd_sum += np.bincount(label[finite], weights, n_labels)
        found.rmsd_squares += np.bincount(label[finite], weights**2, n_labels)
        if not details:
            continue
        _note_ends(found, label, frames.start)
        visits.add(label, run, runs.breaks(run, time, before))
        before = int(run[-1]), float(time[-1])
        if found.rmsd is not None:
            found.rmsd.add(label[finite], rmsd[finite])
        if found.margin is not None:
            second = store.read(f"{group}/rmsd_to_second", frames)
            has_second = np.isfinite(second)
            nearer, farther = (each[has_second].astype(np.float64) for each in (rmsd, second))
            # 0 if both are 0.
            margin = 1.0 - np.divide(nearer, farther, out=np.ones(len(nearer)), where=farther > 0)
            found.margin.add(label[has_second], margin)
            found.n_near_ties += np.bincount(label[has_second][margin < NEAR_TIE], minlength=n_labels)
    if details:
        found.visits = visits.finish()
    return found


def _note_ends(found: FrameTotals, label: NDArray[np.int64], start: int) -> None:
    # Of several values for one label, numpy keeps the last.
    frames = np.arange(start, start + len(label))
    found.last_frame[label] = frames
    first = np.full(len(found.first_frame), -1, np.int64)
    first[label[::-1]] = frames[::-1]
    found.first_frame = np.where(found.first_frame < 0, first, found.first_frame)
