"""`compare_labels`: how a clustering agrees with one that another program made of the same frames."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import CompareConfig, expanded, validated
from ..errors import ConfigError, StageIncompleteError
from ..partition import FrameRange
from ..store import Store, at_one_state, only_clustering, store_path
from .label_file import read_labels

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["compare_labels"]

MAX_CELLS = 4_000_000
"""Of the confusion table; a larger one comes from a column that doesn't hold clusters."""

MAX_PAIRS = 500_000
"""Distinct pairs of labels; likewise."""


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
        The clustering; may be left out where there is only one.
    column
        Column of the labels, from 1; by default the last.

    Returns
    -------
    The confusion table ``n_frames`` along ``label`` and ``other_label``, each in order of population, with -1
    for frames without a label last. Its attribute ``adjusted_rand`` is the adjusted Rand index over the
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
    path, file = store_path(store), expanded(other)
    chosen = config.name or only_clustering(Store.open(path))
    return at_one_state(path, lambda: _compare(Store.open(path), chosen, file, config.column), name=chosen)


def _compare(opened: Store, name: str, path: Path, column: int | None) -> "xr.Dataset":
    # scipy and xarray take a while to import.
    import xarray as xr

    from ..linkage import rand_index

    if not opened.is_complete(f"clusterings/{name}/label"):
        raise StageIncompleteError(
            f"{opened.path}: assign has not finished for {name!r}. "
            f"Run `twopass assign {opened.path} --name {name}`."
        )
    pairs = _count_pairs(opened, name, path, column)
    n_labels, n_other = (len(pairs.index.unique(level)) for level in (0, 1))
    if n_labels * n_other > MAX_CELLS:
        raise ConfigError(
            f"{path} has {n_other:,} different labels: is that the column of clusters? Name another --column."
        )
    table = pairs.unstack(fill_value=0)
    n_clusters = opened.shape(f"clusterings/{name}/medoid_frame")[0]
    table = table.reindex(index=table.index.union([*range(1, n_clusters + 1), -1]), fill_value=0)
    table = table.reindex(columns=table.columns.union([-1]), fill_value=0)
    table = table.loc[_by_population(table.sum(axis=1)), _by_population(table.sum(axis=0))]
    both = table.iloc[:-1, :-1].to_numpy(np.int64)
    return xr.Dataset(
        {
            "n_frames": (
                ("label", "other_label"),
                table.to_numpy(np.int64),
                {"units": "1", "long_name": "frames with both labels"},
            )
        },
        coords={
            "label": ("label", table.index, {"units": "1", "long_name": "label here, -1 for none"}),
            "other_label": (
                "other_label",
                table.columns,
                {"units": "1", "long_name": "label in the file, -1 for none"},
            ),
        },
        attrs={
            "store": str(opened.path),
            "clustering": name,
            "other": str(path),
            "adjusted_rand": rand_index(both) if both.any() else np.nan,
            "adjusted_rand_all": rand_index(table.to_numpy(np.int64)),
        },
    )


def _count_pairs(store: Store, name: str, path: Path, column: int | None) -> "pd.Series[int]":
    """Count frames by both labels, block by block; -1 stands for none."""
    import pandas as pd

    n_frames = store.shape("position")[0]
    counts: pd.Series[int] | None = None
    start = 0
    for theirs in read_labels(path, column=column, times=lambda: store.read("time")):
        stop = start + len(theirs)
        if stop <= n_frames:
            label = store.read(f"clusterings/{name}/label", FrameRange(start, stop)).astype(np.int64)
            found = pd.DataFrame({"label": label, "other_label": np.maximum(theirs, -1)}).value_counts()
            counts = found if counts is None else counts.add(found, fill_value=0).astype(np.int64)
            if len(counts) > MAX_PAIRS:
                raise ConfigError(
                    f"{path} and {name} have more than {MAX_PAIRS:,} different pairs of labels: is that the "
                    "column of clusters? Name another --column."
                )
        start = stop
    if start != n_frames or counts is None:
        raise ConfigError(
            f"{path} has labels of {start:,} frames, and {store.path} has {n_frames:,} frames. Give those of "
            "all frames of the store, in its order: with another stride or other files, they can't be "
            "compared frame by frame."
        )
    return counts


def _by_population(totals: "pd.Series[int]") -> list[int]:
    """Return the labels, the most frequent first, and -1 last."""
    return sorted(totals.index, key=lambda label: (label < 0, -totals[label], label))
