"""Structures and trajectories out of a store, for other programs; reads committed results only."""

from .coordinates import ExportResult, export_clusters, export_coordinates
from .labels import export_dtrajs
from .structures import export_structures, has_current_medoids, superposed
from .target import checked_target, replacing

__all__ = [
    "ExportResult",
    "checked_target",
    "export_clusters",
    "export_coordinates",
    "export_dtrajs",
    "export_structures",
    "has_current_medoids",
    "replacing",
    "superposed",
]
