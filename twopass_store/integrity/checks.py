"""The checks of single files, each of which can be made again when a writer may have come in between."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CorruptChunkError, StoreError
from ..journal import ABSENT, METADATA, StageJournal, digest
from ..store import (
    CHUNK_PREFIX,
    COPIES,
    GROWTH,
    JournalFiles,
    checksum_holds,
    copies_problem,
    group_of,
    inside,
    ledger_problem,
    open_regular,
    regular_file,
)
from .damage import Damage
from .layout import HOLDERS, Layout, chunk_key, group_problem, layout_of, read_metadata, spec_of

__all__ = ["Check", "Journals", "checks_of", "examine"]

BLOCK_BYTES = 1 << 20

TRANSCODE = "transcode"
"""While this stage runs, the array of positions is exchanged for another as soon as that is whole."""

MOVED = ("trajectory_path", "trajectory_modified")
"""Arrays that `twopass relocate` writes anew."""


class Journals:
    """The journals as they were when each was first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = JournalFiles(root)
        self._loaded: dict[str, StageJournal | None] = {}
        self._copies: dict[str, Mapping[str, str]] = {}

    def get(self, stage: str) -> StageJournal | None:
        """Return a stage's journal, None where there is none, or none that can be read."""
        if stage not in self._loaded:
            try:
                self._loaded[stage] = self.files.load(stage)
            except StoreError:
                self._loaded[stage] = None
        return self._loaded[stage]

    def copies(self, stage: str) -> Mapping[str, str]:
        """Return the copies of metadata in a stage's journal; none where they can't be read."""
        if stage not in self._copies:
            try:
                self._copies[stage] = self.files.read_copies(stage)
            except StoreError:
                self._copies[stage] = {}
        return self._copies[stage]

    def digest_of(self, stage: str, path: str, chunk: int) -> int:
        """Return what is recorded, `ABSENT` where nothing is."""
        journal = self.get(stage)
        # A stage that was begun anew meanwhile may have fewer chunks, or another array.
        if journal is None or not journal.has(path) or chunk >= len(journal.done(path)):
            return ABSENT
        return journal.digest_of(path, chunk)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at: `kind` is one of `KINDS`, or ``group``; see `Damage` for the others."""

    kind: str
    stage: str
    path: str
    chunk: int = METADATA


def checks_of(journals: Journals) -> Iterator[Check]:
    """Yield what is to be checked in a store."""
    stages = journals.files.stages()
    yield Check("group", "ingest", "")
    yield from (Check("group", "", holder) for holder in HOLDERS)
    for stage in stages:
        yield Check("plan", stage, f"journal/{stage}")
        yield Check("ledger", stage, f"journal/{stage}/ledger", 0)
        yield Check("ledger", stage, f"journal/{stage}/ledger")
        yield Check("copies", stage, f"journal/{stage}/{COPIES}", 0)
        yield Check("copies", stage, f"journal/{stage}/{COPIES}")
        group = group_of(stage)
        if group:
            yield Check("group", stage, group)
        journal = journals.get(stage)
        for product in journal.plan.products if journal is not None else ():
            yield Check("metadata", stage, product.path)
    # The large ones last.
    for stage in stages:
        journal = journals.get(stage)
        for product in journal.plan.products if journal is not None else ():
            for chunk in np.flatnonzero(journal.done(product.path)) if journal is not None else ():
                yield Check("chunk", stage, product.path, int(chunk))


def examine(journals: Journals, check: Check) -> tuple[Damage | None, int]:
    """Check one file; returns the damage, and the bytes that were read.

    Raises
    ------
    StoreError
        If it may not be read.
    """
    made = {
        "group": _group,
        "plan": _plan,
        "ledger": _ledger,
        "copies": _copies,
        "metadata": _metadata,
        "chunk": _chunk,
    }
    return made[check.kind](journals, check)


def _group(journals: Journals, check: Check) -> tuple[Damage | None, int]:
    folder = journals.root / check.path
    if check.path and not (folder.is_dir() and any(folder.iterdir())):
        return None, 0
    copy = journals.copies(check.stage).get(check.path)
    if copy is not None:
        key = f"{check.path}/zarr.json" if check.path else "zarr.json"
        return _compared(check, journals.root, key, digest(copy.encode()))
    return _parsed(check, journals.root, kind="metadata", problem_of=group_problem)


def _plan(journals: Journals, check: Check) -> tuple[Damage | None, int]:
    found = _parsed(check, journals.root, kind="plan", problem_of=group_problem)
    if found[0] is not None:
        # Removed at one stroke with the ledger; and an empty folder is what a kill left in the first instant.
        return found if journals.files.stages().count(check.stage) else (None, 0)
    try:
        text = journals.files.read_plan(check.stage)
        if text is not None:
            StageJournal.load(_PlanOnly(journals.root), check.stage)
    except CorruptChunkError:
        return _damage(check, "plan", f"{check.path}/zarr.json", "altered"), found[1]
    return found


class _PlanOnly(JournalFiles):
    """Journals whose ledgers aren't looked at."""

    def read_ledger(self, stage: str) -> None:
        return None


