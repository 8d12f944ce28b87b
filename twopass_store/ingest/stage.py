"""The stage itself: look at the files, lock, plan, and go on with what is there."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ..config import IngestConfig, IngestOptions, InputFile, Paths, list_inputs, validated
from ..errors import ConfigError, FingerprintMismatchError, StoreWriteError
from ..executors import affordable_workers, available_cpus, memory_budget
from ..journal import Lock, Writer, hold, naming_writer
from ..progress import Progress, Silent
from ..store import CHUNK_PREFIX, Store, lock_folder, note_versions, provenance, store_path
from .origins import recorded_origins
from .outcome import IngestEstimate, IngestResult
from .request import is_requested, kept_choices
from .work import PlanJob, carry_out_plan

if TYPE_CHECKING:
    from .plan import IngestPlan

__all__ = ["ending_readers", "estimate_ingest", "ingest_trajectories", "run_ingest"]


def ingest_trajectories(
    store: str | os.PathLike[str],
    trajectories: Paths = (),
    *,
    append: bool = False,
    restart: bool = False,
    break_lock: bool = False,
    progress: Progress | None = None,
    **options: Unpack[IngestOptions],
) -> IngestResult:
    """Stream trajectories into a store, resuming an earlier call that was stopped.

    Parameters
    ----------
    store
        Path of the store; created if it is missing.
    trajectories
        Files and glob patterns, in the order of their frames in the store.
    append
        Add what the store lacks: new files, and frames by which files have grown. Options that aren't given
        are as they were when the store was made. Existing frames and labels stay as they are. What was begun
        before is finished first, from the files as they were then; without `trajectories` that is all.
    restart
        Discard the store with all its clusterings, and make it again.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.
    progress
        Progress reporter.
    **options
        See `IngestConfig`.

    Raises
    ------
    TrajectoryError
        If a file is missing, unreadable or truncated, its atoms don't match, or a frame isn't finite. What
        was committed before stays.
    ConfigError, MemoryBudgetError
        If the options leave nothing to do, or need more memory than allowed.
    StoreError
        If the store has other options, is locked, or can't be written.
    """
    return run_ingest(
        store,
        trajectories,
        options,
        append=append,
        restart=restart,
        break_lock=break_lock,
        progress=progress or Silent(),
    )


def run_ingest(
    store: str | os.PathLike[str],
    trajectories: Paths,
    options: IngestOptions,
    *,
    append: bool,
    restart: bool,
    break_lock: bool,
    progress: Progress,
    plan_job: PlanJob | None = None,
) -> IngestResult:
    """Ingest, or with `plan_job` begin and hand over what is to be done."""
    path = store_path(store)
    if append and restart:
        raise ConfigError("`append` keeps what is in the store, `restart` discards it: give one of them.")
    common: dict[str, Any] = {"break_lock": break_lock, "progress": progress, "plan_job": plan_job}
    with ending_readers():
        if append:
            return _append(path, trajectories, options, **common)
        return _ingest(path, _config(trajectories, options), restart=restart, **common)


@contextmanager
def ending_readers() -> Iterator[None]:
    """End the processes that read: later stages don't count their memory."""
    try:
        yield
    finally:
        if "twopass_store.trajectory" in sys.modules:
            from ..trajectory import end_readers

            end_readers()


def estimate_ingest(
    trajectories: Paths = (),
    *,
    append_to: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **options: Unpack[IngestOptions],
) -> IngestEstimate:
    """Estimate the frames, memory, disk space and time of an ingest; changes nothing.

    Parameters
    ----------
    trajectories, **options
        As for `ingest_trajectories`.
    append_to
        Path of a store, to estimate an append to it.
    progress
        Progress reporter.

    Raises
    ------
    TwopassError
        As `ingest_trajectories` does before its first frame; too little memory is no error here.
    """
    from .estimate import estimate

    store = None if append_to is None else store_path(append_to)
    with ending_readers():
        return estimate(_config(trajectories, options), progress or Silent(), append_to=store)


def _config(trajectories: Paths, options: IngestOptions) -> IngestConfig:
    files = [trajectories] if isinstance(trajectories, str | os.PathLike) else list(trajectories)
    # A list of files takes the place of trajectories; without either, the error is that none was given.
    given = {} if options.get("from_list") is not None and not files else {"trajectories": files}
    return validated(IngestConfig, {**options, **given})


def _append(
    path: Path,
    trajectories: Paths,
    options: IngestOptions,
    *,
    break_lock: bool,
    progress: Progress,
    plan_job: PlanJob | None,
) -> IngestResult:
    folder = lock_folder(path)
    with naming_writer(folder, Lock("ingest"), break_lock=break_lock):
        store = Store.open(path)
        adds = bool(trajectories) or options.get("from_list") is not None
        origins = recorded_origins(store)
        recorded = [] if origins is None else [file.info["path"] for file in origins.files]
        config = _config(trajectories if adds else recorded, options)

    # mdtraj takes half a second to import: not for a command that finds all done.
    from .append import plan_append
    from .growth import begin_growth, finish_growth
    from .packing import check_samples
    from .resume import plan_rest

    computed = 0
    with hold(folder, [Lock("ingest")], break_lock=break_lock) as writer:
        store = Store.open(path, writer=writer, mends=True)
        finish_growth(store)
        journal = store.journal("ingest")
        if journal is None or not journal.complete:
            plan, as_begun = plan_rest(store, config)
            note_versions(store.attrs()["provenance"], progress)
            workers = _prepared_workers(plan, config, progress)
            computed += carry_out_plan(store, plan, as_begun, workers, writer, progress, plan_job)
            if plan_job is not None:
                progress.note("a job to finish what was begun: commit it before you append")
                return _result(path, 0)
        longer = plan_append(store, config, list_inputs(config, progress.note)) if adds else None
        if longer is not None:
            workers = _prepared_workers(longer, config, progress)
            # Once the store has grown, only another ingest from the beginning would help.
            check_samples(longer, store.packing())
            lengths = {spec.name: shape[0] for spec, shape in longer.arrays}
            begin_growth(store, longer.journal, lengths, n_before=longer.n_stored)
            computed += carry_out_plan(store, longer, config, workers, writer, progress, plan_job)
    return _result(path, computed)


