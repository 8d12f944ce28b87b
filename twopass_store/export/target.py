"""Files that are written under a hidden name beside their target and renamed into place."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import NoReturn

from ..config import expanded
from ..errors import ConfigError, StoreWriteError, TrajectoryError, TwopassError
from ..journal import Writer
from ..store import Store

__all__ = ["checked_target", "replacing"]

FULL_BYTES = 64 << 10  # a disk with less space left is full


def checked_target(store: Store, path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Return the absolute path of a file to be written; a `ConfigError` if it may not be.

    It must not lie in the store, exist without `overwrite`, or be a file that the store was made from.
    """
    target = expanded(path).absolute()
    if target.resolve().is_relative_to(store.path):
        raise ConfigError(f"{target} lies in the store, which holds nothing but its own. Write it elsewhere.")
    if not target.parent.is_dir():
        raise ConfigError(f"There is no folder {target.parent} to write {target.name} to. Make it first.")
    if target.is_dir():
        raise ConfigError(f"Cannot write {target}: a folder stands there. Move it, or give another name.")
    if target.exists():
        for source in store.read("trajectory_path"):
            with suppress(OSError):
                if target.samefile(source):
                    raise ConfigError(
                        f"{target} is a file that the store was made from. Write to another one."
                    )
        if not overwrite:
            raise ConfigError(f"{target} exists already. Use --overwrite to replace it, or another name.")
    return target


@contextmanager
def replacing(target: Path, *, name: str = "file") -> Iterator[Path]:
    """Yield the path of a file to be written; when the block ends well, put that file in its target's place.

    It is on the disk when this returns, and never there in part, whenever the power goes. What earlier
    exports of the same target left is removed; one that is still running fails. Errors name the target.
    """
    # Short, as the target's name may be long.
    prefix = f".twopass-{blake2b(os.fsencode(target.name), digest_size=4).hexdigest()}-"
    for left in target.parent.glob(f"{prefix}*"):
        left.unlink(missing_ok=True)
    temporary = target.with_name(f"{prefix}{token_hex(4)}-{name}")
    try:
        # The writers have words of their own for a folder that can't be written to.
        temporary.touch()
        temporary.unlink()
        yield temporary
        with temporary.open("rb") as file:
            Writer.disk.sync(file)
        temporary.replace(target)
        # Whoever may write into a folder may not always read it, as syncing it requires.
        with suppress(PermissionError):
            Writer.disk.sync_folder(target.parent)
    except Exception as error:
        _raise_named(target, error)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _raise_named(target: Path, error: Exception) -> NoReturn:
    """Raise an error of a write again, as one that names the target."""
    if isinstance(error, TwopassError) and str(error).startswith("Cannot write "):
        raise error  # named by another file that was written with this one
    if isinstance(error, OSError) and not isinstance(error, TwopassError):
        raise StoreWriteError(f"Cannot write {target}: {error.strerror or error}.") from error
    # The writers don't say, or say in words of their own, that there is no space left.
    if _is_full(target.parent):
        raise StoreWriteError(f"Cannot write {target}: {os.strerror(errno.ENOSPC)}.") from error
    if isinstance(error, TrajectoryError):
        raise TrajectoryError(f"Cannot write {target}: {error}") from error
    if isinstance(error, TwopassError):
        raise error
    reason = (str(error).strip().splitlines() or [""])[-1].rstrip(".")
    raise TrajectoryError(
        f"Cannot write {target}: {type(error).__name__}: {reason}. The disk is full, or the format has no "
        "room for a coordinate: free space, or choose another format, such as trr."
    ) from error


def _is_full(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < FULL_BYTES
