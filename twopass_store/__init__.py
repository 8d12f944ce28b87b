"""Two-pass clustering of molecular dynamics trajectories that don't fit in memory.

`ingest_trajectories` streams trajectories into a Zarr store, `cluster_subset` clusters every N-th frame and
picks leaders, `assign_frames` gives every frame the label of its nearest leader; `run_pipeline` does all
three. Each goes on where it was stopped. `open_results` opens what they left in xarray, `export_coordinates`
writes it as a trajectory.
"""

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from .export import ExportResult, export_coordinates, export_representatives, load_leaders
    from .ingest import (
        IngestEstimate,
        IngestResult,
        RelocateResult,
        estimate_ingest,
        ingest_trajectories,
        relocate_trajectories,
    )
    from .integrity import Damage, Repair, Verification, repair_store, verify_store
    from .pipeline import RunResult, run_pipeline
    from .progress import Progress
    from .report import (
        compare_labels,
        plot_scan,
        store_status,
        summarize,
    )
    from .store import open_results

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
    "Progress",
    "RelocateResult",
    "Repair",
    "RunConfig",
    "RunResult",
    "Verification",
    "adopt_leaders",
    "assign_frames",
    "cluster_subset",
    "compare_labels",
    "estimate_ingest",
    "export_coordinates",
    "export_representatives",
    "ingest_trajectories",
    "load_config",
    "load_leaders",
    "open_results",
    "plot_scan",
    "recut_clustering",
    "relocate_trajectories",
    "repair_store",
    "run_pipeline",
    "scan_cuts",
    "store_status",
    "summarize",
    "verify_store",
]

__version__ = _version("twopass-store")

# Names are loaded from their rooms on first use, so that `import twopass_store` and the command's help
# don't wait for mdtraj, zarr, xarray and numba.
_ROOMS = {
    "assign": ("AssignResult", "assign_frames"),
    "cluster": (
        "AdoptResult",
        "ClusterResult",
        "adopt_leaders",
        "cluster_subset",
        "recut_clustering",
        "scan_cuts",
    ),
    "config": ("AssignConfig", "ClusterConfig", "IngestConfig", "RunConfig", "load_config"),
    "export": ("ExportResult", "export_coordinates", "export_representatives", "load_leaders"),
    "ingest": (
        "IngestEstimate",
        "IngestResult",
        "RelocateResult",
        "estimate_ingest",
        "ingest_trajectories",
        "relocate_trajectories",
    ),
    "integrity": ("Damage", "Repair", "Verification", "repair_store", "verify_store"),
    "pipeline": ("RunResult", "run_pipeline"),
    "progress": ("Progress",),
    "report": (
        "compare_labels",
        "plot_scan",
        "store_status",
        "summarize",
    ),
    "store": ("open_results",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
