"""The stage itself: plan, lock, and one persisted step after the other."""

import os
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import METRIC_OPTIONS, ClusterConfig, format_length, validated
from ..errors import CorruptChunkError, StageIncompleteError
from ..journal import Lock, Plan, clear_dead, hold, naming_writer
from ..progress import Progress, Silent
from ..store import Store, check_name, discard, lock_folder, present_journal, store_path

if TYPE_CHECKING:
    from .plan import ClusterPlan

__all__ = ["ClusterResult", "cluster_subset", "make_clustering"]


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
    n_clusters_reason
        Why so many, where that was left to be found out; else None.
    faithfulness
        Share of the subset frames to which the second pass will give their label back, since their nearest
        leader carries it; NaN in a clustering of an older version.
    faithfulness_held_out
        The same where leaders were chosen from one half of the subset and judged on the other: what to
        expect of frames outside the subset. NaN where leaders were given.
    most_confused
        The labels that are confused most: first-pass label, label of the nearest leader, subset frames.
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
    n_clusters_reason: str | None
    faithfulness: float
    faithfulness_held_out: float
    most_confused: tuple[tuple[int, int, int], ...]
    n_pairs_computed: int
    was_complete: bool


def cluster_subset(
    store: str | os.PathLike[str],
    *,
    name: str = "default",
    select: str | None = None,
    mass_weighted: bool = False,
    masses: str | os.PathLike[str] | None = None,
    no_fit: bool = False,
    align_to: int | str | os.PathLike[str] | None = None,
    align_select: str | None = None,
    subset_frames: int | None = None,
    stride: int | None = None,
    method: str = "linkage",
    linkage: str = "average",
    linkage_input: str = "condensed",
    n_clusters: int | str | None = None,
    cutoff: float | str | None = None,
    leader_method: str | None = None,
    leaders_per_cluster: int | None = None,
    faithfulness: float | None = None,
    max_leaders: int | None = None,
    leader_frames: tuple[int, ...] | list[int] | None = None,
    seed: int = 0,
    memory: int | str | None = None,
    workers: int | None = None,
    restart: bool = False,
    break_lock: bool = False,
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
    mass_weighted
        Weight atoms by their masses, in the fit and in the RMSD: RMSD² = Σ m |R x + t − y|² / Σ m.
    masses
        A text file with the masses, where those of the elements aren't meant or known: a number a line for
        each stored or each selected atom, or lines ``NAME MASS`` or ``RESIDUE:NAME MASS``.
    no_fit
        Compare positions as they are, without centring or turning them.
    align_to, align_select
        A frame of the store, or a PDB, GRO or MDTraj HDF5 file, and atoms in mdtraj's language: every frame
        is superposed once on that reference by these atoms, and the RMSD of `select` is taken as they then
        lie, as for poses of a ligand. With `mass_weighted` the superposition is weighted too.
    subset_frames, stride
        At most so many frames, evenly spaced, or every `stride`-th frame of the store; 10,000 frames where
        both are None.
    method
        ``linkage`` makes a tree and cuts it; ``gromos`` takes the frame with most neighbours nearer than
        `cutoff`, with them, out of the subset, again and again (Daura et al., 1999).
    linkage
        ``average``, ``ward``, ``complete``, ``single``, ``weighted``, ``centroid`` or ``median``.
    linkage_input
        ``condensed`` takes the RMSDs as the distances that they are; ``rows`` takes the rows of their
        square matrix for observations, as scipy does when it is handed that matrix.
    n_clusters, cutoff
        Where to cut the tree: how many clusters (``"auto"``: what `scan_cuts` suggests between 2 and 30), or
        at what height (nm, or ``"2A"``). One of them.
    leader_method
        ``faithful``: the medoids, then those subset frames that bring most first-pass labels back;
        ``medoid``: the medoid, then farthest first; ``random``: drawn without replacement. Where None,
        ``faithful``, or ``medoid`` if `leaders_per_cluster` is given.
    leaders_per_cluster, seed
        Leaders of each cluster by ``medoid`` and ``random``, 1 where None; seed of ``random``.
    faithfulness, max_leaders
        ``faithful`` adds leaders until so large a share of the subset frames is nearest to a leader of
        their own cluster (0.95 where None), or until there are so many (5 for each cluster where None).
    leader_frames
        Frames of the store that lead instead, in this order; they must lie in the subset.
    memory
        Bytes that the process may use (``"4GiB"``); half of what is available where None.
    workers
        Threads; all processors available where None.
    restart
        Discard a clustering of that name with other parameters.
    break_lock
        Take the store's lock also from a process of which it can't be told whether it lives, such as one of
        another host. Only where you are sure that it doesn't.
    progress
        Who is told how it goes.

    Raises
    ------
    StageIncompleteError
        If ingest has not finished.
    ConfigError
        If a parameter doesn't fit, or masses are wanted and the elements aren't known; with neither
        `n_clusters` nor `cutoff` it suggests some, and distances and linkage are kept.
    TrajectoryError
        If the file of masses or of the reference isn't there, or its atoms don't match.
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
            "mass_weighted": mass_weighted,
            "masses": None if masses is None else os.fspath(masses),
            "no_fit": no_fit,
            "align_to": os.fspath(align_to) if isinstance(align_to, os.PathLike) else align_to,
            "align_select": align_select,
            "subset_frames": subset_frames,
            "stride": stride,
            "method": method,
            "linkage": linkage,
            "linkage_input": linkage_input,
            "n_clusters": n_clusters,
            "cutoff": cutoff,
            "leader_method": leader_method,
            "leaders_per_cluster": leaders_per_cluster,
            "faithfulness": faithfulness,
            "max_leaders": max_leaders,
            "leader_frames": leader_frames,
            "seed": seed,
            "memory": memory,
            "workers": workers,
        },
    )
    return make_clustering(
        store_path(store), config, restart=restart, break_lock=break_lock, progress=progress or Silent()
    )


