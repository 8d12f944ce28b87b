"""`compare_labels`: how a clustering agrees with one that another program made of the same frames."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..config import CompareConfig, expanded, validated
from ..errors import ConfigError, StageIncompleteError
from ..partition import FrameRange
from ..store import Store, at_one_state, store_path
from .label_file import read_labels

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Comparison", "adjusted_rand", "compare_labels"]

MAX_CELLS = 4_000_000
"""Of the confusion table: more are no clusters, but a column of something else."""

MAX_PAIRS = 500_000
"""Of labels that frames have: more are no clusters either, and would fill the memory."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two labellings of the same frames agree.

    Attributes
    ----------
    path, name
        The store and the clustering.
    other
        The file that it is compared with.
    labels
        Labels of the clustering in order of population: the rows.
    other_labels
        Labels of the file that are 0 or more, likewise: the columns.
    counts
        Frames by row and column.
    n_frames
        All frames.
    unlabelled_there
        Frames of each row that have a negative label in the file: noise.
    unlabelled_here
        Frames of each column without a label in the store.
    n_unlabelled_both
        Frames without a label on either side.
    adjusted_rand
        Adjusted Rand index over the frames that have a label on both sides: 1 where the two are the same but
        for names, about 0 where they agree by chance alone; None where there are no such frames.
    adjusted_rand_all
        The same over all frames, those without a label taken as one more cluster.

    References
    ----------
    Hubert and Arabie, J. Classif. 2 (1985) 193.
    """

    path: str
    name: str
    other: str
    labels: tuple[int, ...]
    other_labels: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]
    n_frames: int
    unlabelled_there: tuple[int, ...]
    unlabelled_here: tuple[int, ...]
    n_unlabelled_both: int
    adjusted_rand: float | None
    adjusted_rand_all: float

    def to_xarray(self) -> "xr.Dataset":
        """Return the confusion table as ``n_frames`` along ``label`` and ``other_label``; -1 for none."""
        import xarray as xr

        table = np.array(self.counts, np.int64).reshape(len(self.labels), len(self.other_labels))
        whole = np.block(
            [
                [table, np.array(self.unlabelled_there, np.int64)[:, np.newaxis]],
                [np.array(self.unlabelled_here, np.int64), np.array([self.n_unlabelled_both])],
            ]
        )
        attrs = {"units": "1", "long_name": "frames with both labels; -1 for none"}
        numbers: dict[str, str | float] = {"store": self.path, "clustering": self.name, "other": self.other}
        if self.adjusted_rand is not None:
            numbers["adjusted_rand"] = self.adjusted_rand
        return xr.Dataset(
            {"n_frames": (("label", "other_label"), whole, attrs)},
            coords={"label": [*self.labels, -1], "other_label": [*self.other_labels, -1]},
            attrs={**numbers, "adjusted_rand_all": self.adjusted_rand_all},
        )


def compare_labels(
    store: str | os.PathLike[str],
    other: str | os.PathLike[str],
    name: str | None = None,
    *,
    column: int | None = None,
) -> Comparison:
    """Compare the labels of a finished assign with those in a file.

    Parameters
    ----------
    store
        Path of the store.
    other
        One label for each frame of the store, in its order: cpptraj's cluster number against time, gmx
        cluster's ``clid.xvg`` or log, or a column of integers. Negative labels mean none.
    name
        The clustering; may be left out where there is only one.
    column
        Column of the labels, from 1; the last where None.

    Raises
    ------
    StageIncompleteError
        If assign has not finished.
    ConfigError
        If the file can't be read, or doesn't have one label for each frame.
    """
    config = validated(CompareConfig, {"name": name, "column": column})
    opened = Store.open(store_path(store))
    names = opened.members("clusterings")
    if config.name is None and len(names) > 1:
        raise ConfigError(f"{opened.path} has several clusterings; say which: {', '.join(names)}.")
    name = config.name or (names[0] if names else "default")
    path = store_path(store)
    file = expanded(other)
    return at_one_state(path, lambda: _compare(Store.open(path), name, file, config.column), name=name)


def _compare(opened: Store, name: str, path: Path, column: int | None) -> Comparison:
    if not opened.is_complete(f"clusterings/{name}/label"):
        raise StageIncompleteError(
            f"{opened.path}: assign has not finished for {name!r}. "
            f"Run `twopass assign {opened.path} --name {name}`."
        )
    counts = _count_pairs(opened, name, path, column)
    ours = _by_population(counts, 0, opened.shape(f"clusterings/{name}/medoid_frame")[0])
    theirs = _by_population(counts, 1)
    if len(ours) * len(theirs) > MAX_CELLS:
        raise ConfigError(
            f"{path} has {len(theirs):,} different labels: is that the column of clusters? Say which with "
            "--column."
        )
    both = {pair: frames for pair, frames in counts.items() if min(pair) >= 0}
    return Comparison(
        path=str(opened.path),
        name=name,
        other=str(path),
        labels=ours,
        other_labels=theirs,
        counts=tuple(tuple(counts[label, one] for one in theirs) for label in ours),
        n_frames=counts.total(),
        unlabelled_there=tuple(counts[label, -1] for label in ours),
        unlabelled_here=tuple(counts[-1, one] for one in theirs),
        n_unlabelled_both=counts[-1, -1],
        adjusted_rand=adjusted_rand(both) if both else None,
        adjusted_rand_all=adjusted_rand(counts),
    )


def _count_pairs(store: Store, name: str, path: Path, column: int | None) -> "Counter[tuple[int, int]]":
    """Count frames by both labels, piece by piece; -1 stands for none."""
    n_frames = store.shape("position")[0]
    counts: Counter[tuple[int, int]] = Counter()
    start = 0
    for theirs in read_labels(path, column=column, times=lambda: store.read("time")):
        stop = start + len(theirs)
        if stop <= n_frames:
            label = store.read(f"clusterings/{name}/label", FrameRange(start, stop))
            counts.update(_pairs(label, theirs))
            if len(counts) > MAX_PAIRS:
                raise ConfigError(
                    f"{path} has more than {MAX_PAIRS:,} different labels beside those of {name}: is that "
                    "the column of clusters? Say which with --column."
                )
        start = stop
    if start != n_frames:
        raise ConfigError(
            f"{path} has labels of {start:,} frames, and {store.path} has {n_frames:,} frames. Give those of "
            "all frames of the store, in its order: with another stride or other files, they can't be "
            "compared frame by frame."
        )
    return counts


def _pairs(label: NDArray[np.int32], other: NDArray[np.int64]) -> dict[tuple[int, int], int]:
    pairs = np.stack([label.astype(np.int64), np.maximum(other, -1)], axis=1)
    found, frames = np.unique(pairs, axis=0, return_counts=True)
    return {(int(a), int(b)): int(count) for (a, b), count in zip(found, frames, strict=True)}


def _by_population(counts: "Counter[tuple[int, int]]", side: int, n_labels: int = 0) -> tuple[int, ...]:
    """Return the labels of one side, the most frequent first; all from 1 to `n_labels` among them."""
    totals: Counter[int] = Counter(dict.fromkeys(range(1, n_labels + 1), 0))
    for pair, frames in counts.items():
        if pair[side] >= 0:
            totals[pair[side]] += frames
    return tuple(sorted(totals, key=lambda label: (-totals[label], label)))


def adjusted_rand(counts: dict[tuple[int, int], int]) -> float:
    """Adjusted Rand index of two labellings, from the number of frames with each pair of labels.

    Worked out in integers of any size up to the last division: with 10⁸ frames, the pairs of frames and their
    products are beyond what a float64 holds.

    References
    ----------
    Hubert and Arabie, J. Classif. 2 (1985) 193.
    """
    rows: Counter[int] = Counter()
    columns: Counter[int] = Counter()
    for (row, other), frames in counts.items():
        rows[row] += frames
        columns[other] += frames

    def pairs(numbers: Counter[int] | dict[tuple[int, int], int]) -> int:
        return sum(number * (number - 1) // 2 for number in numbers.values())

    n_frames = sum(rows.values())
    both, of_rows, of_columns = pairs(counts), pairs(rows), pairs(columns)
    everything = n_frames * (n_frames - 1) // 2
    # (both − expected) / (mean − expected) with expected = rows · columns / everything, times 2 · everything.
    above = 2 * (both * everything - of_rows * of_columns)
    below = (of_rows + of_columns) * everything - 2 * of_rows * of_columns
    return above / below if below else 1.0
