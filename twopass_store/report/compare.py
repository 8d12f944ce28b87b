"""`compare_labels`: how a clustering agrees with one that another program made of the same frames."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import CompareConfig, expanded, validated
from ..errors import ConfigError
from ..store import Store, at_one_state, chosen_clustering, read_leaders, store_path
from .columns import described, finished_assign
from .label_file import read_labels
from .runs import frame_chunks

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["compare_labels"]

MAX_CELLS = 4_000_000
"""Of the confusion table; a larger one comes from a column that doesn't hold clusters."""


def compare_labels(
    store: str | os.PathLike[str],
    other: str | os.PathLike[str],
    name: str | None = None,
    *,
    column: int | None = None,
) -> "xr.Dataset":
    """Compare the labels of a finished assign with those in a file.

    Parameters
    ----------
    store
        Path of the store.
    other
        One label for each frame of the store, in its order: cpptraj's cluster number against time, gmx
        cluster's ``clid.xvg`` or log, or a column of integers. Negative labels mean none.
    name
        The clustering, by default ``default``, or the only one.
    column
        Column of the labels, from 1; by default the last.

    Returns
    -------
    The confusion table ``n_frames`` along ``label`` and ``other_label``, each ascending, with -1 for frames
    without a label last. Its attribute ``adjusted_rand`` is the adjusted Rand index over the
    frames with a label on both sides: 1 where the two agree but for names, about 0 where they agree by
    chance, NaN where there are no such frames. ``adjusted_rand_all`` is over all frames, those without a
    label taken as one more cluster.

    Raises
    ------
    StageIncompleteError
        If assign has not finished.
    ConfigError
        If the file can't be read, or doesn't have one label for each frame.
    """
    config = validated(CompareConfig, {"name": name, "column": column})
    path, file = store_path(store, reads=True), expanded(other)
    return at_one_state(path, lambda: _compare(Store.open(path), file, config), name=config.name)


def _compare(store: Store, path: Path, config: CompareConfig) -> "xr.Dataset":
    # These take a while to import.
    import xarray as xr

    from ..linkage import adjusted_rand_of

    name = chosen_clustering(store, config.name)
    finished_assign(store, name)
    path_of_labels = f"clusterings/{name}/label"
    (n_frames,) = store.shape(path_of_labels)
    theirs = read_labels(path, column=config.column, times=lambda: store.read("time"))
    if len(theirs) != n_frames:
        raise ConfigError(
            f"{path} has labels of {len(theirs):,} frames, and {store.path} has {n_frames:,} frames. Give "
            "those of all frames of the store, in its order: with another stride or other files, they can't "
            "be compared frame by frame."
        )
    others = np.unique(theirs)
    others = others[others >= 0]
    n_clusters = read_leaders(store, name).n_clusters
    if n_clusters * len(others) > MAX_CELLS:
        raise ConfigError(
            f"{path} has {len(others):,} different labels: is that the column of clusters? Name another "
            "--column."
        )
    # Frames without a label come last.
    table = np.zeros((n_clusters + 1, len(others) + 1), np.int64)
    for frames in frame_chunks(n_frames):
        label, other = store.read(path_of_labels, frames), theirs[frames.start : frames.stop]
        row = np.where(label < 0, n_clusters, label - 1)
        np.add.at(table, (row, np.where(other < 0, len(others), np.searchsorted(others, other))), 1)
    rand, rand_all = (
        adjusted_rand_of(counts, counts.sum(axis=1), counts.sum(axis=0))
        for counts in (table[:-1, :-1], table)
    )
    ours, others = np.append(np.arange(1, n_clusters + 1), -1), np.append(others, -1)
    about_ours, about_others = "label here, -1 for none", "label in the file, -1 for none"
    return xr.Dataset(
        {"n_frames": described(("label", "other_label"), table, "1", "frames with both labels")},
        coords={
            "label": described("label", ours, "1", about_ours),
            "other_label": described("other_label", others, "1", about_others),
        },
        attrs={
            "store": str(store.path),
            "clustering": name,
            "other": str(path),
            "adjusted_rand": rand if table[:-1, :-1].any() else np.nan,
            "adjusted_rand_all": rand_all,
        },
    )