def make_clustering(
    path: Path,
    config: ClusterConfig,
    *,
    restart: bool,
    break_lock: bool,
    progress: Progress,
    like: str | None = None,
) -> ClusterResult:
    """Do what `cluster_subset` does, of a config; where `like` is given, on the subset of that clustering."""
    with naming_writer(lock_folder(path), Lock(f"clustering-{config.name}"), break_lock=break_lock):
        return _make(path, config, restart=restart, break_lock=break_lock, progress=progress, like=like)


def _make(
    path: Path,
    config: ClusterConfig,
    *,
    restart: bool,
    break_lock: bool,
    progress: Progress,
    like: str | None,
) -> ClusterResult:
    store = Store.open(path)
    ingest = store.journal("ingest")
    if ingest is None or not ingest.complete:
        raise StageIncompleteError(
            f"{path}: ingest has not finished. Run the same `twopass ingest` (or `twopass run`) again; it "
            "goes on where it was stopped."
        )
    stage = f"clustering-{config.name}"
    # A metric only where one is chosen, so that clusterings of before there was a choice are known again.
    request = config.model_dump(mode="json", exclude={"memory", "workers", *METRIC_OPTIONS})
    request |= config.metric_options()
    present = present_journal(store, stage, restart=restart)
    # What a file says may have changed.
    has_files = config.masses is not None or isinstance(config.align_to, str)
    is_done = present is not None and present.complete and _has_base(store, config.name, restart=restart)
    if is_done and present is not None and present.plan.request == request and not has_files:
        clear_dead(lock_folder(path))
        return _result(store, config.name, 0, was_complete=True)

    # mdtraj, scipy and numba take two seconds to import: not for a command that finds all done.
    from .plan import plan_cluster
    from .steps import HINT, compute_distances, cut_and_choose, link, require_as_planned

    if like is None:
        is_begun = present is not None and present.plan.request == request and not has_files and not restart
        begun = present.plan.parameters if present and is_begun else None
        plan = plan_cluster(store, config, begun=begun, restart=restart)
    else:
        plan = plan_cluster(store, config, like=like, restart=restart)
        if plan.subset_group != f"subsets/{store.attrs(f'clusterings/{like}')['subset']}":
            raise CorruptChunkError(
                f"{path}: the subset of {like} isn't one of its atoms, stride and metric. The store was "
                "damaged, or made to mislead: run `twopass cluster` with a new --name."
            )
    as_planned = Plan(stage=stage, parameters=plan.parameters, products=(), request=request)
    if present is not None and not (restart and present.plan.fingerprint != as_planned.fingerprint):
        present.require(as_planned, hint=HINT)
        if is_done:
            clear_dead(lock_folder(path))
            return _result(store, config.name, 0, was_complete=True)
    progress.note(f"RMSD over {plan.atoms_text}")
    of_all = f"stride {plan.stride} over {store.shape('position')[0]:,}"
    progress.note(f"first pass over {len(plan.subset_frame):,} frames ({of_all})")
    if not plan.metric.is_default:
        progress.note(f"{plan.metric.text}{plan.metric.align_text and f' ({plan.metric.align_text})'}")
    if len(plan.metric.atoms) == 1 and plan.metric.fit == "pairs":
        progress.note("the RMSD of a single atom is always 0: select more atoms to tell frames apart")
    if config.cutoff is not None:
        progress.note(f"tree cut at {format_length(config.cutoff)}")

    locks = [Lock(plan.distances.stage), Lock(stage)]
    with hold(lock_folder(path), locks, break_lock=break_lock) as writer:
        store = Store.open(path, writer=writer)
        require_as_planned(store, plan)
        present = present_journal(store, stage, restart=restart)
        if restart and (present is None or present.plan.fingerprint != as_planned.fingerprint):
            discard(store, f"margin-{config.name}", f"assign-{config.name}", stage)
        elif present is not None:
            present.require(as_planned, hint=HINT)
        if restart:
            _discard_lost_base(store, plan)
        computed = compute_distances(store, plan, progress)
        tree = link(store, plan, progress)
        present = store.journal(stage)
        if present is None or not present.complete:
            cut_and_choose(store, plan, tree, as_planned, progress)
    return _result(store, config.name, computed, was_complete=False)


