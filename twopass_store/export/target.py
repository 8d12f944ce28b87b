"""Files, and folders, that are written beside their target and renamed into place."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..config import expanded
from ..errors import ConfigError, StoreWriteError, TrajectoryError, TwopassError

__all__ = ["checked_target", "replacing"]


def checked_target(
    path: str | os.PathLike[str], *, store: Path, overwrite: bool, sources: Collection[str]
) -> Path:
    """Return the absolute path of a file to be written, if it may be.

    Parameters
    ----------
    path
        The file; ``~`` is the home folder.
    store
        The store, in which no other file may lie.
    overwrite
        Whether it may exist already.
    sources
        Files that are never overwritten.

    Raises
    ------
    ConfigError
        If it may not be written.
    """
    target = expanded(path).absolute()
    if target.resolve().is_relative_to(store):
        raise ConfigError(f"{target} lies in the store, which holds nothing but its own. Write it elsewhere.")
    if not target.parent.is_dir():
        raise ConfigError(f"There is no folder {target.parent} to write {target.name} to. Make it first.")
    is_zarr = target.suffix == ".zarrmd" and (target / ".zgroup").is_file()
    if target.is_dir() and not is_zarr:
        raise ConfigError(f"{target} is a folder. Give the name of a file in it.")
    if any(_same_file(target, source) for source in sources):
        raise ConfigError(f"{target} is a file that the store was made from. Write to another one.")
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} exists already. Use --overwrite to replace it, or another name.")
    return target


def _same_file(path: Path, other: str) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside the target; when the block ends well, put that file in its place.

    Raises
    ------
    StoreWriteError
        If the disk refuses.
    TrajectoryError
        If mdtraj can't write the frames.
    """
    # The whole name at the end: formats are told by it, `.pdb.gz` by two extensions.
    # In ASCII, since some writers know nothing else.
    name = target.name.encode("ascii", "replace").decode().replace("?", "_")
    temporary = target.with_name(f".{os.getpid()}-{name}")
    older = target.with_name(f".{os.getpid()}-older-{name}")
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if target.is_dir():
            # A folder can't be put in the place of another at one stroke.
            target.replace(older)
        try:
            temporary.replace(target)
        except OSError:
            if older.exists():
                older.replace(target)
            raise
    except TwopassError as error:
        error.args = (str(error).replace(str(temporary), str(target)),)
        raise
    except OSError as error:
        raise StoreWriteError(f"Cannot write {target}: {error.strerror or error}.") from error
    except Exception as error:
        # mdtraj's writers raise anything, of a full disk or a number that a column has no room for.
        reason = str(error).strip().splitlines()[-1:] or [""]
        raise TrajectoryError(
            f"Cannot write {target}: {type(error).__name__}: {reason[0].rstrip('.')}. The disk is full, or "
            "the format has no room for a coordinate: free space, or choose another format, such as trr."
        ) from error
    finally:
        for left in (temporary, older):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
