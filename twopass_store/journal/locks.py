"""Locks: files beside the store that name their holder, kept by the kernel while that process lives.

Each lock is a record, ``<store>.lock/<name>.json``, on which its holder keeps an advisory lock (`flock`). The
kernel gives that back when the process ends, however it ends and on whichever node. So a record without one
is what a dead process left, and the next command clears it. On a file system without such locks, a record
counts as held until its holder removes it, or it is broken on demand.

A lock is taken by making its record and then looking for others in conflict. Of two processes that come at
the same time, at least one sees the other, steps back and tries again.

Each holder writes through a staging folder of its own. Whoever clears or breaks a lock removes that folder,
so that a process that lost its lock, or a worker that outlived its driver, can't write any more.

Locks can be kept for a job: then their records stay when their process ends, and processes on other nodes,
which need no lock, write through the staging folder, until the job is closed or the locks are broken. No file
system needs to know `flock` for that.
"""

import errno
import fcntl
import json
import os
import random
import shlex
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NewType

from ..errors import StoreError, StoreLockedError, StoreWriteError
from .disk import Writer, remove_staging, settle

__all__ = ["Kept", "Lock", "clear_dead", "closing_job", "hold", "kept_for", "naming_writer", "restarting"]

Lock = NewType("Lock", str)
"""Name of a lock. ``ingest`` excludes all others; those of subsets and clusterings exclude their like."""

STAGING = "staging"

CLOSED = ".closed"
"""Added to the name of a staging folder while a job is closed: what still works on it can't write."""

PATIENCE_SECONDS = 1.0
"""How long a lock is tried: another process may be taking, clearing or giving back one at this moment."""

_held: set[int] = set()


def _close_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


# A forked child would keep the locks of a parent that has died.
os.register_at_fork(after_in_child=_close_in_child)


@dataclass(frozen=True, slots=True)
class Kept:
    """Locks that are kept for a job, and its folder, through which whoever works on it writes."""

    job: str
    locks: tuple[Lock, ...]
    staging: Path

    @property
    def arguments(self) -> list[str]:
        """Which job it is, as `twopass work` and `twopass commit` take it after the store."""
        names = [lock.partition("-")[2] for lock in self.locks if lock.startswith("clustering-")]
        return [self.job, *(word for name in names for word in ("--name", name))]

    def command(self, verb: str, store: str | os.PathLike[str]) -> str:
        """Return the command that goes on with it, or ends it."""
        return shlex.join(["twopass", verb, os.fspath(store), *self.arguments])

    @property
    def closed(self) -> Path:
        """Where the folder is while the job is closed."""
        return self.staging.with_name(self.staging.name + CLOSED)


@contextmanager
def hold(
    folder: Path,
    locks: Sequence[Lock],
    *,
    break_lock: bool = False,
    restart: bool = False,
) -> Iterator[Writer]:
    """Hold locks while the block runs, or for a job; yields what may write as long as it does.

    Parameters
    ----------
    folder
        The store's lock folder, ``<store>.lock``; made if missing, removed with the last lock.
    locks
        What to hold, all or none.
    break_lock
        Take locks that can't be told from those of dead processes, on a file system without `flock`, and
        those that are kept for a job.
    restart
        Tell readers that what the locks stand for is discarded and made anew.

    Raises
    ------
    StoreLockedError
        If another process holds a lock in conflict; the message names it.
    StoreWriteError
        If the folder can't be written to.
    """
    staging = folder / f"{STAGING}.{uuid.uuid4().hex}"
    records = _take(folder, locks, staging, break_lock=break_lock, restart=restart)
    writer = Writer(staging)
    try:
        yield writer
    except BaseException:
        # What went wrong first is what counts.
        with suppress(OSError):
            _give_back(folder, staging, records)
        raise
    try:
        if writer.job:
            for path in records:
                writer.write(
                    path, json.dumps({**_record(path), "restart": False, "job": writer.job}).encode()
                )
            _let_go(records)
        else:
            _give_back(folder, staging, records)
    except OSError as error:
        raise _refused(folder, error) from error