def _has_base(store: Store, name: str, *, restart: bool) -> bool:
    """Tell whether the distances and the tree of a clustering are there: a repair may have discarded some."""
    attrs = store.attrs(f"clusterings/{name}")
    subset, linkage = attrs["subset"], attrs["linkage"]
    stages = [] if subset is None else [f"subset-{subset}"]
    stages += [] if linkage is None else [f"linkage-{subset}-{linkage}"]
    journals = [present_journal(store, stage, restart=restart) for stage in stages]
    return all(journal is not None and journal.complete for journal in journals)


def _result(store: Store, name: str, n_pairs_computed: int, *, was_complete: bool) -> ClusterResult:
    group = f"clusterings/{name}"
    attrs = store.attrs(group)
    held_out = attrs.get("faithfulness_held_out_overall")
    return ClusterResult(
        store=store.path,
        name=name,
        n_subset_frames=store.shape(f"{group}/subset_label")[0],
        n_clusters=attrs["n_clusters_found"],
        n_leaders=store.shape(f"{group}/leader_frame")[0],
        n_clusters_reason=attrs.get("n_clusters_reason"),
        faithfulness=attrs.get("faithfulness_overall", nan),
        faithfulness_held_out=nan if held_out is None else held_out,
        most_confused=_most_confused(store, group),
        n_pairs_computed=n_pairs_computed,
        was_complete=was_complete,
    )


def _most_confused(store: Store, group: str, count: int = 3) -> tuple[tuple[int, int, int], ...]:
    names = ("confused_label", "confused_with", "n_confused")
    if not store.has(f"{group}/{names[0]}"):
        return ()
    columns = (store.read(f"{group}/{name}")[:count].tolist() for name in names)
    return tuple(zip(*columns, strict=True))


def _discard_lost_base(store: Store, plan: "ClusterPlan") -> None:
    """Discard distances and trees of a subset if a journal of theirs is lost."""
    subset = plan.distances.stage
    trees = subset.replace("subset-", "linkage-", 1)
    stages = [stage for stage in store.members("journal") if stage == subset or stage.startswith(trees)]
    if any(present_journal(store, stage, restart=True) is None for stage in stages):
        discard(store, *stages)
