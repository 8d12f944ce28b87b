"""Another cut of a tree that is there."""

import os
from typing import Unpack

from ..config import ClusterConfig, RecutConfig, RecutOptions, validated
from ..errors import ConfigError
from ..journal import Lock, naming_writer
from ..progress import Progress, Silent
from ..store import Store, chosen_clustering, lock_folder, require_clustering, store_path
from .stage import ClusterResult, make_clustering

__all__ = ["recut_clustering"]


def recut_clustering(
    store: str | os.PathLike[str],
    *,
    new_name: str,
    restart: bool = False,
    break_lock: bool = False,
    progress: Progress | None = None,
    **options: Unpack[RecutOptions],
) -> ClusterResult:
    """Cut the tree of a clustering elsewhere, as a clustering of another name; no distance is computed.

    Parameters
    ----------
    store
        Path of the store.
    new_name
        Name of the new clustering.
    restart
        Discard a clustering of the new name with its labels, and cut again.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.
    progress
        Progress reporter.
    **options
        See `RecutConfig`.

    Raises
    ------
    StageIncompleteError
        If there is no finished clustering of that name.
    ConfigError
        If a parameter doesn't fit.
    StoreError
        If the store is missing, damaged or locked, can't be written, or has a clustering of the new name
        with other parameters.
    """
    asked = validated(RecutConfig, options)
    n_clusters, cutoff = asked.n_clusters, asked.cutoff
    path = store_path(store)
    with naming_writer(
        lock_folder(path), Lock(f"clustering-{asked.name or 'default'}"), break_lock=break_lock
    ):
        opened = Store.open(path)
        name = chosen_clustering(opened, asked.name, beside=new_name)
        base = require_clustering(opened, name)
    if new_name == name:
        raise ConfigError(
            f"The new cut needs a name of its own, not {name!r} as well: give another `new_name`."
        )
    if (n_clusters is None) == (cutoff is None):
        raise ConfigError("Where to cut the tree? Give either `n_clusters` or `cutoff`.")
    cut_at = {**asked.model_dump(), "cutoff": cutoff, "name": new_name}
    config = validated(ClusterConfig, {**base.plan.request, **cut_at})
    progress = progress or Silent()
    if not config.all_frames:
        progress.note(f"from the distances of clustering {name}")
    return make_clustering(path, config, restart=restart, break_lock=break_lock, progress=progress, like=name)
