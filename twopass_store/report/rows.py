"""The rows of a summary: what it says of a cluster, a group of frames, a stretch of time, a stride."""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "MARGIN_SHARES",
    "RMSD_SHARES",
    "ClusterDetails",
    "Convergence",
    "GroupRow",
    "StrideRow",
    "TimeBin",
    "columns",
]

RMSD_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of the RMSD to the leader."""

MARGIN_SHARES = (0.05, 0.25, 0.5)
"""Quantiles of the margin."""


def column(units: str, long_name: str) -> Any:
    """Return a field with what describes its column."""
    return field(metadata={"units": units, "long_name": long_name})


@dataclass(frozen=True, slots=True)
class ClusterDetails:
    """One cluster in full; the columns of tables and files.

    Each field's metadata has its ``units`` and ``long_name``, see `columns`. None stands for what can't be
    known: times where the input has none, deviations of a single number, margins that weren't asked for.
    """

    rank: int = column("1", "1 is the most populated cluster")
    label: int = column("1", "label in the store")
    n_frames: int = column("1", "frames with this label")
    share: float = column("1", "share of all frames")
    share_error: float | None = column("1", "standard error of the share, by bootstrap over runs")
    n_runs: int = column("1", "runs with frames of the cluster")
    rmsd_mean_nm: float | None = column("nm", "mean RMSD to the nearest leader")
    rmsd_sd_nm: float | None = column("nm", "standard deviation of the RMSD to the nearest leader")
    rmsd_q05_nm: float | None = column("nm", "RMSD to the nearest leader: 5 % of frames are nearer")
    rmsd_q25_nm: float | None = column("nm", "RMSD to the nearest leader: 25 % of frames are nearer")
    rmsd_q50_nm: float | None = column("nm", "RMSD to the nearest leader: median")
    rmsd_q75_nm: float | None = column("nm", "RMSD to the nearest leader: 75 % of frames are nearer")
    rmsd_q95_nm: float | None = column("nm", "RMSD to the nearest leader: 95 % of frames are nearer")
    n_subset_frames: int = column("1", "subset frames that the first pass put into the cluster")
    pair_rmsd_mean_nm: float | None = column("nm", "mean RMSD of all pairs of these")
    pair_rmsd_sd_nm: float | None = column("nm", "standard deviation of the RMSD of all pairs of these")
    nearest_label: int | None = column("1", "label of the cluster with the nearest medoid")
    nearest_rmsd_nm: float | None = column("nm", "RMSD between the two medoids")
    faithfulness: float | None = column(
        "1", "share of the subset frames whose nearest leader has their label"
    )
    faithfulness_held_out: float | None = column("1", "the same with leaders chosen from other frames")
    margin_q05: float | None = column("1", "margin, 1 − RMSD to leader / RMSD to second: 5 % have less")
    margin_q25: float | None = column("1", "margin: 25 % have less")
    margin_q50: float | None = column("1", "margin: median")
    near_tie_share: float | None = column("1", "share of the frames with a margin below 0.1")
    n_visits: int = column("1", "visits: stretches of frames in one run without a gap")
    n_departures: int = column("1", "visits whose end was seen")
    n_complete_visits: int = column("1", "visits whose beginning and end were seen")
    residence_frames: float | None = column("frame", "mean residence: frames in all visits by departures")
    residence_ps: float | None = column("ps", "mean residence: time in all visits by departures")
    complete_visit_frames: float | None = column("frame", "mean length of the complete visits")
    complete_visit_ps: float | None = column("ps", "mean length of the complete visits")
    longest_visit_frames: int = column("frame", "longest visit, complete or not")
    longest_visit_ps: float | None = column("ps", "longest visit, complete or not")
    medoid_frame: int = column("1", "frame of the medoid in the store")
    medoid_path: str = column("1", "file of the medoid")
    medoid_source_frame: int = column("1", "frame of the medoid in its file")
    medoid_time_ps: float | None = column("ps", "time of the medoid")
    first_frame: int | None = column("1", "first frame of the cluster in the store")
    first_path: str | None = column("1", "its file")
    first_source_frame: int | None = column("1", "its frame in that file")
    first_time_ps: float | None = column("ps", "its time")
    last_frame: int | None = column("1", "last frame of the cluster in the store")
    last_path: str | None = column("1", "its file")
    last_source_frame: int | None = column("1", "its frame in that file")
    last_time_ps: float | None = column("ps", "its time")


def columns() -> dict[str, dict[str, str]]:
    """Return the units and the meaning of each column."""
    return {one.name: dict(one.metadata) for one in fields(ClusterDetails)}


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The frames of one run, file or block of time.

    Attributes
    ----------
    name
        Which.
    n_frames
        Frames in it.
    n_frames_of
        Those of each cluster, in order of rank.
    n_beyond_noise_cutoff, n_not_finite
        Those without a label.
    first_time_ps, last_time_ps
        The times that it covers; None where the input has none, or it has no frame.
    """

    name: str
    n_frames: int
    n_frames_of: tuple[int, ...]
    n_beyond_noise_cutoff: int
    n_not_finite: int
    first_time_ps: float | None
    last_time_ps: float | None


