"""Writes that survive a power cut, on a local disk.

Temporary files live in a *staging* folder beside the store, not in it: a foreign file inside makes
readers warn, and debris of a killed run is swept with the folder.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, ClassVar

from ..errors import StoreError, StoreLockedError, StoreWriteError

__all__ = ["Disk", "Writer", "digest", "remove_staging", "settle"]


def digest(data: bytes | bytearray | memoryview) -> int:
    """Return a 64-bit digest of the bytes, never 0."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


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
        """Put `data` at `path`, whole or not at all, and on the disk when this returns.

        Parameters
        ----------
        path
            Where the file shall stand, in a folder that is there; replaced where it exists.
        data
            Its content.

        Raises
        ------
        StoreWriteError
            If the disk refuses: it is full, read-only, over quota, or not ours to write to; if the folder is
            gone; or if the lock was given back.
        StoreLockedError
            If the lock was taken away meanwhile.
        """
        temporary = self.staging / uuid.uuid4().hex
        self._require_right(path.parent)
        try:
            with temporary.open("wb") as file:
                self.disk.write(file, data)
                self.disk.sync(file)
            self.disk.rename(temporary, path)
            self.disk.sync_folder(path.parent)
        except OSError as error:
            # A disk that has become read-only doesn't let go of it; the lock's next holder sweeps.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise self._refused(path, error) from error

    def copy(self, source: Path, path: Path, *, but: Mapping[str, bytes]) -> None:
        """Put a copy of a folder at `path`, whole or not at all; `but` has the content of files that differ.

        Raises
        ------
        StoreWriteError, StoreLockedError
            As `write` does.
        """
        temporary = self.staging / uuid.uuid4().hex
        self._require_right(path.parent)
        try:
            for folder, _, files in os.walk(source):
                inner = Path(folder).relative_to(source)
                self.disk.make_folder(temporary / inner)
                for name in sorted(files):
                    content = but.get((inner / name).as_posix())
                    content = (source / inner / name).read_bytes() if content is None else content
                    with (temporary / inner / name).open("wb") as file:
                        self.disk.write(file, content)
                        self.disk.sync(file)
            for folder, _, _ in os.walk(temporary):  # when all names are in them
                self.disk.sync_folder(Path(folder))
            self.disk.rename(temporary, path)
            self.disk.sync_folder(path.parent)
        except OSError as error:
            raise self._refused(path, error) from error

    def make_folder(self, path: Path) -> None:
        """Make a folder in one that is there, unless it is there itself; it is on the disk when this returns.

        The folders above are never made: that they are missing means that the store is gone.

        Raises
        ------
        StoreWriteError, StoreLockedError
            As `write` does.
        """
        self._require_right(path)
        # Also where it is there: another may just have made it, and not come to sync its name.
        try:
            self.disk.make_folder(path)
            self.disk.sync_folder(path.parent)
        except OSError as error:
            raise self._refused(path, error) from error

    def remove(self, path: Path) -> None:
        """Remove a folder and all in it, or a file; after a crash it is there whole or not at all.

        Raises
        ------
        StoreWriteError, StoreLockedError
            If the disk refuses, the writer is closed, or the lock was taken away.
        """
        doomed = self.staging / uuid.uuid4().hex
        self._require_right(path.parent)
        try:
            self.disk.rename(path, doomed)
            self.disk.sync_folder(path.parent)
            self.disk.remove_tree(doomed)
        except FileNotFoundError:
            self._require_lock()
        except OSError as error:
            raise self._refused(path, error) from error

    def _require_right(self, folder: Path) -> None:
        """Refuse to write without the lock, and where a link in the store leads elsewhere."""
        self._require_lock()
        if os.path.realpath(folder) != os.fspath(folder):
            raise StoreError(
                f"{folder} leads to {os.path.realpath(folder)}: links in a store are not followed. If it is "
                "yours, put the files themselves there (such as with `cp -rL`)."
            )

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