def _ingest(
    path: Path,
    config: IngestConfig,
    *,
    restart: bool,
    break_lock: bool,
    progress: Progress,
    plan_job: PlanJob | None,
) -> IngestResult:
    if not path.parent.is_dir():
        raise StoreWriteError(f"There is no folder {path.parent} to put the store in. Make it first.")
    folder, files = lock_folder(path), list_inputs(config, progress.note)
    with naming_writer(folder, Lock("ingest"), break_lock=break_lock):
        if not restart and (present := _finished(path, config, files, progress)):
            return present

    from .growth import finish_growth
    from .plan import plan_ingest

    with hold(folder, [Lock("ingest")], break_lock=break_lock, restart=restart) as writer:
        found = Store.open(path, writer=writer, mends=True) if Store.exists(path) else None
        if found is not None:
            finish_growth(found)
        plan = plan_ingest(config, files)
        workers = _prepared_workers(plan, config, progress)
        store = _opened(path, found, plan, config, writer, restart=restart, progress=progress)
        journal = store.journal("ingest")
        is_same = journal is not None and journal.plan.fingerprint == plan.journal.fingerprint
        if journal is not None and journal.complete and is_same:
            return _result(path, 0)
        computed = carry_out_plan(store, plan, config, workers, writer, progress, plan_job)
    return _result(path, computed)


def _finished(
    path: Path, config: IngestConfig, files: Sequence[InputFile], progress: Progress
) -> IngestResult | None:
    """Return the result if the very same request is complete already, judged without opening a file."""
    if not Store.exists(path):
        return None
    store = Store.open(path)
    journal = store.journal("ingest")
    if journal is None or not journal.complete or not is_requested(journal.plan, config, files):
        return None
    for remark in kept_choices(store, config):
        progress.note(remark)
    return _result(path, 0)


def _result(path: Path, computed: int) -> IngestResult:
    store = Store.open(path)
    n_frames, n_atoms, _ = store.shape("position")
    n_trajectories = store.shape("trajectory_path")[0]
    rounded_by = float(store.attrs("position").get("largest_rounding_error", 0.0))
    return IngestResult(path, n_frames, n_atoms, n_trajectories, computed, rounded_by)


def _opened(
    path: Path,
    store: Store | None,
    plan: "IngestPlan",
    config: IngestConfig,
    writer: Writer,
    *,
    restart: bool,
    progress: Progress,
) -> Store:
    """Return the store to go on with, or make one in its place."""
    from ..trajectory import topology_to_json

    if store is not None:
        journal = None if restart else store.journal("ingest")
        # Without a journal, it is what a kill left in the first instant, or to be discarded.
        if journal is not None:
            if journal.plan.fingerprint == plan.journal.fingerprint:
                note_versions(store.attrs()["provenance"], progress)
                return store
            if _holds_results(store):
                _refuse_changed(store, plan)
                return store
        store.remove("")
    also = ["MDAnalysis"] if config.reader == "mdanalysis" else []
    attrs = {"provenance": provenance(also=also), "topology": topology_to_json(plan.stored_topology)}
    return Store.create(path, attrs, writer=writer)


def _holds_results(store: Store) -> bool:
    """Tell whether there are frames, or anything made from frames: these are removed on request only."""
    has_frames = any(store.at("position").glob(f"{CHUNK_PREFIX}*"))
    return has_frames or any(map(store.members, ("subsets", "clusterings", "scans")))


def _refuse_changed(store: Store, plan: "IngestPlan") -> None:
    """Refuse files that are recorded with another content."""
    if not store.has("trajectory_digest"):
        return
    digests = dict(zip(store.read("trajectory_path"), store.read("trajectory_digest"), strict=True))
    for source in plan.sources:
        if digests.get(source.info.path, source.info.digest) != source.info.digest:
            raise FingerprintMismatchError(
                f"{source.info.path} has changed since its frames were ingested: what is in the store may "
                f"differ from what is in the file now. If it has only grown, `twopass ingest --append "
                f"{store.path}` goes on with it as it was; otherwise restore the file, or `restart`."
            )


def _prepared_workers(plan: "IngestPlan", config: IngestConfig, progress: Progress) -> int:
    """Show the plan; return the processes to use: those asked for or worth it, fewer if memory is short."""
    from .stretches import useful_workers

    for message in plan.messages:
        progress.note(message)
    smaller = "select fewer atoms" if plan.shard_chunks == 1 else "take a smaller `shard`, or fewer atoms"
    here = config.workers or min(available_cpus(), useful_workers(plan.sources))
    return affordable_workers(
        here if config.scheduler is None else 1,
        memory_budget(config.memory),
        shared=plan.memory[0],
        per_worker=plan.memory[1],
        stage="ingest",
        mend=f"Or {smaller}.",
        progress=progress,
    )
