"""What sizes and values of our arrays must be for who computes with them.

A store may come from a stranger, whose digests fit. Kernels index by what is stored and check nothing, so
that a label or a frame out of range would have them read, or write, outside of their arrays.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptChunkError
from ..partition import n_pairs
from ..schema import LABEL_STATUS

__all__ = ["REFERENCES", "check_size", "check_values"]

REFERENCES = {
    "frame": "position",
    "atom": "position",
    "trajectory_file": "trajectory_path",
    "simulation_run": "run_label",
    "subset": "subset_frame",
    "pair": "subset_frame",
    "merge": "subset_frame",
    "leader": "leader_frame",
    "cluster": "medoid_frame",
    "selected_atom": "selected_atom_index",
    "align_atom": "align_atom_index",
    "confusion": "confused_label",
    "cut": "n_clusters",
}
"""The array that says how long each dimension is: of the root, or of the same group."""

# The largest value is one less than the size along a dimension, or what the second number adds to that.
_BELOW = {
    "trajectory": ("trajectory_file", 0),
    "run": ("simulation_run", 0),
    "selected_atom_index": ("atom", 0),
    "align_atom_index": ("atom", 0),
    "subset_frame": ("frame", 0),
    "leader_frame": ("frame", 0),
    "medoid_frame": ("frame", 0),
    "leader_index": ("leader", 0),
    "subset_label": ("clusters", 1),
    "leader_label": ("clusters", 1),
    "label": ("clusters", 1),
    "second_label": ("clusters", 1),
    "confused_label": ("clusters", 1),
    "confused_with": ("clusters", 1),
}
# What a finished array can't have, as -1 stands for nothing.
_LEAST = {
    "trajectory": 0,
    "source_frame": 0,
    "selected_atom_index": 0,
    "align_atom_index": 0,
    "subset_frame": 0,
    "medoid_frame": 0,
    "subset_label": 1,
    "leader_label": 1,
    "confused_label": 1,
    "confused_with": 1,
    "n_confused": 0,
    "trajectory_n_frames": 0,
    "trajectory_size": 0,
}
_ASCENDING = ("subset_frame", "selected_atom_index", "align_atom_index")


def check_size(path: str, dim: str, size: int, reference: int) -> None:
    """Raise `CorruptChunkError` unless an array is as long as the array of reference says.

    Parameters
    ----------
    path
        The array.
    dim, size
        A dimension of it, and its size.
    reference
        Size of the array of reference along its own dimension.
    """
    expected = {"pair": n_pairs(reference), "merge": max(0, reference - 1)}.get(dim, reference)
    if size != expected:
        raise _damaged(path, f"it has {size:,} elements along {dim}, where there are {expected:,}")


def check_values(
    path: str, values: NDArray[Any], *, is_complete: bool, size_of: Callable[[str], int]
) -> None:
    """Raise `CorruptChunkError` if an array, or a part of it, holds what its meaning excludes.

    Parameters
    ----------
    path
        The array.
    values
        What was read of it.
    is_complete
        Whether nothing is missing, so that no value stands for nothing.
    size_of
        Returns the size along a dimension, and of ``clusters`` how many there are.
    """
    name = path.rpartition("/")[2]
    if values.size == 0:
        return
    if name.startswith("linkage_"):
        _check_tree(path, values, is_complete=is_complete)
        return
    if values.dtype.kind not in "iu":
        return
    least, most = int(values.min()), int(values.max())
    if least < (_LEAST.get(name, -1) if is_complete else -1):
        raise _damaged(path, f"it holds {least}")
    if name == "label_status" and most > max(LABEL_STATUS.values()):
        raise _damaged(path, f"it holds {most}")
    if name in _BELOW:
        dim, more = _BELOW[name]
        limit = size_of(dim) + more
        if most >= limit:
            raise _damaged(path, f"it holds {most}, and there are {limit - more} of what it counts")
    if name in _ASCENDING and is_complete and (np.diff(values) <= 0).any():
        raise _damaged(path, "its values don't ascend")


def _check_tree(path: str, tree: NDArray[np.float64], *, is_complete: bool) -> None:
    if not is_complete:
        return
    n_leaves = len(tree) + 1
    joined, heights, counts = tree[:, :2], tree[:, 2], tree[:, 3]
    known = n_leaves + np.arange(len(tree))[:, None]
    with np.errstate(invalid="ignore"):
        is_tree = (joined >= 0) & (joined < known) & (joined == np.floor(joined))
        is_counted = (counts >= 2) & (counts <= n_leaves)
    is_once = len(np.unique(joined)) == joined.size
    if not (is_tree.all() and is_counted.all() and is_once and np.isfinite(heights).all()):
        raise _damaged(path, "it is no tree")


def _damaged(path: str, problem: str) -> CorruptChunkError:
    return CorruptChunkError(
        f"{path} is damaged: {problem}. The store isn't as twopass-store writes it; copy it again whole, or "
        "make it anew."
    )
