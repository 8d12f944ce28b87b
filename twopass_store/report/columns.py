"""The variables that describe clusters, from the walk over their labels."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import SummaryConfig
from ..errors import StageIncompleteError
from ..executors import PROCESS_BYTES, memory_budget, require_within
from ..journal import StageJournal
from ..partition import PAIR_CHUNK
from ..store import Store, StoredRows, read_leaders, require_clustering, require_cover, take
from .bootstrap import N_RESAMPLES, share_errors
from .frames import FrameTotals, walk_frames
from .quantiles import LENGTH_EDGES, SHARE_EDGES
from .runs import Runs, frames_at_once, group_of_frames
from .subset import subset_distances

__all__ = ["Clusters", "Variables", "described", "finished_assign"]

Variables = dict[str, tuple[Any, NDArray[Any], dict[str, str]]]
"""Dimensions, values and attributes of variables by name."""

Column = tuple[str, Any, str, str]
"""Name, values of the clusters, unit, and meaning of a variable."""

RMSD_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
MARGIN_SHARES = (0.05, 0.25, 0.5)


def described(dims: Any, values: Any, units: str, long_name: str) -> tuple[Any, NDArray[Any], dict[str, str]]:
    """Return a variable as xarray takes it."""
    return dims, np.asarray(values), {"units": units, "long_name": long_name}


def finished_assign(store: Store, name: str) -> StageJournal:
    """Return the journal of a second pass; raises a `StageIncompleteError` if it hasn't finished."""
    journal = store.journal(f"assign-{name}")
    if journal is None or not journal.complete:
        require_clustering(store, name)
        raise StageIncompleteError(
            f"{store.path}: assign has not finished for {name!r}. "
            f"Run `twopass assign {store.path} --name {name}`."
        )
    require_cover(store, name)
    return journal


