"""The stage: its plan, and one stored step after the other."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..config import METRIC_OPTIONS, ClusterConfig, ClusterOptions, doubt_of_unit, format_length, validated
from ..errors import ConfigError
from ..journal import Lock, Plan, StageJournal, Writer
from ..progress import Progress, Silent
from ..store import (
    Step,
    Store,
    clustering_stages,
    is_complete,
    present_journal,
    require_clustering,
    require_ingest,
    run_stage,
    store_path,
)
from ..units import Units, UnitStage

if TYPE_CHECKING:
    from .plan import ClusterPlan

__all__ = ["HINT", "ClusterResult", "asked_in_words", "base_steps", "cluster_subset", "make_clustering"]

HINT = (
    "Use the same parameters, another name (--name, or cluster.name in a config), or --restart of `twopass "
    "cluster` to discard this one with its labels."
)


@dataclass(frozen=True, slots=True)
class ClusterResult:
    """What a first pass left.

    Attributes
    ----------
    store
        Path of the store.
    name
        The clustering.
    n_subset_frames, n_subset_noise, n_clusters, n_leaders
        Counts; `n_clusters` as found, which may be fewer than asked for. Shares leave out the noise.
    n_clusters_reason
        Why so many, if that was left to be found out; else None.
    faithfulness
        Share of the subset frames whose label the leaders give back in the second pass.
    faithfulness_held_out
        The same with leaders chosen from one half of the subset and judged on the other: what to expect of
        frames outside the subset. NaN if leaders were given.
    most_confused
        The labels that are confused most: first-pass label, label from the leaders, subset frames.
    n_pairs_computed
        Distances that this call computed.
    was_complete
        Whether everything was done already.
    """

    store: Path
    name: str
    n_subset_frames: int
    n_subset_noise: int
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
        Discard a clustering of that name with its labels, and cluster again. The subset's distances and trees
        stay where they fit, since other clusterings may use them.
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
    """Do what `cluster_subset` does, or with `like` the same on the subset of that clustering."""
    stage = ClusterStage(config, like, progress, restart=restart)
    computed = run_stage(path, stage, restart=restart, break_lock=break_lock, progress=progress)
    return _result(Store.open(path), config.name, computed)


class ClusterStage(UnitStage[int]):
    """The stage; its work returns how many distances it computed. In a job only these are its units."""

    hint = HINT

    def __init__(self, config: ClusterConfig, like: str | None, progress: Progress, *, restart: bool) -> None:
        self.config = config
        self.like = like
        self.progress = progress
        self.restart = restart
        self.name = f"clustering-{config.name}"
        self.planned: ClusterPlan | None = None

    def locks(self) -> Sequence[Lock]:
        subset = [] if self.planned is None else [Lock(self.planned.distances.stage)]
        return [*subset, Lock(self.name)]

    def plan(self, store: Store) -> Sequence[Step]:
        require_ingest(store)
        if self.like:
            require_clustering(store, self.like)
        config = self.config
        request = config.model_dump(mode="json", exclude={"memory", "workers", "scheduler", *METRIC_OPTIONS})
        request |= config.metric_options()
        begun = None if self.restart else store.journal(self.name)
        # What a file says may have changed.
        has_files = config.masses is not None or isinstance(config.align_to, str)
        if begun is None or begun.plan.request != request or has_files:
            begun = None
        elif begun.complete and not self._state(store) and (finished := _finished_steps(store, config.name)):
            return finished

        # mdtraj, scipy and numba take two seconds to import: not for a command that finds all done.
        from .plan import plan_cluster

        parameters = None if begun is None or self.like is not None else begun.plan.parameters
        plan = plan_cluster(store, config, like=self.like, begun=parameters, restart=self.restart)
        self.planned = plan
        clustering = Plan(stage=self.name, parameters=plan.parameters, products=(), request=request)
        steps = [*base_steps(store, plan), Step(clustering, clustering_stages(config.name)[:0:-1])]
        is_left = self.restart or not is_complete(store, clustering) or self._state(store) is not None
        if config.all_frames and is_left:
            from .state import state_plan

            # It goes when the clustering is there.
            steps.insert(1, Step(state_plan(store, config.name, plan.parameters, len(plan.subset_frame))))
        return steps

    def _state(self, store: Store) -> StageJournal | None:
        return present_journal(store, f"neighbours-{self.config.name}", restart=self.restart)

    def prepare(self, store: Store) -> None:
        plan, note = self.planned, self.progress.note
        assert plan is not None
        note(f"RMSD over {plan.atoms_text}")
        for remark in plan.remarks:
            note(remark)
        of_all = f"stride {plan.subset_attrs['stride']} over {store.shape('position')[0]:,}"
        note(f"first pass over {len(plan.subset_frame):,} frames ({of_all})")
        if not plan.metric.is_default:
            note(f"{plan.metric.text}{plan.metric.align_text and f' ({plan.metric.align_text})'}")
        if len(plan.metric.atoms) == 1 and plan.metric.fit == "pairs":
            note("the RMSD of a single atom is always 0: select more atoms to tell frames apart")
        if self.config.cutoff is not None:
            note(asked_in_words(self.config))
        if doubt := doubt_of_unit("cutoff", self.config.cutoff):
            note(doubt)

    def work(self, store: Store, steps: Sequence[Step], writer: Writer) -> int:
        from .steps import compute_distances, label_all_frames, label_and_choose, link

        assert self.planned is not None
        if self.config.all_frames:
            return label_all_frames(store, self.planned, steps, writer.staging, self.progress)
        computed = compute_distances(store, self.planned, writer, self.progress)
        tree = link(store, self.planned, self.progress)
        if not is_complete(store, steps[-1].plan):
            label_and_choose(store, self.planned, tree, steps[-1].plan, self.progress)
        return computed

    def units(self, store: Store, steps: Sequence[Step], writer: Writer) -> Iterator[Units]:
        from .steps import distance_units

        if self.config.all_frames:
            raise ConfigError(
                "`all_frames` computes no distances that could be shared: use `twopass cluster`."
            )
        # None if all was done already.
        if self.planned is not None and not is_complete(store, self.planned.distances):
            yield distance_units(store, self.planned, writer)


def asked_in_words(config: ClusterConfig) -> str:
    """Say what decides on the number of clusters if it isn't given."""
    if config.method == "hdbscan":
        return f"of at least {config.min_cluster_size} frames"
    what = "tree cut at" if config.method == "linkage" else "neighbours within"
    return f"{what} {format_length(config.cutoff or 0)}"


