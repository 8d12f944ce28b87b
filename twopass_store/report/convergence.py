"""Was the stride of the first pass fine enough? The same cut of every 2nd and 4th frame of its subset."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..executors import PROCESS_BYTES, require_within
from ..linkage import (
    Condensed,
    adjusted_rand,
    count_frames,
    cut,
    gromos,
    iter_rows,
    link_in_place,
    link_rows,
    linkage_bytes,
)
from ..partition import PAIR_CHUNK, n_pairs
from .rows import Convergence, StrideRow

__all__ = ["FACTORS", "measure_convergence"]

FACTORS = (1, 2, 4)
"""Strides compared, in units of the first pass's own."""


def measure_convergence(
    condensed: Condensed,
    subset_frame: NDArray[np.int64],
    subset_label: NDArray[np.int32],
    clustering: Any,
    *,
    stride: int,
    labels: tuple[int, ...],
    budget_bytes: int,
) -> Convergence:
    """Cluster every 2nd and every 4th frame of the subset as the first pass did, on the stored distances.

    Parameters
    ----------
    condensed
        RMSDs of all pairs of subset frames, shape (n_pairs,), nm.
    subset_frame, subset_label
        Frames of the subset and their first-pass labels, shape (n_subset,).
    clustering
        Attributes of the clustering: how it was made.
    stride
        Stride of the subset.
    labels
        Labels in the order in which shares are wanted.
    budget_bytes
        Memory that the process may use.

    Raises
    ------
    MemoryBudgetError
        If half of the subset needs more than that.
    """
    n_subset = count_frames(condensed)
    half = -(-n_subset // 2)
    rows = clustering["linkage_input"] == "rows"
    needed = PROCESS_BYTES + linkage_bytes(half, rows=rows) + 12 * PAIR_CHUNK + 32 * n_subset
    require_within(budget_bytes, needed, stage="summary --convergence", mend="Or leave out --convergence.")
    found: list[StrideRow] = []
    by_stride: list[NDArray[np.int32]] = []
    for factor in FACTORS:
        taken = np.arange(0, n_subset, factor)
        asked = clustering["n_clusters_asked"]
        if len(taken) < max(2, asked or 2):
            break
        own = subset_label if factor == 1 else _labelled(condensed, factor, clustering)
        stands_for = _matched(subset_label[taken], own)
        matched = stands_for[own]
        counts = np.bincount(matched, minlength=max(labels) + 1)
        lost = set(labels) - set(stands_for.tolist())
        found.append(
            StrideRow(
                stride=stride * factor,
                n_subset_frames=len(taken),
                n_clusters=int(own.max()),
                adjusted_rand=adjusted_rand(subset_label[taken], own),
                shares=tuple(None if one in lost else float(counts[one] / len(taken)) for one in labels),
            )
        )
        spread = np.full(n_subset, -1, np.int32)
        spread[taken] = matched
        by_stride.append(spread)
    return Convergence(tuple(found), labels, subset_frame, np.stack(by_stride))


def _labelled(condensed: Condensed, factor: int, clustering: Any) -> NDArray[np.int32]:
    """Cluster every so manieth frame."""
    if clustering.get("method", "linkage") == "gromos":
        return gromos(_thinned(condensed, factor, np.float32), cutoff=clustering["cutoff_nm"])
    if clustering["linkage_input"] == "rows":
        tree = link_rows(_thinned(condensed, factor, np.float32), method=clustering["linkage_method"])
    else:
        tree = link_in_place(_thinned(condensed, factor, np.float64), method=clustering["linkage_method"])
    # A cutoff where there is one: it decides, and the number of clusters follows.
    if clustering["cutoff_nm"] is not None:
        return cut(tree, cutoff=clustering["cutoff_nm"])
    return cut(tree, n_clusters=clustering["n_clusters_asked"])


def _thinned(condensed: Condensed, factor: int, dtype: Any) -> NDArray[Any]:
    """Condensed distances of the frames 0, factor, 2·factor, …"""
    n_kept = -(-count_frames(condensed) // factor)
    kept = np.empty(n_pairs(n_kept), dtype)
    filled = 0
    for index, row in iter_rows(condensed):
        if index % factor == 0:
            part = row[factor - 1 :: factor]
            kept[filled : filled + len(part)] = part
            filled += len(part)
    return kept


def _matched(first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.int32]:
    """Match clusters one to one such that most frames agree; the first's label by the second's, or 0."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((int(first.max()) + 1, int(second.max()) + 1), np.int64)
    np.add.at(table, (first, second), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    stands_for = np.zeros(table.shape[1], np.int32)
    agrees = table[rows, columns] > 0
    stands_for[columns[agrees]] = rows[agrees]
    return stands_for
