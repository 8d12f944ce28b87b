"""Locks: files beside the store that name their holder.

Each lock is a file in ``<store>.lock/``. Locks are taken and given back inside a short critical section (an
advisory lock on the file ``guard``), so that the check for conflicts and the creation are one step; where a
file system has no advisory locks, or has them for each host alone, whoever took a lock looks once more for
another that came at the same time.

A lock of a process that is dead is taken over. Of a process of another host, or of another container, it may
not be known whether it lives; then a lock is broken only on demand, and never one of a process that lives.

Whoever takes a lock away removes the folder through which its holder writes. Each of its writes is a file
made there and renamed into the store, so that none can arrive after that, however late the holder notices.
"""

import errno
import fcntl
import json
import os
import random
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..errors import StoreError, StoreLockedError, StoreWriteError
from .disk import Writer, settle, sweep
from .holder import Fate, Holder

__all__ = ["Lock", "clear_dead", "hold", "naming_writer"]

GUARD = "guard"
STAGING = "staging"

ATTEMPTS = 5
"""How often two that came at the same time, and both stepped back, try again."""

GUARD_SECONDS = 30.0
"""How long a lock may take to be taken or given back; it takes milliseconds."""


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
class _Held:
    """A lock in force: its file, what it is, and whose."""

    path: Path
    lock: Lock
    holder: Holder
    fate: Fate


@contextmanager
def hold(folder: Path, locks: Sequence[Lock], *, break_lock: bool = False) -> Iterator[Writer]:
    """Hold the locks while the block runs; yields what may write as long as it does.

    Parameters
    ----------
    folder
        The store's lock folder, ``<store>.lock``; made where missing, removed when the last lock goes.
    locks
        What to hold, all or none.
    break_lock
        Take locks also from processes of which it can't be told whether they live.

    Raises
    ------
    StoreLockedError
        If another process holds a lock in conflict; the message names it.
    StoreWriteError
        If the folder can't be written to.
    """
    token = uuid.uuid4().hex
    staging = folder / f"{STAGING}.{token}"
    writer = Writer(staging)
    kept: list[int] = []
    try:
        for attempt in range(ATTEMPTS):
            try:
                with _guarded(folder):
                    _take(folder, locks, token, kept, break_lock=break_lock)
                break
            except _CollisionError as collision:
                if attempt == ATTEMPTS - 1:
                    raise StoreLockedError(str(collision)) from None
            time.sleep(random.uniform(0.01, 0.1))
        yield writer
    except BaseException:
        # What went wrong first is what counts.
        with suppress(OSError, StoreError):
            writer.close()
            _give_back(folder, locks, staging, kept)
        raise
    writer.close()
    _give_back(folder, locks, staging, kept)


@contextmanager
def naming_writer(folder: Path, *locks: Lock, break_lock: bool = False) -> Iterator[None]:
    """Name who holds a lock in conflict where the block fails by what it finds in the store.

    What is missing, unfinished or different is so because that process is at work.

    Raises
    ------
    StoreLockedError
        In place of another `StoreError`, where there is such a process.
    """
    try:
        yield
    except StoreLockedError:
        raise
    except StoreError as error:
        found = [held for path in sorted(folder.glob("*.json")) if (held := _look_at(path)) is not None]
        for rival in _conflicts(locks, found):
            if rival.fate is Fate.ALIVE or (rival.fate is Fate.UNKNOWN and not break_lock):
                raise StoreLockedError(_message(folder, rival)) from error
        raise


def clear_dead(folder: Path) -> None:
    """Remove the lock folder if all that is left in it is of dead processes."""
    if not folder.is_dir():
        return
    with suppress(OSError, StoreError), _guarded(folder):
        _present(folder)
        _remove_if_unused(folder)


class _CollisionError(Exception):
    """Others were taking locks at the same moment, so that nobody has got them."""


def _take(folder: Path, locks: Sequence[Lock], token: str, kept: list[int], *, break_lock: bool) -> None:
    staging = folder / f"{STAGING}.{token}"
    written: list[Path] = []
    try:
        others = _present(folder)
        _require_free(folder, _conflicts(locks, others), others, break_lock=break_lock)
        own = Holder.this_process(token)
        staging.mkdir()
        for lock in locks:
            # Whole and locked when it appears.
            new = staging / lock.name
            new.write_text("")
            kept.append(os.open(new, os.O_RDWR | os.O_CLOEXEC))
            new.write_text(json.dumps(asdict(replace(own, flocked=bool(_flock(kept[-1]))))))
            _put(new, folder / f"{lock.name}.json")
            written.append(folder / f"{lock.name}.json")
        for rival in _conflicts(locks, _present(folder)):
            if rival.holder.token != token:
                raise _CollisionError(_message(folder, rival))
        if not staging.is_dir():
            raise FileNotFoundError(staging)
    except _CollisionError:
        _step_back(folder, staging, written, kept, token)
        raise
    except StoreError:
        raise
    except OSError as error:
        with suppress(OSError):
            _step_back(folder, staging, written, kept, token)
        if isinstance(error, FileNotFoundError | FileExistsError) and folder.parent.is_dir():
            raise _CollisionError(
                f"Other processes take and give back locks in {folder} at this moment. Run the same command "
                "again."
            ) from error
        raise _refused(folder, error) from error


def _require_free(
    folder: Path, rivals: Sequence[_Held], others: Sequence[_Held], *, break_lock: bool
) -> None:
    """Break the locks in conflict where that is asked for and allowed; all that their holders have."""
    for rival in rivals:
        if not (break_lock and rival.fate is Fate.UNKNOWN):
            raise StoreLockedError(_message(folder, rival))
    broken = {rival.holder.token or rival.path.name for rival in rivals}
    _take_away(folder, [other for other in others if (other.holder.token or other.path.name) in broken])


