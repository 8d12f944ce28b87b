"""One walk over all frames of a clustering, in memory that doesn't grow with them."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..partition import FrameRange
from ..schema import LABEL_STATUS
from ..store import Store
from .quantiles import LENGTH_EDGES, SHARE_EDGES, Histogram, length_bins, share_bins
from .runs import Groups, Runs, over_chunks
from .visits import Visits, visits_within

__all__ = ["FrameTotals", "walk_frames"]

NEAR_TIE = 0.1
"""A margin below this is near a tie: the leader is less than 10 % nearer than the second."""

N_TIME_BINS = 10
"""Bins of time in which frames beyond the noise cutoff are counted."""


@dataclass(slots=True, eq=False)
class FrameTotals:
    """What the walk gathers by label: 0 to K − 1 stand for the clusters 1 to K, K for frames without a
    label, beyond the noise cutoff or noise of the first pass that is kept, K + 1 for those not finite.
    """

    # Frames by ``run``, ``file``, ``group`` and ``time`` bin, each of shape (n, n_labels).
    counts: dict[str, NDArray[np.int64]]
    # First and last time of each ``file`` and ``group``, shape (n, 2); infinite without frames.
    spans: dict[str, NDArray[np.float64]]
    rmsd_sum: NDArray[np.float64]  # of the RMSDs to the leader, nm, shape (n_labels,) as all others
    rmsd_squares: NDArray[np.float64]
    first_frame: NDArray[np.int64]  # -1 for none
    last_frame: NDArray[np.int64]
    n_near_ties: NDArray[np.int64]
    n_of_subset: NDArray[np.int64]  # subset frames
    n_recovered: int = 0  # those of them with the same label in both passes
    # None without details, or without margins.
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
        # First times lie together, and last ones: numpy's `at` is slow with steps.
        spans={what: np.tile([[np.inf], [-np.inf]], sizes[what]).T for what in ("file", "group")},
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

    look = partial(_look, store, group, runs, found, subset)
    visits = Visits(n_labels, runs.spacing)
    before = None
    for chunk in over_chunks(look, store.shape("position")[0]):
        if group_of is not None:
            chunk.codes["group"] = group_of(chunk.frames, chunk.codes["run"])
        # Frames that follow each other are alike: numpy's `at` is slow, and takes each stretch of them once.
        changes = (np.diff(each, prepend=-1) != 0 for each in (chunk.label, *chunk.codes.values()))
        starts = np.flatnonzero(np.logical_or.reduce(list(changes)))
        n_alike = np.diff(starts, append=len(chunk.label))
        for what, code in chunk.codes.items():
            code = code[starts]
            np.add.at(found.counts[what].reshape(-1), code * n_labels + chunk.label[starts], n_alike)
            if what in found.spans:
                np.minimum.at(found.spans[what][:, 0], code, np.minimum.reduceat(chunk.time, starts))
                np.maximum.at(found.spans[what][:, 1], code, np.maximum.reduceat(chunk.time, starts))
        for name, values in chunk.sums.items():
            setattr(found, name, getattr(found, name) + values)
        for histogram, places in ((found.rmsd, chunk.rmsd), (found.margin, chunk.margin)):
            if histogram is not None and places is not None:
                histogram.add(places)
        if chunk.ends is None or chunk.visits is None:
            continue
        first, last = chunk.ends
        found.first_frame = np.where(found.first_frame < 0, first, found.first_frame)
        found.last_frame = np.maximum(found.last_frame, last)
        run = chunk.codes["run"]
        visits.add(chunk.visits, follows=not runs.breaks(run[:1], chunk.time[:1], before)[0])
        before = int(run[-1]), float(chunk.time[-1])
    if details:
        found.visits = visits.finish()
    return found


@dataclass(slots=True, eq=False)
class _Chunk:
    """What a chunk adds to `FrameTotals`; codes, labels and times are of each frame."""

    frames: FrameRange
    label: NDArray[np.int64]
    time: NDArray[np.float64]
    codes: dict[str, NDArray[np.integer]]
    sums: dict[str, Any]
    rmsd: NDArray[np.intp] | None = None
    margin: NDArray[np.intp] | None = None
    visits: NDArray[np.void] | None = None
    ends: NDArray[np.int64] | None = None


def _look(
    store: Store,
    group: str,
    runs: Runs,
    found: FrameTotals,
    subset: tuple[NDArray[np.int64], NDArray[np.int32]],
    frames: FrameRange,
) -> _Chunk:
    """Read a chunk; called by several threads, so `found` only tells what is asked for."""
    n_labels = len(found.rmsd_sum)
    n_clusters = n_labels - 2
    run, time = store.read(runs.column, frames).astype(np.intp), store.read("time", frames)
    status = store.read(f"{group}/label_status", frames)
    label = store.read(f"{group}/label", frames).astype(np.intp) - 1
    inside = slice(*np.searchsorted(subset[0], [frames.start, frames.stop]))
    is_recovered = label[subset[0][inside] - frames.start] + 1 == subset[1][inside]
    label[label < 0] = n_clusters
    label[status == LABEL_STATUS["not_finite"]] = n_clusters + 1
    file = run if runs.column == "trajectory" else store.read("trajectory", frames).astype(np.intp)
    place = (time - runs.start) / max(runs.stop - runs.start, 1e-300) * N_TIME_BINS
    rmsd = store.read(f"{group}/rmsd_to_leader", frames)
    finite = label <= n_clusters
    weights = rmsd[finite].astype(np.float64)
    chunk = _Chunk(
        frames,
        label,
        time,
        codes={"run": run, "file": file, "time": np.minimum(place.astype(np.intp), N_TIME_BINS - 1)},
        sums={
            "n_recovered": int(is_recovered.sum()),
            "n_of_subset": np.bincount(label[subset[0][inside] - frames.start], minlength=n_labels),
            "rmsd_sum": np.bincount(label[finite], weights, n_labels),
            "rmsd_squares": np.bincount(label[finite], weights**2, n_labels),
        },
    )
    if found.rmsd is None:
        return chunk
    chunk.visits = visits_within(label, run, runs.breaks(run, time, None))
    chunk.ends = np.full((2, n_labels), -1, np.int64)
    # Of several values for one label, numpy keeps the last.
    number = np.arange(frames.start, frames.stop)
    chunk.ends[0, label[::-1]] = number[::-1]
    chunk.ends[1, label] = number
    chunk.rmsd = found.rmsd.places(label[finite], length_bins(rmsd[finite]))
    if found.margin is not None:
        second = store.read(f"{group}/rmsd_to_second", frames)
        has_second = np.isfinite(second)
        nearer, farther = (each[has_second].astype(np.float64) for each in (rmsd, second))
        # 0 if both are 0.
        margin = 1.0 - np.divide(nearer, farther, out=np.ones(len(nearer)), where=farther > 0)
        chunk.margin = found.margin.places(label[has_second], share_bins(margin))
        near = label[has_second][margin < NEAR_TIE]
        chunk.sums["n_near_ties"] = np.bincount(near, minlength=n_labels)
    return chunk
