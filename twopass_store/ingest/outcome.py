"""What an ingest left, or would take."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["IngestEstimate", "IngestResult"]


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What an ingest left.

    Attributes
    ----------
    store
        Path of the store.
    n_frames, n_atoms, n_trajectories
        What is in it.
    n_frames_computed
        Frames that this call read and wrote.
    rounded_by
        The most that a coordinate was moved by rounding, nm; 0 without rounding.
    """

    store: Path
    n_frames: int
    n_atoms: int
    n_trajectories: int
    n_frames_computed: int
    rounded_by: float


@dataclass(frozen=True, slots=True)
class IngestEstimate:
    """What an ingest would take.

    Attributes
    ----------
    n_frames, n_atoms
        What would be in the store.
    n_trajectories, n_runs
        Files, and the runs that they are parts of; 0 runs if nothing groups them.
    n_source_frames, source_bytes
        Frames in the files, kept or not, and the files' size.
    packing
        How positions would be stored, in words.
    workers
        Processes that would read and write.
    memory_bytes, budget_bytes
        Memory that they may need at most, and may use.
    disk_bytes, seconds
        Size of the store and time taken, about.
    """

    n_frames: int
    n_atoms: int
    n_trajectories: int
    n_runs: int
    n_source_frames: int
    source_bytes: int
    packing: str
    workers: int
    memory_bytes: int
    budget_bytes: int
    disk_bytes: int
    seconds: float
