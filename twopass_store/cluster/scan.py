"""Figures of the cuts of several trees, over a range of numbers of clusters."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ..config import METRIC_OPTIONS, ClusterConfig, ScanConfig, ScanOptions, validated
from ..errors import ConfigError
from ..journal import Lock, Writer
from ..progress import Progress, Silent
from ..schema import SCAN
from ..store import (
    Stage,
    Step,
    Store,
    read_distances,
    require_clustering,
    require_ingest,
    run_stage,
    store_path,
)

if TYPE_CHECKING:
    import xarray as xr

    from .plan import ClusterPlan

__all__ = ["scan_cuts", "stored_scan"]


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
    config = validated(ScanConfig, options)
    path = store_path(store)
    scans = []
    for linkage in dict.fromkeys(config.linkage):
        stage = _Scan(config, linkage, progress or Silent())
        run_stage(path, stage, break_lock=break_lock, progress=stage.progress)
        scans.append((linkage, stage.group))
    return _as_dataset(Store.open(path), scans)


class _Scan(Stage[bool]):
    """The figures of one tree."""

    hint = "Scan another range, or remove the store's group /scans."

    def __init__(self, config: ScanConfig, linkage: str, progress: Progress) -> None:
        self.config = config
        self.linkage = linkage
        self.progress = progress
        self.planned: ClusterPlan | None = None
        self.group = ""

    def locks(self) -> Sequence[Lock]:
        return [Lock("subset" if self.planned is None else self.planned.distances.stage)]

    def plan(self, store: Store) -> Sequence[Step]:
        # These import mdtraj and numba.
        from .judge import plan_scan
        from .plan import plan_cluster
        from .stage import base_steps

        require_ingest(store)
        options = {"linkage": self.linkage, "memory": self.config.memory, "workers": self.config.workers}
        config = validated(ClusterConfig, {**_subset_options(store, self.config), **options})
        low, high = self.config.n_clusters
        self.planned = plan_cluster(store, config, like=self.config.name, n_judged=high)
        scan = plan_scan(store, self.planned, low, high)
        self.group = scan.stage.replace("scan-", "scans/", 1)
        return [*base_steps(store, self.planned), Step(scan)]

    def work(self, store: Store, steps: Sequence[Step], writer: Writer) -> bool:
        from .judge import scan_tree
        from .steps import compute_distances, link

        assert self.planned is not None
        for remark in self.planned.remarks:
            self.progress.note(remark)
        compute_distances(store, self.planned, writer, self.progress)
        tree = link(store, self.planned, self.progress)
        assert tree is not None
        distances = read_distances(store, self.planned.rmsd)
        scan_tree(store, self.planned, tree, distances, *self.config.n_clusters, self.progress)
        return True


def stored_scan(store: Store, subset: str, linkage: str, linkage_input: str) -> "xr.Dataset | None":
    """Return the finished scan of a subset's tree over the widest range; None if there is none."""
    found: list[tuple[int, str]] = []
    for name in store.members("scans"):
        group = f"scans/{name}"
        if all(store.is_complete(f"{group}/{spec.name}") for spec in SCAN):
            attrs = store.attrs(group)
            names = (attrs["subset"], attrs["linkage_method"], attrs["linkage_input"])
            if names == (subset, linkage, linkage_input):
                found.append((store.shape(f"{group}/n_clusters")[0], group))
    return _as_dataset(store, [(linkage, max(found)[1])]) if found else None


def _subset_options(store: Store, config: ScanConfig) -> dict[str, Any]:
    """Return the options that tell subset and metric, those of a clustering if one is named."""
    given = config.model_dump(include={"select", "subset_frames", "stride"})
    if config.name is None:
        return given
    if any(value is not None for value in given.values()):
        raise ConfigError(
            "The subset of a clustering has its selection and stride: leave out `select`, "
            "`subset_frames` and `stride`, or `name`."
        )
    request = require_clustering(store, config.name).plan.request
    names = {"select", "subset_frames", "stride", "linkage_input", *METRIC_OPTIONS}
    return {key: value for key, value in request.items() if key in names}


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