def kept_for(folder: Path) -> list[Kept]:
    """List the locks that are kept for jobs, in the order of their names."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.json")):
        if _record(path).get("job"):
            found.setdefault(_record(path)["staging"], []).append(path)
    return [
        Kept(_record(paths[0])["job"], tuple(Lock(path.stem) for path in paths), folder / Path(staging).name)
        for staging, paths in found.items()
    ]


@contextmanager
def closing_job(folder: Path, kept: Kept) -> Iterator[Writer]:
    """Stop whoever works on a job, and give its locks back if the block ends well; yields what may write.

    The files in the job's folder move with it. If the block fails, or is killed, the job is as before. Raises
    a `StoreLockedError` if another process is closing it.
    """
    records: dict[Path, int] = {}
    try:
        for path in (folder / f"{lock}.json" for lock in kept.locks):
            descriptor = _opened(path)
            if descriptor is None:
                raise StoreLockedError(f"The job on {folder.with_suffix('')} was ended by another command.")
            records[path] = descriptor
            _held.add(descriptor)
            if _flock(descriptor) is False:
                raise StoreLockedError(f"{folder.with_suffix('')}: another process is committing this job.")
        try:
            kept.staging.rename(kept.closed)
        except FileNotFoundError:
            pass  # one that was killed has done so
        except OSError as error:
            raise _refused(folder, error) from error
        try:
            yield Writer(kept.closed)
        except BaseException:
            kept.closed.rename(kept.staging)
            raise
        _give_back(folder, kept.closed, records)
    finally:
        _let_go(records)


@contextmanager
def naming_writer(folder: Path, *locks: Lock, break_lock: bool = False) -> Iterator[None]:
    """Name who holds a lock in conflict if the block fails by what it finds in the store.

    What is missing, unfinished or different is so because that process is at work.
    """
    try:
        yield
    except StoreLockedError:
        raise
    except StoreError as error:
        for path in _conflicting(locks, sorted(folder.glob("*.json"))):
            is_held = _is_held(path)
            if is_held or (is_held is None and not break_lock):
                raise StoreLockedError(_message(folder, path)) from error
        raise


def restarting(folder: Path, locks: Sequence[Lock] | None) -> str:
    """Name the process that makes anew what locks stand for, or anything if None; empty if none does."""
    paths = sorted(folder.glob("*.json"))
    for path in paths if locks is None else _conflicting(locks, paths):
        if _record(path).get("restart") and _is_held(path) is not False:
            return _holder(path)
    return ""


def clear_dead(folder: Path) -> None:
    """Remove what dead processes left in the lock folder, and the folder if nothing else is in it."""
    if not folder.is_symlink():
        with suppress(OSError):
            _clear(folder)
            folder.rmdir()


def _take(
    folder: Path, locks: Sequence[Lock], staging: Path, *, break_lock: bool, restart: bool
) -> dict[Path, int]:
    """Take the locks; returns their records with the files that keep them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        records: dict[Path, int] = {}
        try:
            _make_folder(folder)
            rivals = _conflicting(locks, _clear(folder))
            if break_lock:
                broken = [path for path in rivals if _is_held(path) is None]
                rivals = _conflicting(locks, _clear(folder, broken))
            if not rivals:
                for lock in locks:
                    path = folder / f"{lock}.json"
                    records[path] = _publish(path)
                rivals = [path for path in _conflicting(locks, _clear(folder)) if path not in records]
            if rivals:
                raise StoreLockedError(_message(folder, rivals[0]))
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            record = {"host": socket.gethostname(), "pid": os.getpid(), "since": now, "staging": staging.name}
            record["restart"] = restart
            for descriptor in records.values():
                os.pwrite(descriptor, json.dumps(record).encode(), 0)
            staging.mkdir()
            return records
        except (OSError, StoreLockedError) as error:
            with suppress(OSError):
                _give_back(folder, staging, records)
            is_locked = isinstance(error, StoreLockedError) and time.monotonic() < deadline
            # Another process, giving back the last lock, has removed the folder.
            is_removed = isinstance(error, FileNotFoundError) and folder.parent.is_dir()
            if not is_locked and not is_removed:
                raise error if isinstance(error, StoreError) else _refused(folder, error) from error
            time.sleep(random.uniform(0.01, 0.1))


def _make_folder(folder: Path) -> None:
    # Not Path.mkdir(exist_ok=True): it fails if the folder goes in the middle of it.
    with suppress(FileExistsError):
        os.mkdir(folder)  # noqa: PTH102
    if folder.is_symlink():
        raise StoreWriteError(
            f"{folder} is a symbolic link, but locks are files that are made and removed beside the store. "
            "Remove that link."
        )


