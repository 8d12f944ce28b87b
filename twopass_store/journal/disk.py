"""Writes that survive a power cut, on a local disk.

Temporary files live in a *staging* folder beside the store, not in it: a foreign file inside makes
readers warn, and debris of a killed run is swept with the folder.
"""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from io import BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO, ClassVar

from ..errors import StoreError, StoreLockedError, StoreWriteError

__all__ = ["Disk", "Writer", "digest", "file_digest", "remove_staging", "settle"]


def digest(data: bytes | bytearray | memoryview) -> int:
    """Return a 64-bit digest of the bytes, never 0."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


def file_digest(file: FileIO | BytesIO) -> int:
    """Return the digest of what is left to read of a file; it is read in small pieces."""
    found = hashlib.file_digest(file, lambda: blake2b(digest_size=8))
    return int.from_bytes(found.digest(), "little") or 1


class Disk:
    """The steps that durable writes are made of, each as the system does it.

    They stand apart so that tests can stop a run before and after any of them, and play a disk that loses or
    tears what was not synced.
    """

    def make_folder(self, path: Path) -> None:
        """Make a folder in one that is there."""
        path.mkdir(exist_ok=True)

    def write(self, file: BinaryIO, data: bytes | bytearray | memoryview) -> None:
        """Hand data of a file to the system."""
        file.write(data)
        file.flush()

    def sync(self, file: BinaryIO) -> None:
        """Put the file's data on the disk."""
        os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or folder another name; a file that has it goes."""
        source.replace(target)

    def sync_folder(self, path: Path) -> None:
        """Put the names in a folder on the disk: a rename is there only when the folder is."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # File systems that can't: those of networks and of user space, which have nothing to wait for.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(descriptor)

    def remove_tree(self, path: Path) -> None:
        """Remove a folder and all in it, or a file."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


class Writer:
    """Durable writes and removals while a lock is held.

    All raise a `StoreWriteError` if the disk refuses: it is full, read-only, over quota, or not ours to write
    to; or if the folder is gone. They raise a `StoreLockedError` if the lock was given back, or taken away.

    Parameters
    ----------
    staging
        The lock's own folder for temporary files, on the file system of what is written. It goes with the
        lock, so that nothing is written without one.

    Attributes
    ----------
    job
        Name of a job for which the lock is kept when its holder ends; empty for none.
    """

    disk: ClassVar[Disk] = Disk()

    def __init__(self, staging: Path) -> None:
        self.staging = staging
        self.job = ""

    def write(self, path: Path, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `path`, whole or not at all, and on the disk when this returns."""
        temporary = self.staging / uuid.uuid4().hex
        with self._writing(path, within=path.parent):
            try:
                self._put(temporary, data)
                self.disk.rename(temporary, path)
                self.disk.sync_folder(path.parent)
            except OSError:
                # A disk that has become read-only doesn't let go of it; the lock's next holder sweeps.
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise

    def copy(self, source: Path, path: Path, *, but: Mapping[str, bytes]) -> None:
        """Put a copy of a folder at `path`, whole or not at all; `but` has the files that differ."""
        temporary = self.staging / uuid.uuid4().hex
        with self._writing(path, within=path.parent):
            for folder, _, files in os.walk(source):
                inner = Path(folder).relative_to(source)
                self.disk.make_folder(temporary / inner)
                for name in sorted(files):
                    content = but.get((inner / name).as_posix())
                    content = (source / inner / name).read_bytes() if content is None else content
                    self._put(temporary / inner / name, content)
            for folder, _, _ in os.walk(temporary):  # when all names are in them
                self.disk.sync_folder(Path(folder))
            self.disk.rename(temporary, path)
            self.disk.sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        """Make a folder in one that is there, unless it is there itself; it is on the disk when this returns.

        The folders above are never made: that they are missing means that the store is gone.
        """
        with self._writing(path, within=path):
            # Also where it is there: another may just have made it, and not come to sync its name.
            self.disk.make_folder(path)
            self.disk.sync_folder(path.parent)

    def remove(self, path: Path) -> None:
        """Remove a folder and all in it, or a file; after a crash it is there whole or not at all."""
        doomed = self.staging / uuid.uuid4().hex
        with self._writing(path, within=path.parent):
            try:
                self.disk.rename(path, doomed)
                self.disk.sync_folder(path.parent)
                self.disk.remove_tree(doomed)
            except FileNotFoundError:
                self._require_lock()

    def _put(self, path: Path, data: bytes | bytearray | memoryview) -> None:
        with path.open("wb") as file:
            self.disk.write(file, data)
            self.disk.sync(file)

    @contextmanager
    def _writing(self, path: Path, *, within: Path) -> Iterator[None]:
        """Refuse to write without the lock, and where a link in the store leads elsewhere; say what fails."""
        self._require_lock()
        if os.path.realpath(within) != os.fspath(within):
            raise StoreError(
                f"{within} leads to {os.path.realpath(within)}: links in a store are not followed. If it is "
                "yours, put the files themselves there (such as with `cp -rL`)."
            )
        try:
            yield
        except OSError as error:
            raise self._refused(path, error) from error

    def _require_lock(self) -> None:
        if not self.staging.is_dir():
            raise StoreLockedError(
                f"The lock of this process is gone: {self.staging.parent} was removed, or another process "
                "took the lock and may be writing now. Nothing more is written here; what was committed "
                "stays. Run the same command again when no other process writes."
            )

    def _refused(self, path: Path, error: OSError) -> StoreWriteError:
        self._require_lock()
        if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
            missing = path.parent
            while not missing.parent.is_dir():
                missing = missing.parent
            return StoreWriteError(
                f"Cannot write {path}: {missing} was removed or renamed meanwhile. Put it back, and run the "
                "same command again to resume."
            )
        if error.errno == errno.EXDEV:
            return StoreWriteError(
                f"Cannot write {path}: the store is on another file system than the folder that it lies in, "
                "as a mount point is. Make the store a folder inside of it."
            )
        return StoreWriteError(
            f"Cannot write {path}: {error.strerror or error}. Everything committed before stays; "
            "free space or mend the permissions, and run the same command again to resume."
        )


def settle(store: Path) -> None:
    """Put all names in a store on the disk, as far as it is there.

    To be done before a killed process's work is relied on. What it renamed last is seen by everybody, and may
    look finished, but a power cut would still take it away. Files are synced before they get their names.
    """
    if store.is_dir():
        for folder in (store.parent, *(Path(below) for below, _, _ in os.walk(store))):
            # Another process, of a lock that isn't in conflict, may be removing it.
            with suppress(FileNotFoundError):
                Writer.disk.sync_folder(folder)


def remove_staging(staging: Path) -> None:
    """Take a folder of temporary files from under whoever writes there, at one stroke."""
    gone = staging.with_name(f"staging.gone.{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        staging.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
