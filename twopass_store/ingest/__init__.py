"""The stage `ingest`: trajectories of many formats into one store of coordinates."""

from .relocate import Move, RelocateResult, relocate_trajectories
from .stage import IngestResult, ingest_trajectories

__all__ = ["IngestResult", "Move", "RelocateResult", "ingest_trajectories", "relocate_trajectories"]
