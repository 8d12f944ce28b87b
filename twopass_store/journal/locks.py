"""Locks: files beside the store that name their holder.

Each lock is a file in ``<store>.lock/``. Locks are taken and given back inside a short critical section
(an advisory file lock on ``guard``), so that the check for conflicts and the creation are one step. A
lock left by a dead process of this host is taken over; one of another host can't be judged from here,
and is refused.
"""

import fcntl
import json
import os
import socket
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psutil

from ..errors import StoreLockedError, StoreWriteError
from .disk import Writer, sweep
from .interrupts import uninterrupted

__all__ = ["Holder", "Lock", "clear_dead", "hold"]

GUARD = "guard"
STAGING = "staging"


@dataclass(frozen=True, slots=True)
class Lock:
    """What a process wants for itself: the whole store, or one subset or clustering of it."""

    name: str

    @property
    def exclusive(self) -> bool:
        """Whether it excludes every other lock (ingest), not just its own like."""
        return self.name == "ingest"

    def conflicts(self, other: "Lock") -> bool:
        """Tell whether two locks can't be held at once."""
        return self.exclusive or other.exclusive or self.name == other.name


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock: host, process, when the process began, since when it holds it."""

    host: str
    pid: int
    process_start: float
    since: str

    @classmethod
    def this_process(cls) -> Self:
        """Describe the calling process."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            process_start=psutil.Process().create_time(),
            since=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        )

    def is_dead(self) -> bool:
        """Tell whether the process is known to be gone; False where it can't be known."""
        if self.host != socket.gethostname():
            return False
        try:
            # A process id is given out again; the start time tells whose it is.
            process = psutil.Process(self.pid)
            reused = abs(process.create_time() - self.process_start) > 1.0
            return reused or bool(process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


@contextmanager
def hold(folder: Path, locks: Sequence[Lock]) -> Iterator[Writer]:
    """Hold the locks while the block runs; yields what may write as long as it does.

    Parameters
    ----------
    folder
        The store's lock folder, ``<store>.lock``; made where missing, removed when the last lock goes.
    locks
        What to hold, all or none.

    Raises
    ------
    StoreLockedError
        If another process holds a lock in conflict; the message names it.
    StoreWriteError
        If the folder can't be written to.
    """
    # A name of its own: where the folder was removed and made anew by another process, nothing can be written
    # through it any more.
    staging = folder / f"{STAGING}.{locks[0].name}.{uuid.uuid4().hex}"
    writer = Writer(staging)
    try:
        with uninterrupted(), _guarded(folder):
            _take(folder, locks, staging)
        yield writer
    except BaseException:
        # What went wrong first is what counts.
        with uninterrupted(), suppress(OSError):
            writer.close()
            _give_back(folder, locks, staging)
        raise
    with uninterrupted():
        writer.close()
        _give_back(folder, locks, staging)


def clear_dead(folder: Path) -> None:
    """Remove the lock folder if all that is left in it is of dead processes."""
    if not folder.is_dir():
        return
    with suppress(OSError), _guarded(folder):
        _present(folder)
        _remove_if_unused(folder)


def _take(folder: Path, locks: Sequence[Lock], staging: Path) -> None:
    others = _present(folder)
    for lock in locks:
        for path, held, holder in others:
            if lock.conflicts(held):
                raise StoreLockedError(_message(folder, path, held, holder))
    own = json.dumps(asdict(Holder.this_process()))
    for left in folder.glob(f"{STAGING}*"):
        # Nobody else can hold these locks any more.
        if not others or left.name.startswith(tuple(f"{STAGING}.{lock.name}." for lock in locks)):
            sweep(left)
    written = []
    try:
        staging.mkdir()
        for lock in locks:
            written.append(folder / f"{lock.name}.json")
            written[-1].write_text(own)
    except OSError as error:
        with suppress(OSError):
            sweep(staging)
            for path in written:
                path.unlink(missing_ok=True)
            _remove_if_unused(folder)
        raise _refused(folder, error) from error


def _give_back(folder: Path, locks: Sequence[Lock], staging: Path) -> None:
    if not staging.is_dir():
        return  # not taken, or lost: what stands there may be another's
    with _guarded(folder):
        try:
            sweep(staging)
            for lock in locks:
                (folder / f"{lock.name}.json").unlink(missing_ok=True)
            _remove_if_unused(folder)
        except OSError as error:
            raise _refused(folder, error) from error


def _remove_if_unused(folder: Path) -> None:
    if not any(folder.glob("*.json")):
        for left in folder.glob(f"{STAGING}*"):
            sweep(left)
        (folder / GUARD).unlink(missing_ok=True)
        # Not empty where another process has just made a guard of its own.
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    while True:
        try:
            # Not Path.mkdir(exist_ok=True): it fails where the folder goes in the middle of it.
            with suppress(FileExistsError):
                os.mkdir(folder)  # noqa: PTH102
            if folder.is_symlink():
                raise StoreWriteError(
                    f"{folder} is a symbolic link, but locks are files that are made and removed beside the "
                    "store. Remove that link."
                )
            descriptor = os.open(folder / GUARD, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError as error:
            if folder.parent.is_dir():
                continue  # the last holder removed the folder between the two calls
            raise _refused(folder, error) from error
        except StoreWriteError:
            raise
        except OSError as error:
            raise _refused(folder, error) from error
        try:
            _flock(descriptor)
            if not _is_same_file(descriptor, folder / GUARD):
                continue  # removed by the last holder while we waited
            yield
            return
        finally:
            os.close(descriptor)


def _flock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        # Some network file systems have no advisory locks. The window is then a few milliseconds wide.
        time.sleep(0.01)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _present(folder: Path) -> list[tuple[Path, Lock, Holder]]:
    """List the locks in force; those of dead processes are removed."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            holder = _read(path)
        except (ValueError, TypeError, RecursionError):
            # Locks are written inside the critical section: a torn one is of a process killed in it.
            path.unlink(missing_ok=True)
            continue
        if holder.is_dead():
            path.unlink(missing_ok=True)
        else:
            found.append((path, Lock(path.stem), holder))
    return found


def _read(path: Path) -> Holder:
    # Neither a link nor a pipe, which nobody may ever write to.
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("it is no regular file")
    holder = Holder(**json.loads(path.read_text()))
    kinds = (holder.host, str), (holder.pid, int), (holder.process_start, float), (holder.since, str)
    if not all(isinstance(value, kind) for value, kind in kinds) or not 0 < holder.pid < 1 << 31:
        raise ValueError("it is no record of a process")
    return holder


def _message(folder: Path, path: Path, held: Lock, holder: Holder) -> str:
    store = folder.with_suffix("")
    who = f"process {holder.pid} on {holder.host} since {holder.since}"
    mend = "Wait for it to finish"
    if holder.host != socket.gethostname():
        mend += f", or, if you are sure that it is dead, remove {path}"
    return f"{store} is being written: {held.name} is held by {who}. {mend}."


def _refused(folder: Path, error: OSError) -> StoreWriteError:
    return StoreWriteError(
        f"Cannot lock the store through {folder}: {error.strerror or error}. "
        "The folder that holds the store must be writable, and have some space left."
    )
