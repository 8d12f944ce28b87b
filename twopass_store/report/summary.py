"""A finished clustering, cluster by cluster, with what tells how far to trust it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from ..config import SummaryConfig, SummaryOptions, format_length, validated
from ..store import Store, at_one_state, chosen_clustering, plain_attributes, store_path
from .columns import Clusters, Variables, described

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Summary", "cluster_table", "cover_in_words", "read_summary", "representative", "summarize"]


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """What `summarize` puts into a Dataset; xarray takes half a second and 50 MiB to import."""

    variables: Variables
    attrs: Mapping[str, Any]

    def along(self, dim: str) -> dict[str, NDArray[Any]]:
        """Return the values of the variables along one dimension alone; none if there is no such one."""
        return {name: values for name, (dims, values, _) in self.variables.items() if dims == dim}


def cluster_table(store: str | os.PathLike[str], name: str | None = None) -> Summary:
    """Return what a run ends with: frames and RMSDs of each cluster of a finished clustering.

    Its variables are those of `summarize` along ``cluster`` that need neither the distances of the first pass
    nor the order of the frames. Raises the errors of `summarize`.
    """
    return _summarized(store, SummaryConfig(name=name), details=False)


def read_summary(
    store: str | os.PathLike[str], name: str | None = None, **options: Unpack[SummaryOptions]
) -> Summary:
    """Summarize a finished clustering without xarray, see `summarize`."""
    return _summarized(store, validated(SummaryConfig, {"name": name, **options}), details=True)


def summarize(
    store: str | os.PathLike[str], name: str | None = None, **options: Unpack[SummaryOptions]
) -> "xr.Dataset":
    """Summarize a finished clustering, cluster by cluster.

    Parameters
    ----------
    store
        Path of the store.
    name
        The clustering, by default ``default``, or the only one.
    **options
        See `SummaryConfig`.

    Returns
    -------
    A Dataset with ``units`` and ``long_name`` on every variable. Those along ``cluster``, whose coordinate is
    the label in the store, describe the clusters. Others are along ``run``, ``trajectory_file`` and
    ``time_bin``, ``group`` with `by`, and ``stride`` with `convergence`. NaN, -1 and an empty text stand for
    what isn't known: times if the input has none, errors with a single run. Attributes hold the clustering's
    own and the sizes of the input and both passes.

    Raises
    ------
    StageIncompleteError
        If assign has not finished.
    ConfigError, MemoryBudgetError
        If a name is needed and not given, `by` is unknown, or it needs more memory than allowed.

    Notes
    -----
    A visit is a stretch of frames of one cluster in one run, without a gap in time (more than 1.5 of the
    run's usual spacing). Of n frames, it lasts n spacings. The first and the last visit of a stretch are
    censored: their beginning or end wasn't seen. The mean residence is the time in all visits, censored ones
    too, divided by the departures that were seen: the maximum likelihood estimate if leaving is equally
    likely at any time. The mean of the complete visits alone is given beside it; it is too short if visits
    last as long as the runs.
    """
    import xarray as xr

    found = read_summary(store, name, **options)
    return xr.Dataset(found.variables, attrs=found.attrs)


def representative(attrs: Mapping[str, Any]) -> str:
    """Return what stands for each cluster, by the attributes of a summary: medoid, centre or leader."""
    if "subset" not in attrs:
        return "leader"
    return "medoid" if "faithfulness_overall" in attrs else "centre"


def _summarized(store: str | os.PathLike[str], config: SummaryConfig, *, details: bool) -> Summary:
    path = store_path(store, reads=True)

    def read() -> Summary:
        opened = Store.open(path)
        clusters = Clusters(opened, chosen_clustering(opened, config.name), config, details=details)
        return Summary(_variables(clusters), plain_attributes(_attributes(clusters)))

    return at_one_state(path, read, name=config.name)


def _variables(clusters: Clusters) -> Variables:
    numbers = np.arange(1, clusters.n_clusters + 1)
    variables: Variables = {"cluster": described("cluster", numbers, "1", "label of the cluster")}
    for name, values, units, long_name in clusters.columns():
        variables[name] = described("cluster", values, units, long_name)
    if not clusters.details:
        return variables
    variables |= _counts(clusters, "run", clusters.runs.names) | _noise(clusters)
    if clusters.config.by is not None:
        variables |= _counts(clusters, "group", clusters.groups)
    if clusters.config.convergence:
        # scipy takes a while to import.
        from .convergence import first_pass_at_strides

        variables |= first_pass_at_strides(clusters)
    return variables


def _attributes(clusters: Clusters) -> dict[str, Any]:
    visits, totals, near_tie_share = clusters.totals.visits, clusters.totals, None
    if totals.margin is not None and totals.margin.counts.any():
        near_tie_share = float(totals.n_near_ties.sum() / totals.margin.counts.sum())
    n_frames, n_atoms, _ = clusters.store.shape("position")
    first, last = totals.spans["file"].T
    return {
        **clusters.clustering,
        **_cover(clusters),
        "store": str(clusters.store.path),
        "clustering": clusters.name,
        "fingerprint": clusters.fingerprint,
        "versions": json.dumps(clusters.clustering["provenance"]["versions"]),
        "n_trajectories": len(clusters.paths),
        "n_frames": n_frames,
        "n_atoms": n_atoms,
        "time_source": clusters.time_source,
        # A file of which nothing is kept covers no time.
        "length_ps": float((last - first)[first <= last].sum()) if clusters.has_times else None,
        "n_selected_atoms": clusters.store.shape(f"{clusters.group}/selected_atom_index")[0],
        "n_subset_frames": len(clusters.subset_label),
        "n_subset_noise": int((~clusters.is_clustered).sum()),
        "subset_stride": None if clusters.subset is None else clusters.store.attrs(clusters.subset)["stride"],
        "n_leaders": len(clusters.leaders.frame),
        "recovered_share": None
        if clusters.subset is None
        else totals.n_recovered / int(clusters.is_clustered.sum()),
        "noise_cutoff_nm": clusters.store.attrs(f"{clusters.group}/label_status").get("noise_cutoff_nm"),
        "n_beyond_noise_cutoff": int(clusters.n_frames[clusters.n_clusters]),
        "n_not_finite": int(clusters.n_frames[clusters.n_clusters + 1]),
        "near_tie_share": near_tie_share,
        "n_noise_visits": None if visits is None else int(visits["n_visits"][clusters.n_clusters]),
        "longest_noise_visit_frames": None
        if visits is None
        else int(visits["longest_frames"][clusters.n_clusters]),
        "by": clusters.config.by,
        "bootstrap_seed": clusters.config.seed,
    }


def _cover(clusters: Clusters) -> dict[str, Any]:
    """Return what a cover found; nothing without one."""
    if not clusters.leaders.cover:
        return {}
    opened = slice(clusters.leaders.n_clusters_found, clusters.n_clusters)
    return {
        **clusters.leaders.cover,
        "cover_share": float(clusters.n_frames[opened].sum() / clusters.n_frames.sum()),
        "n_cover_clusters_missed": None
        if clusters.subset is None
        else int((clusters.totals.n_of_subset[opened] == 0).sum()),
    }


def cover_in_words(attrs: Mapping[str, Any]) -> str:
    """Say what a cover added, from the attributes of `summarize`."""
    leaders, opened, missed = (
        attrs.get(f"n_cover_{what}") for what in ("leaders", "clusters", "clusters_missed")
    )
    text = f"every frame within {format_length(attrs['cover_nm'])} of a leader; leaders added: {leaders:,}, "
    text += f"clusters that these opened: {opened:,}"
    if opened:
        text += f", with {attrs['cover_share']:.2%} of the frames"
    if opened and missed is not None:
        text += f"; of these without a frame of the first pass, missed by its stride: {missed:,}"
    return text


def _counts(clusters: Clusters, dim: str, names: tuple[str, ...]) -> Variables:
    """Return the frames of each run or group."""
    counts, frames = clusters.totals.counts[dim], f"frames of the {dim}"
    beyond = f"{frames} beyond the noise cutoff"
    found = {
        dim: described(dim, np.array(names, dtype=str), "1", f"name of the {dim}"),
        f"{dim}_n_frames": described(dim, counts.sum(axis=1), "1", frames),
        f"{dim}_n_beyond_noise_cutoff": described(dim, counts[:, -2], "1", beyond),
        f"{dim}_n_not_finite": described(dim, counts[:, -1], "1", f"{frames} that are not finite"),
        f"{dim}_n_frames_of": described(
            (dim, "cluster"), counts[:, : clusters.n_clusters], "1", f"{frames} in the cluster"
        ),
    }
    if dim == "group" and clusters.has_times:
        spans = clusters.totals.spans[dim]
        spans = np.where(np.isfinite(spans), spans, np.nan)
        found["group_first_time_ps"] = described(dim, spans[:, 0], "ps", "first time of the group")
        found["group_last_time_ps"] = described(dim, spans[:, 1], "ps", "last time of the group")
    return found


def _noise(clusters: Clusters) -> Variables:
    """Return where the frames beyond the noise cutoff are."""
    by_file, by_time = clusters.totals.counts["file"], clusters.totals.counts["time"]
    edges = np.linspace(clusters.runs.start, clusters.runs.stop, len(by_time) + 1)
    unit, beyond = "ps" if clusters.has_times else "1", "frames beyond the noise cutoff"
    # Without times, bins are of frame numbers.
    return {
        "trajectory_file": described("trajectory_file", clusters.paths, "1", "path of the file"),
        "file_n_beyond_noise_cutoff": described(
            "trajectory_file", by_file[:, -2], "1", f"{beyond} of the file"
        ),
        "time_bin_start": described("time_bin", edges[:-1], unit, "start of the bin"),
        "time_bin_stop": described("time_bin", edges[1:], unit, "end of the bin"),
        "time_bin_n_frames": described("time_bin", by_time.sum(axis=1), "1", "frames in the bin"),
        "time_bin_n_beyond_noise_cutoff": described("time_bin", by_time[:, -2], "1", f"{beyond} in the bin"),
    }
