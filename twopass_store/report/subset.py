"""What the stored distances of the subset say of clusters: how wide they are, and how far apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..linkage import Condensed, iter_rows

__all__ = ["SubsetDistances", "no_subset", "subset_distances"]


@dataclass(frozen=True, slots=True, eq=False)
class SubsetDistances:
    """Distances within and between clusters of the first pass.

    Attributes
    ----------
    n_frames
        Subset frames of each cluster, shape (n_clusters,).
    mean_pair, sd_pair
        Mean and standard deviation of the RMSDs of all pairs of them, nm; NaN where there is no pair.
    nearest
        The cluster with the nearest medoid, as an index; -1 for the only cluster.
    nearest_rmsd
        RMSD between the two medoids, nm; NaN for the only cluster.
    """

    n_frames: NDArray[np.int64]
    mean_pair: NDArray[np.float64]
    sd_pair: NDArray[np.float64]
    nearest: NDArray[np.int64]
    nearest_rmsd: NDArray[np.float64]


def no_subset(n_clusters: int) -> SubsetDistances:
    """Return what is known where no subset was clustered: nothing."""
    nothing, nowhere = np.full(n_clusters, np.nan), np.full(n_clusters, -1)
    return SubsetDistances(np.zeros(n_clusters, np.int64), nothing, nothing, nowhere, nothing)


def subset_distances(
    condensed: Condensed, labels: NDArray[np.int32], medoids: NDArray[np.int64]
) -> SubsetDistances:
    """Go once through the distances of all pairs.

    Parameters
    ----------
    condensed
        RMSDs of all pairs of subset frames, shape (n_pairs,), nm.
    labels
        First-pass labels, shape (n_subset,), from 1; others belong to no cluster.
    medoids
        Subset index of each cluster's medoid, shape (n_clusters,).
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
            one = cluster_of[index]
            others = np.flatnonzero(medoids > index)
            distances = row[medoids[others] - index - 1].astype(np.float64)
            if len(others) and distances.min() < nearest_rmsd[one]:
                nearest[one], nearest_rmsd[one] = others[distances.argmin()], distances.min()
            closer = distances < nearest_rmsd[others]
            nearest[others[closer]], nearest_rmsd[others[closer]] = one, distances[closer]
    n_frames = np.bincount(labels[labels >= 1], minlength=n_clusters + 1)[1:]
    n_pairs = n_frames * (n_frames - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums[1:] / n_pairs
        variance = squares[1:] / n_pairs - mean**2
    return SubsetDistances(
        n_frames=n_frames,
        mean_pair=mean,
        sd_pair=np.sqrt(np.maximum(variance, 0.0)),
        nearest=nearest,
        nearest_rmsd=np.where(nearest >= 0, nearest_rmsd, np.nan),
    )
