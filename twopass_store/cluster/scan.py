"""Figures of the cuts of several trees, over a range of numbers of clusters."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ..config import ClusterConfig, ScanConfig, ScanOptions, validated
from ..errors import ConfigError, StageIncompleteError
from ..journal import Lock, clear_dead, hold, naming_writer
from ..progress import Progress, Silent
from ..schema import SCAN
from ..store import Store, lock_folder, store_path

if TYPE_CHECKING:
    import xarray as xr

    from .plan import ClusterPlan

__all__ = ["scan_cuts"]


def scan_cuts(
    store: str | os.PathLike[str],
    *,
    break_lock: bool = False,
    progress: Progress | None = None,
    **options: Unpack[ScanOptions],
) -> "xr.Dataset":
    """Judge the cuts of the subset's trees, for several numbers of clusters.

    Distances and trees that are missing are computed and kept; so are the figures.

    Parameters
    ----------
    store
        Path of the store.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.
    progress
        Progress reporter.
    **options
        See `ScanConfig`.

    Returns
    -------
    Dimensions ``linkage`` and ``cut``: ``n_clusters``, ``n_clusters_found``, ``silhouette``,
    ``davies_bouldin``, ``pseudo_f``, ``ssr_sst``, ``stability``, ``smallest_cluster`` and
    ``largest_cluster``; along ``linkage`` alone ``cophenetic_correlation``, ``suggested_n_clusters`` and
    ``suggestion_reason``.

    Raises
    ------
    StageIncompleteError
        If ingest, or the clustering `name`, has not finished.
    ConfigError, MemoryBudgetError, StoreError
        As in `cluster_subset`.
    """
    # These import mdtraj and numba.
    from .judge import scan_group, scan_stage
    from .plan import plan_cluster

    config = validated(ScanConfig, options)
    path = store_path(store)
    low, high = config.n_clusters
    like = config.name
    given = {"select": config.select, "subset_frames": config.subset_frames, "stride": config.stride}
    with naming_writer(lock_folder(path), Lock("subset"), break_lock=break_lock):
        opened = Store.open(path)
        ingest = opened.journal("ingest")
        if ingest is None or not ingest.complete:
            raise StageIncompleteError(f"{path}: ingest has not finished. Run the same command again.")
        base = given if like is None else _subset_of(opened, like, given)
        progress = progress or Silent()
        scans = []
        for linkage in dict.fromkeys(config.linkage):
            values = {**base, "linkage": linkage, "memory": config.memory, "workers": config.workers}
            plan = plan_cluster(opened, validated(ClusterConfig, values), like=like, n_judged=high)
            group = scan_group(plan, low, high)
            journal = opened.journal(scan_stage(plan, low, high))
            assert plan.tree is not None
            steps = (opened.journal(stage) for stage in (plan.distances.stage, plan.tree.stage))
            # A repair may have discarded distances of which the figures are there.
            if not all(each is not None and each.complete for each in (journal, *steps)):
                _scan(path, plan, low, high, progress, break_lock=break_lock)
            else:
                clear_dead(lock_folder(path))
            scans.append((linkage, group))
        return _as_dataset(Store.open(path), scans)


def _subset_of(store: Store, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return what tells a clustering's subset and metric."""
    if any(value is not None for value in given.values()):
        raise ConfigError(
            "The subset of a clustering has its selection and stride: leave out --select, --subset-frames "
            "and --stride, or --name."
        )
    journal = store.journal(f"clustering-{name}")
    if journal is None or not journal.complete:
        known = ", ".join(store.members("clusterings")) or "none"
        raise StageIncompleteError(f"{store.path} has no finished clustering {name!r} (there are: {known}).")
    choice_of_cut = {"name", "method", "linkage", "n_clusters", "cutoff"}
    choice_of_leaders = {"leader_method", "leaders_per_cluster", "faithfulness", "max_leaders"}
    left_out = choice_of_cut | choice_of_leaders | {"leader_frames", "seed"}
    return {key: value for key, value in journal.plan.request.items() if key not in left_out}


def _scan(
    path: Path, plan: "ClusterPlan", low: int, high: int, progress: Progress, *, break_lock: bool
) -> None:
    from .judge import scan_tree
    from .steps import compute_distances, link, read_distances, require_as_planned

    with hold(lock_folder(path), [Lock(plan.distances.stage)], break_lock=break_lock) as writer:
        store = Store.open(path, writer=writer)
        require_as_planned(store, plan)
        compute_distances(store, plan, progress)
        tree = link(store, plan, progress)
        assert tree is not None
        scan_tree(store, plan, tree, read_distances(store, plan), low, high, progress)


def _as_dataset(store: Store, scans: Sequence[tuple[str, str]]) -> "xr.Dataset":
    import xarray as xr

    found = [store.attrs(group) for _, group in scans]
    variables: dict[str, Any] = {}
    for spec in SCAN:
        values = np.stack([store.read(f"{group}/{spec.name}") for _, group in scans])
        described = {"units": spec.units, "long_name": spec.long_name}
        variables[spec.name] = (("linkage", "cut"), values, described)
    variables["n_clusters"] = ("cut", variables["n_clusters"][1][0], variables["n_clusters"][2])
    for name, long_name in (
        ("cophenetic_correlation", "correlation of the RMSDs with the heights at which pairs are joined"),
        ("suggested_n_clusters", "number of clusters that the figures suggest"),
        ("suggestion_reason", "why"),
    ):
        values = np.array([np.nan if each[name] is None else each[name] for each in found])
        variables[name] = ("linkage", values, {"units": "1", "long_name": long_name})
    attrs = {key: found[0][key] for key in ("subset", "linkage_input")}
    return xr.Dataset(variables, coords={"linkage": [linkage for linkage, _ in scans]}, attrs=attrs)
