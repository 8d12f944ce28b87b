"""Reading while others write: a plain retry, and one error that says so."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ..errors import StageIncompleteError, StoreError
from ..journal import Lock, restarting
from .places import METADATA_FILE, clustering_stages, lock_folder

__all__ = ["GROWTH", "at_one_state", "naming_restart", "require_no_restart", "stamp"]

GROWTH = "growth"
"""Name of the journal that is there only while arrays along ``frame`` are made longer."""

ATTEMPTS = 20

PATIENCE_SECONDS = 1.0
"""How long to wait for arrays that are being made longer; it takes milliseconds."""

Result = TypeVar("Result")


def at_one_state(path: Path, read: Callable[[], Result], *, name: str | None = None) -> Result:
    """Return what a reader makes of a store, read again if a writer changed a plan meanwhile.

    `name` is the clustering that it reads; any of them if None. Raises a `StageIncompleteError` if the store
    is changed again and again.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    for _ in range(ATTEMPTS):
        before = _stamps(path, name)
        try:
            with naming_restart(path, name):
                result = read()
        except StoreError:
            is_growing = (path / "journal" / GROWTH).is_dir()
            if _stamps(path, name) == before and not (is_growing and time.monotonic() < deadline):
                raise
            time.sleep(0.02)
        else:
            if _stamps(path, name) == before:
                return result
    raise StageIncompleteError(
        f"{path} was changed by other commands whenever it was read. Try again when they have finished."
    )


@contextmanager
def naming_restart(path: Path, name: str | None) -> Iterator[None]:
    """Say that a clustering, or any if None, is being made anew if the block fails by what it finds.

    What is being removed looks like damage.
    """
    try:
        yield
    except StoreError as error:
        require_no_restart(path, name, cause=error)
        raise


def require_no_restart(path: Path, name: str | None, *, cause: StoreError | None = None) -> None:
    """Raise a `StageIncompleteError` if a clustering, or any if None, is being made anew."""
    who = restarting(lock_folder(path), None if name is None else [Lock(f"clustering-{name}")])
    if who:
        what = "what you read" if name is None else f"clustering {name!r}"
        raise StageIncompleteError(
            f"{path}: {what} is being made anew by {who}. Read it again when that has finished."
        ) from cause


def _stamps(path: Path, name: str | None) -> list[tuple[int, int] | None]:
    """Return what changes with every plan; of one clustering, or of all if None."""
    stages = ("*",) if name is None else ("ingest", GROWTH, *clustering_stages(name))
    files = (file for stage in stages for file in sorted(path.glob(f"journal/{stage}/{METADATA_FILE}")))
    return [stamp(file) for file in (path / METADATA_FILE, *files)]


def stamp(file: Path) -> tuple[int, int] | None:
    """Return what changes whenever a file is written; None if it can't be looked at."""
    try:
        status = file.stat()
    except OSError:
        return None
    # Every write makes a new file and renames it.
    return status.st_ino, status.st_mtime_ns
