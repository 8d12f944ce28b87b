"""What the stored distances of the first pass look like: a map, a matrix, the top of the tree."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..condensed import iter_rows
from ..config import HEIGHT_IS_RMSD
from ..errors import ConfigError

__all__ = ["Dendrogram", "Map", "dendrogram", "distance_map", "evenly_spaced", "square_distances"]

N_POINTS = 1_500
"""Frames on a map, of which all pairwise distances are read."""


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Frames in a plane, as far apart as their RMSDs as nearly as a plane can show.

    `shown_share` is the share of the variance of all dimensions with positive eigenvalues that these two
    hold.
    """

    xy: NDArray[np.float64]  # shape (n_points, 2), nm
    frame: NDArray[np.int64]  # of the store
    label: NDArray[np.int32]  # of the first pass
    shown_share: float


@dataclass(frozen=True, slots=True, eq=False)
class Dendrogram:
    """The merges of clusters, above the cut.

    `x` and `height` are the corners of each merge, shape (n_merges, 4), as scipy draws them: leaf k stands at
    10 k + 5.
    """

    x: NDArray[np.float64]
    height: NDArray[np.float64]
    label: NDArray[np.int32]  # of each leaf, from left to right
    n_frames: NDArray[np.int64]  # of the subset, of each leaf
    is_rmsd: bool  # whether heights are RMSDs in nm


def evenly_spaced(results: xr.Dataset, n_frames: int) -> NDArray[np.int64]:
    """Return indices along ``subset``; raises a `ConfigError` if the subset has no distances."""
    if "rmsd" not in results:
        if "subset" in results.attrs:
            raise ConfigError("This is a clustering of all frames, which stores no distances between them.")
        raise ConfigError(
            "The leaders of this clustering are structures from outside: it has no distances of a first pass."
        )
    size = results.sizes["subset"]
    return np.unique(np.linspace(0, size - 1, min(size, n_frames)).astype(np.int64))


def square_distances(results: xr.Dataset, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the RMSDs of some subset frames as a square matrix, shape (n_rows, n_rows), nm.

    `rows` are indices along ``subset``, ascending.
    """
    square = np.zeros((len(rows), len(rows)), np.float32)
    place_of = {row: place for place, row in enumerate(rows.tolist())}
    for row, distances in iter_rows(results["rmsd"]):
        place = place_of.get(row, len(rows))
        # A row begins with the distance to the next frame.
        square[place : place + 1, place + 1 :] = distances[rows[place + 1 :] - row - 1]
    return square + square.T


def distance_map(results: xr.Dataset, *, n_points: int = N_POINTS) -> Map:
    """Lay subset frames out in a plane by classical multidimensional scaling of their stored RMSDs.

    Of a larger subset, `n_points` evenly spaced frames are taken, and the medoids. Torgerson, Psychometrika
    17, 401 (1952).
    """
    from scipy.linalg import eigh

    rows, frame = evenly_spaced(results, n_points), results["subset_frame"].values
    medoids = results["medoid_frame"].values[: results.attrs["n_clusters_found"]]
    rows = np.union1d(rows, np.searchsorted(frame, medoids))
    squares = square_distances(results, rows).astype(np.float64) ** 2
    means = squares.mean(axis=0)
    gram = -0.5 * (squares - means - means[:, np.newaxis] + means.mean())
    n_kept = min(2, len(rows))
    values, vectors = eigh(gram, subset_by_index=(len(rows) - n_kept, len(rows) - 1))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    # The sign of an eigenvector is arbitrary.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(n_kept)])
    xy = np.zeros((len(rows), 2))
    xy[:, :n_kept] = vectors * np.sqrt(values)
    return Map(
        xy=xy,
        frame=frame[rows],
        label=results["subset_label"].values[rows],
        # The trace is the sum of all eigenvalues; negative ones, of RMSDs that no plane can show, are few.
        shown_share=float(min(1.0, values.sum() / max(np.trace(gram), 1e-300))),
    )


def dendrogram(results: xr.Dataset, *, n_leaves: int | None = None) -> Dendrogram:
    """Return the topmost merges of the tree, by default those of the clusters of the cut."""
    from scipy.cluster import hierarchy

    if "linkage" not in results:
        raise ConfigError("This clustering has no tree: it wasn't made by linkage.")
    tree, labels = results["linkage"].values, results["subset_label"].values
    size = len(labels)
    shown = max(2, min(n_leaves or int(results.attrs["n_clusters_found"]), size))
    drawn: Any = hierarchy.dendrogram(tree, truncate_mode="lastp", p=shown, no_plot=True)
    leaves = np.array(drawn["leaves"])
    n_frames = np.array([1 if leaf < size else int(tree[leaf - size, 3]) for leaf in leaves])
    x, height = np.array(drawn["icoord"]), np.array(drawn["dcoord"])
    is_rmsd = (
        results.attrs["linkage_input"] == "condensed" and results.attrs["linkage_method"] in HEIGHT_IS_RMSD
    )
    return Dendrogram(
        x, height, labels[[_member(tree, int(leaf), size) for leaf in leaves]], n_frames, is_rmsd
    )


def _member(tree: NDArray[np.float64], node: int, size: int) -> int:
    """Return one subset frame below a node."""
    while node >= size:
        node = int(tree[node - size, 0])
    return node
