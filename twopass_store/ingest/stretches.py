"""How the chunks of an ingest are shared among workers: stretches of consecutive ones."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..partition import FrameRange, consecutive_runs
from .plan import IngestPlan
from .runs import Source

__all__ = ["cut_stretches", "useful_workers"]

# Stretches for each worker: at the end one waits for another for at most so small a part of the time.
PER_WORKER = 16
# What a worker must have to do to be worth its start, which takes half a second of a processor.
WORKER_SECONDS = 2.0

# What mdtraj decodes, roughly, in bytes of the file.
BYTES_PER_SECOND = 100 << 20
TEXT_BYTES_PER_SECOND = 10 << 20


def useful_workers(sources: Sequence[Source]) -> int:
    """Return how many processes it pays to start for these files; at least 1."""
    seconds = sum(
        source.info.size_bytes / (BYTES_PER_SECOND if source.info.format.can_seek else TEXT_BYTES_PER_SECOND)
        for source in sources
    )
    return max(1, int(seconds / WORKER_SECONDS))


def cut_stretches(
    plan: IngestPlan, missing: NDArray[np.integer], *, chunk_frames: int, workers: int
) -> Iterator[FrameRange]:
    """Yield stretches of the missing chunks, in order.

    A file is cut only where its format finds any frame without reading those before it: others go to one
    worker each. A single worker takes all chunks that are consecutive in one stretch.
    """
    length = -(-len(missing) // (PER_WORKER * workers)) if workers > 1 else max(1, len(missing))
    sizes = [len(source.kept) for source in plan.sources]
    ends = plan.n_stored + np.cumsum(sizes)
    starts = ends - sizes
    for run in consecutive_runs(missing.tolist()):
        start = run.start
        for chunk in range(run.start + 1, run.stop):
            if chunk - start < length:
                continue
            source = int(np.searchsorted(ends, chunk * chunk_frames, side="right"))
            is_begun = int(starts[source]) <= (chunk - 1) * chunk_frames
            if plan.sources[source].info.format.can_seek or not is_begun:
                yield FrameRange(start, chunk)
                start = chunk
        yield FrameRange(start, run.stop)
