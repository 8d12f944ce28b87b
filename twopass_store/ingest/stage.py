"""The stage itself: see what is there, lock, and do the rest."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from ..config import IngestConfig, IngestOptions, InputFile, Paths, list_inputs, validated
from ..errors import ConfigError, StoreWriteError
from ..journal import Lock, Writer, hold, naming_writer
from ..progress import Progress, Silent
from ..store import Store, lock_folder, store_path
from ..units import Units
from .origins import recorded_origins
from .request import is_requested, kept_choices

__all__ = [
    "IngestEstimate",
    "IngestResult",
    "ending_readers",
    "estimate_ingest",
    "ingest_trajectories",
    "run_ingest",
]


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What an ingest left.

    Attributes
    ----------
    store
        Path of the store.
    n_frames, n_atoms, n_trajectories
        What is in it.
    n_frames_computed
        Frames that this call read and wrote.
    rounded_by
        The most that a coordinate was moved by rounding, nm; 0 without rounding.
    """

    store: Path
    n_frames: int
    n_atoms: int
    n_trajectories: int
    n_frames_computed: int
    rounded_by: float


@dataclass(frozen=True, slots=True)
class IngestEstimate:
    """What an ingest would take.

    Attributes
    ----------
    n_frames, n_atoms
        What would be in the store.
    n_trajectories, n_runs
        Files, and the runs that they are parts of; 0 runs if nothing groups them.
    n_source_frames, source_bytes
        Frames in the files, kept or not, and the files' size.
    packing
        How positions would be stored, in words.
    workers
        Processes that would read and write.
    memory_bytes, budget_bytes
        Memory that they may need at most, and may use.
    disk_bytes, seconds
        Size of the store and time taken, about.
    """

    n_frames: int
    n_atoms: int
    n_trajectories: int
    n_runs: int
    n_source_frames: int
    source_bytes: int
    packing: str
    workers: int
    memory_bytes: int
    budget_bytes: int
    disk_bytes: int
    seconds: float


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
    plan_job: Callable[[Sequence[Units], Writer], None] | None = None,
) -> IngestResult:
    """Ingest, or with `plan_job` begin and hand over what is to be done."""
    path, lock = store_path(store), Lock("ingest")
    if append and restart:
        raise ConfigError("`append` keeps what is in the store, `restart` discards it: give one of them.")
    folder = lock_folder(path)
    # Without new files an append finishes what was begun.
    adds = not append or bool(trajectories) or options.get("from_list") is not None
    if append:
        with naming_writer(folder, lock, break_lock=break_lock):
            origins = recorded_origins(Store.open(path))
            recorded = [] if origins is None else [file.info["path"] for file in origins.files]
            config = _config(trajectories if adds else recorded, options)
    else:
        config = _config(trajectories, options)
        if not path.parent.is_dir():
            raise StoreWriteError(f"There is no folder {path.parent} to put the store in. Make it first.")
        files = list_inputs(config, progress.note)
        with naming_writer(folder, lock, break_lock=break_lock):
            if not restart and _is_finished(path, config, files, progress):
                return _result(path, 0)

    # mdtraj takes half a second to import: not for a command that finds all done.
    from .work import Ingest

    with ending_readers(), hold(folder, [lock], break_lock=break_lock, restart=restart) as writer:
        ingest = Ingest(path, config, writer, progress, plan_job)
        n_done = ingest.append(adds=adds) if append else ingest.all_of(files, restart=restart)
    return _result(path, n_done)


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


def _is_finished(path: Path, config: IngestConfig, files: Sequence[InputFile], progress: Progress) -> bool:
    """Tell whether the very same request is complete already, without opening a file."""
    if not Store.exists(path):
        return False
    store = Store.open(path)
    journal = store.journal("ingest")
    if journal is None or not journal.complete or not is_requested(journal.plan, config, files):
        return False
    for remark in kept_choices(store, config):
        progress.note(remark)
    return True


def _result(path: Path, computed: int) -> IngestResult:
    store = Store.open(path)
    n_frames, n_atoms, _ = store.shape("position")
    n_trajectories = store.shape("trajectory_path")[0]
    rounded_by = float(store.attrs("position").get("largest_rounding_error", 0.0))
    return IngestResult(path, n_frames, n_atoms, n_trajectories, computed, rounded_by)
