"""Clusterings taken out of a store, and distances that none uses any more."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, StageIncompleteError
from ..journal import Lock, hold, naming_writer
from .places import clustering_stages, lock_folder
from .stage import discard
from .store import Store, store_path

__all__ = ["RemoveResult", "remove_clustering", "unused_subsets"]


@dataclass(frozen=True, slots=True)
class RemoveResult:
    """What was taken out of a store.

    Attributes
    ----------
    store
        Path of the store.
    stages
        Names of the journals that went, with all that these stages made.
    """

    store: Path
    stages: tuple[str, ...]


def remove_clustering(
    store: str | os.PathLike[str], name: str | None = None, *, unused: bool = False, break_lock: bool = False
) -> RemoveResult:
    """Remove a clustering with its labels; its distances and tree stay, or remove those that none uses.

    It can be stopped at any moment: the same call finishes it.

    Parameters
    ----------
    store
        Path of the store.
    name
        Name of the clustering. Another of the same distances can be made in seconds.
    unused
        Remove the distances that no clustering uses, with their trees and scans, instead.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.

    Raises
    ------
    ConfigError
        If neither a name is given nor `unused`, or both.
    StageIncompleteError
        If there is no such clustering.
    StoreError
        If the store is locked, or can't be written.
    """
    if (name is None) != unused:
        raise ConfigError("Give the `name` of a clustering, or `unused` for distances that none uses.")
    path = store_path(store)
    with naming_writer(lock_folder(path), Lock("ingest"), break_lock=break_lock):
        _chosen(Store.open(path), name)
    with hold(lock_folder(path), [Lock("ingest")], break_lock=break_lock) as writer:
        opened = Store.open(path, writer=writer)
        subsets, stages = _chosen(opened, name)
        present = opened.stages()
        discard(opened, *stages)
        for key in subsets:
            opened.remove(f"subsets/{key}")
    return RemoveResult(path, tuple(stage for stage in stages if stage in present))


def unused_subsets(store: Store) -> list[str]:
    """List the subsets that no clustering uses, by their keys."""
    used = {store.attrs(f"clusterings/{name}").get("subset") for name in store.members("clusterings")}
    planned = (stage.partition("-") for stage in store.stages())
    subsets = {*store.members("subsets"), *(key for kind, _, key in planned if kind == "subset")}
    return sorted(subsets - used)


def _chosen(store: Store, name: str | None) -> tuple[list[str], list[str]]:
    """Return the subsets to be removed and the stages, dependent ones first."""
    stages = store.stages()
    if name is None:
        subsets = unused_subsets(store)
        found = [
            stage
            for key in subsets
            for start in (f"scan-{key}-", f"linkage-{key}-", f"subset-{key}")
            for stage in stages
            if stage.startswith(start)
        ]
        return subsets, found
    own = [*reversed(clustering_stages(name)), f"neighbours-{name}"]
    names = store.members("clusterings")
    if name not in names and not {*stages} & {*own}:
        listed = ", ".join(names) or "none"
        raise StageIncompleteError(f"{store.path} has no clustering {name!r} (there are: {listed}).")
    return [], own
