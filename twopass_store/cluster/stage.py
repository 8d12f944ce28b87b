"""The stage itself: distances, linkage, labels, leaders, each a persisted step."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..config import HEIGHT_IS_RMSD, ClusterConfig, format_length, validated
from ..errors import ConfigError, StageIncompleteError
from ..executors import ThreadExecutor
from ..journal import Lock, Plan, Record, hold
from ..partition import FrameRange, chunk_range, n_chunks
from ..progress import Progress, Silent
from ..schema import CLUSTERING, SUBSET
from ..store import Store, check_name, lock_folder, provenance

if TYPE_CHECKING:
    from .plan import ClusterPlan

__all__ = ["ClusterResult", "cluster_subset"]

HINT = "Use the same parameters, another --name, or --restart to discard this one with its labels."


@dataclass(frozen=True, slots=True)
class ClusterResult:
    """What a first pass left.

    Attributes
    ----------
    store
        Path of the store.
    name
        The clustering.
    n_subset_frames, n_clusters, n_leaders
        What is in it; `n_clusters` as found, which may be fewer than asked for.
    n_pairs_computed
        Distances that this call computed; 0 where they were there already.
    was_complete
        Whether all was there already.
    """

    store: Path
    name: str
    n_subset_frames: int
    n_clusters: int
    n_leaders: int
    n_pairs_computed: int
    was_complete: bool


def cluster_subset(
    store: str | os.PathLike[str],
    *,
    name: str = "default",
    select: str | None = None,
    subset_frames: int | None = None,
    stride: int | None = None,
    linkage: str = "average",
    linkage_input: str = "condensed",
    n_clusters: int | None = None,
    cutoff: float | str | None = None,
    leaders_per_cluster: int = 1,
    leader_method: str = "medoid",
    leader_frames: tuple[int, ...] | list[int] | None = None,
    seed: int = 0,
    memory: int | str | None = None,
    workers: int | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> ClusterResult:
    """Cluster a subset of the frames and pick leaders, going on where an earlier call was stopped.

    Parameters
    ----------
    store
        Path of the store.
    name
        Name of the clustering. One with another cut or other leaders under a new name reuses the distances
        and the linkage of the same subset.
    select
        Atoms of the RMSD, in mdtraj's language; where None the C-alphas if there is a protein of at least
        10 residues, else all heavy atoms.
    subset_frames, stride
        At most so many frames, evenly spaced, or every `stride`-th frame of the store; 10,000 frames where
        both are None.
    linkage
        ``average``, ``ward``, ``complete``, ``single``, ``weighted``, ``centroid`` or ``median``.
    linkage_input
        ``condensed`` takes the RMSDs as the distances that they are; ``rows`` takes the rows of their
        square matrix for observations, as scipy does when it is handed that matrix.
    n_clusters, cutoff
        Where to cut the tree: how many clusters, or at what height (nm, or ``"2A"``). One of them.
    leaders_per_cluster, leader_method, seed
        ``medoid``: the medoid, then farthest first; ``random``: drawn without replacement.
    leader_frames
        Frames of the store that lead instead, in this order; they must lie in the subset.
    memory
        Bytes that the process may use (``"4GiB"``); half of what is available where None.
    workers
        Threads; all processors available where None.
    restart
        Discard a clustering of that name with other parameters.
    progress
        Who is told how it goes.

    Raises
    ------
    StageIncompleteError
        If ingest has not finished.
    ConfigError
        If a parameter doesn't fit; with neither `n_clusters` nor `cutoff` it suggests some, and distances
        and linkage are kept.
    MemoryBudgetError
        If the distances need more memory than allowed; names the largest subset that fits.
    StoreError
        If the store is missing, damaged or locked, can't be written, or has a clustering of that name with
        other parameters.
    """
    config = validated(
        ClusterConfig,
        {
            "name": check_name(name),
            "select": select,
            "subset_frames": subset_frames,
            "stride": stride,
            "linkage": linkage,
            "linkage_input": linkage_input,
            "n_clusters": n_clusters,
            "cutoff": cutoff,
            "leaders_per_cluster": leaders_per_cluster,
            "leader_method": leader_method,
            "leader_frames": leader_frames,
            "seed": seed,
            "memory": memory,
            "workers": workers,
        },
    )
    return _cluster(Path(store).absolute(), config, restart=restart, progress=progress or Silent())


def _cluster(path: Path, config: ClusterConfig, *, restart: bool, progress: Progress) -> ClusterResult:
    store = Store.open(path)
    ingest = store.journal("ingest")
    if ingest is None or not ingest.complete:
        raise StageIncompleteError(
            f"{path}: ingest has not finished. Run the same `twopass ingest` (or `twopass run`) again; it "
            "goes on where it was stopped."
        )
    stage = f"clustering-{config.name}"
    request = config.model_dump(mode="json", exclude={"memory", "workers"})
    present = store.journal(stage)
    if present is not None and present.complete and present.plan.request == request:
        return _result(store, config.name, 0, was_complete=True)

    # mdtraj, scipy and numba take two seconds to import: not for a command that finds all done.
    from .plan import plan_cluster

    plan = plan_cluster(store, config)
    as_planned = Plan(stage=stage, parameters=plan.parameters, products=(), request=request)
    if present is not None and not restart:
        present.require(as_planned, hint=HINT)
        if present.complete:
            return _result(store, config.name, 0, was_complete=True)
    progress.note(f"RMSD over {plan.atoms_text}")
    every = f"every {plan.stride}th frame" if plan.stride > 1 else "all frames"
    progress.note(
        f"first pass over {len(plan.subset_frame)} frames ({every} of {store.shape('position')[0]})"
    )
    if config.cutoff is not None:
        progress.note(f"tree cut at {format_length(config.cutoff)}")

    locks = [Lock(plan.distances.stage), Lock(stage)]
    with hold(lock_folder(path), locks) as staging:
        store = Store.open(path, staging=staging)
        if present is not None and restart:
            _discard(store, config.name)
        computed = _distances(store, plan, progress)
        tree = _tree(store, plan, progress)
        _labels_and_leaders(store, plan, tree, as_planned, progress)
    return _result(store, config.name, computed, was_complete=False)


def _result(store: Store, name: str, n_pairs_computed: int, *, was_complete: bool) -> ClusterResult:
    group = f"clusterings/{name}"
    return ClusterResult(
        store=store.path,
        name=name,
        n_subset_frames=store.shape(f"{group}/subset_label")[0],
        n_clusters=store.attrs(group)["n_clusters_found"],
        n_leaders=store.shape(f"{group}/leader_frame")[0],
        n_pairs_computed=n_pairs_computed,
        was_complete=was_complete,
    )


def _discard(store: Store, name: str) -> None:
    # What hangs on it first: a kill in between must leave nothing that looks finished without its base.
    for path in (f"journal/assign-{name}", f"journal/clustering-{name}", f"clusterings/{name}"):
        store.remove(path)


def _distances(store: Store, plan: "ClusterPlan", progress: Progress) -> int:
    """Compute the RMSDs of all pairs of the subset; returns how many weren't there yet."""
    present = store.journal(plan.distances.stage)
    if present is not None and present.complete:
        progress.note("distances of this subset are there already")
        return 0
    from ..rmsd import PairwiseRmsd

    rmsd = f"{plan.subset_group}/rmsd"
    n_subset = len(plan.subset_frame)
    total = n_subset * (n_subset - 1) // 2
    with store.step(plan.distances, hint=HINT) as journal:
        store.ensure_group(plan.subset_group, plan.subset_attrs)
        for spec, length in zip(SUBSET, (n_subset, total), strict=True):
            store.ensure_array(plan.subset_group, spec, [length])
        journal.commit(store.write_all(f"{plan.subset_group}/subset_frame", plan.subset_frame))

        done = journal.done(rmsd)
        missing = [int(chunk) for chunk in np.flatnonzero(~done)]
        length = store.chunk_length(rmsd)
        n_missing = sum(len(chunk_range(chunk, chunk=length, length=total)) for chunk in missing)
        kernel = PairwiseRmsd(_subset_positions(store, plan))

        def compute(chunk: int) -> tuple[Record, int]:
            pairs = chunk_range(chunk, chunk=length, length=total)
            return store.write_chunk(rmsd, chunk, kernel.pairs(pairs.start, pairs.stop)), len(pairs)

        progress.start("cluster: distances", total=total, done=total - n_missing, unit="pairs")
        try:
            with journal.batches() as finished:
                for record, count in ThreadExecutor(plan.workers).map_unordered(compute, missing):
                    finished(record)
                    progress.advance(count)
        finally:
            progress.finish()
    return n_missing


