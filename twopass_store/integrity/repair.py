"""`repair_store`: damage is mended where it can be, else discarded, for the next run to make it anew."""

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import CorruptChunkError, StageIncompleteError, StoreError
from ..journal import ABSENT, METADATA, Lock, Record, StageJournal, Writer, digest, hold
from ..partition import FrameRange
from ..progress import Progress, Silent
from ..report.next_commands import resuming_commands
from ..store import (
    COPIES,
    GROWTH,
    JournalFiles,
    Store,
    discard,
    group_of,
    inside,
    lock_folder,
    read_regular,
    store_path,
)
from .checks import Journals
from .damage import Damage, Repair
from .discards import discarded, source_files
from .layout import layout_of, spec_of
from .mends import hanging_on, mend_of
from .verify import verify_locked, verify_store

__all__ = ["repair_store"]

ROUNDS = 6
"""A journal that is mended shows what else is damaged."""


def repair_store(
    store: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    break_lock: bool = False,
    progress: Progress | None = None,
) -> Repair:
    """Mend what is damaged, or discard it, so that the next run makes exactly that anew.

    What hangs on damaged data stays: these are made anew with the same bytes. It can be stopped at any moment
    and called again.

    Parameters
    ----------
    store
        Path of the store.
    dry_run
        Tell only. What else a damaged journal hides is found when that is mended.
    break_lock
        Take the store's lock also from a process of which it can't be told whether it lives, such as one of
        another host. Only where you are sure that it doesn't.
    progress
        Who is told how it goes.

    Raises
    ------
    StoreNotFoundError, FormatVersionError
        As for `verify_store`.
    StageIncompleteError
        If an append was interrupted while it made the store longer: that must be finished first.
    StoreError
        If the store is locked, or can't be written.
    """
    root = store_path(store)
    progress = progress or Silent()
    found = verify_store(root, progress=progress)
    if dry_run or (found.is_whole and not _half_discarded(root)):
        journals = Journals(root)
        left = tuple(each for each in found.damage if mend_of(journals, each).how == "none")
        commands = _commands(root) if found.is_whole else ()
        return Repair(str(root), found.damage, left, source_files(journals, found.damage), commands)
    with hold(lock_folder(root), [Lock("ingest")], break_lock=break_lock) as writer:
        return _repaired(root, writer, progress)


def _commands(root: Path) -> tuple[str, ...]:
    try:
        return resuming_commands(Store.open(root))
    except StoreError:
        return ()


def _repaired(root: Path, writer: Writer, progress: Progress) -> Repair:
    seen: dict[Damage, None] = {}
    sources: dict[str, None] = {}
    for _ in range(ROUNDS):
        damage = verify_locked(root, progress=progress).damage
        seen.update(dict.fromkeys(damage))
        sources.update(dict.fromkeys(source_files(Journals(root), damage)))
        # What there is a copy of first, then the journals, then what they speak of: the one tells what is
        # damaged of the other.
        for how in (("write",), ("ledger", "copies"), ("stage",), ("array", "chunk")):
            chosen = [each for each in damage if mend_of(Journals(root), each).how in how]
            if chosen:
                break
        else:
            break
        if how != ("write",) and any(each.path == "" for each in damage):
            break  # without its root's metadata it is no store
        if Journals(root).get(GROWTH) is not None and how != ("write",):
            raise StageIncompleteError(
                f"{root}: an append was interrupted while it made the store longer. Run the same "
                "`twopass ingest --append` again, then repair."
            )
        _mend(root, writer, chosen)
    _finish_discards(root, writer)
    left = verify_locked(root, progress=progress).damage
    # What to run next can be told once every journal can be read.
    commands = () if any(each.kind in ("plan", "ledger") for each in left) else _commands(root)
    return Repair(str(root), tuple(seen), left, tuple(sources), commands)


def _mend(root: Path, writer: Writer, damage: list[Damage]) -> None:
    chunks: dict[str, list[Damage]] = defaultdict(list)
    for each in damage:
        mend = mend_of(Journals(root), each)
        if mend.how == "write" and mend.content is not None:
            _write(root, writer, each.file, mend.content)
        elif mend.how == "ledger":
            _mend_ledger(root, writer, each)
        elif mend.how == "copies":
            _mend_copies(root, writer, each)
        elif mend.how == "stage":
            _discard_stage(root, writer, each.stage)
        elif mend.how in ("array", "chunk"):
            chunks[each.stage].append(each)
    for stage, some in chunks.items():
        _discard_chunks(root, writer, stage, some)


def _write(root: Path, writer: Writer, key: str, content: bytes) -> None:
    path = inside(root, key)
    for parent in [*reversed(Path(key).parents)]:
        writer.make_folder(inside(root, parent.as_posix() if parent.parts else ""))
    if path.is_dir():
        writer.remove(path)
    writer.write(path, content)


