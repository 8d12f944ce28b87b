"""`repair_store`: damage is mended where it can be, else discarded, for the next run to make it anew."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import CorruptChunkError, StageIncompleteError, StoreError
from ..journal import ABSENT, METADATA, Lock, Record, StageJournal, Writer, digest, hold
from ..partition import FrameRange
from ..progress import Progress, Silent
from ..report.next_commands import resuming_commands
from ..store import GROWTH, METADATA_FILE, Store, chunk_key, inside, lock_folder, store_path
from .checks import Journals
from .damage import Damage, Repair
from .discards import discarded, source_files
from .mends import mend_of
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

    What was made from damaged data stays: they come back with the same bytes. It can be stopped at any moment
    and called again.

    Parameters
    ----------
    store
        Path of the store.
    dry_run
        Change nothing. What else a damaged journal hides is found when that is mended.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.
    progress
        Progress reporter.

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
        journals = Journals(root)
        sources.update(dict.fromkeys(source_files(journals, damage)))
        mends = {each: mend_of(journals, each) for each in damage}
        # What the plans have first, then the ledgers, then what they speak of: the one tells what is damaged
        # of the other.
        for how in (("write",), ("ledger",), ("array", "chunk")):
            chosen = [each for each in damage if mends[each].how in how]
            if chosen:
                break
        else:
            break
        if how == ("write",):
            for each in chosen:
                _write(root, writer, each.file, mends[each].content or b"")
            continue
        if any(each.path == "" for each in damage):
            break  # without its root's metadata it is no store
        if journals.get(GROWTH) is not None:
            raise StageIncompleteError(
                f"{root}: an append was interrupted while it made the store longer. Run the same "
                "`twopass ingest --append` again, then repair."
            )
        store = Store.open(root, writer=writer, mends=True)
        for stage in dict.fromkeys(each.stage for each in chosen):
            if how == ("ledger",):
                _mend_ledger(store, journals, stage)
            else:
                _discard_chunks(store, journals, stage, [each for each in chosen if each.stage == stage])
    _finish_discards(root, writer)
    left = verify_locked(root, progress=progress).damage
    # What to run next can be told once every journal can be read.
    commands = () if any(each.kind in ("plan", "ledger") for each in left) else _commands(root)
    return Repair(str(root), tuple(seen), left, tuple(sources), commands)


def _write(root: Path, writer: Writer, key: str, content: bytes) -> None:
    path = inside(root, key)
    for parent in [*reversed(Path(key).parents)]:
        writer.make_folder(inside(root, parent.as_posix() if parent.parts else ""))
    if path.is_dir():
        writer.remove(path)
    writer.write(path, content)


def _mend_ledger(store: Store, journals: Journals, stage: str) -> None:
    plan = journals.plan(stage)
    assert plan is not None
    records = [record for each in plan.products for record in _found(store, journals, stage, each.path)]
    store.remove(f"journal/{stage}/ledger")
    journal = StageJournal.load(store, stage)
    assert journal is not None
    journal.commit(records)


def _found(store: Store, journals: Journals, stage: str, path: str) -> list[Record]:
    """Return the entries of an array that is complete, whose chunks are whole by their own checksums."""
    layout, metadata = journals.layout(stage, path), inside(store.path, f"{path}/{METADATA_FILE}")
    # Chunks of an array that isn't complete may be halves of units.
    if layout is None or not layout.is_complete or journals.kept(stage, path) != metadata.read_bytes():
        return []
    records = []
    for chunk in range(layout.n_files):
        with suppress(CorruptChunkError):
            store.read(path, FrameRange(*layout.elements(chunk)))
            records.append(Record(path, chunk, digest(store.at(chunk_key(path, chunk)).read_bytes())))
    if len(records) == layout.n_files:
        records.append(Record(path, METADATA, digest(metadata.read_bytes())))
    return records


def _discard_chunks(store: Store, journals: Journals, stage: str, damage: list[Damage]) -> None:
    """Discard chunks and arrays of a stage: first the files, then their entries, then ``complete``."""
    journal = store.journal(stage)
    assert journal is not None
    arrays, files, entries = discarded(journals, journal, damage)
    for path in sorted(arrays):
        store.remove(path)
    for path, chunk in sorted(files):
        store.remove(chunk_key(path, chunk))
    undone = {path for path, _ in entries}
    of_arrays = {(path, METADATA) for path in undone}
    journal.commit(Record(path, chunk, ABSENT) for path, chunk in entries | of_arrays)
    for path in sorted(undone - arrays):
        store.unmark_complete(path)


def _half_discarded(root: Path) -> list[tuple[str, str]]:
    """List (stage, array) where a repair that was stopped has left ``complete`` though chunks are gone."""
    journals, found = Journals(root), []
    for stage in journals.stages:
        journal = journals.get(stage)
        for product in journal.plan.products if journal is not None else ():
            layout = journals.layout(stage, product.path)
            is_done = journal is None or bool(np.all(journal.done(product.path)))
            if layout is not None and layout.is_complete and not is_done:
                found.append((stage, product.path))
    return found


def _finish_discards(root: Path, writer: Writer) -> None:
    left = _half_discarded(root)
    if not left:
        return
    store = Store.open(root, writer=writer, mends=True)
    for stage, path in left:
        journal = store.journal(stage)
        if journal is not None and journal.digest_of(path, METADATA):
            journal.commit([Record(path, METADATA, ABSENT)])
        store.unmark_complete(path)
