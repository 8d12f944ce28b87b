"""Was the stride of the first pass fine enough? The same cut of every 2nd and 4th frame of its subset."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..cluster.methods import METHODS, link_as
from ..condensed import Condensed, iter_rows
from ..config import ClusterConfig, validated
from ..errors import ConfigError
from ..executors import PROCESS_BYTES, memory_budget, require_within
from ..linkage import adjusted_rand
from ..partition import PAIR_CHUNK, n_pairs
from ..store import StoredRows, require_clustering
from .columns import Clusters, Variables, described

__all__ = ["first_pass_at_strides"]

FACTORS = (1, 2, 4)
"""Strides compared, in units of the first pass's own."""


def first_pass_at_strides(clusters: Clusters) -> Variables:
    """Cluster every 2nd and every 4th frame of the subset as the first pass did, on the stored distances.

    Strides that leave too few frames to cluster are left out. Clusters are matched one to one such that most
    frames agree; the share is NaN if no cluster stands for one of the first pass.
    """
    if clusters.subset is None:
        raise ConfigError(
            f"The leaders of {clusters.name} are structures from outside: without a subset, no stride can be "
            "too coarse. Leave out --convergence."
        )
    if clusters.distances is None:
        raise ConfigError(
            f"{clusters.name} is of all frames that there were, without a stride, and stores no distances to "
            "compare others by. Leave out --convergence."
        )
    labels, asked = clusters.subset_label, clusters.clustering["n_clusters_asked"]
    request = require_clustering(clusters.store, clusters.name).plan.request
    config = validated(ClusterConfig, {**request, "n_clusters": asked})
    n_subset, n_half = len(labels), -(-len(labels) // 2)
    needed = 4 * n_pairs(n_half) + METHODS[config.method].n_bytes(config, n_half, 1)
    needed += PROCESS_BYTES + 12 * PAIR_CHUNK + 32 * n_subset
    budget = memory_budget(clusters.config.memory)
    require_within(budget, needed, stage="summary --convergence", mend="Or leave out --convergence.")
    condensed = StoredRows(clusters.store, clusters.distances)
    strides, sizes, n_clusters, rand, shares = [], [], [], [], []
    for factor in FACTORS:
        first = labels[::factor]
        if len(first) < max(2, asked or 2):
            break
        own = first if factor == 1 else _labelled(condensed, n_subset, factor, _thinned(config, factor))
        strides.append(clusters.store.attrs(clusters.subset)["stride"] * factor)
        sizes.append(len(first))
        n_clusters.append(max(0, int(own.max())))
        rand.append(adjusted_rand(first, own))
        shares.append(_matched_shares(first, own, clusters.n_clusters))
    about_rand = "adjusted Rand index with the labels at the smallest stride"
    about_share = "share of these frames in the cluster that stands for this one"
    return {
        "stride": described("stride", strides, "frame", "stride of the first pass"),
        "stride_n_subset_frames": described("stride", sizes, "1", "frames clustered"),
        "stride_n_clusters": described("stride", n_clusters, "1", "clusters found"),
        "stride_adjusted_rand": described("stride", rand, "1", about_rand),
        "stride_share": described(("stride", "cluster"), np.array(shares), "1", about_share),
    }


def _thinned(config: ClusterConfig, factor: int) -> ClusterConfig:
    """Ask for the same of every nth frame: clusters keep their shares, and have fewer frames."""
    fewer = {"min_cluster_size": max(2, config.min_cluster_size // factor)}
    if config.min_samples is not None:
        fewer["min_samples"] = max(1, config.min_samples // factor)
    return config.model_copy(update=fewer)


def _matched_shares(
    first: NDArray[np.int32], second: NDArray[np.int32], n_clusters: int
) -> NDArray[np.float64]:
    """Shares of the second's clusters by the first's labels, shape (n_clusters,)."""
    table = np.zeros((n_clusters + 1, max(0, int(second.max())) + 1), np.int64)
    inside = (first > 0) & (second > 0)
    np.add.at(table, (first[inside], second[inside]), 1)
    sizes = np.bincount(second[second > 0], minlength=table.shape[1])
    label, other = linear_sum_assignment(table, maximize=True)
    shares = np.full(n_clusters + 1, np.nan)
    shares[label] = np.where(table[label, other] > 0, sizes[other] / len(second), np.nan)
    return shares[1:]


def _labelled(condensed: Condensed, n_subset: int, factor: int, config: ClusterConfig) -> NDArray[np.int32]:
    """Cluster every nth frame."""
    kept = np.empty(n_pairs(-(-n_subset // factor)), np.float32)
    filled = 0
    for index, row in iter_rows(condensed):
        if index % factor == 0:
            part = row[factor - 1 :: factor]
            kept[filled : filled + len(part)] = part
            filled += len(part)
    return METHODS[config.method].label(config, kept, link_as(config, kept, 1))
