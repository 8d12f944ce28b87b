"""The stage itself: plan, map units, commit."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from ..config import AssignConfig, AssignOptions, doubt_of_unit, format_length, validated
from ..errors import ConfigError
from ..executors import PROCESS_BYTES, affordable_workers, available_cpus, memory_budget
from ..journal import Lock, Plan, StageJournal, Writer
from ..partition import FRAME_CHUNK, chunk_range
from ..progress import Progress, Silent
from ..schema import ASSIGNMENT, MARGIN
from ..store import (
    Stage,
    Step,
    Store,
    chosen_clustering,
    is_complete,
    require_clustering,
    require_ingest,
    run_stage,
    store_path,
)
from ..units import Units, carry_out
from .rule import Rule

__all__ = ["AssignResult", "assign_frames", "frames_left"]

HINT = (
    "Use the same --noise-cutoff, or --restart of `twopass assign` to discard those labels. If it is the "
    "clustering that differs, make it anew with --restart of `twopass cluster`."
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
        If a name is needed and not given, the noise cutoff doesn't fit the rule, or it needs more memory than
        allowed.
    StoreError
        If the store is missing, damaged or locked, can't be written, or has labels with another noise
        cutoff.
    """
    stage = _Assign(store_path(store), validated(AssignConfig, options), progress or Silent())
    counts = run_stage(stage.path, stage, restart=restart, break_lock=break_lock, progress=stage.progress)
    labelled, measured = counts or (0, 0)
    return AssignResult(stage.path, stage.name, stage.n_frames, labelled, measured)


class _Assign(Stage[tuple[int, int]]):
    """The stage; its work returns how many frames it labelled, and of how many it found the margin."""

    hint = HINT

    def __init__(self, path: Path, config: AssignConfig, progress: Progress) -> None:
        self.path = path
        self.config = config
        self.progress = progress
        self.name = config.name or "default"
        self.n_frames = 0
        self.workers = 1

    def locks(self) -> Sequence[Lock]:
        return [Lock(f"clustering-{self.name}")]

    def plan(self, store: Store) -> Sequence[Step]:
        self.name = chosen_clustering(store, self.config.name)
        self.n_frames = store.shape("position")[0]
        labels, *margins = _plans(store, self.name, self.config)
        return [Step(labels, followers=(f"margin-{self.name}",)), *map(Step, margins)]

    def prepare(self, store: Store) -> None:
        if doubt := doubt_of_unit("noise_cutoff", self.config.noise_cutoff):
            self.progress.note(doubt)
        self.workers = _affordable_workers(store, self.name, self.config, self.progress)

    def work(self, store: Store, steps: Sequence[Step], writer: Writer) -> tuple[int, int]:
        done = {
            units.journal.plan.stage: carry_out(
                store, units, workers=self.workers, scheduler=self.config.scheduler, progress=self.progress
            )
            for units in self.units(store, steps, writer)
        }
        labelled = done.pop(steps[0].plan.stage, 0)
        return labelled, sum(done.values())

    def units(self, store: Store, steps: Sequence[Step], writer: Writer) -> Iterator[Units]:
        """Begin each step that isn't complete, when the one before has been done; yield its units."""
        # numba takes a second to import: not for a command that finds all done.
        from ..metric import named_after
        from .unit import AssignUnit

        group, metric = f"clusterings/{self.name}", store.attrs(f"clusterings/{self.name}")["metric"]
        for step in steps:
            if is_complete(store, step.plan):
                continue
            journal = store.begin(step.plan, hint=HINT)
            is_margin = step.plan.stage.startswith("margin-")
            for spec in MARGIN if is_margin else ASSIGNMENT:
                attrs: dict[str, Any] = dict(named_after(metric, spec))
                if spec.name == "label_status" and self.config.noise_cutoff is not None:
                    attrs["noise_cutoff_nm"] = self.config.noise_cutoff
                store.ensure_array(group, spec, [self.n_frames], attrs)
            covered = _covered(store, journal)
            left = frames_left(journal, covered)
            unit = AssignUnit(
                path=self.path,
                staging=writer.staging,
                group=group,
                fingerprint=steps[0].plan.fingerprint,
                noise_cutoff=self.config.noise_cutoff,
                margin=is_margin,
                covered=covered,
            )
            yield Units(
                journal=journal,
                unit=unit,
                chunks=list(left),
                title="assign: margins" if is_margin else "assign",
                measure="frames",
                total=self.n_frames,
                left=sum(left.values()),
            )