@dataclass(frozen=True, slots=True)
class TimeBin:
    """Frames beyond the noise cutoff in one tenth of the time that the store covers.

    Attributes
    ----------
    start, stop
        In ps, or frame numbers where the input has no times.
    n_frames, n_beyond_noise_cutoff
        Frames of all runs in it, and those without a label.
    """

    start: float
    stop: float
    n_frames: int
    n_beyond_noise_cutoff: int


@dataclass(frozen=True, slots=True)
class StrideRow:
    """The first pass at one stride.

    Attributes
    ----------
    stride
        Every so many frames of the store.
    n_subset_frames, n_clusters
        Frames that it clusters, and what it finds.
    adjusted_rand
        Agreement with the labels at the first pass's own stride, over the frames that both have.
    shares
        Share of its frames in the cluster that stands for each of the clusters, in their order; None where
        none does. Clusters are matched one to one such that most frames agree.
    """

    stride: int
    n_subset_frames: int
    n_clusters: int
    adjusted_rand: float
    shares: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Convergence:
    """The first pass at its own stride, at twice and at four times that.

    Attributes
    ----------
    rows
        One for each stride; strides that leave fewer frames than clusters are left out.
    labels
        Labels of the clusters that `shares` are of.
    subset_frame, subset_label
        Frames of the subset, and their labels at each stride, shape (n_strides, n_subset): those of the
        cluster that stands for them; 0 for a cluster that stands for none, -1 for a frame that isn't taken.
    """

    rows: tuple[StrideRow, ...]
    labels: tuple[int, ...]
    subset_frame: NDArray[np.int64]
    subset_label: NDArray[np.int32]

    def to_xarray(self) -> "xr.Dataset":
        """Return it as variables along ``stride`` and ``label``, and labels along ``subset``."""
        import xarray as xr

        def described(dims: Any, values: Any, long_name: str) -> tuple[Any, Any, dict[str, str]]:
            return dims, values, {"units": "1", "long_name": long_name}

        shares = np.array([row.shares for row in self.rows], np.float64)
        return xr.Dataset(
            {
                "n_subset_frames": described(
                    "stride", [row.n_subset_frames for row in self.rows], "frames clustered at this stride"
                ),
                "n_clusters": described("stride", [row.n_clusters for row in self.rows], "clusters found"),
                "adjusted_rand": described(
                    "stride",
                    [row.adjusted_rand for row in self.rows],
                    "adjusted Rand index with the labels at the smallest stride",
                ),
                "share": described(("stride", "label"), shares, "share of the frames in the cluster"),
                "subset_frame": described("subset", self.subset_frame, "frame of the store"),
                "subset_label": described(
                    ("stride", "subset"), self.subset_label, "label at this stride; 0 for another cluster"
                ),
            },
            coords={"stride": [row.stride for row in self.rows], "label": list(self.labels)},
        )
