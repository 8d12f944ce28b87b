"""The ledger: which chunks of a stage's arrays are durable, and the digest of each."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, CorruptChunkError, FingerprintMismatchError, StoreError
from .plan import Plan, Product, differences

__all__ = ["ABSENT", "JournalStorage", "Record", "StageJournal", "in_batches"]

ABSENT = 0
"""The ledger's entry of a chunk that is not (known to be) there; a digest is never 0."""

COMMIT_SECONDS = 2.0
"""Time between two writes of a ledger while units finish."""

COMMIT_TAKES = 0.1
"""Seconds that such a write may take; if it takes longer, the next one is put off in proportion."""

MAX_ENTRIES = (1 << 28) - 16
"""A ledger is one chunk, and blosc takes less than 2 GiB."""

METADATA = -1
"""Stands for an array's metadata where a chunk's index is asked for."""

T = TypeVar("T")


class JournalStorage(Protocol):
    """Where journals are kept. Each write is whole or not at all, and durable when it returns."""

    def read_plan(self, stage: str) -> str | None:
        """Return the plan's text, None where there is none."""

    def write_plan(self, stage: str, text: str) -> None:
        """Put the plan's text, in the place of another one; the ledger stays."""

    def read_ledger(self, stage: str) -> NDArray[np.uint64] | None:
        """Return the ledger's entries, None where none was written yet; raise where it is damaged."""

    def write_ledger(self, stage: str, entries: NDArray[np.uint64]) -> None:
        """Replace the ledger's entries."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a ledger: a chunk of an array (`METADATA` for its metadata) and its digest."""

    path: str
    chunk: int
    digest: int


