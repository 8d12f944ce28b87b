"""What a store holds and what came out of it, read from committed results only."""

from .columns import finished_assign
from .compare import compare_labels
from .plot import check_plot, plot_scan
from .status import StageStatus, StoreStatus, store_status
from .summary import ClusterTable, cluster_table, summarize

__all__ = [
    "ClusterTable",
    "StageStatus",
    "StoreStatus",
    "check_plot",
    "cluster_table",
    "compare_labels",
    "finished_assign",
    "plot_scan",
    "store_status",
    "summarize",
]
