"""The stage itself: plan, map units, commit."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from ..config import AssignConfig, AssignOptions, doubt_of_unit, format_length, validated
from ..errors import ConfigError
from ..executors import PROCESS_BYTES, affordable_workers, available_cpus, memory_budget
from ..journal import Lock, Plan, Writer
from ..partition import largest_subset
from ..progress import Progress, Silent
from ..schema import ASSIGNMENT, COVER, LEADER_CHUNK_BYTES, MARGIN
from ..store import (
    Step,
    Store,
    chosen_clustering,
    is_complete,
    read_leaders,
    require_clustering,
    require_ingest,
    run_stage,
    store_path,
)
from ..units import Units, UnitStage, carry_out
from .left import appended, covered_before, frames_left
from .rule import Rule

__all__ = ["AssignResult", "assign_frames"]

MAX_LEADERS = 10_000
"""Leaders of a cover, unless more are allowed."""

MOST_THREADS_EACH = 4
"""Threads for the frames of one long file: the more, the longer they wait while it is written."""

HINT = (
    "Use the same --noise-cutoff, --cover and --cover-link, or --restart of `twopass assign` to discard "
    "those labels. If it is the clustering that differs, make it anew with --restart of `twopass cluster`."
)


@dataclass(frozen=True, slots=True)
class AssignResult:
    """What an assign left.

    Attributes
    ----------
    store
        Path of the store.
    name
        The clustering.
    n_frames
        Frames with a label (or with the status that says why not).
    n_frames_computed
        Those that this call labelled; 0 where all was there already.
    n_margins_computed
        Frames whose margin this call computed.
    """

    store: Path
    name: str
    n_frames: int
    n_frames_computed: int
    n_margins_computed: int = 0


def assign_frames(
    store: str | os.PathLike[str],
    *,
    restart: bool = False,
    break_lock: bool = False,
    progress: Progress | None = None,
    **options: Unpack[AssignOptions],
) -> AssignResult:
    """Give every frame a label by the clustering's leaders, resuming an earlier call that was stopped.

    It is that of the nearest leader, or of another where the clustering has another rule (`ClusterConfig`).

    Parameters
    ----------
    store
        Path of the store.
    restart
        Discard the labels and margins of this clustering, and make them again.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.
    progress
        Progress reporter.
    **options
        See `AssignConfig`.

    Raises
    ------
    StageIncompleteError
        If the clustering is missing or not finished.
    ConfigError, MemoryBudgetError
        If a name is needed and not given, the noise cutoff or the cover don't fit the rule, or it needs more
        memory than allowed, or the cover more leaders.
    StoreError
        If the store is missing, damaged or locked, can't be written, or has labels with another noise
        cutoff or cover.
    """
    config = validated(AssignConfig, options)
    stage = AssignStage(store_path(store), config, progress or Silent(), restart=restart)
    counts = run_stage(stage.path, stage, restart=restart, break_lock=break_lock, progress=stage.progress)
    labelled, measured = counts or (0, 0)
    return AssignResult(stage.path, stage.name, stage.n_frames, labelled, measured)


class AssignStage(UnitStage[tuple[int, int]]):
    """The stage; its work returns how many frames it labelled, and of how many it found the margin."""

    hint = HINT

    def __init__(self, path: Path, config: AssignConfig, progress: Progress, *, restart: bool) -> None:
        self.path = path
        self.config = config
        self.progress = progress
        self.restart = restart
        self.name = config.name or "default"
        self.n_frames = 0
        self.workers = 1
        self.needs = 0, 0
        self.max_leaders = 0

    def locks(self) -> Sequence[Lock]:
        return [Lock(f"clustering-{self.name}")]

    def plan(self, store: Store) -> Sequence[Step]:
        self.name = chosen_clustering(store, self.config.name)
        self.n_frames = store.shape("position")[0]
        cover, labels, *margins = _plans(store, self.name, self.config)
        margin = f"margin-{self.name}"
        if self.config.cover is not None:
            first = [Step(cover, (margin, labels.stage)), Step(labels, (margin,))]
        else:
            # A cover of before goes with its labels, and not without --restart.
            first = [Step(labels, (margin, cover.stage))]
            if not self.restart and (begun := store.journal(cover.stage)):
                begun.require(cover, hint=HINT)
        return [*first, *map(Step, margins)]

    def prepare(self, store: Store) -> None:
        for option in ("noise_cutoff", "cover"):
            if doubt := doubt_of_unit(option, getattr(self.config, option)):
                self.progress.note(doubt)
        if self.config.cover_link:
            from .cover import require_joinable

            require_joinable(store, self.name)
        self.needs, self.max_leaders = _needs(store, self.name, self.config)
        self.workers = affordable_workers(
            1 if self.config.scheduler is not None else self.config.workers or available_cpus(),
            memory_budget(self.config.memory),
            shared=self.needs[0],
            per_worker=self.needs[1],
            stage="assign",
            mend="Or use fewer leaders or atoms.",
            progress=self.progress,
        )

    def work(self, store: Store, steps: Sequence[Step], writer: Writer) -> tuple[int, int]:
        done = {
            units.journal.plan.stage: carry_out(
                store, units, workers=self.workers, scheduler=self.config.scheduler, progress=self.progress
            )
            for units in self.units(store, steps, writer)
        }
        labelled = done.pop(f"assign-{self.name}", 0)
        return labelled, sum(done.values())

    def units(self, store: Store, steps: Sequence[Step], writer: Writer) -> Iterator[Units]:
        # numba takes a second to import: not for a command that finds all done.
        from ..metric import named_after
        from .unit import AssignUnit

        group, metric = f"clusterings/{self.name}", store.attrs(f"clusterings/{self.name}")["metric"]
        labels = next(step.plan for step in steps if step.plan.stage.startswith("assign-"))
        for step in steps:
            if is_complete(store, step.plan):
                continue
            if step.plan.stage.startswith("cover-"):
                from .cover import make_cover

                make_cover(
                    store,
                    self.name,
                    step.plan,
                    self.config,
                    most=self.max_leaders,
                    threads=self.workers,
                    progress=self.progress,
                )
                continue
            journal = store.begin(step.plan, hint=HINT)
            is_margin = step.plan.stage.startswith("margin-")
            for spec in MARGIN if is_margin else ASSIGNMENT:
                attrs: dict[str, Any] = dict(named_after(metric, spec))
                if spec.name == "label_status" and self.config.noise_cutoff is not None:
                    attrs["noise_cutoff_nm"] = self.config.noise_cutoff
                store.ensure_array(group, spec, [self.n_frames], attrs)
            left = frames_left(store, journal)
            unit = AssignUnit(
                path=self.path,
                staging=writer.staging,
                name=self.name,
                fingerprint=labels.fingerprint,
                noise_cutoff=self.config.noise_cutoff,
                margin=is_margin,
                covered=covered_before(store, journal),
                appended=appended(store, self.name),
            )
            yield Units(
                journal=journal,
                unit=unit,
                chunks=list(left),
                title="assign: margins" if is_margin else "assign",
                measure="frames",
                total=self.n_frames,
                left=sum(left.values()),
                shared_bytes=self.needs[0],
                worker_bytes=self.needs[1],
                threads_each=min(store.chunks_per_file("time"), MOST_THREADS_EACH),
            )


def _plans(store: Store, name: str, config: AssignConfig) -> list[Plan]:
    """Return the plans of the cover, the labels and, if asked for, the margins."""
    require_ingest(store)
    clustering = require_clustering(store, name)
    n_frames = store.shape("position")[0]
    within = Rule.of(store.attrs(f"clusterings/{name}")).within_nm
    for option, length in (("--noise-cutoff", config.noise_cutoff), ("--cover", config.cover)):
        if length is not None and within is not None and length < within:
            raise ConfigError(
                f"{option} {format_length(length)} is less than the {format_length(within)} within which a "
                f"leader of {name} takes frames (--rule first-within): these have their label. "
                "Give at least that, or cluster with --rule nearest under another --name."
            )
    covers, labels, margins = (
        tuple(store.product(f"clusterings/{name}", spec, (n_frames,)) for spec in specs)
        for specs in (COVER, ASSIGNMENT, MARGIN)
    )
    parameters: dict[str, Any] = {"clustering": clustering.plan.fingerprint, "n_frames": n_frames}
    if config.cover is not None:
        parameters["cover_nm"] = config.cover
        if config.cover_link:
            parameters["cover_link"] = True
    options = ("name", "noise_cutoff", "cover", "cover_link", "max_leaders")
    request = {option: getattr(config, option) for option in options} | {"name": name}
    cover = Plan(f"cover-{name}", parameters, covers, request)
    if config.noise_cutoff is not None:
        parameters = {**parameters, "noise_cutoff_nm": config.noise_cutoff}
    assign = Plan(f"assign-{name}", parameters, labels, request)
    if not config.margin:
        return [cover, assign]
    # A stage of its own: margins can be asked for when the labels are there already.
    parameters = {"assign": assign.fingerprint, "n_frames": n_frames}
    return [cover, assign, Plan(f"margin-{name}", parameters, margins, {"name": name})]


def _needs(store: Store, name: str, config: AssignConfig) -> tuple[tuple[int, int], int]:
    """Return the memory of a process, and of each thread beside that, and how many leaders have room."""
    # numba takes a second to import: not for a command that finds all done.
    from ..metric import read_metric
    from ..rmsd import assign_bytes

    n_atoms = store.shape("position")[1]
    attrs, metric = store.attrs(f"clusterings/{name}"), read_metric(store, f"clusterings/{name}")
    n_selected, n_compared = len(metric.read_atoms), len(metric.atoms)
    leaders, block = read_leaders(store, name), store.chunk_length("position")
    budget = memory_budget(config.memory)
    # A block as it lies on disk, decoded, and cut to the atoms needed; then the kernel's own.
    per_worker = block * (2 * n_atoms + n_selected) * 12 + 2 * store.frames_per_file * 13
    shared = PROCESS_BYTES + store.metadata_bytes + 2 * max(LEADER_CHUNK_BYTES, 12 * n_atoms)
    if Rule.of(attrs).keeps_subset:
        shared += 12 * store.shape(f"clusterings/{name}/subset_label")[0]
    if config.cover is not None:
        from .cover import BLOCKS_AHEAD

        per_worker += BLOCKS_AHEAD * block * n_selected * 24
    if config.cover_link:
        shared += store.shape(f"subsets/{attrs['subset']}/subset_frame")[0] * (36 * n_selected + 400)

    def needed(n_leaders: int) -> tuple[int, int]:
        # The kernel compares with each leader by each permutation of equivalent atoms.
        n_rows = n_leaders * metric.n_permutations
        kernel = assign_bytes(block, n_compared, n_rows, n_frame_atoms=metric.n_frame_atoms)
        # Positions twice and the kernel's rows once; to add leaders, all of it once more.
        return shared + (88 if config.cover is None else 136) * n_rows * n_selected, per_worker + kernel

    n_leaders = len(leaders.frame)
    if config.cover is not None:
        room = largest_subset(lambda size: sum(needed(size)) <= budget // 2, at_most=MAX_LEADERS)
        n_leaders = config.max_leaders or max(leaders.n_chosen, room)
        if n_leaders < leaders.n_chosen:
            raise ConfigError(
                f"`max_leaders` is {n_leaders:,}, and there are {leaders.n_chosen:,} leaders already. Give "
                "at least as many."
            )
    return needed(max(n_leaders, len(leaders.frame))), n_leaders
