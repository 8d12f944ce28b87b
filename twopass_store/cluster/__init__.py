"""The stage `cluster`, the first pass: distances of a subset, their linkage, its cut, and the leaders."""

from .outside import AdoptResult, adopt_leaders
from .recut import recut_clustering
from .scan import scan_cuts, stored_scan
from .stage import ClusterResult, cluster_subset

__all__ = [
    "AdoptResult",
    "ClusterResult",
    "adopt_leaders",
    "cluster_subset",
    "recut_clustering",
    "scan_cuts",
    "stored_scan",
]
