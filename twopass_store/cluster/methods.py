"""The methods of the first pass: from the distances of a subset to its labels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ClusterConfig
from ..linkage import (
    choose_medoids,
    cut,
    gromos,
    link_in_place,
    link_rows,
    linkage_bytes,
    number_by_share,
    pairs_among,
)
from ..partition import n_pairs

__all__ = ["METHODS", "FirstPass", "Method", "Tree", "label_as", "link_as", "tree_input"]

Tree = NDArray[np.float64]
"""scipy's linkage, shape (n_frames − 1, 4)."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the first pass.

    Attributes
    ----------
    label
        Clusters frames by a config, their condensed distances (float32, nm) and the tree, if there is one.
        Returns labels, shape (n_frames,), from 1 without a gap and -1 for noise.
    n_bytes
        Memory that a config needs for so many frames on so many threads, distances included.
    makes_tree
        Whether the frames are linked before; the tree is kept, for other cuts.
    is_ordered
        Whether it numbers clusters by share itself, in the order in which leaders are then asked.
    """

    label: Callable[[ClusterConfig, NDArray[np.float32], Tree | None], NDArray[np.int32]]
    n_bytes: Callable[[ClusterConfig, int, int], int]
    makes_tree: bool = False
    is_ordered: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FirstPass:
    """A subset that was clustered.

    Attributes
    ----------
    labels
        Shape (n_subset,), from 1; -1 is noise.
    medoids
        Subset index of each cluster's medoid, shape (n_clusters,): of label 1 first.
    members
        Subset indices of the frames that aren't noise, shape (n_members,).
    distances
        Their condensed distances, float32, nm.
    """

    labels: NDArray[np.int32]
    medoids: NDArray[np.int64]
    members: NDArray[np.int64]
    distances: NDArray[np.float32]


def label_as(config: ClusterConfig, distances: NDArray[np.float32], tree: Tree | None) -> FirstPass:
    """Cluster a subset by the method of a config, whose number of clusters is known, and number the clusters.

    `distances` are condensed, float32; `tree` is that of `link_as`.
    """
    method = METHODS[config.method]
    labels = method.label(config, distances, tree)
    members = np.flatnonzero(labels > 0)
    if len(members) < len(labels):
        distances = pairs_among(distances, members)
    own = labels[members]
    medoids = choose_medoids(distances, own)
    if config.label_order == "share" and not method.is_ordered:
        own, medoids = number_by_share(own, medoids)
    labels[members] = own
    return FirstPass(labels, members[medoids], members, distances)


def link_as(config: ClusterConfig, distances: NDArray[Any], n_threads: int) -> Tree | None:
    """Link frames if the method makes a tree; destroys distances of the type `tree_input`."""
    if not METHODS[config.method].makes_tree:
        return None
    if config.linkage_input == "rows":
        return link_rows(distances, method=config.linkage, n_threads=n_threads)
    return link_in_place(np.asarray(distances, np.float64), method=config.linkage)


def tree_input(config: ClusterConfig) -> type[np.floating[Any]]:
    """Return the type of distances that needs no copy to be linked."""
    return np.float32 if config.linkage_input == "rows" else np.float64


def _cut(config: ClusterConfig, distances: NDArray[np.float32], tree: Tree | None) -> NDArray[np.int32]:
    assert tree is not None
    assert config.n_clusters != "auto"
    return cut(tree, n_clusters=config.n_clusters, cutoff=config.cutoff)


def _linkage_bytes(config: ClusterConfig, n_frames: int, n_threads: int) -> int:
    rows, itemsize = config.linkage_input == "rows", np.dtype(tree_input(config)).itemsize
    return linkage_bytes(n_frames, rows=rows, itemsize=itemsize, n_threads=n_threads)


def _gromos(config: ClusterConfig, distances: NDArray[np.float32], tree: Tree | None) -> NDArray[np.int32]:
    return gromos(distances, cutoff=config.cutoff or 0.0)[0]


def _gromos_bytes(config: ClusterConfig, n_frames: int, n_threads: int) -> int:
    return 4 * n_pairs(n_frames) + 100 * n_frames


METHODS = {
    "linkage": Method(_cut, _linkage_bytes, makes_tree=True),
    "gromos": Method(_gromos, _gromos_bytes, is_ordered=True),
}
