"""The one protocol by which stages are done in parts, on threads of this process or anywhere else.

A stage gives `Units`: numbers of chunks that are left of a step, and a `Unit`, a function that does some of
them and returns a `Receipt`. It can be sent, and its result doesn't depend on where it runs. The ledger takes
what receipts say.
"""

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .errors import ConfigError
from .executors import make_executor
from .journal import Record, StageJournal
from .partition import FrameRange, consecutive_runs
from .progress import Progress
from .store import METADATA_FILE, Store, identity

__all__ = ["Receipt", "Sent", "Unit", "Units", "carry_out"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a unit has made durable.

    Attributes
    ----------
    records
        Entries for the ledger.
    count
        Frames or pairs that it did.
    host, identity
        Where, and by which versions, see `identity`.
    """

    records: tuple[Record, ...]
    count: int
    host: str = ""
    identity: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Unit(ABC):
    """The work on chunks of a step, as a function that can be sent to another process.

    Attributes
    ----------
    path, staging
        The store, and the folder for temporary files of whoever holds its lock.
    threads
        Threads that it may use. The result doesn't depend on them.
    """

    path: Path
    staging: Path
    threads: int = 1

    @abstractmethod
    def __call__(self, chunks: FrameRange) -> Receipt:
        """Do these chunks and write them, durably."""


@dataclass(frozen=True, slots=True)
class Units:
    """What is left of a step that was begun.

    Attributes
    ----------
    journal
        Of the step.
    unit
        The function.
    chunks
        Numbers of the chunks that are left, ascending.
    at_once
        How many that follow each other are done best by one call.
    title, measure
        For the progress: what is done, and what is counted.
    total, left
        How many of these there are in all, and in the chunks that are left.
    """

    journal: StageJournal
    unit: Unit
    chunks: Sequence[int]
    title: str
    measure: str
    total: int
    left: int
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Sent:
    """A unit that first sees to it that it is done by the same versions as the others."""

    unit: Unit
    identity: Mapping[str, str]

    def __call__(self, chunks: FrameRange) -> Receipt:
        """Do these chunks; the receipt says who did it."""
        if reason := _other_versions(self.identity):
            raise ConfigError(f"The worker can't be used: {reason}")
        return replace(self.unit(chunks), host=socket.gethostname(), identity=identity())


def carry_out(
    store: Store, units: Units, *, workers: int, scheduler: str | None = None, progress: Progress
) -> int:
    """Do what is left of a step and complete it; returns how many frames or pairs that was.

    Raises
    ------
    ConfigError
        If the scheduler, or one of its workers, can't be used.
    WorkerError
        If its workers are lost.
    """
    # Threads go to units first; where there are fewer units, to what is within them.
    at_once = max(1, min(workers, len(units.chunks)))
    unit = replace(units.unit, threads=max(1, workers // at_once))
    probe = _Probe(store.path, unit.staging, identity())
    executor = make_executor(workers=at_once, scheduler=scheduler, probe=probe, note=progress.note)
    progress.start(units.title, total=units.total, done=units.total - units.left, unit=units.measure)
    try:
        with units.journal.batches() as finished:
            for receipt in executor.map_unordered(Sent(unit, probe.identity), _calls(units, workers)):
                finished(*receipt.records)
                progress.advance(receipt.count)
    finally:
        progress.finish()
        executor.close()
    store.complete(units.journal)
    return units.left


def _calls(units: Units, workers: int) -> Iterator[FrameRange]:
    """Share the chunks among calls: large ones, but enough for all workers to be busy to the end."""
    at_once = max(1, min(units.at_once, len(units.chunks) // (2 * workers)))
    for run in consecutive_runs(units.chunks):
        for first in range(run.start, run.stop, at_once):
            yield FrameRange(first, min(first + at_once, run.stop))


@dataclass(frozen=True, slots=True)
class _Probe:
    """Says on a worker why it can't take part, or nothing."""

    path: Path
    staging: Path
    identity: Mapping[str, str]

    def __call__(self) -> str:
        on = f"it runs on {socket.gethostname()}, which"
        if not (self.path / METADATA_FILE).is_file():
            return (
                f"{on} doesn't see {self.path}. Mount the file system there under the same path, or put the "
                "store on one that all workers see."
            )
        if not self.staging.is_dir():
            return (
                f"{on} has another store at {self.path}: it doesn't see {self.staging}, through which this "
                "run writes. Mount the same file system there."
            )
        if not os.access(self.staging, os.W_OK):
            return f"{on} may not write to {self.staging}. Run the workers as the same user."
        return _other_versions(self.identity)


def _other_versions(expected: Mapping[str, str]) -> str:
    """Say how this process differs from one with that identity; empty if in nothing."""
    own = identity()
    differing = [
        f"{name} {own.get(name)} instead of {expected[name]}" if name != "sources" else "other source files"
        for name in expected
        if own.get(name) != expected[name]
    ]
    if not differing:
        return ""
    return (
        f"{socket.gethostname()} has {', '.join(differing)}, and results would be mixed. Use the same "
        "environment everywhere, such as one on a shared file system."
    )