def frames_left(journal: StageJournal, covered: int | None = None) -> dict[int, int]:
    """Count the frames left of a second pass by chunk; `covered` are those of before an append."""
    covered = int(journal.plan.request.get("covered", 0)) if covered is None else covered
    n_frames = int(journal.plan.parameters["n_frames"])
    edge, n_present = divmod(covered, FRAME_CHUNK)
    done = np.logical_and.reduce([journal.done(product.path) for product in journal.plan.products])
    return {
        chunk: len(chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)) - n_present * (chunk == edge)
        for chunk in np.flatnonzero(~done).tolist()
    }


def _covered(store: Store, journal: StageJournal) -> int:
    """Return how many frames were done before others were appended, and still have their values."""
    covered = int(journal.plan.request.get("covered", 0))
    edge, n_present = divmod(covered, FRAME_CHUNK)
    # Where a repair has discarded it, the chunk is begun anew.
    is_there = all(store.has_chunk(product.path, edge) for product in journal.plan.products)
    return covered if n_present == 0 or is_there else edge * FRAME_CHUNK


def _plans(store: Store, name: str, config: AssignConfig) -> list[Plan]:
    require_ingest(store)
    clustering = require_clustering(store, name)
    n_frames = store.shape("position")[0]
    within = Rule.of(store.attrs(f"clusterings/{name}")).within_nm
    if config.noise_cutoff is not None and within is not None and config.noise_cutoff < within:
        raise ConfigError(
            f"--noise-cutoff {format_length(config.noise_cutoff)} is less than the {format_length(within)} "
            f"within which a leader of {name} takes frames (--rule first-within): these have their label. "
            "Give at least that, or cluster with --rule nearest under another --name."
        )
    labels, margins = (
        tuple(store.product(f"clusterings/{name}", spec, (n_frames,)) for spec in specs)
        for specs in (ASSIGNMENT, MARGIN)
    )
    parameters: dict[str, Any] = {"clustering": clustering.plan.fingerprint, "n_frames": n_frames}
    if config.noise_cutoff is not None:
        parameters["noise_cutoff_nm"] = config.noise_cutoff
    request = {"name": name, "noise_cutoff": config.noise_cutoff}
    assign = Plan(f"assign-{name}", parameters, labels, request)
    if not config.margin:
        return [assign]
    # A stage of its own: margins can be asked for when the labels are there already.
    parameters = {"assign": assign.fingerprint, "n_frames": n_frames}
    return [assign, Plan(f"margin-{name}", parameters, margins, {"name": name})]


def _affordable_workers(store: Store, name: str, config: AssignConfig, progress: Progress) -> int:
    """Return the threads to use: those asked for, fewer where memory is short."""
    # numba takes a second to import: not for a command that finds all done.
    from ..metric import read_metric
    from ..rmsd import assign_bytes

    n_atoms = store.shape("position")[1]
    metric = read_metric(store, f"clusterings/{name}")
    n_selected, n_compared = len(metric.read_atoms), len(metric.atoms)
    # The kernel compares with each leader by each permutation of equivalent atoms.
    n_leaders = store.shape(f"clusterings/{name}/leader_frame")[0] * metric.n_permutations
    block = store.chunk_length("position")
    # A block as it lies on disk, decoded, and cut to the atoms needed; then the kernel's own.
    per_worker = block * (2 * n_atoms + n_selected) * 12
    per_worker += assign_bytes(block, n_compared, n_leaders, n_frame_atoms=metric.n_frame_atoms)
    per_worker += 2 * FRAME_CHUNK * 13
    shared = PROCESS_BYTES + store.metadata_bytes + 2 * n_leaders * n_atoms * 12 + 64 * n_leaders * n_selected
    if Rule.of(store.attrs(f"clusterings/{name}")).keeps_subset:
        shared += 12 * store.shape(f"clusterings/{name}/subset_label")[0]
    return affordable_workers(
        1 if config.scheduler is not None else config.workers or available_cpus(),
        memory_budget(config.memory),
        shared=shared,
        per_worker=per_worker,
        stage="assign",
        mend="Or use fewer leaders or atoms.",
        progress=progress,
    )
