"""The stage itself: plan, lock, and one persisted step after the other."""

import os
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..config import METRIC_OPTIONS, ClusterConfig, ClusterOptions, format_length, validated
from ..errors import CorruptChunkError, StageIncompleteError
from ..journal import Lock, Plan, clear_dead, hold, naming_writer
from ..progress import Progress, Silent
from ..store import Store, discard, lock_folder, present_journal, store_path

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
    restart: bool = False,
    break_lock: bool = False,
    progress: Progress | None = None,
    **options: Unpack[ClusterOptions],
) -> ClusterResult:
    """Cluster a subset of the frames and pick leaders, resuming an earlier call that was stopped.

    Parameters
    ----------
    store
        Path of the store.
    restart
        Discard a clustering of that name with other options.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.
    progress
        Progress reporter.
    **options
        See `ClusterConfig`. With neither `n_clusters` nor `cutoff` the error suggests some, and the
        distances and the tree are kept.

    Raises
    ------
    StageIncompleteError
        If ingest has not finished.
    ConfigError
        If an option doesn't fit, or masses are wanted and the elements aren't known.
    TrajectoryError
        If the file of masses or of the reference isn't there, or its atoms don't match.
    MemoryBudgetError
        If the distances need more memory than allowed; names the largest subset that fits.
    StoreError
        If the store is missing, damaged or locked, can't be written, or has a clustering of that name with
        other options.
    """
    config = validated(ClusterConfig, options)
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
