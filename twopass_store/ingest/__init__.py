"""The stage `ingest`: trajectories of many formats into one store of coordinates."""

from .stage import IngestResult, ingest_trajectories

__all__ = ["IngestResult", "ingest_trajectories"]