def _subset_positions(store: Store, plan: "ClusterPlan") -> NDArray[np.float32]:
    """Read the subset's selected atoms, shape (n_subset, n_selected, 3), nm."""
    positions = np.empty((len(plan.subset_frame), len(plan.atoms), 3), np.float32)
    n_frames = store.shape("position")[0]
    length = store.chunk_length("position")
    chunk_of = plan.subset_frame // length
    for chunk in np.unique(chunk_of):
        wanted = chunk_of == chunk
        frames = chunk_range(int(chunk), chunk=length, length=n_frames)
        block = store.read_positions(frames, plan.atoms)
        positions[wanted] = block[plan.subset_frame[wanted] - frames.start]
    return positions


@dataclass(frozen=True, slots=True)
class _StoredDistances:
    """Condensed distances in the store, read by slicing."""

    store: Store
    path: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.store.shape(self.path)

    def __getitem__(self, pairs: slice) -> NDArray[np.float32]:
        start, stop, _ = pairs.indices(self.shape[0])
        values: NDArray[np.float32] = self.store.read(self.path, FrameRange(start, stop))
        return values


def _tree(store: Store, plan: "ClusterPlan", progress: Progress) -> NDArray[np.float64]:
    """Link the distances, or read the linkage where it is there already."""
    path = f"{plan.subset_group}/{plan.linkage.name}"
    present = store.journal(plan.tree.stage)
    if present is not None and present.complete:
        progress.note(f"{plan.config.linkage} linkage of this subset is there already")
        return np.asarray(store.read(path), np.float64)
    from ..linkage import link_in_place, link_rows

    progress.note(f"linking {len(plan.subset_frame)} frames ({plan.config.linkage})")
    distances = _StoredDistances(store, f"{plan.subset_group}/rmsd")
    with store.step(plan.tree, hint=HINT) as journal:
        store.ensure_array(plan.subset_group, plan.linkage, [len(plan.subset_frame) - 1, 4])
        if plan.config.linkage_input == "rows":
            gathered = _gathered(distances, np.dtype(np.float32))
            tree = link_rows(gathered, method=plan.config.linkage, n_threads=plan.workers)
        else:
            tree = link_in_place(_gathered(distances, np.dtype(np.float64)), method=plan.config.linkage)
        journal.commit(store.write_all(path, tree))
    return tree


