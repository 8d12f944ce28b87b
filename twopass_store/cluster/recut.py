"""Another cut of a tree that is there."""

import os

from ..config import ClusterConfig, validated
from ..errors import ConfigError, StageIncompleteError
from ..journal import Lock, StageJournal, naming_writer
from ..progress import Progress, Silent
from ..store import Store, check_name, lock_folder, only_clustering, store_path
from .stage import ClusterResult, make_clustering

__all__ = ["recut_clustering"]


def recut_clustering(
    store: str | os.PathLike[str],
    *,
    name: str | None = None,
    new_name: str,
    n_clusters: int | str | None = None,
    cutoff: float | str | None = None,
    memory: int | str | None = None,
    workers: int | None = None,
    restart: bool = False,
    break_lock: bool = False,
    progress: Progress | None = None,
) -> ClusterResult:
    """Cut the tree of a clustering elsewhere, as a clustering of another name; no distance is computed.

    Parameters
    ----------
    store
        Path of the store.
    name
        The clustering whose subset, distances, tree and way to choose leaders are taken; may be left out
        where there is only one beside the new one.
    new_name
        Name of the new one.
    n_clusters, cutoff
        Where to cut: how many clusters, or at what height (nm, or ``"2A"``). One of them; for a clustering
        by gromos, the cutoff.
    memory, workers, restart, break_lock, progress
        As in `cluster_subset`.

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
    path = store_path(store)
    with naming_writer(lock_folder(path), Lock(f"clustering-{name or 'default'}"), break_lock=break_lock):
        opened = Store.open(path)
        name = name or _other_clustering(opened, new_name)
        base = _base(opened, name)
    if check_name(new_name) == name:
        raise ConfigError(f"The new cut needs a name of its own, not {name!r} as well: give another (--as).")
    if (n_clusters is None) == (cutoff is None):
        raise ConfigError("Where to cut the tree? Give either --n-clusters K or --cutoff LENGTH.")
    cut_at = {"name": new_name, "n_clusters": n_clusters, "cutoff": cutoff}
    config = validated(ClusterConfig, {**base.plan.request, **cut_at, "memory": memory, "workers": workers})
    progress = progress or Silent()
    return make_clustering(path, config, restart=restart, break_lock=break_lock, progress=progress, like=name)


def _other_clustering(store: Store, new_name: str) -> str:
    """Return the name of the only clustering beside the new one, which an earlier call may have begun."""
    others = [name for name in store.members("clusterings") if name != new_name]
    return others[0] if len(others) == 1 else only_clustering(store)


def _base(store: Store, name: str) -> StageJournal:
    base = store.journal(f"clustering-{name}")
    if base is None or not base.complete:
        known = ", ".join(store.members("clusterings")) or "none"
        raise StageIncompleteError(
            f"{store.path} has no finished clustering {name!r} to cut anew (there are: {known}). "
            f"Run `twopass cluster {store.path} --name {name} --n-clusters K` first."
        )
    return base
