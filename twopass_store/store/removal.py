"""Clusterings taken out of a store, and distances that none uses any more."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, StageIncompleteError
from ..journal import Lock, hold, naming_writer
from .stage import discard, present_journal
from .store import Store, lock_folder, store_path

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
    """Remove a clustering with its labels, and the distances and trees that only it used.

    It can be stopped at any moment: the same call finishes it.

    Parameters
    ----------
    store
        Path of the store.
    name
        Name of the clustering.
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
        subsets, trees, own = _chosen(opened, name)
        for stage in own:
            # Before what it was made from is gone; its group tells until the end what that was.
            if (journal := present_journal(opened, stage, restart=True)) is not None:
                journal.reset()
        of_subsets = [stage for key in subsets for stage in _stages_of(opened, key)]
        discard(opened, *of_subsets, *trees)
        for key in subsets:
            opened.remove(f"subsets/{key}")
        discard(opened, *own)
    return RemoveResult(path, tuple(dict.fromkeys([*own, *trees, *of_subsets])))


def unused_subsets(store: Store) -> list[str]:
    """List the subsets that no clustering uses, by their keys."""
    used = {key for key, _ in _users(store, "clusterings")}
    return [key for key in _subsets(store) if key not in used]


def _chosen(store: Store, name: str | None) -> tuple[list[str], list[str], list[str]]:
    """Return what is to be removed: subsets, trees of others, and the stages of the clustering."""
    if name is None:
        return unused_subsets(store), [], []
    own = [f"{kind}-{name}" for kind in ("margin", "assign", "clustering")]
    known = {*store.stages(), *(f"clustering-{each}" for each in store.members("clusterings"))}
    if not known & {*own}:
        names = ", ".join(store.members("clusterings")) or "none"
        raise StageIncompleteError(f"{store.path} has no clustering {name!r} (there are: {names}).")
    group = f"clusterings/{name}"
    mine = _base(store, group) if store.has(group) else (None, None)
    others = {*_users(store, "clusterings", but=name), *_users(store, "scans")}
    key, tree = mine
    if key is None or mine in others:
        return [], [], own
    if key in {other for other, _ in others}:
        return [], [] if tree is None else [f"linkage-{key}-{tree}"], own
    return [key], [], own


def _users(store: Store, holder: str, *, but: str = "") -> Iterator[tuple[str | None, str | None]]:
    for name in store.members(holder):
        if name != but:
            yield _base(store, f"{holder}/{name}")


def _base(store: Store, group: str) -> tuple[str | None, str | None]:
    """Return the subset and the tree that a clustering or a scan was made from."""
    attrs = store.attrs(group)
    method, is_of_rows = attrs.get("linkage_method"), attrs.get("linkage_input") == "rows"
    return attrs.get("subset"), method and f"linkage_{method}{'_rows' if is_of_rows else ''}"


def _subsets(store: Store) -> list[str]:
    planned = (stage.partition("-") for stage in store.stages())
    return sorted({*store.members("subsets"), *(key for kind, _, key in planned if kind == "subset")})


def _stages_of(store: Store, key: str) -> Sequence[str]:
    """Return the stages of a subset, dependent ones first."""
    stages = store.stages()
    scans = [stage for stage in stages if stage.startswith(f"scan-{key}-")]
    trees = [stage for stage in stages if stage.startswith(f"linkage-{key}-")]
    return [*scans, *trees, f"subset-{key}"]
