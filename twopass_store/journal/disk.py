"""Writes that survive a power cut, on a local disk.

Temporary files live in a *staging* folder beside the store, not in it: a foreign file inside makes
readers warn, and debris of a killed run is swept with the folder.
"""

import os
import shutil
import uuid
from hashlib import blake2b
from pathlib import Path

from ..errors import StoreWriteError

__all__ = ["digest", "remove_tree", "sweep", "write_durably"]


def digest(data: bytes | bytearray | memoryview) -> int:
    """Return a 64-bit digest of the bytes, never 0."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


def write_durably(path: Path, data: bytes | bytearray | memoryview, *, staging: Path) -> None:
    """Put `data` at `path`, whole or not at all, and on the disk when this returns.

    Parameters
    ----------
    path
        Where the file shall stand; replaced where it exists. Missing folders are made.
    data
        Its content.
    staging
        A folder on the same file system, for the temporary file.

    Raises
    ------
    StoreWriteError
        If the disk refuses: it is full, read-only, over quota, or not ours to write to.
    """
    temporary = staging / uuid.uuid4().hex
    try:
        _make_folder(path.parent)
        staging.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _refused(path, error) from error


def remove_tree(path: Path, *, staging: Path) -> None:
    """Remove a folder and all in it; after a crash it is there whole or not at all.

    Raises
    ------
    StoreWriteError
        If the disk refuses.
    """
    doomed = staging / uuid.uuid4().hex
    try:
        staging.mkdir(parents=True, exist_ok=True)
        path.replace(doomed)
        _sync_folder(path.parent)
        shutil.rmtree(doomed)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused(path, error) from error


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
    return StoreWriteError(
        f"Cannot write {path}: {error.strerror or error}. Everything committed before stays; "
        "free space or mend the permissions, and run the same command again to resume."
    )
