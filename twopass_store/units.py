"""The one protocol by which stages are done in parts, on threads of this process or anywhere else.

A stage gives `Units`: numbers of chunks that are left of a step, and a `Unit`, a function that does some of
them and returns a `Receipt`. It can be sent, and its result doesn't depend on where it runs. The ledger takes
what receipts say.
"""

import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from .errors import ConfigError, TwopassError
from .executors import make_executor
from .journal import Record, StageJournal, Writer
from .partition import FrameRange, consecutive_runs
from .progress import Progress, counting
from .store import METADATA_FILE, Stage, Step, Store, identity

__all__ = ["Receipt", "Unit", "UnitStage", "Units", "carry_out", "note_rounding", "other_versions", "perform"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a unit has made durable."""

    chunks: FrameRange  # those that it was given
    records: tuple[Record, ...]  # entries for the ledger
    count: int  # frames or pairs that it did
    rounded_by: float = 0.0  # the most that a coordinate was moved by rounding, nm
    host: str = ""  # where it was done
    identity: Mapping[str, str] = field(default_factory=dict)  # by which versions


@dataclass(frozen=True, kw_only=True)
class Unit(ABC):
    """The work on chunks of a step, as a function that can be sent to another process.

    The result doesn't depend on `threads`. `staging` is for temporary files of whoever holds the store's
    lock.
    """

    path: Path
    staging: Path
    threads: int = 1

    @abstractmethod
    def __call__(self, chunks: FrameRange) -> Receipt:
        """Do these chunks and write them, durably."""

    def to_json(self) -> dict[str, Any]:
        """Return what it is made from as JSON values, without where and how it runs."""
        names = (each.name for each in fields(self) if each.name not in Unit.__dataclass_fields__)
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, path: Path, staging: Path) -> Self:
        """Make it from what `to_json` gave."""
        return cls(path=path, staging=staging, **values)


@dataclass(frozen=True, slots=True)
class Units:
    """What is left of a step that was begun.

    A process needs `shared_bytes`, and each of its threads `worker_bytes` beside that.
    """

    journal: StageJournal
    unit: Unit
    chunks: Sequence[int]  # left, ascending
    title: str  # what the progress says
    measure: str  # what it counts
    total: int  # in all
    left: int  # in the chunks that are left
    shared_bytes: int
    worker_bytes: int
    at_once: int = 1  # chunks in a row that are done best by one call
    threads_each: int = 1  # for which there is enough to do within a chunk


class UnitStage(Stage[Result]):
    """A stage whose units can be done in a job, see `plan_job`."""

    @abstractmethod
    def units(self, store: Store, steps: Sequence[Step], writer: Writer) -> Iterator[Units]:
        """Begin each step that isn't complete, when those before have been drawn; yield its units."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A unit as it is done elsewhere: by a worker that sees the store, and has the same versions."""

    unit: Unit
    identity: Mapping[str, str]
    is_away: bool  # on a machine that errors should name

    def __call__(self, chunks: FrameRange) -> Receipt:
        """Do these chunks; the receipt says who did it."""
        if self.is_away and (reason := _not_seen(self.unit.path) or other_versions(self.identity)):
            raise ConfigError(f"The worker can't be used: {reason}")
        host = socket.gethostname()
        try:
            return replace(self.unit(chunks), host=host, identity=self.identity)
        except TwopassError as error:
            if self.is_away:
                error.args = (f"On {host}: {error}",)
            raise

    def probe(self) -> str:
        """Say on a worker why it can't take part, or nothing."""
        path, staging, on = self.unit.path, self.unit.staging, socket.gethostname()
        if reason := _not_seen(path):
            return reason
        if not staging.is_dir():
            return (
                f"{on} has another store at {path}: it doesn't see {staging}, through which this run writes. "
                "Mount the same file system there."
            )
        if not os.access(staging, os.W_OK):
            return (
                f"{on} may not write to {staging}. Run the workers as the same user, with that file system "
                "mounted for writing."
            )
        return other_versions(self.identity)


def carry_out(
    store: Store, units: Units, *, workers: int, scheduler: str | None = None, progress: Progress
) -> int:
    """Do what is left of a step and complete it; returns how many frames or pairs that was.

    Raises a `ConfigError` if the scheduler, or a worker, can't be used, and a `WorkerError` if all are lost.
    """
    done = units.total - units.left
    counted = counting(progress, units.title, total=units.total, done=done, unit=units.measure)
    rounded_by = 0.0
    with counted, units.journal.batches() as finished:
        for receipt in perform(units, workers=workers, scheduler=scheduler, progress=progress):
            rounded_by = max(rounded_by, receipt.rounded_by)
            note_rounding(store, rounded_by)
            finished(*receipt.records)
            progress.advance(receipt.count)
    store.complete(units.journal)
    return units.left


def note_rounding(store: Store, rounded_by: float) -> None:
    """Keep by how much coordinates were moved at most, before the ledger says that they are there."""
    if rounded_by and rounded_by > store.attrs("position")["largest_rounding_error"]:
        store.set_attrs("position", {"largest_rounding_error": rounded_by})


def perform(
    units: Units, *, workers: int, scheduler: str | None = None, progress: Progress
) -> Iterator[Receipt]:
    """Do units, and yield their receipts as they come; raises as `carry_out` does."""
    # Threads go to units first; where these are fewer or large, to what is within them: so progress is seen
    # more often, and fewer threads wait for the last units.
    at_once = max(1, min(workers // units.threads_each, len(units.chunks)))
    unit = replace(units.unit, threads=1 if scheduler else max(1, workers // at_once))
    sent = Sent(unit, identity(), is_away=scheduler is not None)
    made = make_executor(workers=at_once, scheduler=scheduler, probe=sent.probe, note=progress.note)
    with made as executor:
        yield from executor.map_unordered(sent, _calls(units, executor.n_threads))


def _calls(units: Units, workers: int) -> Iterator[FrameRange]:
    """Share the chunks among calls: large ones, but enough for all workers to be busy to the end."""
    at_once = max(1, min(units.at_once, len(units.chunks) // (2 * workers)))
    for run in consecutive_runs(units.chunks):
        for first in range(run.start, run.stop, at_once):
            yield FrameRange(first, min(first + at_once, run.stop))


def _not_seen(path: Path) -> str:
    if os.path.isfile(path / METADATA_FILE):  # noqa: PTH113 (Path.is_file raises where a folder is closed)
        return ""
    return (
        f"{socket.gethostname()} doesn't see {path}. Mount the file system there under the same path, or put "
        "the store on one that all workers see."
    )


def other_versions(expected: Mapping[str, str]) -> str:
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