def _gathered(distances: _StoredDistances, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read all distances, chunk by chunk: never whole in two types at once."""
    total = distances.shape[0]
    length = distances.store.chunk_length(distances.path)
    values = np.empty(total, dtype)
    for chunk in range(n_chunks(total, length)):
        pairs = chunk_range(chunk, chunk=length, length=total)
        values[pairs.start : pairs.stop] = distances[pairs.start : pairs.stop]
    return values


def _labels_and_leaders(
    store: Store, plan: "ClusterPlan", tree: NDArray[np.float64], as_planned: Plan, progress: Progress
) -> None:
    from ..linkage import Leaders, choose_leaders, choose_medoids, cut

    config = plan.config
    if config.n_clusters is None and config.cutoff is None:
        raise ConfigError(
            "Where to cut the tree? Give --n-clusters K or --cutoff LENGTH. "
            f"Its largest gaps suggest {_suggested(tree, config)}. "
            "Distances and linkage are kept: the next call takes seconds."
        )
    labels = cut(tree, n_clusters=config.n_clusters, cutoff=config.cutoff)
    distances = _StoredDistances(store, f"{plan.subset_group}/rmsd")
    medoids = choose_medoids(distances, labels)
    if config.leader_frames is not None:
        index = np.searchsorted(plan.subset_frame, config.leader_frames)
        leaders = Leaders(index, labels[index])
        unled = sorted(set(labels.tolist()) - set(leaders.label.tolist()))
        if unled:
            progress.note(f"no leader for {len(unled)} of {labels.max()} clusters: they get no frames")
    else:
        leaders = choose_leaders(
            distances,
            labels,
            method=config.leader_method,
            per_cluster=config.leaders_per_cluster,
            seed=config.seed,
            medoids=medoids,
        )
    leader_frame = plan.subset_frame[leaders.subset_index]
    values: dict[str, NDArray[Any]] = {
        "selected_atom_index": plan.atoms,
        "subset_label": labels,
        "leader_frame": leader_frame,
        "leader_label": leaders.label,
        "leader_position": np.concatenate(
            [store.read_positions(FrameRange(int(frame), int(frame) + 1)) for frame in leader_frame]
        ),
        "medoid_frame": plan.subset_frame[medoids],
    }
    products = tuple(
        store.product(plan.clustering_group, spec, values[spec.name].shape) for spec in CLUSTERING
    )
    # Without a journal, a group is what a kill left of a discarded clustering.
    if store.journal(as_planned.stage) is None:
        store.remove(plan.clustering_group)
    found = int(labels.max())
    attrs = {
        "subset": plan.subset_group.removeprefix("subsets/"),
        "linkage": plan.linkage.name,
        "linkage_method": config.linkage,
        "linkage_input": config.linkage_input,
        "select": config.select,
        "atoms": plan.atoms_text,
        "n_clusters_asked": config.n_clusters,
        "cutoff_nm": config.cutoff,
        "n_clusters_found": found,
        "leader_method": "frames" if config.leader_frames is not None else config.leader_method,
        "leaders_per_cluster": None if config.leader_frames is not None else config.leaders_per_cluster,
        "seed": config.seed if config.leader_method == "random" else None,
        "provenance": provenance(),
    }
    clustering = replace(as_planned, products=products)
    with store.step(clustering, hint=HINT) as journal:
        store.ensure_group(plan.clustering_group, attrs)
        for spec in CLUSTERING:
            store.ensure_array(plan.clustering_group, spec, values[spec.name].shape)
            journal.commit(store.write_all(f"{plan.clustering_group}/{spec.name}", values[spec.name]))
    asked = (
        f"{config.n_clusters} asked for"
        if config.n_clusters
        else f"cut at {format_length(config.cutoff or 0)}"
    )
    progress.note(f"{found} clusters found ({asked}), {len(leader_frame)} leaders")


def _suggested(tree: NDArray[np.float64], config: ClusterConfig) -> str:
    from ..linkage import suggest_n_clusters

    is_rmsd = config.linkage in HEIGHT_IS_RMSD and config.linkage_input == "condensed"
    values = [
        f"--n-clusters {each.n_clusters}" + (f" (--cutoff {each.cutoff:g})" if is_rmsd else "")
        for each in suggest_n_clusters(tree)
    ]
    return ", ".join(values) or "nothing: all merges are alike, so try --n-clusters 2"