class StageJournal:
    """One stage's plan and ledger.

    Only the driver of the stage, holding its lock, may `commit`; anyone may read.
    """

    def __init__(self, storage: JournalStorage, plan: Plan, entries: NDArray[np.uint64]) -> None:
        self._storage = storage
        self.plan = plan
        self._entries = entries
        # Each product has one entry a chunk, and one more for its metadata.
        starts = np.cumsum([0, *(product.n_chunks + 1 for product in plan.products)])
        self._start = {p.path: int(start) for p, start in zip(plan.products, starts, strict=False)}
        self._product = {product.path: product for product in plan.products}
        if len(entries) != starts[-1]:
            raise CorruptChunkError(
                f"The ledger of {plan.stage} has {len(entries)} entries where its plan needs {starts[-1]}."
            )

    @classmethod
    def load(cls, storage: JournalStorage, stage: str) -> Self | None:
        """Return a stage's journal as it stands, None where the stage was never planned."""
        while True:
            text = storage.read_plan(stage)
            if text is None:
                return None
            plan = Plan.from_json(text)
            if plan.stage != stage:
                raise CorruptChunkError(
                    f"The plan that the store's journal has of {stage} is one of {plan.stage}: the store was "
                    "damaged, or made to mislead. Make it anew."
                )
            entries = storage.read_ledger(stage)
            try:
                return cls(storage, plan, _empty(plan.products) if entries is None else entries)
            except CorruptChunkError:
                # An append may have put longer ones in their places between the two reads.
                if storage.read_plan(stage) == text:
                    raise

    @classmethod
    def begin(cls, storage: JournalStorage, plan: Plan, *, hint: str) -> Self:
        """Return the journal to go on with: that of the same plan where there is one, else a new one.

        `hint` tells how a user gets past another plan, and ends the error's message.

        Raises
        ------
        FingerprintMismatchError
            If the stage was begun with other parameters; the message shows which.
        ConfigError
            If it has more chunks than a ledger can hold; nothing is written then.
        """
        journal = cls.load(storage, plan.stage)
        if journal is None:
            journal = cls(storage, plan, _empty(plan.products))
            storage.write_plan(plan.stage, plan.to_json())
        journal.require(plan, hint=hint)
        if storage.read_ledger(plan.stage) is None:
            # Before the first array: one without a ledger is damage.
            storage.write_ledger(plan.stage, journal._entries)
        return journal

    def require(self, plan: Plan, *, hint: str) -> None:
        """Raise `FingerprintMismatchError` unless `plan` is the plan of this journal."""
        if self.plan.fingerprint == plan.fingerprint:
            return
        found = differences(self.plan.parameters, plan.parameters)
        listed = "; ".join(
            f"{key} (stored {_short(old)}, requested {_short(new)})" for key, old, new in found
        )
        raise FingerprintMismatchError(f"{plan.stage} exists already with other parameters: {listed}. {hint}")

    def done(self, path: str) -> NDArray[np.bool_]:
        """Tell for each chunk of an array whether it is recorded."""
        start = self._start[path]
        recorded: NDArray[np.bool_] = self._entries[start : start + self._product[path].n_chunks] != ABSENT
        return recorded

    def units_done(self) -> NDArray[np.bool_]:
        """Tell for each unit, one chunk of every product, whether all of it is recorded."""
        done: NDArray[np.bool_] = np.logical_and.reduce([self.done(path) for path in self._product])
        return done

    def digest_of(self, path: str, chunk: int) -> int:
        """Return the recorded digest of a chunk (or of `METADATA`), `ABSENT` where there is none."""
        return int(self._entries[self._index(path, chunk)])

    def has(self, path: str) -> bool:
        """Tell whether it speaks of an array."""
        return path in self._product

    @property
    def begun(self) -> bool:
        """Whether anything is recorded."""
        return bool((self._entries != ABSENT).any())

    @property
    def complete(self) -> bool:
        """Whether every chunk of every product, and its metadata, is recorded."""
        return bool((self._entries != ABSENT).all())

    def extended(self, plan: Plan, undone: Collection[tuple[str, int]] = ()) -> NDArray[np.uint64]:
        """Return the entries that the ledger has under a plan whose arrays are longer.

        `undone` lists chunks (path, and index or `METADATA`) that are no longer finished.
        """
        found = type(self)(self._storage, plan, _empty(plan.products))
        for product in plan.products:
            old = self._product.get(product.path)
            chunks = [] if old is None else [*range(min(old.n_chunks, product.n_chunks)), METADATA]
            for chunk in chunks:
                if (product.path, chunk) not in undone:
                    found._entries[found._index(product.path, chunk)] = self.digest_of(product.path, chunk)
        return found._entries

    def commit(self, records: Iterable[Record]) -> None:
        """Record chunks that are durable; they are finished when this returns."""
        for record in records:
            self._entries[self._index(record.path, record.chunk)] = record.digest
        self._storage.write_ledger(self.plan.stage, self._entries)

    def reset(self) -> None:
        """Record that nothing is finished any more, before what it speaks of is discarded."""
        if self.begun:
            self._entries[:] = ABSENT
            self._storage.write_ledger(self.plan.stage, self._entries)

    def amend(self, plan: Plan) -> None:
        """Put another plan of the same fingerprint in the place of this one; what was done stays as it is."""
        self.plan = plan
        self._storage.write_plan(plan.stage, plan.to_json())

    @contextmanager
    def batches(self, *, flush: Callable[[], list[Record]] = list) -> "Iterator[Callable[..., None]]":
        """Yield a function that takes records, and commit them in batches of a few seconds.

        When the block ends, also by an error, what it was given is committed. A kill loses at most one batch.
        `flush` writes before each commit what the driver gathers itself, and returns its records.
        """

        def commit(records: list[Record]) -> None:
            # The data first, then the ledger that speaks of them.
            self.commit([*flush(), *records])

        with in_batches(commit) as add:
            yield add

    def _index(self, path: str, chunk: int) -> int:
        product = self._product[path]
        return self._start[path] + (product.n_chunks if chunk == METADATA else chunk)


@contextmanager
def in_batches(commit: Callable[[list[T]], None]) -> "Iterator[Callable[..., None]]":
    """Yield a function that takes things, and call `commit` with them every few seconds and at the end."""
    waiting: list[T] = []
    due = time.monotonic() + COMMIT_SECONDS

    def add(*things: T) -> None:
        nonlocal due
        waiting.extend(things)
        if (begun := time.monotonic()) > due:
            commit(waiting)
            waiting.clear()
            due = next_commit(begun)

    try:
        yield add
    except BaseException:
        # What went wrong first is what counts; a disk that refused that may refuse this as well.
        with suppress(OSError, StoreError):
            commit(waiting)
        raise
    commit(waiting)


def next_commit(begun: float) -> float:
    """Return when to write next after a write that began then, by the monotonic clock, and has just ended."""
    ended = time.monotonic()
    return ended + COMMIT_SECONDS * max(1.0, (ended - begun) / COMMIT_TAKES)


def _empty(products: Sequence[Product]) -> NDArray[np.uint64]:
    n_entries = sum(product.n_chunks + 1 for product in products)
    if n_entries > MAX_ENTRIES:
        largest = max(products, key=lambda product: product.n_chunks)
        raise ConfigError(
            f"{largest.path} would have {largest.n_chunks:,} files, and a store keeps account of at most "
            f"{MAX_ENTRIES:,} a stage. Put more into a file, with --shard auto, or take fewer frames, with "
            "--stride."
        )
    return np.zeros(n_entries, np.uint64)


def _short(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
