"""What a store holds and what came out of it, read from committed results only."""

from .bootstrap import share_errors
from .columns import finished_assign
from .compare import compare_labels
from .plot import check_plot, draw_scan, plot_scan
from .runs import Runs, frame_chunks, group_of_frames, short_names
from .status import StageStatus, StoreStatus, store_status
from .summary import Summary, cluster_table, cover_in_words, read_summary, representative, summarize

__all__ = [
    "Runs",
    "StageStatus",
    "StoreStatus",
    "Summary",
    "check_plot",
    "cluster_table",
    "compare_labels",
    "cover_in_words",
    "draw_scan",
    "finished_assign",
    "frame_chunks",
    "group_of_frames",
    "plot_scan",
    "read_summary",
    "representative",
    "share_errors",
    "short_names",
    "store_status",
    "summarize",
]
