"""`summarize_clusters`: each cluster in full, and whether its population can be trusted."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..config import SummaryConfig, SummaryOptions, validated
from ..errors import ConfigError
from ..executors import PROCESS_BYTES, memory_budget, require_within
from ..partition import FRAME_CHUNK, PAIR_CHUNK, FrameRange
from ..store import Store, at_one_state, store_path
from .bootstrap import N_RESAMPLES, share_errors
from .frames import FrameStatistics, walk_frames
from .groups import Tally, group_of_frames
from .quantiles import LengthHistogram, ShareHistogram
from .rows import MARGIN_SHARES, RMSD_SHARES, ClusterDetails, Convergence, GroupRow, TimeBin
from .runs import Runs
from .summary import Summary, summarize

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ClusterSummary", "summarize_clusters"]


@dataclass(frozen=True, slots=True)
class ClusterSummary:
    """A finished clustering, cluster by cluster.

    Attributes
    ----------
    overview
        What a run ends with: input, parameters, fingerprint.
    clusters
        In order of population.
    runs
        Names of the runs; files, where these weren't grouped into runs.
    seed
        Of the bootstrap over the runs.
    by, groups
        What the tables are split by, and the parts; None and empty where they aren't.
    noise_by_file, noise_by_time
        Where the frames beyond the noise cutoff are: (path, frames) of the files that have any, and bins of
        time; empty where there are none.
    n_noise_visits, longest_noise_visit_frames
        Stretches of such frames, and the longest.
    near_tie_share
        Share of all frames that have a margin below 0.1; None where there are no margins.
    convergence
        The first pass at larger strides, where that was asked for.
    """

    overview: Summary
    clusters: tuple[ClusterDetails, ...]
    runs: tuple[str, ...]
    seed: int
    by: str | None
    groups: tuple[GroupRow, ...]
    noise_by_file: tuple[tuple[str, int], ...]
    noise_by_time: tuple[TimeBin, ...]
    n_noise_visits: int
    longest_noise_visit_frames: int
    near_tie_share: float | None
    convergence: Convergence | None = None

    def to_xarray(self) -> "xr.Dataset":
        """Return the columns as variables along ``cluster``, with units, and the groups along ``group``."""
        from .dataset import summary_dataset

        return summary_dataset(self)


def summarize_clusters(
    store: str | os.PathLike[str],
    name: str | None = None,
    **options: Unpack[SummaryOptions],
) -> ClusterSummary:
    """Summarize a finished clustering, cluster by cluster.

    Parameters
    ----------
    store
        Path of the store.
    name
        The clustering; may be left out where there is only one.
    **options
        See `SummaryConfig`.

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
    censored: they were entered before or left after what was seen. The mean residence is the time in all
    visits, the censored ones too, divided by the departures that were seen: the estimate of greatest
    likelihood where leaving is equally likely at any time. The mean of the complete visits alone is given
    beside it; it is too short where visits last as long as the runs.
    """
    config = validated(SummaryConfig, {"name": name, **options})
    opened = Store.open(store_path(store))
    names = opened.members("clusterings")
    if name is None and len(names) > 1:
        raise ConfigError(f"{opened.path} has several clusterings; say which: {', '.join(names)}.")
    chosen, path = name or (names[0] if names else "default"), opened.path
    return at_one_state(path, lambda: _summarize(Store.open(path), chosen, config), name=chosen)


def _summarize(opened: Store, name: str, config: SummaryConfig) -> ClusterSummary:
    by, seed = config.by, config.seed
    overview = summarize(opened.path, name)
    runs = Runs.of(opened)
    group_names, group_of = ((), None) if by is None else group_of_frames(opened, runs, by)
    n_clusters, n_files = len(overview.clusters), opened.shape("trajectory_path")[0]
    _require_memory(opened, name, n_clusters, len(runs.names), n_files, len(group_names), config.memory)
    found = walk_frames(
        opened,
        f"clusterings/{name}",
        runs,
        n_clusters=n_clusters,
        n_files=n_files,
        n_groups=len(group_names),
        group_of=group_of,
    )
    order = np.array([row.label - 1 for row in overview.clusters], np.int64)
    has_times = overview.time_source != "index"
    paths = tuple(map(str, opened.read("trajectory_path")))
    beyond = found.by_file.counts[:, n_clusters]
    return ClusterSummary(
        overview=overview,
        clusters=_details(opened, name, overview, runs, found, seed),
        runs=runs.names,
        seed=seed,
        by=by,
        groups=() if found.by_group is None else _groups(group_names, found.by_group, order, has_times),
        noise_by_file=tuple((path, int(count)) for path, count in zip(paths, beyond, strict=True) if count),
        noise_by_time=_time_bins(found.by_time, n_clusters, runs) if beyond.any() else (),
        n_noise_visits=int(found.visits.n_visits[n_clusters]),
        longest_noise_visit_frames=int(found.visits.longest[n_clusters]),
        near_tie_share=None
        if found.margin_histogram is None
        else _ratio(found.n_near_ties.sum(), found.margin_histogram.counts.sum()),
        convergence=_convergence(opened, overview, memory_budget(config.memory))
        if config.convergence
        else None,
    )


def _convergence(store: Store, overview: Summary, budget_bytes: int) -> Convergence:
    if overview.clustering["subset"] is None:
        raise ConfigError(
            f"The leaders of {overview.name} are structures from outside: without a subset, no stride can be "
            "too coarse. Leave out --convergence."
        )
    # fastcluster, scipy and numba take a while to import.
    from ..cluster.steps import StoredDistances
    from .convergence import measure_convergence

    subset = f"subsets/{overview.clustering['subset']}"
    return measure_convergence(
        StoredDistances(store, f"{subset}/rmsd"),
        store.read(f"{subset}/subset_frame"),
        store.read(f"clusterings/{overview.name}/subset_label"),
        overview.clustering,
        stride=overview.subset_stride,
        labels=tuple(row.label for row in overview.clusters),
        budget_bytes=budget_bytes,
    )


def _require_memory(
    store: Store,
    name: str,
    n_clusters: int,
    n_runs: int,
    n_files: int,
    n_groups: int,
    memory: int | None,
) -> None:
    n_labels = n_clusters + 2
    first_pass = f"clusterings/{name}/subset_label"
    n_subset = store.shape(first_pass)[0] if store.has(first_pass) else 0
    histograms = n_labels * 4 * (LengthHistogram.N_BINS + ShareHistogram.N_BINS)
    tallies = 3 * (n_runs + n_files + n_groups) * (n_labels + 2) * 8 + n_runs * 8 * 300
    resampling = N_RESAMPLES * 8 * (n_runs + n_clusters)
    # Some thirty columns of a chunk at once; rows of distances, and a chunk of them in two types.
    needed = PROCESS_BYTES + store.metadata_bytes + histograms + tallies + resampling + 240 * FRAME_CHUNK
    needed += 32 * n_subset + 12 * PAIR_CHUNK
    budget = memory_budget(memory)
    require_within(budget, needed, stage="summary", mend="Or use fewer clusters, runs or groups.")


def _details(
    store: Store, name: str, overview: Summary, runs: Runs, found: FrameStatistics, seed: int
) -> tuple[ClusterDetails, ...]:
    # scipy takes a while to import.
    from ..cluster.steps import StoredDistances
    from .subset import no_subset, subset_distances

    group = f"clusterings/{name}"
    n_clusters = len(overview.clusters)
    if overview.clustering["subset"] is None:
        first_pass = no_subset(n_clusters)
    else:
        subset = f"subsets/{overview.clustering['subset']}"
        subset_frame = store.read(f"{subset}/subset_frame")
        medoids = np.searchsorted(subset_frame, store.read(f"{group}/medoid_frame"))
        first_pass = subset_distances(
            StoredDistances(store, f"{subset}/rmsd"), store.read(f"{group}/subset_label"), medoids
        )
    counts = found.by_run.counts
    errors = share_errors(counts[:, :n_clusters], runs.n_frames, seed=seed)
    rmsd_quantiles = found.rmsd_histogram.quantiles(RMSD_SHARES)
    margins = found.margin_histogram
    if margins is not None:
        margin_quantiles = margins.quantiles(MARGIN_SHARES)
    faithful = [
        _stored(store, f"{group}/{one}", n_clusters) for one in ("faithfulness", "faithfulness_held_out")
    ]
    has_times = overview.time_source != "index"
    visits = found.visits

    def row(one: int) -> ClusterDetails:
        """The cluster with the index `one`; its row of the overview has what is known already."""
        known = next(each for each in overview.clusters if each.label == one + 1)
        n_frames = known.n_frames
        mean = _ratio(found.rmsd.sums[one], n_frames)
        variance = None if mean is None else found.rmsd.squares[one] / n_frames - mean**2
        near_ties = None
        if margins is not None:
            near_ties = _ratio(found.n_near_ties[one], margins.counts[one].sum())
        quantiles: dict[str, Any] = {
            f"rmsd_q{round(100 * share):02d}_nm": _known(rmsd_quantiles[one, place])
            for place, share in enumerate(RMSD_SHARES)
        }
        quantiles |= {
            f"margin_q{round(100 * share):02d}": None
            if margins is None
            else _known(margin_quantiles[one, place])
            for place, share in enumerate(MARGIN_SHARES)
        }
        in_time = {
            "residence_ps": _ratio(visits.time[one], visits.n_departures[one]),
            "complete_visit_ps": _ratio(visits.complete_time[one], visits.n_complete[one]),
            "longest_visit_ps": _known(visits.longest_time[one]),
        }
        return ClusterDetails(
            rank=known.rank,
            label=known.label,
            n_frames=n_frames,
            share=known.share,
            share_error=None if errors is None else float(errors[one]),
            n_runs=int((counts[:, one] > 0).sum()),
            rmsd_mean_nm=mean,
            rmsd_sd_nm=None if variance is None else float(np.sqrt(max(variance, 0.0))),
            **quantiles,
            n_subset_frames=int(first_pass.n_frames[one]),
            pair_rmsd_mean_nm=_known(first_pass.mean_pair[one]),
            pair_rmsd_sd_nm=_known(first_pass.sd_pair[one]),
            nearest_label=int(first_pass.nearest[one]) + 1 if first_pass.nearest[one] >= 0 else None,
            nearest_rmsd_nm=_known(first_pass.nearest_rmsd[one]),
            faithfulness=_known(faithful[0][one]),
            faithfulness_held_out=_known(faithful[1][one]),
            near_tie_share=near_ties,
            n_visits=int(visits.n_visits[one]),
            n_departures=int(visits.n_departures[one]),
            n_complete_visits=int(visits.n_complete[one]),
            residence_frames=_ratio(visits.n_frames[one], visits.n_departures[one]),
            complete_visit_frames=_ratio(visits.n_complete_frames[one], visits.n_complete[one]),
            longest_visit_frames=int(visits.longest[one]),
            **(in_time if has_times else dict.fromkeys(in_time)),
            medoid_frame=known.medoid_frame,
            medoid_path=known.medoid_path,
            medoid_source_frame=known.medoid_source_frame,
            medoid_time_ps=known.medoid_time_ps,
            **_where(store, "first", int(found.first_frame[one]), has_times),
            **_where(store, "last", int(found.last_frame[one]), has_times),
        )

    return tuple(row(each.label - 1) for each in overview.clusters)


def _stored(store: Store, path: str, n_clusters: int) -> NDArray[np.float64]:
    return store.read(path) if store.has(path) else np.full(n_clusters, np.nan)


def _where(store: Store, which: str, frame: int, has_times: bool) -> dict[str, Any]:
    """Tell where a frame is from."""
    if frame < 0:
        return dict.fromkeys(f"{which}_{part}" for part in ("frame", "path", "source_frame", "time_ps"))
    one = FrameRange(frame, frame + 1)
    return {
        f"{which}_frame": frame,
        f"{which}_path": str(store.read("trajectory_path")[store.read("trajectory", one)[0]]),
        f"{which}_source_frame": int(store.read("source_frame", one)[0]),
        f"{which}_time_ps": float(store.read("time", one)[0]) if has_times else None,
    }


def _groups(
    names: tuple[str, ...], tally: Tally, order: NDArray[np.int64], has_times: bool
) -> tuple[GroupRow, ...]:
    n_clusters = len(order)
    rows = []
    for name, counts, first, last in zip(names, tally.counts, tally.first_time, tally.last_time, strict=True):
        n_frames = int(counts.sum())
        is_known = has_times and n_frames > 0
        rows.append(
            GroupRow(
                name=name,
                n_frames=n_frames,
                n_frames_of=tuple(counts[order].tolist()),
                n_beyond_noise_cutoff=int(counts[n_clusters]),
                n_not_finite=int(counts[n_clusters + 1]),
                first_time_ps=float(first) if is_known else None,
                last_time_ps=float(last) if is_known else None,
            )
        )
    return tuple(rows)


def _time_bins(tally: Tally, n_clusters: int, runs: Runs) -> tuple[TimeBin, ...]:
    edges = np.linspace(np.nanmin(runs.first_time), np.nanmax(runs.last_time), tally.n_groups + 1)
    return tuple(
        TimeBin(float(start), float(stop), int(counts.sum()), int(counts[n_clusters]))
        for start, stop, counts in zip(edges[:-1], edges[1:], tally.counts, strict=True)
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _ratio(total: float, count: float) -> float | None:
    return _known(float(total) / float(count)) if count else None
