"""Writes that survive a power cut, on a local disk.

Temporary files live in a *staging* folder beside the store, not in it: a foreign file inside makes
readers warn, and debris of a killed run is swept with the folder.
"""

import errno
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from ..errors import StoreWriteError

__all__ = ["Writer", "digest", "sweep"]


def digest(data: bytes | bytearray | memoryview) -> int:
    """Return a 64-bit digest of the bytes, never 0."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


class Writer:
    """Durable writes and removals, for as long as it isn't closed.

    A lock hands one out and closes it when it goes: `close` waits for what is under way, and what comes later
    is refused, so that nothing is written without the lock.

    Parameters
    ----------
    staging
        A folder on the file system of what is written, for temporary files.
    """

    def __init__(self, staging: Path) -> None:
        self.staging = staging
        self._state = threading.Condition()
        self._under_way = 0
        self._closed = False

    def write(self, path: Path, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `path`, whole or not at all, and on the disk when this returns.

        Parameters
        ----------
        path
            Where the file shall stand; replaced where it exists. Missing folders are made.
        data
            Its content.

        Raises
        ------
        StoreWriteError
            If the disk refuses: it is full, read-only, over quota, or not ours to write to; or if the
            writer is closed.
        """
        temporary = self.staging / uuid.uuid4().hex
        with self._writing(path):
            try:
                _make_folder(path.parent)
                self.staging.mkdir(parents=True, exist_ok=True)
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
                _sync_folder(path.parent)
            except OSError as error:
                temporary.unlink(missing_ok=True)
                raise _refused(path, error) from error

    def remove(self, path: Path) -> None:
        """Remove a folder and all in it; after a crash it is there whole or not at all.

        Raises
        ------
        StoreWriteError
            If the disk refuses, or the writer is closed.
        """
        doomed = self.staging / uuid.uuid4().hex
        with self._writing(path):
            try:
                self.staging.mkdir(parents=True, exist_ok=True)
                path.replace(doomed)
                _sync_folder(path.parent)
                shutil.rmtree(doomed)
            except FileNotFoundError:
                return
            except OSError as error:
                raise _refused(path, error) from error

    def move(self, source: Path, target: Path) -> None:
        """Give a folder another name beside its own; nothing may stand there.

        Raises
        ------
        StoreWriteError
            If the disk refuses, or the writer is closed.
        """
        with self._writing(target):
            try:
                source.replace(target)
                _sync_folder(target.parent)
            except OSError as error:
                raise _refused(target, error) from error

    def close(self) -> None:
        """Wait for what is being written, and refuse what comes later."""
        with self._state:
            self._closed = True
            self._state.wait_for(lambda: self._under_way == 0)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        with self._state:
            if self._closed:
                raise StoreWriteError(f"{path} is not written any more: the lock was given back.")
            self._under_way += 1
        try:
            yield
        finally:
            with self._state:
                self._under_way -= 1
                self._state.notify_all()


def sweep(staging: Path) -> None:
    """Remove what killed runs left in the staging folder. Only for who holds the only lock."""
    shutil.rmtree(staging, ignore_errors=True)


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    # A rename is on the disk only when the folder that holds the name is.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, error: OSError) -> StoreWriteError:
    if error.errno == errno.EXDEV:
        return StoreWriteError(
            f"Cannot write {path}: the store is on another file system than the folder that it lies in, as a "
            "mount point is. Make the store a folder inside of it."
        )
    return StoreWriteError(
        f"Cannot write {path}: {error.strerror or error}. Everything committed before stays; "
        "free space or mend the permissions, and run the same command again to resume."
    )
