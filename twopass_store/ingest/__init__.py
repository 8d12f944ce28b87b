"""The stage `ingest`: trajectories of many formats into one store of coordinates."""

from .relocate import Move, RelocateResult, relocate_trajectories
from .stage import IngestEstimate, IngestResult, estimate_ingest, ingest_trajectories

__all__ = [
    "IngestEstimate",
    "IngestResult",
    "Move",
    "RelocateResult",
    "estimate_ingest",
    "ingest_trajectories",
    "relocate_trajectories",
]