def _ledger(journals: Journals, check: Check) -> tuple[Damage | None, int]:
    try:
        planned = StageJournal.load(_PlanOnly(journals.root), check.stage)
    except CorruptChunkError:
        return None, 0  # told as damage of the plan
    if planned is None or check.stage == GROWTH:
        return None, 0
    key = f"{check.path}/{CHUNK_PREFIX}0"
    file = regular_file(journals.root, key)
    products = planned.plan.products
    if check.chunk == METADATA:
        # For readers of plain Zarr alone; written before the entries.
        n_entries = sum(product.n_chunks + 1 for product in products)
        damage, size = _parsed(
            check, journals.root, kind="ledger", problem_of=lambda found: ledger_problem(found, n_entries)
        )
        return (None if file is None else damage), size
    if file is None:
        # It is written with the first units. Arrays are complete when all of theirs are in it.
        is_lost = any(_is_complete(journals.root, product.path) for product in products)
        is_lost = is_lost and journals.files.read_plan(GROWTH) is None
        return (_damage(check, "ledger", key, "missing") if is_lost else None), 0
    size = file.stat().st_size
    try:
        journals.files.load(check.stage)
    except CorruptChunkError:
        return _damage(check, "ledger", key, "altered"), size
    return None, size


def _copies(journals: Journals, check: Check) -> tuple[Damage | None, int]:
    key = f"{check.path}/{CHUNK_PREFIX}0"
    file = regular_file(journals.root, key)
    if check.chunk == METADATA:
        damage, size = _parsed(check, journals.root, kind="copies", problem_of=copies_problem)
        return (None if file is None else damage), size
    if file is None:
        # They are kept before the ledger is begun; in stores of old, there are none.
        is_begun = regular_file(journals.root, f"{check.path}/zarr.json") is not None
        ledger = f"journal/{check.stage}/ledger/{CHUNK_PREFIX}0"
        is_begun = is_begun and regular_file(journals.root, ledger) is not None
        return (_damage(check, "copies", key, "missing") if is_begun else None), 0
    size = file.stat().st_size
    try:
        journals.files.read_copies(check.stage)
    except CorruptChunkError:
        return _damage(check, "copies", key, "altered"), size
    return None, size


def _metadata(journals: Journals, check: Check) -> tuple[Damage | None, int]:
    root, key = journals.root, f"{check.path}/zarr.json"
    recorded = ABSENT
    if check.stage != TRANSCODE:  # whose entry speaks of its chunks
        recorded = journals.digest_of(check.stage, check.path, METADATA)
    if recorded != ABSENT:
        return _compared(check, root, key, recorded)
    journal = journals.get(check.stage)
    if journal is None or journals.files.read_plan(GROWTH) is not None or _is_exchanged(journals, check):
        return None, 0
    product = next(each for each in journal.plan.products if each.path == check.path)
    if regular_file(root, key) is None and not journal.done(check.path).any():
        return None, 0  # not made yet

    def problem_of(metadata: Any) -> str:
        spec = spec_of(check.path)
        try:
            layout = Layout.of(metadata)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return str(error)
        is_ours = layout.n_files == product.n_chunks and (spec is None or layout.dims == spec.dims)
        return "" if is_ours else "its shape is not what was planned"

    return _parsed(check, root, kind="metadata", problem_of=problem_of)


