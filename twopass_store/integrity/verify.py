"""`verify_store`: every recorded file compared with its digest."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import FormatVersionError, StoreNotFoundError
from ..executors import ThreadExecutor, available_cpus
from ..journal import clear_dead
from ..progress import Progress, Silent, counting
from ..schema import FORMAT_VERSION
from ..store import (
    CHUNK_PREFIX,
    GROWTH,
    HOLDERS,
    METADATA_FILE,
    ObjectPath,
    folder_sizes,
    group_of,
    lock_folder,
    naming_the_file,
    store_path,
)
from .checks import Check, Journals, checks_of, examine
from .damage import Damage, Verification
from .mends import mend_of

__all__ = ["verify_locked", "verify_store"]

RECHECKS = 5
"""How often what differs is looked at again while a process writes to the store."""

RECHECK_SECONDS = 0.5

MAX_DAMAGE = 10_000
"""Of so many files at most the damage is listed."""

SHOWN = 5

PUBLISHED_MEND = "copied anew by `twopass publish`"


def verify_store(
    store: str | os.PathLike[str], *, workers: int | None = None, progress: Progress | None = None
) -> Verification:
    """Compare all that is recorded in a store's journals with its files.

    It takes no lock and changes nothing in the store. While a process writes to it, what differs is looked at
    again with the ledgers read anew.

    Parameters
    ----------
    store
        Path of the store.
    workers
        Threads; all processors available where None.
    progress
        Who is told how it goes.

    Raises
    ------
    StoreNotFoundError
        If there is no store.
    FormatVersionError
        If it is of another format.
    StoreError
        If a file may not be read.
    """
    root = store_path(store, reads=True)
    if isinstance(root, ObjectPath):
        root = ObjectPath.opened(root, consolidated=False)
    clear_dead(lock_folder(root))
    return _verified(root, workers, progress or Silent(), rechecks=RECHECKS)


def verify_locked(root: Path, *, progress: Progress) -> Verification:
    """Do what `verify_store` does, for who holds the store's lock: no writer comes in between."""
    return _verified(root, None, progress, rechecks=0)


def _verified(root: Path, workers: int | None, progress: Progress, *, rechecks: int) -> Verification:
    journals = _journals(root)
    for stage in journals.stages:
        journals.get(stage)  # before threads take what files may be open: zarr's event loop needs three
    n_files = n_bytes = 0
    found: dict[Check, Damage] = {}
    executor = ThreadExecutor(workers or available_cpus(), queued=2)
    with counting(progress, "verify", total=folder_sizes(root)(""), unit="bytes"):
        for check, damage, size in executor.map_unordered(
            lambda check: (check, *examine(journals, check)), checks_of(journals)
        ):
            n_files += size > 0
            n_bytes += size
            progress.advance(size)
            if damage is not None and len(found) < MAX_DAMAGE:
                found[check] = damage
    found = _again(root, found, rechecks)
    lost = {damage.stage for damage in found.values() if damage.kind == "ledger"}
    at_last, is_published = Journals(root), isinstance(root, ObjectPath)
    listed = [
        replace(found[check], mend=PUBLISHED_MEND if is_published else mend_of(at_last, found[check]).text)
        for check in checks_of(journals)  # in their order
        if check in found
    ]
    return Verification(
        path=str(root),
        n_files=n_files,
        n_bytes=n_bytes,
        damage=tuple(listed),
        unfinished=tuple(
            stage
            for stage in at_last.stages
            if stage not in lost and (journal := at_last.get(stage)) is not None and not journal.complete
        ),
        notes=tuple(_notes(root, journals, len(found))),
    )


def _again(root: Path, found: dict[Check, Damage], rechecks: int) -> dict[Check, Damage]:
    """Look again at what differs: a writer may have been between its file and its ledger."""
    for _ in range(rechecks if found else 0):
        is_locked = lock_folder(root).is_dir()
        if is_locked:
            time.sleep(RECHECK_SECONDS)
        journals = Journals(root)
        examined = {check: examine(journals, check)[0] for check in found}
        found = {check: damage for check, damage in examined.items() if damage is not None}
        if not is_locked or not found:
            break
    return found


def _journals(root: Path) -> Journals:
    """Return the journals of a store; refuse what is none, or of another format."""
    file = root / METADATA_FILE
    with naming_the_file(file):
        if not root.exists():
            raise StoreNotFoundError(f"There is no store at {root}.")
        version = _version(file.read_bytes() if file.is_file() else b"")
        journals = Journals(root)
    if version is None and not journals.stages:
        raise StoreNotFoundError(f"{root} is no twopass store.")
    # If the plan has this version, it is the root's that is damaged.
    planned = _version(journals.kept("ingest", "") or b"")
    if isinstance(version, int) and FORMAT_VERSION not in (version, planned):
        raise FormatVersionError(
            f"{root} has format version {version}, and this version of twopass-store reads {FORMAT_VERSION}. "
            "Install the version of twopass-store that wrote it, or a newer one."
        )
    return journals


def _version(metadata: bytes) -> object:
    try:
        return json.loads(metadata)["attributes"].get("twopass_format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _notes(root: Path, journals: Journals, n_damaged: int) -> Iterable[str]:
    if n_damaged >= MAX_DAMAGE:
        yield f"only the first {MAX_DAMAGE:,} damaged files are listed"
    if journals.get(GROWTH) is not None:
        yield "an append was interrupted while it made the store longer: run it again"
    foreign = _foreign(root, journals)
    if foreign:
        more = f" and {len(foreign) - SHOWN} more" if foreign[SHOWN:] else ""
        yield f"not the store's, and left alone: {', '.join(foreign[:SHOWN])}{more}"


def _foreign(root: Path, journals: Journals) -> Sequence[str]:
    """List what no journal speaks of: files, and the folders of other arrays and groups."""
    stages = journals.stages
    arrays = {f"journal/{stage}/ledger" for stage in stages}
    groups = {"", *HOLDERS, *(f"journal/{stage}" for stage in stages)}
    for stage in stages:
        journal = journals.get(stage)
        if journal is None:
            return []  # whose arrays aren't known
        arrays |= {product.path for product in journal.plan.products}
        group = group_of(stage)
        groups |= set() if group is None else {group}
    found = []
    for folder, folders, files in os.walk(root):
        path = Path(folder).relative_to(root).as_posix().removeprefix(".")
        ours = (METADATA_FILE, CHUNK_PREFIX) if path in arrays else (METADATA_FILE,)
        strange = [name for name in files if not name.startswith(ours)]
        others = [name for name in folders if f"{path}/{name}".lstrip("/") not in arrays | groups]
        folders[:] = [name for name in folders if name not in others]
        found += [f"{path}/{name}".lstrip("/") for name in sorted((*strange, *others))]
    return found
