"""The methods of the first pass: from the distances of a subset to its labels."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import ClusterConfig
from ..errors import ConfigError
from ..linkage import (
    choose_medoids,
    cut,
    gromos,
    hdbscan,
    hdbscan_bytes,
    kmedoids,
    kmedoids_bytes,
    link_in_place,
    link_rows,
    linkage_bytes,
    number_by_share,
)
from ..partition import n_pairs

__all__ = ["METHODS", "FirstPass", "Method", "Tree", "label_as", "link_as", "require_package", "tree_input"]

Tree = NDArray[np.float64]
"""scipy's linkage, shape (n_frames − 1, 4)."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the first pass.

    `label` clusters frames by a config, their condensed distances (float32, nm) and the tree, if there is
    one: it returns labels, shape (n_frames,), from 1 without a gap and -1 for noise. `n_bytes` is the memory
    that a config needs for so many frames on so many threads, distances included.
    """

    label: Callable[[ClusterConfig, NDArray[np.float32], Tree | None], NDArray[np.int32]]
    n_bytes: Callable[[ClusterConfig, int, int], int]
    makes_tree: bool = False  # the tree is kept, for other cuts
    is_ordered: bool = False  # numbers clusters by share itself; leaders are asked in that order
    package: str | None = None  # that must be installed


@dataclass(frozen=True, slots=True, eq=False)
class FirstPass:
    """A subset that was clustered."""

    labels: NDArray[np.int32]  # shape (n_subset,), from 1; -1 is noise
    medoids: NDArray[np.int64]  # subset index for each label from 1


def label_as(config: ClusterConfig, distances: NDArray[np.float32], tree: Tree | None) -> FirstPass:
    """Cluster a subset by the method of a config, whose number of clusters is known, and number the clusters.

    `distances` are condensed, float32; `tree` is that of `link_as`. Raises a `ConfigError` if all is noise.
    """
    method = METHODS[config.method]
    labels = method.label(config, distances, tree)
    if labels.max() < 1:
        raise ConfigError(
            f"Method {config.method} found no cluster of {config.min_cluster_size} frames: all {len(labels)} "
            "frames are noise. Use a smaller --min-cluster-size or --min-samples. The distances are kept."
        )
    medoids = choose_medoids(distances, labels)
    if config.label_order == "share" and not method.is_ordered:
        labels, medoids = number_by_share(labels, medoids)
    return FirstPass(labels, medoids)


def require_package(config: ClusterConfig) -> None:
    """Raise a `ConfigError` if the method of a config needs a package that isn't there."""
    package = METHODS[config.method].package
    try:
        if package is not None:
            distribution(package)
    except PackageNotFoundError:
        raise ConfigError(
            f"Method {config.method} needs {package}, which isn't installed: pip install {package}"
        ) from None


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
    return linkage_bytes(n_frames, rows=config.linkage_input == "rows", n_threads=n_threads)


def _gromos(config: ClusterConfig, distances: NDArray[np.float32], tree: Tree | None) -> NDArray[np.int32]:
    return gromos(distances, cutoff=config.cutoff or 0.0)[0]


def _hdbscan(config: ClusterConfig, distances: NDArray[np.float32], tree: Tree | None) -> NDArray[np.int32]:
    size, samples = config.min_cluster_size, config.min_samples
    return hdbscan(distances, min_cluster_size=size, min_samples=samples)


def _kmedoids(config: ClusterConfig, distances: NDArray[np.float32], tree: Tree | None) -> NDArray[np.int32]:
    assert isinstance(config.n_clusters, int)
    return kmedoids(distances, n_clusters=config.n_clusters, seed=config.seed)[0]


METHODS = {
    "linkage": Method(_cut, _linkage_bytes, makes_tree=True),
    "gromos": Method(
        _gromos, lambda _, n_frames, __: 4 * n_pairs(n_frames) + 100 * n_frames, is_ordered=True
    ),
    "hdbscan": Method(_hdbscan, lambda _, n_frames, __: hdbscan_bytes(n_frames), package="scikit-learn"),
    "kmedoids": Method(_kmedoids, lambda _, n_frames, __: kmedoids_bytes(n_frames), package="kmedoids"),
}