def _mend_ledger(root: Path, writer: Writer, damage: Damage) -> None:
    store = Store.open(root, writer=writer, grows=True)
    if damage.file.endswith("zarr.json"):
        store.mend_journal_array(damage.stage, "ledger")
        return
    planned = StageJournal.load(_WithoutLedger(root), damage.stage)
    assert planned is not None
    records = [
        record for product in planned.plan.products for record in _found(store, damage.stage, product.path)
    ]
    # As the first commit of a stage, which makes the ledger where there is none.
    StageJournal(store, planned.plan, planned.extended(planned.plan)).commit(records)


class _WithoutLedger(JournalFiles):
    def read_ledger(self, stage: str) -> None:
        return None


def _found(store: Store, stage: str, path: str) -> list[Record]:
    """Return the entries of an array that is complete, whose chunks are whole by their own checksums."""
    journals = Journals(store.path)
    planned = StageJournal.load(_WithoutLedger(store.path), stage)
    n_files = next(each.n_chunks for each in planned.plan.products if each.path == path) if planned else 0
    layout = layout_of(store.path, path, n_files)
    copy = journals.copies(stage).get(path)
    with suppress(StoreError, OSError):
        metadata = read_regular(store.path / path / "zarr.json")
        # Chunks of an array that isn't complete may be halves of units.
        if layout is None or not layout.is_complete or (copy is not None and copy.encode() != metadata):
            return []
        records = []
        for chunk in range(n_files):
            start, stop = layout.elements(chunk)
            with suppress(CorruptChunkError):
                store.read(path, FrameRange(start, stop))
                key = f"{path}/c.{chunk}{'.0' * (len(layout.dims) - 1)}"
                records.append(Record(path, chunk, digest(read_regular(store.path / key))))
        if len(records) == n_files:
            records.append(Record(path, METADATA, digest(metadata)))
        return records
    return []


def _mend_copies(root: Path, writer: Writer, damage: Damage) -> None:
    store = Store.open(root, writer=writer, grows=True)
    if damage.file.endswith("zarr.json"):
        store.mend_journal_array(damage.stage, COPIES)
        return
    journals = Journals(root)
    journal, group = journals.get(damage.stage), group_of(damage.stage)
    store.remove(f"journal/{damage.stage}/{COPIES}")
    products = () if journal is None else journal.plan.products
    paths = [each.path for each in products if journals.digest_of(damage.stage, each.path, METADATA)]
    with suppress(CorruptChunkError, OSError):
        store.keep_metadata(damage.stage, [*paths, *([] if group is None else [group])])


def _discard_stage(root: Path, writer: Writer, stage: str) -> None:
    """Discard a stage with what hangs on it."""
    store = Store.open(root, writer=writer, grows=True)
    discard(store, *hanging_on(stage, JournalFiles(root).stages()))


def _discard_chunks(root: Path, writer: Writer, stage: str, damage: list[Damage]) -> None:
    """Discard chunks and arrays of a stage: first the files, then their entries, then ``complete``."""
    journal = Journals(root).get(stage)
    if journal is None:
        return
    store = Store.open(root, writer=writer, grows=True)
    what = discarded(root, journal, damage)
    for path in what.arrays:
        store.remove(path)
    for path, chunk in what.files:
        spec = spec_of(path)
        store.discard_chunk(path, chunk, 1 if spec is None else len(spec.dims))
    present = store.journal(stage)
    assert present is not None
    undone = sorted({path for path, _ in what.entries})
    present.commit(
        [
            *(Record(path, chunk, ABSENT) for path, chunk in what.entries),
            *(Record(path, METADATA, ABSENT) for path in undone),
        ]
    )
    for path in undone:
        if path not in what.arrays:
            store.unmark_complete(path)


def _half_discarded(root: Path) -> list[tuple[str, str]]:
    """List (stage, array) where a repair that was stopped has left ``complete`` though chunks are gone."""
    journals, found = Journals(root), []
    for stage in journals.files.stages():
        journal = journals.get(stage)
        for product in journal.plan.products if journal is not None else ():
            layout = layout_of(root, product.path, product.n_chunks)
            is_done = journal is None or bool(np.all(journal.done(product.path)))
            if layout is not None and layout.is_complete and not is_done:
                found.append((stage, product.path))
    return found


def _finish_discards(root: Path, writer: Writer) -> None:
    left = _half_discarded(root)
    if not left:
        return
    store = Store.open(root, writer=writer, grows=True)
    for stage, path in left:
        journal = store.journal(stage)
        if journal is not None and journal.digest_of(path, METADATA):
            journal.commit([Record(path, METADATA, ABSENT)])
        store.unmark_complete(path)
