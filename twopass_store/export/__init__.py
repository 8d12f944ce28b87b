"""Structures and trajectories out of a store, for other programs; reads committed results only."""

from .coordinates import ExportResult, export_coordinates
from .representatives import (
    export_representatives,
    has_current_medoids,
    load_leaders,
    medoids_path,
    write_medoids,
)

__all__ = [
    "ExportResult",
    "export_coordinates",
    "export_representatives",
    "has_current_medoids",
    "load_leaders",
    "medoids_path",
    "write_medoids",
]