def base_steps(store: Store, plan: "ClusterPlan") -> list[Step]:
    """Return the steps that clusterings of one subset share: its distances and a tree."""
    trees = plan.distances.stage.replace("subset-", "linkage-", 1)
    followers = tuple(stage for stage in store.stages() if stage.startswith(f"{trees}-"))
    tree = [] if plan.tree is None else [Step(plan.tree, is_shared=True)]
    return [Step(plan.distances, followers, is_shared=True), *tree]


def _finished_steps(store: Store, name: str) -> list[Step]:
    """Return the steps of a clustering as planned, if all are done; a repair may have undone some."""
    group = f"clusterings/{name}"
    subset, linkage = (store.attrs(group)[key] for key in ("subset", "linkage"))
    stages = [f"clustering-{name}", *([] if subset is None else [f"subset-{subset}"])]
    stages += [] if linkage is None else [f"linkage-{subset}-{linkage}"]
    journals = [store.journal(stage) for stage in stages]
    found = [Step(journal.plan) for journal in journals if journal is not None and journal.complete]
    return found if len(found) == len(stages) else []


def _result(store: Store, name: str, n_pairs_computed: int | None) -> ClusterResult:
    group = f"clusterings/{name}"
    attrs = store.attrs(group)
    labels = store.read(f"{group}/subset_label")
    held_out = attrs.get("faithfulness_held_out_overall")
    confused = [f"{group}/{column}" for column in ("confused_label", "confused_with", "n_confused")]
    columns = [store.read(path)[:3].tolist() for path in confused if store.has(path)]
    return ClusterResult(
        store=store.path,
        name=name,
        n_subset_frames=labels.size,
        n_subset_noise=int((labels < 1).sum()),
        n_clusters=attrs["n_clusters_found"],
        n_leaders=store.shape(f"{group}/leader_frame")[0],
        n_clusters_reason=attrs["n_clusters_reason"],
        faithfulness=attrs.get("faithfulness_overall", nan),
        faithfulness_held_out=nan if held_out is None else held_out,
        most_confused=tuple(zip(*columns, strict=True)),
        n_pairs_computed=n_pairs_computed or 0,
        was_complete=n_pairs_computed is None,
    )