def _conflicts(locks: Sequence[Lock], others: Sequence[_Held]) -> list[_Held]:
    return [other for other in others if any(lock.conflicts(other.lock) for lock in locks)]


def _give_back(folder: Path, locks: Sequence[Lock], staging: Path, kept: list[int]) -> None:
    try:
        if not kept or not folder.is_dir():
            return
        with _guarded(folder):
            try:
                written = [folder / f"{lock.name}.json" for lock in locks]
                _step_back(folder, staging, written, kept, staging.suffix[1:])
            except OSError as error:
                raise _refused(folder, error) from error
    finally:
        _close(kept)


def _step_back(folder: Path, staging: Path, written: Sequence[Path], kept: list[int], token: str) -> None:
    sweep(staging)
    for path in written:
        # Where the lock was taken away, what stands there is another's.
        held = _look_at(path)
        if held is not None and held.holder.token == token:
            path.unlink(missing_ok=True)
    _close(kept)
    _remove_if_unused(folder)


def _close(kept: list[int]) -> None:
    while kept:
        os.close(kept.pop())


def _take_away(folder: Path, locks: Sequence[_Held]) -> None:
    # The folders first: from then on nothing that their holders write can arrive.
    for held in locks:
        if held.holder.token:
            _cut_off(folder / f"{STAGING}.{held.holder.token}")
    if locks:
        settle(folder.with_suffix(""))
    for held in locks:
        gone = folder / f"{STAGING}.gone.{uuid.uuid4().hex}"
        with suppress(FileNotFoundError):
            held.path.rename(gone)
            found = _look_at(gone)
            if found is not None and found.holder.token != held.holder.token:
                # Where nothing keeps others out, one has taken it at this very moment.
                try:
                    _put(gone, held.path)
                except FileExistsError:
                    _cut_off(folder / f"{STAGING}.{found.holder.token}")
            gone.unlink(missing_ok=True)


def _put(new: Path, path: Path) -> None:
    """Give a file another name, at which nothing may stand.

    Raises
    ------
    FileExistsError
        If something does.
    """
    try:
        os.link(new, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
        new.rename(path)  # a file system without hard links
    else:
        new.unlink()


def _cut_off(staging: Path) -> None:
    """Take a folder of temporary files from under whoever writes there, at one stroke."""
    gone = staging.with_name(f"{STAGING}.gone.{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        staging.rename(gone)
        sweep(gone)
        if gone.is_file():
            gone.unlink()


def _remove_if_unused(folder: Path) -> None:
    if not any(folder.glob("*.json")):
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
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(folder / GUARD, flags, 0o666)
        except FileNotFoundError as error:
            if folder.parent.is_dir():
                continue  # the last holder removed the folder between the two calls
            raise _refused(folder, error) from error
        except StoreWriteError:
            raise
        except OSError as error:
            raise _refused(folder, error) from error
        try:
            _enter(folder, descriptor)
            if not _is_same_file(descriptor, folder / GUARD):
                continue  # removed by the last holder while we waited
            yield
            return
        finally:
            os.close(descriptor)


def _enter(folder: Path, descriptor: int) -> None:
    deadline = time.monotonic() + GUARD_SECONDS
    while _flock(descriptor) is False:
        if time.monotonic() > deadline:
            raise StoreLockedError(
                f"Another process has been taking or giving back a lock for {GUARD_SECONDS:.0f} seconds, "
                f"which takes milliseconds. End the process that has {folder / GUARD} open, and run the same "
                "command again."
            )
        time.sleep(0.005)


def _flock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool | None:
    """Lock an open file and tell whether that was possible; None on a file system without such locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_locked(path: Path) -> bool | None:
    """Tell whether anybody keeps a lock on a file, None where that can't be told."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        is_free = _flock(descriptor, fcntl.LOCK_SH)
        return None if is_free is None else not is_free
    finally:
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _present(folder: Path) -> list[_Held]:
    """List the locks in force; those of dead processes are removed, and what they were writing."""
    found, dead = [], []
    # Listed first: of a lock that is taken at this moment, where nothing keeps others out.
    folders = list(folder.glob(f"{STAGING}*"))
    for path in sorted(folder.glob("*.json")):
        held = _look_at(path)
        if held is None:
            path.unlink(missing_ok=True)
        elif held.fate is Fate.DEAD:
            dead.append(held)
        else:
            found.append(held)
    _take_away(folder, dead)
    living = {f"{STAGING}.{held.holder.token}" for held in found}
    for left in folders:
        if left.name not in living:
            _cut_off(left)
    return found


def _look_at(path: Path) -> _Held | None:
    try:
        # Neither a link nor a pipe, which nobody may ever write to.
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        holder = Holder.from_json(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError, AttributeError, RecursionError):
        # Locks appear whole: what isn't is what a power cut left, or no lock.
        return None
    fate = holder.fate(is_locked=_is_locked(path) if holder.flocked else None)
    return _Held(path, Lock(path.stem), holder, fate)


def _message(folder: Path, held: _Held) -> str:
    store, holder = folder.with_suffix(""), held.holder
    who = f"process {holder.pid} on {holder.host} since {holder.since}"
    mend = "Wait for it to finish"
    if held.fate is Fate.UNKNOWN:
        mend += (
            ". From here it can't be told whether that process lives: if you are sure that it doesn't, give "
            "--break-lock (break_lock=True) to take its lock"
        )
    return f"{store} is being written: {held.lock.name} is held by {who}. {mend}."


def _refused(folder: Path, error: OSError) -> StoreWriteError:
    return StoreWriteError(
        f"Cannot lock the store through {folder}: {error.strerror or error}. "
        "The folder that holds the store must be writable, and have some space left."
    )
