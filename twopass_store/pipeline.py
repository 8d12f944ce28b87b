"""All stages of one config, in order."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .assign import AssignResult, assign_frames
from .cluster import ClusterResult, cluster_subset
from .config import RunConfig, load_config
from .export import export_structures, has_current_medoids
from .ingest import IngestResult, ingest_trajectories
from .progress import Progress, Silent
from .report import Summary, cluster_table, summarize
from .store import medoids_path

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["RunResult", "run_pipeline"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left.

    Attributes
    ----------
    ingest, cluster, assign
        What each stage says.
    medoids
        The PDB file with the medoids, one model per cluster.
    was_complete
        Whether all was there already, and nothing was changed.
    """

    ingest: IngestResult
    cluster: ClusterResult
    assign: AssignResult
    medoids: Path
    was_complete: bool

    @property
    def table(self) -> Summary:
        """The table that the command ends with, read when it is asked for, see `cluster_table`."""
        return cluster_table(self.assign.store, self.assign.name)

    @property
    def summary(self) -> "xr.Dataset":
        """The whole summary, read when it is asked for, see `summarize`."""
        return summarize(self.assign.store, self.assign.name)


def run_pipeline(
    config: RunConfig | str | os.PathLike[str],
    *,
    restart: bool = False,
    break_lock: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Ingest, cluster and assign, going on wherever an earlier run was stopped.

    Parameters
    ----------
    config
        What to do, or the path of a TOML file that says so, see `load_config`.
    restart
        Discard the store with all its clusterings, and do all stages again.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.
    progress
        Progress reporter.

    Raises
    ------
    TwopassError
        As the stages do.
    """
    if not isinstance(config, RunConfig):
        config = load_config(config)
    progress = progress or Silent()
    store, name = config.store, config.cluster.name
    common: dict[str, Any] = {"restart": restart, "break_lock": break_lock, "progress": progress}
    ingested = ingest_trajectories(store, **dict(config.ingest), **common)
    clustered = cluster_subset(store, **dict(config.cluster), **common)
    assigned = assign_frames(store, **{**dict(config.assign), "name": name}, **common)
    has_medoids = has_current_medoids(store, name)
    medoids = medoids_path(store, name)
    if not has_medoids:
        export_structures(store, medoids, name=name, overwrite=True)
    assigned_now = assigned.n_frames_computed + assigned.n_margins_computed
    computed = ingested.n_frames_computed or assigned_now
    return RunResult(
        ingest=ingested,
        cluster=clustered,
        assign=assigned,
        medoids=medoids,
        was_complete=has_medoids and clustered.was_complete and not computed,
    )
