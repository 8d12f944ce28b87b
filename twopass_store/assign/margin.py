"""One unit of the margins: how near the frames of a chunk are to another cluster than their own."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ..partition import FRAME_CHUNK, FrameRange, chunk_range
from ..rmsd import Nearest, nearest_other_leaders
from .unit import AssignUnit, Receipt, complete_chunk, read_inputs

__all__ = ["MarginUnit"]


@dataclass(frozen=True, slots=True)
class MarginUnit:
    """The work on one chunk whose labels are there, as a function that can be sent to another process.

    Attributes
    ----------
    labels
        The unit that made the labels: where they are, and how many threads there are.
    covered
        Frames at the beginning of the store that have margins already.
    """

    labels: AssignUnit
    covered: int = 0

    @property
    def title(self) -> str:
        """What it does, for whoever watches."""
        return "assign: margins"

    @property
    def group(self) -> str:
        """Path of the clustering's group."""
        return self.labels.group

    def with_threads(self, threads: int) -> Self:
        """Return the same with another number of threads."""
        return replace(self, labels=self.labels.with_threads(threads))

    def __call__(self, chunk: int) -> Receipt:
        """Find the nearest leader of another cluster for each frame that has a label, and write it."""
        inputs = read_inputs(self.labels)
        store = inputs.store
        frames = chunk_range(chunk, chunk=FRAME_CHUNK, length=store.shape("position")[0])
        step = store.chunk_length("position")
        label = store.read(f"{self.group}/label", frames)
        first = self.covered if frames.start < self.covered < frames.stop else frames.start
        blocks = [
            FrameRange(start, min(start + step, frames.stop)) for start in range(first, frames.stop, step)
        ]

        def nearest(block: FrameRange) -> Nearest:
            own = label[block.start - frames.start : block.stop - frames.start]
            positions = store.read_positions(block, inputs.atoms)
            return nearest_other_leaders(positions, inputs.leaders, inputs.leader_label, own)

        with ThreadPoolExecutor(self.labels.threads, thread_name_prefix="twopass-block") as pool:
            found = list(pool.map(nearest, blocks))
        index = np.concatenate([part.index for part in found])
        columns = {
            "second_label": np.where(index >= 0, inputs.leader_label[index], np.int32(-1)),
            "rmsd_to_second": np.concatenate([part.rmsd for part in found]),
        }
        present = FrameRange(frames.start, first)
        records = (
            store.write_chunk(path, chunk, complete_chunk(store, path, present, values))
            for path, values in ((f"{self.group}/{name}", values) for name, values in columns.items())
        )
        return Receipt(frames, tuple(records))
