"""What is left of a second pass, from its journal."""

import numpy as np

from ..journal import StageJournal
from ..partition import FRAME_CHUNK, chunk_range
from ..store import Store

__all__ = ["appended", "frames_kept", "frames_left"]


def frames_left(journal: StageJournal, covered: int | None = None) -> dict[int, int]:
    """Count the frames left of a second pass by chunk; `covered` are those of before an append."""
    covered = int(journal.plan.request.get("covered", 0)) if covered is None else covered
    n_frames = int(journal.plan.parameters["n_frames"])
    edge, n_present = divmod(covered, FRAME_CHUNK)
    done = np.logical_and.reduce([journal.done(product.path) for product in journal.plan.products])
    return {
        chunk: len(chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)) - n_present * (chunk == edge)
        for chunk in np.flatnonzero(~done).tolist()
    }


def frames_kept(store: Store, journal: StageJournal) -> int:
    """Return how many frames were done before others were appended, and still have their values."""
    covered = int(journal.plan.request.get("covered", 0))
    edge, n_present = divmod(covered, FRAME_CHUNK)
    # Where a repair has discarded it, the chunk is begun anew.
    is_there = all(store.has_chunk(product.path, edge) for product in journal.plan.products)
    return covered if n_present == 0 or is_there else edge * FRAME_CHUNK


def appended(store: Store, name: str) -> tuple[int, ...]:
    """Return how many frames there were at each append since the labels of a cover were begun."""
    journal = store.journal(f"assign-{name}")
    return () if journal is None else tuple(journal.plan.request.get("appended", ()))