def _chunk(journals: Journals, check: Check) -> tuple[Damage | None, int]:
    recorded = journals.digest_of(check.stage, check.path, check.chunk)
    if recorded == ABSENT:
        return None, 0
    key = chunk_key(journals.root, check.path, check.chunk)
    damage, size = _compared(check, journals.root, key, recorded)
    if damage is None or _is_newer(journals, check, key):
        return None, size
    return damage, size


def _is_newer(journals: Journals, check: Check, key: str) -> bool:
    """Tell whether a chunk may have been written after the ledger was, by a run that a kill stopped.

    Some arrays are written again while they fill, and the ledger follows; their own checksum still tells that
    nothing has happened to what was written. The next run brings both together.
    """
    if _is_exchanged(journals, check):
        return True
    if check.stage != "ingest" or check.path == "position":
        return False
    journal = journals.get("ingest")
    if journal is None or (journal.complete and check.path not in MOVED):
        return False
    try:
        file = regular_file(journals.root, key)
        return file is not None and checksum_holds(file)
    except (OSError, StoreError):
        return False


def _is_exchanged(journals: Journals, check: Check) -> bool:
    """Tell whether an array is, or is about to be, in the place of another."""
    if (check.stage, check.path) != ("ingest", "position") and check.stage != TRANSCODE:
        return False
    journal = journals.get(TRANSCODE)
    return journal is not None and any(
        journal.digest_of(product.path, METADATA) for product in journal.plan.products
    )


def _compared(check: Check, root: Path, key: str, recorded: int) -> tuple[Damage | None, int]:
    """Compare a file with its digest; it is read in small pieces."""
    kind = "metadata" if check.chunk == METADATA else "chunk"
    found, size = blake2b(digest_size=8), 0
    try:
        with os.fdopen(open_regular(inside(root, key)), "rb", buffering=0) as file:
            while block := file.read(BLOCK_BYTES):
                found.update(block)
                size += len(block)
    except (FileNotFoundError, NotADirectoryError):
        return _damage(check, kind, key, "missing", root), 0
    except PermissionError as error:
        raise StoreError(f"Cannot read {root / key}: {error.strerror}. Mend its permissions.") from error
    except OSError as error:
        return _damage(check, kind, key, error.strerror or str(error), root), size
    except StoreError:
        return _damage(check, kind, key, "no regular file", root), size
    is_same = (int.from_bytes(found.digest(), "little") or 1) == recorded
    return (None if is_same else _damage(check, kind, key, "altered", root)), size


def _parsed(
    check: Check, root: Path, *, kind: str, problem_of: Callable[[Any], str]
) -> tuple[Damage | None, int]:
    """Check metadata that have no digest by what they must say."""
    key = f"{check.path}/zarr.json" if check.path else "zarr.json"
    try:
        size = os.lstat(root / key).st_size
        problem = problem_of(read_metadata(root, check.path))
    except (FileNotFoundError, NotADirectoryError):
        return _damage(check, kind, key, "missing"), 0
    except PermissionError as error:
        raise StoreError(f"Cannot read {root / key}: {error.strerror}. Mend its permissions.") from error
    except OSError as error:
        return _damage(check, kind, key, error.strerror or str(error)), 0
    except (ValueError, AttributeError):
        return _damage(check, kind, key, "altered"), size
    return (_damage(check, kind, key, "altered") if problem else None), size


def _is_complete(root: Path, path: str) -> bool:
    try:
        return Layout.of(read_metadata(root, path)).is_complete
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return False


def _damage(check: Check, kind: str, key: str, problem: str, root: Path | None = None) -> Damage:
    if kind != "chunk" or root is None:
        return Damage(check.stage, check.path, kind, key, problem)
    spec = spec_of(check.path)
    journal = Journals(root).get(check.stage)
    n_files = next((p.n_chunks for p in journal.plan.products if p.path == check.path), 0) if journal else 0
    layout = layout_of(root, check.path, n_files)
    dimension = spec.dims[0] if spec is not None else layout.dims[0] if layout is not None else None
    start, stop = (None, None) if layout is None else layout.elements(check.chunk)
    return Damage(check.stage, check.path, kind, key, problem, check.chunk, dimension, start, stop)
