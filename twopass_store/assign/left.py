"""What is left of a second pass, from its journal."""

import numpy as np

from ..journal import StageJournal
from ..partition import FrameRange, chunk_range
from ..store import Store, frames_kept

__all__ = ["appended", "covered_before", "frames_left", "frames_of"]


def covered_before(store: Store, journal: StageJournal) -> int:
    """Return how many frames were done before others were appended, and still have their values."""
    return frames_kept(store, journal.plan, int(journal.plan.request.get("covered", 0)))


def frames_of(store: Store, file: int, covered: int) -> tuple[FrameRange, int]:
    """Return the frames in a file of the per-frame arrays, and the first that isn't `covered` already."""
    frames = chunk_range(file, chunk=store.frames_per_file, length=store.shape("position")[0])
    return frames, covered if frames.start < covered < frames.stop else frames.start


def frames_left(store: Store, journal: StageJournal) -> dict[int, int]:
    """Count the frames left of a second pass by file of the per-frame arrays."""
    covered = covered_before(store, journal)
    left = {file: frames_of(store, file, covered) for file in np.flatnonzero(~journal.units_done()).tolist()}
    return {file: frames.stop - first for file, (frames, first) in left.items()}


def appended(store: Store, name: str) -> tuple[int, ...]:
    """Return how many frames there were at each append since the labels of a cover were begun."""
    journal = store.journal(f"assign-{name}")
    return () if journal is None else tuple(journal.plan.request.get("appended", ()))
