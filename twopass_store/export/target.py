"""Files, and folders, that are written beside their target and renamed into place."""

import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from ..config import expanded
from ..errors import ConfigError, StoreWriteError, TrajectoryError, TwopassError
from ..journal import Fate, Holder, Writer, sync_tree

__all__ = ["checked_target", "replacing"]

FULL_BYTES = 64 << 10
"""Space left on a disk that was too small for a file."""


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

    It is on the disk when this returns, and never there in part, whenever the power goes. What exports of the
    same target left that were killed on this host is removed.

    Raises
    ------
    StoreWriteError
        If the disk refuses.
    TrajectoryError
        If mdtraj can't write the frames.
    """
    # Debris that can't be removed is no reason to write nothing.
    with suppress(OSError):
        _sweep_dead(target)
    # The whole name at the end: formats are told by it, `.pdb.gz` by two extensions.
    # In ASCII, since some writers know nothing else.
    name = target.name.encode("ascii", "replace").decode().replace("?", "_")
    own = Holder.this_process("")
    # Short, as the target's name may be long.
    begins = f".twopass-{_key(target, own)}-{own.pid}-{round(own.process_start * 100)}"
    temporary = target.with_name(f"{begins}-{name}")
    older = target.with_name(f"{begins}-{_OLDER}-{name}")
    try:
        # C libraries don't say why they can't open a file.
        temporary.touch()
        temporary.unlink()
        yield temporary
        sync_tree(temporary)
        if target.is_dir():
            # A folder can't be put in the place of another at one stroke.
            target.replace(older)
        try:
            temporary.replace(target)
        except OSError:
            if older.exists():
                older.replace(target)
            raise
        # Who may write into a folder may not always read it, as syncing takes; the file is there anyhow.
        with suppress(PermissionError):
            Writer.disk.sync_folder(target.parent)
    except TwopassError as error:
        _refuse_full(target, error)
        error.args = (str(error).replace(str(temporary), str(target)),)
        raise
    except OSError as error:
        raise StoreWriteError(f"Cannot write {target}: {error.strerror or error}.") from error
    except Exception as error:
        _refuse_full(target, error)
        # mdtraj's writers raise anything, of a full disk or a number that a column has no room for.
        reason = str(error).strip().splitlines()[-1:] or [""]
        raise TrajectoryError(
            f"Cannot write {target}: {type(error).__name__}: {reason[0].rstrip('.')}. The disk is full, or "
            "the format has no room for a coordinate: free space, or choose another format, such as trr."
        ) from error
    finally:
        _remove(temporary)
        _remove(older)


_OLDER = "older"


def _sweep_dead(target: Path) -> None:
    """Remove what killed exports of a target left beside it, and put a folder back that they had moved away.

    Of processes of other hosts or containers nobody knows here whether they live: what is theirs stays.
    """
    own = Holder.this_process("")
    # The names of what is being written tell by whom.
    form = re.compile(rf"\.twopass-{_key(target, own)}-(?P<pid>\d+)-(?P<start>\d+)-(?P<older>{_OLDER}-)?.*")
    found = [named for left in target.parent.iterdir() if (named := form.fullmatch(left.name))]
    for named in found:
        writer = replace(own, pid=int(named["pid"]), process_start=int(named["start"]) / 100)
        if writer.fate(is_locked=None) is not Fate.DEAD:
            continue
        left = target.with_name(named[0])
        # Killed between the two renames: the new folder may not be whole on the disk, the older one is.
        if named["older"] and not target.exists():
            left.replace(target)
        _remove(left)


def _key(target: Path, own: Holder) -> str:
    """Return what tells the target from others, and the processes seen from here from all others."""
    text = "\n".join((own.host, own.boot, own.namespace, target.name))
    return blake2b(os.fsencode(text), digest_size=4).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        # What went wrong first is what counts, as that the disk is read-only.
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _refuse_full(target: Path, error: Exception) -> None:
    """Raise what the writers don't say, or say in words of their own: that there is no space left."""
    try:
        disk = os.statvfs(target.parent)
    except OSError:
        return
    if disk.f_bavail * disk.f_frsize < FULL_BYTES:
        raise StoreWriteError(f"Cannot write {target}: {os.strerror(errno.ENOSPC)}.") from error
