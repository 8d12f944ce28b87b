"""From a linkage to labels, and where a tree is best cut."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster import hierarchy

from ..condensed import Float64Array, Int64Array

__all__ = ["Gap", "cut", "number_by_share", "suggest_n_clusters"]


@dataclass(frozen=True, slots=True)
class Gap:
    """A wide gap between two heights of a tree; `cut` at `cutoff` gives `n_clusters`."""

    n_clusters: int
    cutoff: float  # in the gap, in as few digits as it allows


def cut(
    linkage: Float64Array, *, n_clusters: int | None = None, cutoff: float | None = None
) -> npt.NDArray[np.int32]:
    """Labels from scipy's linkage, shape (n_frames − 1, 4), by the number of clusters or a height.

    Returns labels as scipy's ``fcluster`` gives them, shape (n_frames,), from 1. Equal heights, and the
    inversions of centroid and median linkage, may give fewer clusters than `n_clusters`; `cutoff` is in the
    unit of the heights.
    """
    if len(linkage) == 0:
        return np.ones(1, dtype=np.int32)
    at, criterion = (cutoff, "distance") if n_clusters is None else (n_clusters, "maxclust")
    return np.asarray(hierarchy.fcluster(linkage, t=at, criterion=criterion), dtype=np.int32)


def number_by_share(
    labels: npt.NDArray[np.int32], medoids: Int64Array
) -> tuple[npt.NDArray[np.int32], Int64Array]:
    """Number clusters by their frames: 1 is the largest, and of equals the one with the lower medoid.

    Takes labels, shape (n_frames,), from 1 without a gap and -1 for noise, and the medoid of each cluster,
    shape (n_clusters,); returns both in the new numbers.
    """
    largest_first = np.lexsort((medoids, -np.bincount(labels[labels > 0])[1:]))
    number = np.full(len(medoids) + 1, -1, np.int32)
    number[largest_first + 1] = np.arange(1, len(medoids) + 1)
    return number[np.maximum(labels, 0)], medoids[largest_first]


def suggest_n_clusters(linkage: Float64Array, *, count: int = 3, largest: int = 20) -> list[Gap]:
    """Numbers of clusters worth a try: those at the widest gaps between merge heights of scipy's linkage.

    Returns at most `count` gaps, of 2 to `largest` clusters in ascending order; none where all heights are
    equal, or for fewer than 3 frames.
    """
    n_frames = len(linkage) + 1
    if n_frames < 3:
        return []
    # The height at which a subtree is whole: inversions make it exceed the height of its last merge.
    heights = np.sort(hierarchy.maxdists(linkage))
    candidates = np.arange(2, min(largest, n_frames - 1) + 1)
    lower, upper = heights[n_frames - candidates - 1], heights[n_frames - candidates]
    widest = np.argsort(lower - upper, kind="stable")[:count]
    return [
        Gap(int(candidates[k]), _short_between(float(lower[k]), float(upper[k])))
        for k in np.sort(widest)
        if lower[k] < upper[k]
    ]


def _short_between(lower: float, upper: float) -> float:
    """The middle of [lower, upper) in as few digits as stay inside."""
    middle = lower + (upper - lower) / 2
    for digits in range(2, 17):
        rounded = float(f"{middle:.{digits}g}")
        if lower < rounded < upper:
            return rounded
    return lower
