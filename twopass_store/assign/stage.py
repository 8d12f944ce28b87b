"""The stage itself: plan, map units, commit."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import AssignConfig, validated
from ..errors import ConfigError, StageIncompleteError
from ..executors import PROCESS_BYTES, available_cpus, make_executor, memory_budget, require_within
from ..journal import Lock, Plan, StageJournal, clear_dead, hold
from ..partition import FRAME_CHUNK, chunk_range
from ..progress import Progress, Silent
from ..schema import ASSIGNMENT, ArraySpec
from ..store import Store, differing_versions, lock_folder, provenance, store_path

__all__ = ["AssignResult", "assign_frames"]

HINT = (
    "Use the same --noise-cutoff, or --restart to discard those labels. If it is the clustering that "
    "differs, make it anew with --restart of `twopass cluster`."
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
        Those that this call computed; 0 where all was there already.
    """

    store: Path
    name: str
    n_frames: int
    n_frames_computed: int


def assign_frames(
    store: str | os.PathLike[str],
    *,
    name: str | None = None,
    noise_cutoff: float | str | None = None,
    memory: int | str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    restart: bool = False,
    progress: Progress | None = None,
) -> AssignResult:
    """Give every frame the label of its nearest leader, going on where an earlier call was stopped.

    Parameters
    ----------
    store
        Path of the store.
    name
        The clustering; may be left out where there is only one.
    noise_cutoff
        Frames farther than this (nm, or ``"2A"``) from every leader get the label -1 and the status
        ``beyond_noise_cutoff``; their nearest leader and the distance to it are kept.
    memory
        Bytes that the process may use (``"4GiB"``), of each worker process where `scheduler` is given;
        half of what is available where None.
    workers
        Threads; all processors available where None.
    scheduler
        Address of a `dask.distributed` scheduler whose workers run the units instead. They must see the
        store under the same path.
    restart
        Discard labels that exist with another noise cutoff.
    progress
        Who is told how it goes.

    Raises
    ------
    StageIncompleteError
        If the clustering is missing or not finished.
    ConfigError, MemoryBudgetError
        If there are several clusterings and no name, or it needs more memory than allowed.
    StoreError
        If the store is missing, damaged or locked, can't be written, or has labels with another noise
        cutoff.
    """
    values = {
        "name": name,
        "noise_cutoff": noise_cutoff,
        "memory": memory,
        "workers": workers,
        "scheduler": scheduler,
    }
    config = validated(AssignConfig, values)
    return _assign(store_path(store), config, restart=restart, progress=progress or Silent())


def _assign(path: Path, config: AssignConfig, *, restart: bool, progress: Progress) -> AssignResult:
    store = Store.open(path)
    name = config.name or _only_clustering(store)
    plan = _plan(store, name, config)
    n_frames = store.shape("position")[0]
    present = store.journal(plan.stage)
    if present is not None and present.complete and present.plan.fingerprint == plan.fingerprint:
        clear_dead(lock_folder(path))
        return AssignResult(path, name, n_frames, 0)

    workers = _affordable_workers(store, name, config, progress)
    with hold(lock_folder(path), [Lock(f"clustering-{name}")]) as writer:
        store = Store.open(path, writer=writer)
        if restart and present is not None and present.plan.fingerprint != plan.fingerprint:
            store.remove(f"journal/{plan.stage}")
            present = None
        changed = differing_versions(store.attrs(f"clusterings/{name}")["provenance"], provenance())
        if present is not None and changed:
            progress.note(f"resuming with other versions than it was begun with: {', '.join(changed)}")
        if present is None:
            # What a discarded assign left.
            for spec in ASSIGNMENT:
                store.remove(f"clusterings/{name}/{spec.name}")
        with store.step(plan, hint=HINT) as journal:
            for spec in ASSIGNMENT:
                store.ensure_array(f"clusterings/{name}", spec, [n_frames], _attrs(spec, config))
            computed = _run(store, journal, name, writer.staging, workers, config, progress)
    return AssignResult(path, name, n_frames, computed)


