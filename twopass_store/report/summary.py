"""`summarize`: a finished clustering as one xarray Dataset, with what tells how far to trust it."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..config import SummaryConfig, SummaryOptions, validated
from ..errors import ConfigError, StageIncompleteError
from ..executors import PROCESS_BYTES, memory_budget, require_within
from ..partition import FRAME_CHUNK, PAIR_CHUNK, chunk_range
from ..store import Store, at_one_state, only_clustering, plain_attributes, store_path
from .bootstrap import N_RESAMPLES, share_errors
from .frames import FrameTotals, walk_frames
from .quantiles import LENGTH_EDGES, SHARE_EDGES
from .runs import Runs, group_of_frames

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["summarize"]

RMSD_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
MARGIN_SHARES = (0.05, 0.25, 0.5)

Column = tuple[str, Any, str, str]
"""Name, values of the clusters in order of label, unit, and meaning of a variable."""


def summarize(
    store: str | os.PathLike[str],
    name: str | None = None,
    *,
    details: bool = True,
    **options: Unpack[SummaryOptions],
) -> "xr.Dataset":
    """Summarize a finished clustering, cluster by cluster.

    Parameters
    ----------
    store
        Path of the store.
    name
        The clustering; may be left out if there is only one.
    details
        Whether to tell quantiles, margins, visits, distances of the first pass and counts by run, file and
        time. What a run ends with needs none of them.
    **options
        See `SummaryConfig`.

    Returns
    -------
    A Dataset with ``units`` and ``long_name`` on every variable. Those along ``cluster`` (1 is the most
    populated; ``label`` is its number in the store) describe the clusters. Others are along ``run``,
    ``trajectory_file`` and ``time_bin``, ``group`` with `by`, and ``stride`` with `convergence`. NaN, -1 and
    an empty text stand for what isn't known: times if the input has none, errors with a single run.
    Attributes hold the clustering's own and the sizes of the input and both passes.

    Raises
    ------
    StageIncompleteError
        If assign has not finished.
    ConfigError, MemoryBudgetError
        If there are several clusterings and no name, `by` is unknown, or it needs more memory than allowed.

    Notes
    -----
    A visit is a stretch of frames of one cluster in one run, without a gap in time (more than 1.5 of the
    run's usual spacing). Of n frames, it lasts n spacings. The first and the last visit of a stretch are
    censored: their beginning or end wasn't seen. The mean residence is the time in all visits, censored ones
    too, divided by the departures that were seen: the maximum likelihood estimate if leaving is equally
    likely at any time. The mean of the complete visits alone is given beside it; it is too short if visits
    last as long as the runs.
    """
    config = validated(SummaryConfig, {"name": name, **options})
    path = store_path(store)
    chosen = config.name or only_clustering(Store.open(path))
    return at_one_state(
        path,
        lambda: _Summary(Store.open(path), chosen, config, details=details).dataset(),
        name=chosen,
    )


def described(dims: Any, values: Any, units: str, long_name: str) -> tuple[Any, Any, dict[str, str]]:
    """Return a variable of a Dataset."""
    return dims, values, {"units": units, "long_name": long_name}


class _Summary:
    """A store at one moment, and what the walk over its labels found."""

    def __init__(self, store: Store, name: str, config: SummaryConfig, *, details: bool) -> None:
        assign = store.journal(f"assign-{name}")
        if assign is None or not assign.complete:
            raise StageIncompleteError(
                f"{store.path}: assign has not finished for {name!r}. "
                f"Run `twopass assign {store.path} --name {name}`."
            )
        self.store, self.name, self.config, self.details = store, name, config, details
        self.group, self.fingerprint = f"clusterings/{name}", assign.plan.fingerprint
        self.clustering: Mapping[str, Any] = store.attrs(self.group)
        self.n_clusters = int(self.clustering["n_clusters_found"])
        self.time_source = store.attrs("time")["time_source"]
        self.has_times = self.time_source != "index"
        # Leaders from outside stand for no first pass.
        self.subset = None if self.clustering["subset"] is None else f"subsets/{self.clustering['subset']}"
        self.subset_frame, self.subset_label = np.empty(0, np.int64), np.empty(0, np.int32)
        if self.subset is not None:
            self.subset_frame = store.read(f"{self.subset}/subset_frame")
            self.subset_label = store.read(f"{self.group}/subset_label")
        self.paths = np.array(store.read("trajectory_path").tolist(), dtype=str)
        self.runs = Runs.of(store)
        self.groups: tuple[str, ...] = ()
        group_of = None
        if config.by is not None:
            self.groups, group_of = group_of_frames(store, self.runs, config.by)
        if details:
            self._require_memory()
        self.totals: FrameTotals = walk_frames(
            store,
            self.group,
            self.runs,
            n_clusters=self.n_clusters,
            n_files=len(self.paths),
            subset=(self.subset_frame, self.subset_label),
            n_groups=len(self.groups),
            group_of=group_of,
            details=details,
        )
        self.n_frames = self.totals.counts["run"].sum(axis=0)

    def _require_memory(self) -> None:
        n_labels, n_runs = self.n_clusters + 2, len(self.runs.names)
        n_rows = n_runs + len(self.paths) + len(self.groups)
        needed = (
            PROCESS_BYTES + self.store.metadata_bytes + n_labels * 4 * (len(LENGTH_EDGES) + len(SHARE_EDGES))
        )
        needed += 3 * n_rows * (n_labels + 2) * 8 + n_runs * 8 * 300
        needed += N_RESAMPLES * 8 * (n_runs + self.n_clusters)
        # Some thirty columns of a chunk at once; rows of distances, and a chunk of them in two types.
        needed += 240 * FRAME_CHUNK + 32 * len(self.subset_label) + 12 * PAIR_CHUNK
        budget = memory_budget(self.config.memory)
        require_within(budget, needed, stage="summary", mend="Or use fewer clusters, runs or groups.")

    def dataset(self) -> "xr.Dataset":
        # xarray takes a while to import.
        import xarray as xr

        order = np.argsort(-self.n_frames[: self.n_clusters], kind="stable")
        variables: dict[str, Any] = {}
        for columns in (self._populations, self._first_pass, self._margins, self._visits, self._places):
            for name, values, units, long_name in columns():
                variables[name] = described("cluster", np.asarray(values)[order], units, long_name)
        coordinates = {
            "cluster": described(
                "cluster", np.arange(1, self.n_clusters + 1), "1", "1 is the most populated"
            ),
            "label": described("cluster", order + 1, "1", "label in the store"),
        }
        if self.details:
            self._add_counts("run", self.runs.names, order, variables, coordinates)
            self._add_noise(variables, coordinates)
        if self.config.by is not None:
            self._add_counts("group", self.groups, order, variables, coordinates)
        if self.config.convergence:
            self._add_strides(order, variables, coordinates)
        return xr.Dataset(variables, coordinates, plain_attributes(self._attributes()))

    def _attributes(self) -> dict[str, Any]:
        visits, totals, near_tie_share = self.totals.visits, self.totals, None
        if totals.margin is not None and totals.margin.counts.any():
            near_tie_share = float(totals.n_near_ties.sum() / totals.margin.counts.sum())
        n_frames, n_atoms, _ = self.store.shape("position")
        first, last = totals.spans["file"].T
        return {
            **self.clustering,
            "store": str(self.store.path),
            "clustering": self.name,
            "fingerprint": self.fingerprint,
            "versions": json.dumps(self.clustering["provenance"]["versions"]),
            "n_trajectories": len(self.paths),
            "n_frames": n_frames,
            "n_atoms": n_atoms,
            "time_source": self.time_source,
            # A file of which nothing is kept covers no time.
            "length_ps": float((last - first)[first <= last].sum()) if self.has_times else None,
            "n_selected_atoms": self.store.shape(f"{self.group}/selected_atom_index")[0],
            "n_subset_frames": len(self.subset_label),
            "subset_stride": None if self.subset is None else self.store.attrs(self.subset)["stride"],
            "n_leaders": self.store.shape(f"{self.group}/leader_frame")[0],
            "recovered_share": None if self.subset is None else totals.n_recovered / len(self.subset_label),
            "noise_cutoff_nm": self.store.attrs(f"{self.group}/label_status").get("noise_cutoff_nm"),
            "n_beyond_noise_cutoff": int(self.n_frames[self.n_clusters]),
            "n_not_finite": int(self.n_frames[self.n_clusters + 1]),
            "near_tie_share": near_tie_share,
            "n_noise_visits": None if visits is None else int(visits.n_visits[self.n_clusters]),
            "longest_noise_visit_frames": None
            if visits is None
            else int(visits.longest_frames[self.n_clusters]),
            "by": self.config.by,
            "bootstrap_seed": self.config.seed,
        }

    def _populations(self) -> Iterator[Column]:
        counts, n_frames = self.totals.counts["run"][:, : self.n_clusters], self.n_frames[: self.n_clusters]
        yield "n_frames", n_frames, "1", "frames with this label"
        yield "share", n_frames / self.n_frames.sum(), "1", "share of all frames"
        errors = share_errors(counts, self.runs.n_frames, seed=self.config.seed)
        yield "share_error", errors, "1", "standard error of the share, by bootstrap over runs"
        yield "n_runs", (counts > 0).sum(axis=0), "1", "runs with frames of the cluster"
        mean = _ratio(self.totals.rmsd_sum[: self.n_clusters], n_frames)
        variance = _ratio(self.totals.rmsd_squares[: self.n_clusters], n_frames) - mean**2
        yield "rmsd_mean_nm", mean, "nm", "mean RMSD to the nearest leader"
        deviation = np.sqrt(np.maximum(variance, 0.0))
        yield "rmsd_sd_nm", deviation, "nm", "standard deviation of the RMSD to the nearest leader"
        if self.totals.rmsd is not None:
            quantiles = self.totals.rmsd.quantiles(RMSD_SHARES)
            for share, values in zip(RMSD_SHARES, quantiles[: self.n_clusters].T, strict=True):
                meaning = f"RMSD to the nearest leader: {share:.0%} of the frames are nearer"
                yield f"rmsd_q{round(100 * share):02d}_nm", values, "nm", meaning

    def _first_pass(self) -> Iterator[Column]:
        subset_frames = np.bincount(self.subset_label[self.subset_label > 0], minlength=self.n_clusters + 1)[
            1:
        ]
        yield "n_subset_frames", subset_frames, "1", "subset frames that the first pass put into the cluster"
        for name, meaning in (
            ("faithfulness", "share of the subset frames whose nearest leader has their label"),
            ("faithfulness_held_out", "the same with leaders chosen from other frames"),
        ):
            path, unknown = f"{self.group}/{name}", np.full(self.n_clusters, np.nan)
            yield name, self.store.read(path) if self.store.has(path) else unknown, "1", meaning
        if not self.details:
            return
        if self.subset is None:
            unknown = np.full(self.n_clusters, np.nan)
            pairs: Any = {"nearest": np.full(self.n_clusters, -1)}
            pairs |= dict.fromkeys(("pair_mean", "pair_sd", "nearest_rmsd"), unknown)
        else:
            # scipy takes a while to import.
            from ..cluster.steps import StoredDistances
            from .subset import subset_distances

            medoids = np.searchsorted(self.subset_frame, self.store.read(f"{self.group}/medoid_frame"))
            distances = StoredDistances(self.store, f"{self.subset}/rmsd")
            pairs = subset_distances(distances, self.subset_label, medoids)
        yield "pair_rmsd_mean_nm", pairs["pair_mean"], "nm", "mean RMSD of all pairs of its subset frames"
        yield "pair_rmsd_sd_nm", pairs["pair_sd"], "nm", "standard deviation of these RMSDs"
        yield "nearest_label", pairs["nearest"], "1", "label of the cluster with the nearest medoid, or -1"
        yield "nearest_rmsd_nm", pairs["nearest_rmsd"], "nm", "RMSD between the two medoids"

    def _margins(self) -> Iterator[Column]:
        margin, unknown = self.totals.margin, np.full((self.n_clusters, len(MARGIN_SHARES)), np.nan)
        if not self.details:
            return
        quantiles = unknown if margin is None else margin.quantiles(MARGIN_SHARES)[: self.n_clusters]
        for share, values in zip(MARGIN_SHARES, quantiles.T, strict=True):
            meaning = f"margin, 1 − RMSD to the leader / RMSD to the second: {share:.0%} have less"
            yield f"margin_q{round(100 * share):02d}", values, "1", meaning
        near = unknown[:, 0]
        if margin is not None:
            near = _ratio(self.totals.n_near_ties, margin.counts.sum(axis=1))[: self.n_clusters]
        yield "near_tie_share", near, "1", "share of the frames with a margin below 0.1"

    def _visits(self) -> Iterator[Column]:
        if self.totals.visits is None:
            return
        visits: pd.DataFrame = self.totals.visits.iloc[: self.n_clusters]
        n_departures, n_complete = visits.n_departures, visits.n_complete
        for name, values, meaning in (
            ("n_visits", visits.n_visits, "visits: stretches of frames in one run without a gap"),
            ("n_departures", n_departures, "visits whose end was seen"),
            ("n_complete_visits", n_complete, "visits whose beginning and end were seen"),
        ):
            yield name, values.astype(np.int64), "1", meaning
        known = 1.0 if self.has_times and not np.isnan(self.runs.spacing).any() else np.nan
        for name, frames, time, meaning in (
            (
                "residence",
                _ratio(visits.n_frames, n_departures),
                _ratio(visits.time, n_departures),
                "mean residence: time in all visits by departures",
            ),
            (
                "complete_visit",
                _ratio(visits.n_complete_frames, n_complete),
                _ratio(visits.complete_time, n_complete),
                "mean length of the complete visits",
            ),
            ("longest_visit", visits.longest_frames, visits.longest_time, "longest visit, complete or not"),
        ):
            yield f"{name}_frames", frames, "frame", meaning
            yield f"{name}_ps", time * known, "ps", meaning

    def _places(self) -> Iterator[Column]:
        if self.subset is None:
            # The first leader of each cluster stands in for its medoid.
            first = np.unique(self.store.read(f"{self.group}/leader_label"), return_index=True)[1]
            yield from self._place("medoid", np.full(self.n_clusters, -1), first)
        else:
            yield from self._place("medoid", self.store.read(f"{self.group}/medoid_frame"))
        if self.details:
            yield from self._place("first", self.totals.first_frame[: self.n_clusters])
            yield from self._place("last", self.totals.last_frame[: self.n_clusters])

    def _place(
        self, what: str, frames: NDArray[np.int64], leaders: NDArray[np.int64] | None = None
    ) -> Iterator[Column]:
        """Tell where frames are from."""
        meaning = "medoid" if what == "medoid" else f"{what} frame"
        known = frames >= 0
        if leaders is None:
            files = self._values("trajectory", frames, 0)
            paths, source_frames = (
                np.where(known, self.paths[files], ""),
                self._values("source_frame", frames, -1),
            )
        else:
            paths = np.array(self.store.read(f"{self.group}/leader_path")[leaders].tolist(), dtype=str)
            source_frames = self.store.read(f"{self.group}/leader_model")[leaders]
        times = self._values("time", frames, np.nan) if self.has_times else np.full(len(frames), np.nan)
        yield f"{what}_frame", frames, "1", f"{meaning} of the cluster: frame of the store, or -1"
        yield f"{what}_path", paths, "1", f"{meaning} of the cluster: its file"
        yield f"{what}_source_frame", source_frames, "1", f"{meaning} of the cluster: frame in its file"
        yield f"{what}_time_ps", times, "ps", f"{meaning} of the cluster: its time"

    def _values(self, column: str, frames: NDArray[np.int64], unknown: float) -> NDArray[Any]:
        """Read values of single frames, chunk by chunk; frame -1 has none."""
        length = self.store.shape(column)[0]
        values: NDArray[Any] | None = None
        for chunk in np.unique(frames[frames >= 0] // FRAME_CHUNK):
            part = chunk_range(int(chunk), chunk=FRAME_CHUNK, length=length)
            read = self.store.read(column, part)
            if values is None:
                values = np.full(len(frames), unknown, read.dtype)
            inside = (frames >= 0) & (frames // FRAME_CHUNK == chunk)
            values[inside] = read[frames[inside] - part.start]
        return np.full(len(frames), unknown) if values is None else values

    def _add_counts(
        self,
        dim: str,
        names: tuple[str, ...],
        order: NDArray[np.int64],
        variables: dict[str, Any],
        coordinates: dict[str, Any],
    ) -> None:
        """Add the frames of each run or group."""
        counts = self.totals.counts[dim]
        coordinates[dim] = described(dim, np.array(names, dtype=str), "1", f"name of the {dim}")
        for name, values, meaning in (
            ("n_frames", counts.sum(axis=1), f"frames of the {dim}"),
            ("n_beyond_noise_cutoff", counts[:, -2], f"frames of the {dim} beyond the noise cutoff"),
            ("n_not_finite", counts[:, -1], f"frames of the {dim} that are not finite"),
        ):
            variables[f"{dim}_{name}"] = described(dim, values, "1", meaning)
        of_cluster = f"frames of the {dim} with this label"
        variables[f"{dim}_n_frames_of"] = described((dim, "cluster"), counts[:, order], "1", of_cluster)
        if dim == "group" and self.has_times:
            spans = np.where(np.isfinite(self.totals.spans["group"]), self.totals.spans["group"], np.nan)
            for which, times in zip(("first", "last"), spans.T, strict=True):
                meaning = f"{which} time of the group"
                variables[f"group_{which}_time_ps"] = described(dim, times, "ps", meaning)

    def _add_noise(self, variables: dict[str, Any], coordinates: dict[str, Any]) -> None:
        """Add where the frames beyond the noise cutoff are."""
        by_file, by_time = self.totals.counts["file"], self.totals.counts["time"]
        dim, beyond = "trajectory_file", "frames beyond the noise cutoff"
        coordinates[dim] = described(dim, self.paths, "1", "path of the file")
        variables["file_n_beyond_noise_cutoff"] = described(dim, by_file[:, -2], "1", f"{beyond} of the file")
        edges, unit = (
            np.linspace(self.runs.start, self.runs.stop, len(by_time) + 1),
            "ps" if self.has_times else "1",
        )
        for name, values, units, meaning in (
            ("start", edges[:-1], unit, "beginning of the bin, or its first frame if there are no times"),
            ("stop", edges[1:], unit, "end of the bin"),
            ("n_frames", by_time.sum(axis=1), "1", "frames of all runs in the bin"),
            ("n_beyond_noise_cutoff", by_time[:, -2], "1", f"{beyond} in the bin"),
        ):
            variables[f"time_bin_{name}"] = described("time_bin", values, units, meaning)

    def _add_strides(
        self, order: NDArray[np.int64], variables: dict[str, Any], coordinates: dict[str, Any]
    ) -> None:
        """Add the first pass at larger strides."""
        if self.subset is None:
            raise ConfigError(
                f"The leaders of {self.name} are structures from outside: without a subset, no stride can be "
                "too coarse. Leave out --convergence."
            )
        from ..cluster.steps import StoredDistances
        from .convergence import first_pass_at_strides

        found = first_pass_at_strides(
            StoredDistances(self.store, f"{self.subset}/rmsd"),
            self.subset_label,
            self.clustering,
            stride=self.store.attrs(self.subset)["stride"],
            labels=order + 1,
            budget_bytes=memory_budget(self.config.memory),
        )
        coordinates["stride"] = described("stride", found.index, "frame", "stride of the first pass")
        for name, meaning in (
            ("n_subset_frames", "frames clustered at this stride"),
            ("n_clusters", "clusters found at this stride"),
            ("adjusted_rand", "adjusted Rand index with the labels at the smallest stride"),
        ):
            variables[f"stride_{name}"] = described("stride", found[name], "1", meaning)
        share = "share of these frames in the cluster that stands for this one"
        variables["stride_share"] = described(("stride", "cluster"), found[order + 1], "1", share)


def _ratio(total: Any, count: Any) -> NDArray[np.float64]:
    """Divide, with NaN for nothing by nothing."""
    total, count = np.asarray(total, np.float64), np.asarray(count, np.float64)
    ratio = np.full(len(total), np.nan)
    np.divide(total, count, out=ratio, where=count > 0)
    return ratio
