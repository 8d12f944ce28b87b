"""All stages of one config, in order."""

from dataclasses import dataclass
from pathlib import Path

from .assign import AssignResult, assign_frames
from .cluster import ClusterResult, cluster_subset
from .config import RunConfig
from .export import medoids_path, write_medoids
from .ingest import IngestResult, ingest_trajectories
from .progress import Progress, Silent
from .report import Summary, summarize

__all__ = ["RunResult", "run_pipeline"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left.

    Attributes
    ----------
    ingest, cluster, assign
        What each stage says.
    summary
        The table to cite.
    medoids
        The PDB file with the medoids, one model a cluster in order of population.
    was_complete
        Whether all was there already, and nothing was changed.
    """

    ingest: IngestResult
    cluster: ClusterResult
    assign: AssignResult
    summary: Summary
    medoids: Path
    was_complete: bool


def run_pipeline(config: RunConfig, *, restart: bool = False, progress: Progress | None = None) -> RunResult:
    """Ingest, cluster and assign, going on wherever an earlier run was stopped.

    Parameters
    ----------
    config
        What to do, see `load_config`.
    restart
        Discard stages that exist with other parameters, and what hangs on them.
    progress
        Who is told how it goes.

    Raises
    ------
    TwopassError
        As the stages do.
    """
    progress = progress or Silent()
    path = Path(config.store)
    name = config.cluster.name
    ingested = ingest_trajectories(path, **dict(config.ingest), restart=restart, progress=progress)
    clustered = cluster_subset(path, **dict(config.cluster), restart=restart, progress=progress)
    assigned = assign_frames(path, **{**dict(config.assign), "name": name}, progress=progress)
    summary = summarize(path, name)
    medoids = medoids_path(path, name)
    was_complete = clustered.was_complete and medoids.exists()
    if not was_complete:
        medoids = write_medoids(path, name, frames=[row.medoid_frame for row in summary.clusters])
    return RunResult(
        ingest=ingested,
        cluster=clustered,
        assign=assigned,
        summary=summary,
        medoids=medoids,
        was_complete=was_complete and not ingested.n_frames_computed and not assigned.n_frames_computed,
    )
