"""`run_stage`: what every stage does before and around its own work."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ..errors import CorruptChunkError, StageIncompleteError
from ..journal import Lock, Plan, StageJournal, Writer, hold, naming_writer
from ..progress import Progress
from .places import arrays_of, group_of, lock_folder
from .provenance import note_versions
from .store import Store

__all__ = [
    "Stage",
    "Step",
    "discard",
    "is_complete",
    "present_journal",
    "require_clustering",
    "require_ingest",
    "run_stage",
]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Step:
    """One journaled step of a stage.

    Attributes
    ----------
    plan
        What it does; without products if their shapes are known only when it runs.
    followers
        Journals of the stages that are made from it, the last first. They are discarded with it.
    is_shared
        Whether other stages are made from it as well: then a restart keeps what is there and fits.
    """

    plan: Plan
    followers: tuple[str, ...] = ()
    is_shared: bool = False


class Stage(ABC, Generic[Result]):
    """A stage, as `run_stage` runs it."""

    hint: str
    """How a user gets past a plan with other parameters, the end of an error message."""

    @abstractmethod
    def locks(self) -> Sequence[Lock]:
        """Return the locks to hold; asked for before `plan` as well, to name a rival in error messages."""

    @abstractmethod
    def plan(self, store: Store) -> Sequence[Step]:
        """Plan the steps, in their order; called before the lock is taken, and once more under it.

        Raises a `StageIncompleteError` if what the stage builds on has not finished.
        """

    def prepare(self, store: Store) -> None:
        """Settle what the work needs, such as memory; called before the lock, if there is work to do."""

    @abstractmethod
    def work(self, store: Store, steps: Sequence[Step], writer: Writer) -> Result:
        """Do what is missing, step by step, each inside `Store.step`; called under the lock."""


def run_stage(
    path: Path,
    stage: Stage[Result],
    *,
    restart: bool = False,
    break_lock: bool = False,
    progress: Progress,
    plan_job: Callable[[Store, Sequence[Step], Writer], Result] | None = None,
) -> Result | None:
    """Run a stage, or go on with it; returns what its work returns, None if all was done already.

    A `restart` discards the steps with all that was made from them, and does them again. Of shared steps it
    discards only those with other parameters, or whose journal is damaged. `plan_job` is called instead of
    the stage's `work`, to plan a job.

    Raises
    ------
    StageIncompleteError
        If what the stage builds on has not finished, or changed before the lock was taken.
    FingerprintMismatchError
        If a step exists with other parameters.
    CorruptChunkError
        If a step left arrays, but its plan is missing or damaged.
    StoreError
        If the store is missing, locked, or can't be written.
    """
    folder = lock_folder(path)
    with naming_writer(folder, *stage.locks(), break_lock=break_lock):
        store = Store.open(path, mends=restart)
        steps = stage.plan(store)
        for step in steps:
            journal = present_journal(store, step.plan.stage, restart=restart)
            if journal is not None and not restart:
                journal.require(step.plan, hint=stage.hint)
        if not restart and all(is_complete(store, step.plan) for step in steps):
            return None
        stage.prepare(store)
        with hold(folder, stage.locks(), break_lock=break_lock, restart=restart) as writer:
            store = Store.open(path, writer=writer)
            planned = [step.plan.fingerprint for step in steps]
            steps = stage.plan(store)
            if [step.plan.fingerprint for step in steps] != planned:
                raise StageIncompleteError(
                    f"{path} was changed by another command just now. Run the same command again."
                )
            for step in steps:
                _admit(store, step, hint=stage.hint, restart=restart, progress=progress)
            return (plan_job or stage.work)(store, steps, writer)


def require_ingest(store: Store) -> StageJournal:
    """Return the journal of a finished ingest; raises `StageIncompleteError` if it hasn't finished."""
    journal = store.journal("ingest")
    if journal is None or not journal.complete:
        raise StageIncompleteError(
            f"{store.path}: ingest has not finished. Run the same `twopass ingest` (or `twopass run`) again; "
            "it goes on where it was stopped."
        )
    return journal


def require_clustering(store: Store, name: str) -> StageJournal:
    """Return the journal of a finished clustering; raises `StageIncompleteError` if there is none."""
    journal = store.journal(f"clustering-{name}")
    if journal is None or not journal.complete:
        known = ", ".join(store.members("clusterings")) or "none"
        raise StageIncompleteError(
            f"{store.path} has no finished clustering {name!r} (there are: {known}). "
            f"Run `twopass cluster {store.path} --name {name}` first."
        )
    return journal


def is_complete(store: Store, plan: Plan) -> bool:
    """Tell whether a plan was carried out."""
    journal = store.journal(plan.stage)
    return journal is not None and journal.complete and journal.plan.fingerprint == plan.fingerprint


def present_journal(store: Store, stage: str, *, restart: bool) -> StageJournal | None:
    """Return a stage's journal as `Store.journal` does; damage counts as absence if it is restarted."""
    try:
        return store.journal(stage)
    except CorruptChunkError:
        if not restart:
            raise
        return None


def discard(store: Store, *stages: str) -> None:
    """Discard stages, dependent ones first, with all that they made.

    Arrays go before their plans, since arrays without a plan are damage; before that, nothing counts as
    finished any more. So a kill at any moment leaves stages that were begun.
    """
    for stage in stages:
        journal = present_journal(store, stage, restart=True)
        if journal is not None:
            journal.reset()
    for stage in stages:
        group = group_of(stage)
        is_own = group is not None and group.startswith(("clusterings/", "scans/"))
        if not is_own and any(store.at(path).exists() for path in arrays_of(stage)):
            # Before anything is missing: readers are told that it is made anew, not that it is damaged.
            store.touch_group(arrays_of(stage)[0].rpartition("/")[0])
        for path in [group] if is_own and group else arrays_of(stage):
            store.remove(path)
    for stage in stages:
        store.remove(f"journal/{stage}")


def _admit(store: Store, step: Step, *, hint: str, restart: bool, progress: Progress) -> None:
    """Make way for a step: refuse another plan, or discard it at a restart; note other versions."""
    stage = step.plan.stage
    journal = present_journal(store, stage, restart=restart)
    is_same = journal is not None and journal.plan.fingerprint == step.plan.fingerprint
    if journal is None or not is_same or (restart and not step.is_shared):
        if journal is not None and not restart:
            journal.require(step.plan, hint=hint)
        # Without a journal there are no arrays, unless this is a restart: then they go.
        discard(store, *step.followers, stage)
    elif not journal.complete:
        group = arrays_of(stage)[0].rpartition("/")[0]  # not there yet in the first instant
        if store.has(group) and (begun := store.attrs(group).get("provenance")):
            note_versions(begun, progress)
