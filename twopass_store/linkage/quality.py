"""How good the cuts of a tree are, from distances alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster import hierarchy

from ..condensed import Float64Array, Int64Array, count_frames, pair_positions
from ._passes import add_cophenetic_moments, sum_by_cell

__all__ = ["CutQuality", "adjusted_rand", "adjusted_rand_of", "assess_cuts", "cophenetic_correlation"]

Float32Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class CutQuality:
    """Figures of one cut. NaN if a figure isn't defined, as for a single cluster.

    The silhouette is the mean over the frames of (b − a) / max(a, b): a is the mean distance to the others of
    the own cluster, b that to the nearest other cluster; 0 for a frame that is alone. Davies and Bouldin's is
    the mean over the clusters of the worst ratio of two spreads to the distance between their medoids, where
    a spread is the mean distance to the medoid; lower is better.
    """

    n_clusters: int  # found
    silhouette: float
    davies_bouldin: float
    pseudo_f: float  # ratio of the sums of squares between and within clusters, over degrees of freedom each
    ssr_sst: float  # share of the sum of squares that lies between clusters
    smallest: int  # frames of the smallest cluster
    largest: int
    largest_share: float  # of the frames, in the largest cluster


def assess_cuts(condensed: Float32Array, cuts: Sequence[Labels]) -> list[CutQuality]:
    """Figures of several cuts, in one pass over the distances.

    Sums of squares are those of pairs, over the size of the cluster: for distances between vectors, they are
    the sums of squares about the means; the RMSD has no means, but pairs it has.

    Takes condensed distances, shape (n_pairs,), and labels by each cut, shape (n_frames,), from 1 without a
    gap; O(N K) memory for K clusters of the finest cut, if the cuts are those of one tree.

    References
    ----------
    Rousseeuw, J. Comput. Appl. Math. 20 (1987) 53. Davies, Bouldin, IEEE Trans. Pattern Anal. 1 (1979) 224.
    Calinski, Harabasz, Commun. Stat. 3 (1974) 1. Shao et al., J. Chem. Theory Comput. 3 (2007) 2312.
    """
    n_frames = count_frames(condensed)
    if not cuts:
        return []
    # What no cut divides. The cuts of one tree are nested, so these cells are the clusters of the finest.
    cells, inverse = np.unique(np.stack(cuts, axis=1).astype(np.int64), axis=0, return_inverse=True)
    cell_of = np.asarray(inverse.reshape(-1), dtype=np.int32)
    sums = np.zeros((n_frames, len(cells)))
    squares = np.zeros((len(cells), len(cells)))
    sum_by_cell(condensed, cell_of, sums, squares)
    return [
        _figures(condensed, labels, cells[:, number] - 1, sums, squares) for number, labels in enumerate(cuts)
    ]


def _figures(
    condensed: Float32Array,
    labels: Labels,
    cluster_of_cell: Int64Array,
    cell_sums: Float64Array,
    cell_squares: Float64Array,
) -> CutQuality:
    n_frames, own = labels.size, labels.astype(np.int64) - 1
    sizes = np.bincount(own)
    n_clusters = sizes.size
    is_in = np.eye(n_clusters)[cluster_of_cell]
    sums = cell_sums @ is_in
    # A pair is in one of the squares (a, b) and (b, a), and so in one of the sums within a cluster.
    squares = is_in.T @ cell_squares @ is_in
    within = float((np.diag(squares) / sizes).sum())
    total = float(squares.sum()) / n_frames
    defined = 1 < n_clusters < n_frames
    return CutQuality(
        n_clusters=n_clusters,
        silhouette=_silhouette(sums, own, sizes) if defined else np.nan,
        davies_bouldin=_davies_bouldin(condensed, sums, own, sizes) if defined else np.nan,
        pseudo_f=(total - within) / (n_clusters - 1) / (within / (n_frames - n_clusters))
        if defined and within > 0
        else np.nan,
        ssr_sst=1 - within / total if total > 0 else np.nan,
        smallest=int(sizes.min()),
        largest=int(sizes.max()),
        largest_share=float(sizes.max() / n_frames),
    )


def _silhouette(sums: Float64Array, own: Int64Array, sizes: Int64Array) -> float:
    frames = np.arange(own.size)
    others = np.maximum(sizes[own] - 1, 1)
    inside = sums[frames, own] / others
    outside = sums / sizes
    outside[frames, own] = np.inf
    nearest = outside.min(axis=1)
    scale = np.maximum(inside, nearest)
    share = np.divide(nearest - inside, scale, out=np.zeros(own.size), where=scale > 0)
    return float(np.where(sizes[own] > 1, share, 0.0).mean())


def _davies_bouldin(condensed: Float32Array, sums: Float64Array, own: Int64Array, sizes: Int64Array) -> float:
    to_own = sums[np.arange(own.size), own]
    medoids = np.array([np.flatnonzero(own == k)[to_own[own == k].argmin()] for k in range(sizes.size)])
    spread = to_own[medoids] / sizes
    first, second = np.triu_indices(sizes.size, 1)
    apart = np.full((sizes.size, sizes.size), np.inf)
    apart[first, second] = condensed[pair_positions(medoids[first], medoids[second], n_frames=own.size)]
    apart[second, first] = apart[first, second]
    # Medoids in one place tell nothing, as in scikit-learn.
    apart[apart == 0] = np.inf
    return float(((spread[:, None] + spread) / apart).max(axis=1).mean())


def cophenetic_correlation(condensed: Float32Array, linkage: Float64Array) -> float:
    """Correlation of the distances with the heights at which pairs are joined; NaN if either is constant.

    It equals that of ``scipy.cluster.hierarchy.cophenet``, which needs six times the distances' memory; this
    needs O(N) beside them. Takes them condensed, shape (n_pairs,), and scipy's linkage.
    """
    n_frames = count_frames(condensed)
    if n_frames < 3:
        return float("nan")
    # In the order of the leaves, each subtree is an interval.
    leaves = hierarchy.leaves_list(linkage).astype(np.int64)
    place = np.empty(n_frames, np.int64)
    place[leaves] = np.arange(n_frames)
    parent = np.full(2 * n_frames - 1, -1, np.int64)
    start, stop = np.zeros(2 * n_frames - 1, np.int64), np.zeros(2 * n_frames - 1, np.int64)
    start[:n_frames], stop[:n_frames] = place, place + 1
    for merge, (first, second) in enumerate(linkage[:, :2].astype(np.int64)):
        node = n_frames + merge
        parent[first] = parent[second] = node
        start[node], stop[node] = min(start[first], start[second]), max(stop[first], stop[second])
    heights = np.ascontiguousarray(linkage[:, 2])
    moments = np.zeros(5)
    add_cophenetic_moments(condensed, leaves, parent, start, stop, heights, moments)
    n_pairs = condensed.shape[0]
    d, h, dd, hh, dh = moments / n_pairs
    spread = (dd - d * d) * (hh - h * h)
    return float((dh - d * h) / np.sqrt(spread)) if spread > 0 else float("nan")


def adjusted_rand(first: Labels, second: Labels) -> float:
    """Adjusted Rand index of two labellings of the same frames: 1 if alike, about 0 if by chance.

    References
    ----------
    Hubert, Arabie, J. Classif. 2 (1985) 193.
    """
    # A complex number stands for both labels.
    labels = first + 1j * second, first, second
    return adjusted_rand_of(*(np.unique(each, return_counts=True)[1] for each in labels))


def adjusted_rand_of(
    n_both: npt.NDArray[np.int64], n_first: npt.NDArray[np.int64], n_second: npt.NDArray[np.int64]
) -> float:
    """Return the `adjusted_rand` by how many frames have each pair of labels, and each label."""
    both, of_first, of_second, every = (
        float((counts * (counts - 1.0) / 2).sum()) for counts in (n_both, n_first, n_second, n_first.sum())
    )
    expected = of_first * of_second / every if every else 0.0
    most = (of_first + of_second) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)