def _publish(path: Path) -> int:
    """Make a lock's record and lock it, unless another process has it; returns the open file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise StoreLockedError(_message(path.parent, path)) from None
    # Another process may have taken it for one of a dead process before it was locked.
    if _flock(descriptor) is False or not _is_at(descriptor, path):
        os.close(descriptor)
        raise StoreLockedError(_message(path.parent, path))
    _held.add(descriptor)
    return descriptor


def _conflicting(locks: Sequence[Lock], paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if {"ingest", path.stem} & {*locks} or path.stem == "ingest"]


def _give_back(folder: Path, staging: Path, records: dict[Path, int]) -> None:
    try:
        remove_staging(staging)
        for path, descriptor in records.items():
            # If the lock was broken, what stands there is another's.
            if _is_at(descriptor, path):
                path.unlink()
    finally:
        _let_go(records)
    clear_dead(folder)


def _let_go(records: dict[Path, int]) -> None:
    for descriptor in records.values():
        _held.discard(descriptor)
        os.close(descriptor)
    records.clear()


def _clear(folder: Path, broken: Sequence[Path] = ()) -> list[Path]:
    """Remove what dead processes left, and the locks to be broken; returns the records of others."""
    # Listed first: a process makes its record before its staging folder.
    stagings = list(folder.glob(f"{STAGING}.*"))
    dead: dict[Path, int] = {}
    living: list[Path] = []
    try:
        for path in sorted(folder.glob("*.json")):
            descriptor = _opened(path)
            if descriptor is None:
                continue
            is_free = _flock(descriptor) and _is_at(descriptor, path) and not _record(path).get("job")
            if path in broken or is_free:
                dead[path] = descriptor
            else:
                living.append(path)
                os.close(descriptor)
        # Of a holder that loses one of several locks, all that it writes is refused.
        in_use = {_record(path).get("staging") for path in living}
        in_use -= {_record(path).get("staging") for path in dead}
        for staging in stagings:
            if staging.name.removesuffix(CLOSED) not in in_use:
                remove_staging(staging)
        if dead:
            settle(folder.with_suffix(""))
        for path in dead:
            path.unlink(missing_ok=True)
    finally:
        for descriptor in dead.values():
            os.close(descriptor)
    return living


def _is_held(path: Path) -> bool | None:
    """Tell whether a process holds a lock; None if the file system can't tell, or it is kept for a job."""
    descriptor = _opened(path)
    if descriptor is None:
        return False
    try:
        is_free = _flock(descriptor)
        is_unknown = is_free is None or (is_free and bool(_record(path).get("job")))
        return None if is_unknown else not is_free
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int | None:
    """Open another's record; None if it is gone."""
    for flags in (os.O_RDWR, os.O_RDONLY):  # it may be another user's
        try:
            return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except PermissionError:
            continue
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _flock(descriptor: int) -> bool | None:
    """Lock an open file and tell whether that was possible; None on a file system without such locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _record(path: Path) -> dict[str, Any]:
    """Return what a record says of its holder; nothing if that was not written yet."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _message(folder: Path, path: Path) -> str:
    mend, store = "Wait for it to finish", folder.with_suffix("")
    for kept in kept_for(folder):
        if path.stem not in kept.locks:
            continue
        drop = "give --break-lock (break_lock=True) to drop it with what wasn't committed."
        planned = f"a job, planned by {_holder(path)}"
        if not store.is_dir():
            return f"{store} is gone, but {planned}, is kept for it. Put the store back, or {drop}"
        return (
            f"{store} is being written: {path.stem} is kept for {planned}. Finish it with "
            f"`{kept.command('work', store)}` and `{kept.command('commit', store)}`, or {drop}"
        )
    if _is_held(path) is None:
        mend += (
            ". Locks on this file system don't end with their process: if you are sure that it has ended, "
            "give --break-lock (break_lock=True) to take its lock"
        )
    return f"{store} is being written: {path.stem} is held by {_holder(path)}. {mend}."


def _holder(path: Path) -> str:
    found = _record(path)
    if not found:
        return "another process"
    return f"process {found.get('pid')} on {found.get('host')} since {found.get('since')}"


def _refused(folder: Path, error: OSError) -> StoreWriteError:
    return StoreWriteError(
        f"Cannot lock the store through {folder}: {error.strerror or error}. "
        "The folder that holds the store must be writable, and have some space left."
    )
