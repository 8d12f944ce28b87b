"""How far each stage of a store is."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..assign import frames_left
from ..errors import CorruptChunkError
from ..journal import StageJournal
from ..schema import FORMAT_VERSION
from ..store import (
    GROWTH,
    OF_A_CLUSTERING,
    Store,
    at_one_state,
    folder_sizes,
    read_leaders,
    store_path,
    unused_subsets,
)
from .next_commands import next_command

__all__ = ["StageStatus", "StoreStatus", "store_status"]


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage, or one persisted step of it.

    Attributes
    ----------
    stage
        Name of its journal, such as ``assign-default``.
    complete
        Whether it has finished.
    units_done, units
        Units of work that are committed, and all of them.
    parameters
        What determines its result.
    size_bytes
        What its arrays take on disk.
    """

    stage: str
    complete: bool
    units_done: int
    units: int
    parameters: Mapping[str, Any]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What is in a store.

    Attributes
    ----------
    path, format_version
        The store.
    n_frames, n_atoms, n_trajectories
        What ingest plans to hold, or holds.
    time_source
        ``file``, ``user`` or ``index``.
    size_bytes
        All of it on disk.
    stages
        In the order of the pipeline.
    files
        Paths of the source files; none before ingest has finished, or if they are damaged.
    selection
        Atoms that were kept, as asked for; empty for all.
    clusterings
        Attributes of each clustering that has finished its first pass.
    clustering_bytes
        What each of them takes on disk, without the distances and the tree.
    n_frames_without_label
        Frames that each clustering's second pass hasn't come to, such as those appended since; only where
        it was begun and there are any.
    unused_subsets
        What the distances take on disk, with their trees, that no clustering uses, by the subset's key.
    next_command
        What to run next.
    """

    path: str
    format_version: int
    n_frames: int
    n_atoms: int
    n_trajectories: int
    time_source: str
    size_bytes: int
    stages: tuple[StageStatus, ...]
    files: tuple[str, ...]
    selection: str
    clusterings: Mapping[str, Mapping[str, Any]]
    clustering_bytes: Mapping[str, int]
    n_frames_without_label: Mapping[str, int]
    unused_subsets: Mapping[str, int]
    next_command: str


_ORDER = ("ingest", "subset", "linkage", "scan", "neighbours", *OF_A_CLUSTERING)


def store_status(store: str | os.PathLike[str]) -> StoreStatus:
    """Look at a store, finished or not.

    Raises
    ------
    StoreNotFoundError
        If there is none.
    FormatVersionError
        If it is of another format.
    """
    path = store_path(store, reads=True)
    return at_one_state(path, lambda: _status(Store.open(path)))


def _status(opened: Store) -> StoreStatus:
    read = (opened.journal(name) for name in opened.stages() if name != GROWTH)
    journals = sorted((journal for journal in read if journal is not None), key=_rank)
    size_of = folder_sizes(opened.path)
    shape = opened.shape("position") if opened.has("position") else (0, 0, 3)
    finished, n_without_label, asked = [], {}, {}
    for journal in journals:
        kind, _, name = journal.plan.stage.partition("-")
        if kind == "ingest":
            asked = journal.plan.request.get("options", {})
        if kind == "clustering" and journal.complete:
            finished.append(name)
        if kind == "assign" and opened.has("time") and (left := frames_left(opened, journal)):
            n_without_label[name] = sum(left.values())
    return StoreStatus(
        path=str(opened.path),
        format_version=FORMAT_VERSION,
        n_frames=shape[0],
        n_atoms=shape[1],
        n_trajectories=opened.shape("trajectory_path")[0] if opened.has("trajectory_path") else 0,
        time_source=opened.attrs("time").get("time_source", "") if opened.has("time") else "",
        size_bytes=size_of(""),
        stages=tuple(_stage(journal, size_of) for journal in journals),
        files=_files(opened),
        selection=str(asked.get("select") or asked.get("group") or ""),
        clusterings={
            name: opened.attrs(f"clusterings/{name}") | read_leaders(opened, name).cover for name in finished
        },
        clustering_bytes={name: size_of(f"clusterings/{name}") for name in finished},
        n_frames_without_label=n_without_label,
        unused_subsets={key: size_of(f"subsets/{key}") for key in unused_subsets(opened)},
        next_command=next_command(opened, finished),
    )


def _files(opened: Store) -> tuple[str, ...]:
    if not opened.is_complete("trajectory_path"):
        return ()
    try:
        return tuple(opened.read("trajectory_path").tolist())
    except CorruptChunkError:  # `twopass verify` tells, and all else can be shown
        return ()


def _rank(journal: StageJournal) -> tuple[int, str]:
    return _ORDER.index(journal.plan.stage.partition("-")[0]), journal.plan.stage


def _stage(journal: StageJournal, size_of: Callable[[str], int]) -> StageStatus:
    products = journal.plan.products
    # The product with the most chunks is the one that the units write.
    units = max(products, key=lambda product: product.n_chunks)
    return StageStatus(
        stage=journal.plan.stage,
        complete=journal.complete,
        units_done=int(journal.done(units.path).sum()),
        units=units.n_chunks,
        parameters=journal.plan.parameters,
        size_bytes=sum(size_of(product.path) for product in products),
    )
