from .analysis import open_results
from .assign import AssignResult, assign_frames
from .cluster import (
    AdoptResult,
    ClusterResult,
    adopt_leaders,
    cluster_subset,
    recut_clustering,
    scan_cuts,
)
from .config import AssignConfig, ClusterConfig, IngestConfig, RunConfig, load_config
from .estimator import TwoPassClustering, nearest, rmsd_matrix
from .export import ExportResult, export_clusters, export_coordinates, export_dtrajs, export_structures
from .ingest import (
    IngestEstimate,
    IngestResult,
    RelocateResult,
    estimate_ingest,
    ingest_trajectories,
    relocate_trajectories,
)
from .integrity import Damage, Repair, Verification, repair_store, verify_store
from .jobs import JobResult, commit_job, list_jobs, plan_job, work_job
from .pipeline import RunResult, run_pipeline
from .progress import Progress
from .publish import PublishResult, publish_store
from .report import compare_labels, plot_scan, store_status, summarize
from .store import RemoveResult, remove_clustering, rename_clustering

__all__ = [
    "AdoptResult",
    "AssignConfig",
    "AssignResult",
    "ClusterConfig",
    "ClusterResult",
    "Damage",
    "ExportResult",
    "IngestConfig",
    "IngestEstimate",
    "IngestResult",
    "JobResult",
    "Progress",
    "PublishResult",
    "RelocateResult",
    "RemoveResult",
    "Repair",
    "RunConfig",
    "RunResult",
    "TwoPassClustering",
    "Verification",
    "adopt_leaders",
    "assign_frames",
    "cluster_subset",
    "commit_job",
    "compare_labels",
    "estimate_ingest",
    "export_clusters",
    "export_coordinates",
    "export_dtrajs",
    "export_structures",
    "ingest_trajectories",
    "list_jobs",
    "load_config",
    "nearest",
    "open_results",
    "plan_job",
    "plot_scan",
    "publish_store",
    "recut_clustering",
    "relocate_trajectories",
    "remove_clustering",
    "rename_clustering",
    "repair_store",
    "rmsd_matrix",
    "run_pipeline",
    "scan_cuts",
    "store_status",
    "summarize",
    "verify_store",
    "work_job",
]

__version__: str
