"""What a store holds and what came out of it, read from committed results only."""

from .clusters import ClusterSummary, summarize_clusters
from .compare import compare_labels
from .plot import plot_scan
from .rows import ClusterDetails, Convergence, GroupRow, StrideRow, TimeBin
from .status import StageStatus, StoreStatus, store_status
from .summary import ClusterRow, Summary, summarize

__all__ = [
    "ClusterDetails",
    "ClusterRow",
    "ClusterSummary",
    "Convergence",
    "GroupRow",
    "StageStatus",
    "StoreStatus",
    "StrideRow",
    "Summary",
    "TimeBin",
    "compare_labels",
    "plot_scan",
    "store_status",
    "summarize",
    "summarize_clusters",
]