class Clusters:
    """A finished clustering, and what the walk over its labels found."""

    def __init__(self, store: Store, name: str, config: SummaryConfig, *, details: bool) -> None:
        assign = finished_assign(store, name)
        self.store, self.name, self.config, self.details = store, name, config, details
        self.group, self.fingerprint = f"clusterings/{name}", assign.plan.fingerprint
        self.clustering: Mapping[str, Any] = store.attrs(self.group)
        self.leaders = read_leaders(store, name)
        self.n_clusters = self.leaders.n_clusters
        self.time_source = store.attrs("time")["time_source"]
        self.has_times = self.time_source != "index"
        # Leaders from outside stand for no first pass.
        self.subset = None if self.clustering["subset"] is None else f"subsets/{self.clustering['subset']}"
        # A first pass over all frames stores none.
        self.distances = None if self.subset is None else f"{self.subset}/rmsd"
        if self.distances is not None and not store.has(self.distances):
            self.distances = None
        self.subset_frame, self.subset_label = np.empty(0, np.int64), np.empty(0, np.int32)
        if self.subset is not None:
            self.subset_frame = store.read(f"{self.subset}/subset_frame")
            self.subset_label = store.read(f"{self.group}/subset_label")
        self.is_clustered = self.subset_label > 0
        self.paths = np.array(store.read("trajectory_path").tolist(), str)
        self.runs = Runs.of(store)
        groups = None if config.by is None else group_of_frames(store, self.runs, config.by)
        self.groups = groups[0] if groups else ()
        if details:
            self._require_memory()
        self.totals: FrameTotals = walk_frames(
            store,
            self.group,
            self.runs,
            n_clusters=self.n_clusters,
            subset=(self.subset_frame[self.is_clustered], self.subset_label[self.is_clustered]),
            groups=groups,
            details=details,
        )
        self.n_frames = self.totals.counts["run"].sum(axis=0)

    def _require_memory(self) -> None:
        n_labels, n_runs = self.n_clusters + 2, len(self.runs.names)
        n_rows = n_runs + len(self.paths) + len(self.groups)
        needed = PROCESS_BYTES + self.store.metadata_bytes
        needed += n_labels * 4 * (len(LENGTH_EDGES) + len(SHARE_EDGES))
        needed += 3 * n_rows * (n_labels + 2) * 8 + n_runs * 8 * 300
        needed += N_RESAMPLES * 8 * (n_runs + self.n_clusters)
        # Some thirty columns of each chunk in a thread; rows of distances, and a chunk of them in two types.
        needed += 240 * frames_at_once(self.store.shape("position")[0])
        needed += 32 * len(self.subset_label) + 12 * PAIR_CHUNK
        budget = memory_budget(self.config.memory)
        require_within(budget, needed, stage="summary", mend="Or use fewer clusters, runs or groups.")

    def columns(self) -> Iterator[Column]:
        """Yield the variables along cluster."""
        yield from self._populations()
        yield from self._first_pass()
        if self.details:
            yield from self._margins()
            yield from self._visits()
        yield from self._places()

    def _populations(self) -> Iterator[Column]:
        counts, n_frames = self.totals.counts["run"][:, : self.n_clusters], self.n_frames[: self.n_clusters]
        yield "n_frames", n_frames, "1", "frames of the cluster"
        yield "share", n_frames / self.n_frames.sum(), "1", "share of all frames"
        errors = share_errors(counts, self.runs.n_frames, seed=self.config.seed)
        yield "share_error", errors, "1", "standard error of the share, by bootstrap over runs"
        yield "n_runs", (counts > 0).sum(axis=0), "1", "runs with frames of the cluster"
        mean = _ratio(self.totals.rmsd_sum[: self.n_clusters], n_frames)
        variance = _ratio(self.totals.rmsd_squares[: self.n_clusters], n_frames) - mean**2
        yield "rmsd_mean_nm", mean, "nm", "mean RMSD to the leader"
        deviation = np.sqrt(np.maximum(variance, 0.0))
        yield "rmsd_sd_nm", deviation, "nm", "standard deviation of the RMSD to the leader"
        if self.totals.rmsd is not None:
            quantiles = self.totals.rmsd.quantiles(RMSD_SHARES)
            for share, values in zip(RMSD_SHARES, quantiles[: self.n_clusters].T, strict=True):
                meaning = f"RMSD to the leader: {share:.0%} of the frames are nearer"
                yield f"rmsd_q{round(100 * share):02d}_nm", values, "nm", meaning

    def _first_pass(self) -> Iterator[Column]:
        clustered = self.subset_label[self.is_clustered]
        subset_frames = np.bincount(clustered, minlength=self.n_clusters + 1)[1:]
        yield "n_subset_frames", subset_frames, "1", "subset frames that the first pass put into the cluster"
        for name, meaning in (
            ("faithfulness", "share of the subset frames to which the leaders give their label"),
            ("faithfulness_held_out", "the same with leaders chosen from other frames"),
        ):
            path = f"{self.group}/{name}"
            shares = self.store.read(path) if self.store.has(path) else np.empty(0)
            yield name, self._of_all(shares, np.nan), "1", meaning
        if not self.details:
            return
        pairs: Any = dict.fromkeys(("nearest", "pair_mean", "pair_sd", "nearest_rmsd"), ())
        if self.distances is not None:
            medoids = np.searchsorted(self.subset_frame, self.store.read(f"{self.group}/medoid_frame"))
            distances = StoredRows(self.store, self.distances)
            pairs = subset_distances(distances, self.subset_label, medoids)
        for name, found, unknown, units, meaning in (
            ("pair_rmsd_mean_nm", "pair_mean", np.nan, "nm", "mean RMSD of all pairs of its subset frames"),
            ("pair_rmsd_sd_nm", "pair_sd", np.nan, "nm", "standard deviation of these RMSDs"),
            ("nearest_label", "nearest", -1, "1", "cluster with the nearest medoid, or -1"),
            ("nearest_rmsd_nm", "nearest_rmsd", np.nan, "nm", "RMSD between the two medoids"),
        ):
            yield name, self._of_all(pairs[found], unknown), units, meaning

    def _of_all(self, of_found: Any, unknown: Any) -> NDArray[Any]:
        """Return values of the clusters that the first pass found as those of all clusters."""
        n_unknown = self.n_clusters - len(of_found)
        return np.concatenate([of_found, np.full(n_unknown, unknown)]).astype(np.asarray(unknown).dtype)

    def _margins(self) -> Iterator[Column]:
        margin, unknown = self.totals.margin, np.full((self.n_clusters, len(MARGIN_SHARES)), np.nan)
        quantiles = unknown if margin is None else margin.quantiles(MARGIN_SHARES)[: self.n_clusters]
        for share, values in zip(MARGIN_SHARES, quantiles.T, strict=True):
            meaning = f"margin, 1 − RMSD to the leader / RMSD to the second: {share:.0%} have less"
            yield f"margin_q{round(100 * share):02d}", values, "1", meaning
        near = unknown[:, 0]
        if margin is not None:
            near = _ratio(self.totals.n_near_ties, margin.counts.sum(axis=1))[: self.n_clusters]
        yield "near_tie_share", near, "1", "share of the frames with a margin below 0.1"

    def _visits(self) -> Iterator[Column]:
        assert self.totals.visits is not None
        of = {name: values[: self.n_clusters] for name, values in self.totals.visits.items()}
        for name, found, meaning in (
            ("n_visits", "n_visits", "visits: stretches of frames in one run without a gap"),
            ("n_departures", "n_departures", "visits whose end was seen"),
            ("n_complete_visits", "n_complete", "visits whose beginning and end were seen"),
        ):
            yield name, of[found].astype(np.int64), "1", meaning
        known = 1.0 if self.has_times and not np.isnan(self.runs.spacing).any() else np.nan
        meaning = "mean residence: time in all visits by departures"
        yield "residence_frames", _ratio(of["n_frames"], of["n_departures"]), "frame", meaning
        yield "residence_ps", _ratio(of["time"], of["n_departures"]) * known, "ps", meaning
        meaning = "mean length of the complete visits"
        yield "complete_visit_frames", _ratio(of["n_complete_frames"], of["n_complete"]), "frame", meaning
        yield "complete_visit_ps", _ratio(of["complete_time"], of["n_complete"]) * known, "ps", meaning
        meaning = "longest visit, complete or not"
        yield "longest_visit_frames", of["longest_frames"], "frame", meaning
        yield "longest_visit_ps", of["longest_time"] * known, "ps", meaning

    def _places(self) -> Iterator[Column]:
        # Of a cluster that a cover opened, its first leader stands in for its medoid.
        medoids = np.append(np.full(self.leaders.n_clusters_found, -1), self.leaders.opened)
        if self.subset is not None:
            medoids[: self.leaders.n_clusters_found] = self.store.read(f"{self.group}/medoid_frame")
        outside = {
            "medoid_path": ("leader_path", "file of the first leader of the cluster"),
            "medoid_source_frame": ("leader_model", "model of that leader in its file"),
        }
        for name, values, units, meaning in self._origins("medoid", medoids):
            # As of all others if the leaders come from outside.
            if self.subset is None and name in outside:
                column, meaning = outside[name]
                first = np.unique(self.store.read(f"{self.group}/leader_label"), return_index=True)[1]
                of_first = self.store.read(f"{self.group}/{column}")[first].tolist()
                values = np.append(np.array(of_first), values[len(first) :])
            yield name, values, units, meaning
        if self.details:
            for what, frames in (("first", self.totals.first_frame), ("last", self.totals.last_frame)):
                yield from self._origins(what, frames[: self.n_clusters])

    def _origins(self, what: str, frames: NDArray[np.int64]) -> Iterator[Column]:
        """Tell the file, the frame in it and the time of frames of the store; -1 is none."""
        inside = frames >= 0

        def values(column: str, unknown: Any) -> NDArray[Any]:
            found = np.full(len(frames), unknown)
            found[inside] = take(self.store, column, frames[inside])
            return found

        text = f"{what} frame of the cluster"
        yield f"{what}_frame", frames, "1", f"{text}, in the store; -1 for none"
        paths = np.where(inside, self.paths[values("trajectory", 0)], "")
        yield f"{what}_path", paths, "1", f"{text}: its file"
        yield f"{what}_source_frame", values("source_frame", -1), "1", f"{text}, in its file"
        times = values("time", np.nan) if self.has_times else np.full(len(frames), np.nan)
        yield f"{what}_time_ps", times, "ps", f"{text}: its time"


def _ratio(total: Any, count: Any) -> NDArray[np.float64]:
    """Divide, with NaN for nothing by nothing."""
    total, count = np.asarray(total, np.float64), np.asarray(count, np.float64)
    ratio = np.full(len(total), np.nan)
    np.divide(total, count, out=ratio, where=count > 0)
    return ratio
