"""Groups of frames that a table is split by: runs, files, or blocks of time."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..partition import FrameRange
from ..store import Store
from .runs import Runs, stretches

__all__ = ["Tally", "group_of_frames"]

GroupOf = Callable[[FrameRange, NDArray[np.integer]], NDArray[np.integer]]


def group_of_frames(store: Store, runs: Runs, by: str) -> tuple[tuple[str, ...], GroupOf]:
    """Return the names of the groups, and what tells the group of each frame.

    Parameters
    ----------
    store
        Where.
    runs
        Its runs.
    by
        ``run``, ``trajectory`` or ``blocks:N``: each run is cut into N blocks of as many frames, and the
        k-th blocks of all runs are one group.

    Returns
    -------
    The names, and a function of a range of frames and of their runs, to be called with one range after the
    other from the first frame on.

    Raises
    ------
    ConfigError
        If `by` is something else.
    """
    if by == "run":
        return runs.names, lambda _, run: run
    if by == "trajectory":
        names = tuple(map(str, store.read("trajectory_path")))
        return names, lambda frames, _: store.read("trajectory", frames)
    found = re.fullmatch(r"blocks:([1-9][0-9]*)", by)
    if found is None:
        raise ConfigError(
            f"Tables can't be split by {by!r}: use run, trajectory, or blocks:N such as blocks:5."
        )
    n_blocks = int(found[1])
    if n_blocks > runs.n_frames.max():
        raise ConfigError(
            f"by {by}: the longest run has {runs.n_frames.max()} frames. Ask for at most so many blocks."
        )
    seen = np.zeros(len(runs.names), np.int64)

    def block_of(_: FrameRange, run: NDArray[np.integer]) -> NDArray[np.integer]:
        blocks = np.empty(len(run), np.int64)
        for one, part in stretches(run):
            place = np.arange(seen[one], seen[one] + part.stop - part.start)
            seen[one] += len(place)
            blocks[part] = place * n_blocks // runs.n_frames[one]
        return blocks

    return tuple(f"block {block + 1} of {n_blocks}" for block in range(n_blocks)), block_of


@dataclass(slots=True)
class Tally:
    """Counts frames by group and label.

    Attributes
    ----------
    n_groups, n_labels
        Sizes; labels run from 0.
    counts
        Frames, shape (n_groups, n_labels).
    first_time, last_time
        Of each group; infinite where it has no frame.
    """

    n_groups: int
    n_labels: int
    counts: NDArray[np.int64] = field(init=False)
    first_time: NDArray[np.float64] = field(init=False)
    last_time: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.n_groups, self.n_labels), np.int64)
        self.first_time = np.full(self.n_groups, np.inf)
        self.last_time = np.full(self.n_groups, -np.inf)

    def add(self, group: NDArray[np.integer], label: NDArray[np.integer], time: NDArray[np.float64]) -> None:
        """Count frames, given by arrays of shape (n_frames,)."""
        # A chunk holds few groups of many: only those between its lowest and its highest are touched.
        low, high = int(group.min()), int(group.max()) + 1
        place = (group - low).astype(np.int64) * self.n_labels + label
        found = np.bincount(place, minlength=(high - low) * self.n_labels)
        self.counts[low:high] += found.reshape(high - low, self.n_labels)
        np.minimum.at(self.first_time, group, time)
        np.maximum.at(self.last_time, group, time)
