"""The checks of single files, each of which can be made again when a writer may have come in between."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import CorruptChunkError, StoreError
from ..journal import ABSENT, METADATA, Plan, StageJournal, digest, file_digest
from ..partition import FrameRange
from ..store import (
    GROWTH,
    HOLDERS,
    JournalFiles,
    Store,
    chunk_key,
    files_at,
    group_of,
    inside,
    metadata_key,
    naming_the_file,
    spec_at,
)
from .damage import Damage

__all__ = ["Check", "Journals", "Layout", "checks_of", "examine"]

MOVED = ("trajectory_path", "trajectory_modified")
"""Arrays that `twopass relocate` writes anew."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array is cut into files."""

    length: int  # along the first dimension
    file_length: int  # the part of it in one file
    is_complete: bool

    @property
    def n_files(self) -> int:
        """Files that hold the array."""
        return -(-self.length // self.file_length)

    def elements(self, chunk: int) -> tuple[int, int]:
        """What of the first dimension lies in a file, half-open."""
        return chunk * self.file_length, min((chunk + 1) * self.file_length, self.length)


class Journals:
    """The journals as they were when each was first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = JournalFiles(root)
        self.stages = self.files.stages()
        self._loaded: dict[str, StageJournal | None] = {}

    def get(self, stage: str) -> StageJournal | None:
        """Return a stage's journal; None if there is none, or none that can be read."""
        if stage not in self._loaded:
            try:
                self._loaded[stage] = self.files.journal(stage)
            except StoreError:
                self._loaded[stage] = None
        return self._loaded[stage]

    def plan(self, stage: str) -> Plan | None:
        """Return a stage's plan, also where its ledger can't be read; None if there is none."""
        text = self.files.read_plan(stage)
        return None if text is None else Plan.from_json(text)

    def kept(self, stage: str, path: str) -> bytes | None:
        """Return the metadata that a stage's plan has of a group or array; None if it has none."""
        try:
            plan = self.plan(stage)
        except StoreError:
            return None
        text = None if plan is None else plan.metadata.get(path)
        return None if text is None else text.encode()

    def digest_of(self, stage: str, path: str, chunk: int) -> int:
        """Return what is recorded, `ABSENT` if nothing is."""
        journal = self.get(stage)
        # A stage that was begun anew meanwhile may have fewer chunks, or another array.
        if journal is None or not journal.has(path) or chunk >= len(journal.done(path)):
            return ABSENT
        return journal.digest_of(path, chunk)

    def layout(self, stage: str, path: str) -> Layout | None:
        """Return how an array is cut into files; None if its metadata don't tell, or differ from the plan."""
        try:
            metadata = json.loads(files_at(self.root).read_metadata(path))
            plan = self.plan(stage)
        except (StoreError, OSError):
            return None
        n_planned = next((each.n_chunks for each in plan.products if each.path == path), 0) if plan else 0
        file_length = metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
        is_complete = metadata["attributes"].get("complete") is True
        layout = Layout(metadata["shape"][0], file_length, is_complete)
        return layout if layout.n_files == n_planned else None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at: `kind` is one of `KINDS`, or ``group``; see `Damage` for the others."""

    kind: str
    stage: str
    path: str
    chunk: int = METADATA

    @property
    def file(self) -> str:
        """Path of the file in the store."""
        return metadata_key(self.path) if self.chunk == METADATA else chunk_key(self.path, self.chunk)


def checks_of(journals: Journals) -> Iterator[Check]:
    """Yield what is to be checked in a store."""
    yield Check("group", "ingest", "")
    yield from (Check("group", "", holder) for holder in HOLDERS)
    for stage in journals.stages:
        yield Check("plan", stage, f"journal/{stage}")
        yield Check("ledger", stage, f"journal/{stage}/ledger")
        yield Check("ledger", stage, f"journal/{stage}/ledger", 0)
        group = group_of(stage)
        if group:
            yield Check("group", stage, group)
        journal = journals.get(stage)
        for product in journal.plan.products if journal is not None else ():
            yield Check("metadata", stage, product.path)
    # The large ones last.
    for stage in journals.stages:
        journal = journals.get(stage)
        for product in journal.plan.products if journal is not None else ():
            for chunk in np.flatnonzero(journal.done(product.path)) if journal is not None else ():
                yield Check("chunk", stage, product.path, int(chunk))


def examine(journals: Journals, check: Check) -> tuple[Damage | None, int]:
    """Check one file; returns the damage, and the bytes that were read."""
    kinds = {"group": _group, "plan": _plan, "ledger": _ledger, "metadata": _metadata, "chunk": _chunk}
    with naming_the_file(journals.root / check.file):
        problem = kinds[check.kind](journals, check)
        size = _size(journals.root, check)
    return (_damage(journals, check, problem) if problem else None), size


def _size(root: Path, check: Check) -> int:
    try:
        return (root / check.file).lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _group(journals: Journals, check: Check) -> str:
    folder = journals.root / check.path
    if check.path and not (folder.is_dir() and any(folder.iterdir())):
        return ""
    kept = journals.kept(check.stage, check.path)
    return _parsed(journals, check) if kept is None else _compared(journals.root, check, digest(kept))


def _plan(journals: Journals, check: Check) -> str:
    try:
        if journals.plan(check.stage) is not None:
            return ""
    except CorruptChunkError:
        return "altered" if (journals.root / check.file).is_file() else "missing"
    # Removed at one stroke with the ledger; and an empty folder is what a kill left in the first instant.
    return "missing" if check.stage in journals.files.stages() else ""


def _ledger(journals: Journals, check: Check) -> str:
    try:
        plan = journals.plan(check.stage)
    except CorruptChunkError:
        return ""  # told as damage of the plan
    if plan is None or check.stage == GROWTH:
        return ""
    if check.file in journals.files.lost(check.stage):
        return "missing"
    ledger = inside(journals.root, chunk_key(check.path, 0))
    if not ledger.is_file():
        return ""  # not written yet
    problem = _parsed(journals, check)
    if check.chunk == METADATA:
        return problem
    try:
        if problem:  # its own checksum is all that is left of it
            files_at(journals.root).read_chunk(check.file)
        else:
            StageJournal.load(journals.files, check.stage)
    except CorruptChunkError:
        return "altered"
    return ""


def _metadata(journals: Journals, check: Check) -> str:
    recorded = journals.digest_of(check.stage, check.path, METADATA)
    if recorded != ABSENT:
        return _compared(journals.root, check, recorded)
    journal = journals.get(check.stage)
    if journal is None or journals.files.read_plan(GROWTH) is not None:
        return ""
    if not (journals.root / check.file).exists() and not journal.done(check.path).any():
        return ""  # not made yet
    problem = _parsed(journals, check)
    is_planned = journals.layout(check.stage, check.path) is not None
    return problem or ("" if is_planned else "altered")


def _chunk(journals: Journals, check: Check) -> str:
    recorded = journals.digest_of(check.stage, check.path, check.chunk)
    problem = "" if recorded == ABSENT else _compared(journals.root, check, recorded)
    return problem if problem and not _is_newer(journals, check) else ""


def _is_newer(journals: Journals, check: Check) -> bool:
    """Tell whether a chunk may have been written after the ledger was, by a run that a kill stopped.

    Some arrays are written again while they fill, and the ledger follows; their own checksums still tell that
    nothing has happened to what was written. The next run brings both together.
    """
    journal = journals.get("ingest")
    if check.stage != "ingest" or check.path == "position" or journal is None:
        return False
    layout = journals.layout(check.stage, check.path)
    if layout is None or (journal.complete and check.path not in MOVED):
        return False
    try:
        Store.open(journals.root, mends=True).read(check.path, FrameRange(*layout.elements(check.chunk)))
    except StoreError:
        return False
    return True


def _compared(root: Path, check: Check, recorded: int) -> str:
    """Compare a file with its digest."""
    try:
        place = inside(root, check.file)
    except StoreError:
        return "no regular file"
    try:
        with place.open("rb", buffering=0) as file:
            found = file_digest(file)
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except PermissionError:
        raise
    except OSError as error:
        if isinstance(error, StoreError):  # of a service that can't be reached
            raise
        return error.strerror or str(error)
    return "" if found == recorded else "altered"


def _parsed(journals: Journals, check: Check) -> str:
    """Check metadata that have no digest by what the schema says of them."""
    try:
        files_at(journals.root).read_metadata(check.path)
    except FileNotFoundError:
        return "altered" if (journals.root / metadata_key(check.path)).exists() else "missing"
    except StoreError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        return "altered"
    return ""


def _damage(journals: Journals, check: Check, problem: str) -> Damage:
    kind = "metadata" if check.kind == "group" else check.kind
    if kind != "chunk":
        return Damage(check.stage, check.path, kind, check.file, problem)
    spec, layout = spec_at(check.path), journals.layout(check.stage, check.path)
    start, stop = (None, None) if layout is None else layout.elements(check.chunk)
    dimension = None if spec is None else spec.dims[0]
    return Damage(check.stage, check.path, kind, check.file, problem, check.chunk, dimension, start, stop)