def _only_clustering(store: Store) -> str:
    names = store.members("clusterings")
    if len(names) > 1:
        raise ConfigError(f"{store.path} has several clusterings; say which with --name: {', '.join(names)}.")
    return names[0] if names else "default"


def _attrs(spec: ArraySpec, config: AssignConfig) -> dict[str, Any]:
    has_cutoff = spec.name == "label_status" and config.noise_cutoff is not None
    return {"noise_cutoff_nm": config.noise_cutoff} if has_cutoff else {}


def _plan(store: Store, name: str, config: AssignConfig) -> Plan:
    clustering = store.journal(f"clustering-{name}")
    if clustering is None or not clustering.complete:
        known = ", ".join(store.members("clusterings")) or "none"
        raise StageIncompleteError(
            f"{store.path} has no finished clustering {name!r} (there are: {known}). "
            f"Run `twopass cluster {store.path} --name {name} --n-clusters K` first."
        )
    n_frames = store.shape("position")[0]
    parameters: dict[str, Any] = {"clustering": clustering.plan.fingerprint, "n_frames": n_frames}
    if config.noise_cutoff is not None:
        parameters["noise_cutoff_nm"] = config.noise_cutoff
    products = tuple(store.product(f"clusterings/{name}", spec, [n_frames]) for spec in ASSIGNMENT)
    request = {"name": name, "noise_cutoff": config.noise_cutoff}
    return Plan(stage=f"assign-{name}", parameters=parameters, products=products, request=request)


def _affordable_workers(store: Store, name: str, config: AssignConfig, progress: Progress) -> int:
    """Return the threads to use: those asked for, fewer where memory is short."""
    # numba takes a second to import: not for a command that finds all done.
    from ..rmsd import assign_bytes

    n_atoms = store.shape("position")[1]
    n_selected = store.shape(f"clusterings/{name}/selected_atom_index")[0]
    n_leaders = store.shape(f"clusterings/{name}/leader_frame")[0]
    block = store.chunk_length("position")
    # A block as it lies on disk, decoded, and cut to the selected atoms; then the kernel's own.
    per_worker = block * (2 * n_atoms + n_selected) * 12 + assign_bytes(block, n_selected, n_leaders)
    per_worker += 2 * FRAME_CHUNK * 13
    shared = PROCESS_BYTES + 2 * n_leaders * n_atoms * 12 + 64 * n_leaders * n_selected
    budget = memory_budget(config.memory)
    require_within(budget, shared + per_worker, stage="assign", mend="Or use fewer leaders or atoms.")
    if config.scheduler is not None:
        return 1
    asked = config.workers or available_cpus()
    affordable = min(asked, (budget - shared) // per_worker)
    if affordable < asked:
        progress.note(
            f"{affordable} of {asked} workers, as {budget >> 20} MiB of memory have no room for more"
        )
    return affordable


def _run(
    store: Store,
    journal: StageJournal,
    name: str,
    staging: Path,
    workers: int,
    config: AssignConfig,
    progress: Progress,
) -> int:
    from .unit import AssignUnit

    group = f"clusterings/{name}"
    n_frames = store.shape("position")[0]
    done = np.logical_and.reduce([journal.done(f"{group}/{spec.name}") for spec in ASSIGNMENT])
    missing = [int(chunk) for chunk in np.flatnonzero(~done)]
    n_missing = sum(len(chunk_range(chunk, chunk=FRAME_CHUNK, length=n_frames)) for chunk in missing)
    progress.start("assign", total=n_frames, done=n_frames - n_missing, unit="frames")

    # Threads go to units first; where there are fewer units, to the blocks within them.
    at_once = max(1, min(workers, len(missing)))
    unit = AssignUnit(
        store.path, staging, group, journal.plan.fingerprint, config.noise_cutoff, max(1, workers // at_once)
    )
    executor = make_executor(workers=at_once, scheduler=config.scheduler)
    try:
        with journal.batches() as finished:
            for receipt in executor.map_unordered(unit, missing):
                finished(*receipt.records)
                progress.advance(len(receipt.frames))
    finally:
        progress.finish()
        executor.close()
    return n_missing
