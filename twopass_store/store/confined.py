"""What a store is made of lies in its folder, in regular files, and nothing of it behind a link.

A store may come from a stranger. A link in it would have us read files that aren't part of it, or write and
remove them; a pipe or a device would have us wait for ever. Hard links can't be told from files; what they
share is the content alone, since every write puts a new file in the place of the old one. The user's own
link to a store is followed when it is opened, before all this.
"""

import errno
import os
import stat
from pathlib import Path

from ..errors import CorruptChunkError, StoreError

__all__ = ["inside", "open_regular", "read_regular", "regular_file"]


def inside(root: Path, key: str) -> Path:
    """Return where a group, an array or a file of a store lies.

    Parameters
    ----------
    root
        The store's folder.
    key
        Path within it, without a leading slash; empty for the folder itself.

    Raises
    ------
    CorruptChunkError
        If `key` leads out of the folder.
    StoreError
        If anything on the way, or what is there, is a symbolic link.
    """
    path = root
    for name in key.split("/") if key else ():
        if name in ("", ".", "..") or "\0" in name:
            raise CorruptChunkError(
                f"{root}: its journal or metadata name {key[:200]!r}, which is no place in a store. It was "
                "damaged, or made to mislead: don't use it."
            )
        path = path / name
        if _is_link(path):
            raise StoreError(
                f"{path} is a symbolic link, and links in a store are not followed: they may lead anywhere. "
                "If it is yours, put the files themselves there (such as with `cp -rL`)."
            )
    return path


def regular_file(root: Path, key: str, *, limit: int | None = None) -> Path | None:
    """Return the path of a file of a store, None where there is none.

    Parameters
    ----------
    root, key
        As for `inside`.
    limit
        Bytes that it may have at most.

    Raises
    ------
    CorruptChunkError
        If `key` leads out of the folder, or the file is larger.
    StoreError
        If it is behind a link, or no regular file.
    """
    path = inside(root, key)
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        raise _irregular(path)
    _require_size(path, status.st_size, limit)
    return path


def open_regular(path: Path) -> int:
    """Open a file for reading, without following a link or waiting for a pipe; returns its descriptor.

    Raises
    ------
    FileNotFoundError
        If it isn't there.
    StoreError
        If it is a link, or no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _irregular(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _irregular(path)
    return descriptor


def read_regular(path: Path, *, limit: int | None = None) -> bytes:
    """Return the content of a file of at most so many bytes, see `open_regular`."""
    with os.fdopen(open_regular(path), "rb") as file:
        _require_size(path, os.fstat(file.fileno()).st_size, limit)
        return file.read()


def _require_size(path: Path, size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise CorruptChunkError(
            f"{path} is damaged: it has {size:,} bytes, and can't have more than {limit:,}. Copy the store "
            "again whole, or make it anew."
        )


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def _irregular(path: Path) -> StoreError:
    return StoreError(
        f"{path} is a link, a folder, a pipe or a device where a store has a regular file. The store was "
        "damaged, or made to mislead: don't use it."
    )
