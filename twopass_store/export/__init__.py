"""Structures and trajectories out of a store, for other programs; reads committed results only."""

from .structures import has_current_medoids, load_leaders, medoids_path, write_medoids

__all__ = ["has_current_medoids", "load_leaders", "medoids_path", "write_medoids"]
