"""Was the stride of the first pass fine enough? The same cut of every 2nd and 4th frame of its subset."""

from typing import Any

import numpy as np
import pandas as pd
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

__all__ = ["FACTORS", "first_pass_at_strides"]

FACTORS = (1, 2, 4)
"""Strides compared, in units of the first pass's own."""


def first_pass_at_strides(
    condensed: Condensed,
    subset_label: NDArray[np.int32],
    clustering: Any,
    *,
    stride: int,
    labels: NDArray[np.int64],
    budget_bytes: int,
) -> pd.DataFrame:
    """Cluster every 2nd and every 4th frame of the subset as the first pass did, on the stored distances.

    Parameters
    ----------
    condensed
        RMSDs of all pairs of subset frames, shape (n_pairs,), nm.
    subset_label
        First-pass labels, shape (n_subset,).
    clustering
        Attributes of the clustering: how it was made.
    stride
        Stride of the subset.
    labels
        Labels in the order in which shares are wanted, shape (n_clusters,).
    budget_bytes
        Memory that the process may use.

    Returns
    -------
    A row for each stride, fewer if a stride leaves too few frames to cluster: ``n_subset_frames`` and
    ``n_clusters`` found; ``adjusted_rand``, the agreement with the first pass over the frames that both have;
    and by label the share of the frames in the cluster that stands for it, NaN if none does. Clusters are
    matched one to one such that most frames agree.

    Raises
    ------
    MemoryBudgetError
        If half of the subset needs more than that.
    """
    n_subset = count_frames(condensed)
    rows = clustering["linkage_input"] == "rows"
    needed = PROCESS_BYTES + linkage_bytes(-(-n_subset // 2), rows=rows) + 12 * PAIR_CHUNK + 32 * n_subset
    require_within(budget_bytes, needed, stage="summary --convergence", mend="Or leave out --convergence.")
    found: dict[int, dict[Any, float]] = {}
    for factor in FACTORS:
        first = subset_label[::factor]
        if len(first) < max(2, clustering["n_clusters_asked"] or 2):
            break
        own = first if factor == 1 else _labelled(condensed, factor, clustering)
        found[stride * factor] = {
            "n_subset_frames": len(first),
            "n_clusters": int(own.max()),
            "adjusted_rand": adjusted_rand(first, own),
            **_matched_shares(first, own),
        }
    return pd.DataFrame.from_dict(found, orient="index").reindex(
        columns=["n_subset_frames", "n_clusters", "adjusted_rand", *labels.tolist()]
    )


def _matched_shares(first: NDArray[np.int32], second: NDArray[np.int32]) -> dict[int, float]:
    """Match clusters one to one such that most frames agree; the second's shares by the first's labels."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((int(first.max()) + 1, int(second.max()) + 1), np.int64)
    np.add.at(table, (first, second), 1)
    pairs = zip(*linear_sum_assignment(table, maximize=True), strict=True)
    sizes = table.sum(axis=0) / len(second)
    return {int(label): float(sizes[other]) for label, other in pairs if table[label, other] > 0}


def _labelled(condensed: Condensed, factor: int, clustering: Any) -> NDArray[np.int32]:
    """Cluster every nth frame."""
    if clustering.get("method", "linkage") == "gromos":
        return gromos(_thinned(condensed, factor, np.float32), cutoff=clustering["cutoff_nm"])
    if clustering["linkage_input"] == "rows":
        tree = link_rows(_thinned(condensed, factor, np.float32), method=clustering["linkage_method"])
    else:
        tree = link_in_place(_thinned(condensed, factor, np.float64), method=clustering["linkage_method"])
    # A cutoff decides if there is one, and the number of clusters follows.
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
