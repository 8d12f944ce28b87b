"""What the stored distances of the subset say of clusters: how wide they are, and how far apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..condensed import Condensed, iter_rows

__all__ = ["subset_distances"]


def subset_distances(
    condensed: Condensed, labels: NDArray[np.int32], medoids: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Go once through the distances of all pairs.

    `condensed` has shape (n_pairs,), nm; `labels` are those of the first pass, from 1, shape (n_subset,);
    `medoids` the subset index of each cluster's medoid. Returns by cluster mean ``pair_mean`` and standard
    deviation ``pair_sd`` of the RMSDs within it, nm, NaN without pairs; ``nearest``, the label of the cluster
    with the nearest medoid, -1 for the only cluster; and ``nearest_rmsd`` between the two medoids, nm.
    """
    n_clusters = len(medoids)
    sums, squares = np.zeros(n_clusters + 1), np.zeros(n_clusters + 1)
    cluster_of = {int(frame): cluster for cluster, frame in enumerate(medoids)}
    nearest, nearest_rmsd = np.full(n_clusters, -1), np.full(n_clusters, np.inf)
    for index, row in iter_rows(condensed):
        own = int(labels[index])
        if own >= 1:
            inside = row[labels[index + 1 :] == own].astype(np.float64)
            sums[own] += inside.sum()
            squares[own] += inside @ inside
        if index in cluster_of:
            one, others = cluster_of[index], np.flatnonzero(medoids > index)
            distances = row[medoids[others] - index - 1].astype(np.float64)
            closer = distances < nearest_rmsd[others]
            nearest[others[closer]], nearest_rmsd[others[closer]] = one + 1, distances[closer]
            if len(others) and distances.min() < nearest_rmsd[one]:
                nearest[one], nearest_rmsd[one] = others[distances.argmin()] + 1, distances.min()
    n_frames = np.bincount(labels[labels >= 1], minlength=n_clusters + 1)[1:]
    n_pairs = n_frames * (n_frames - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[1:] / n_pairs
        sd = np.sqrt(np.maximum(squares[1:] / n_pairs - mean**2, 0.0))
    nearest_rmsd[nearest < 0] = np.nan
    return {"pair_mean": mean, "pair_sd": sd, "nearest": nearest, "nearest_rmsd": nearest_rmsd}
