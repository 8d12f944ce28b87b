"""Trajectory files that have moved since they were ingested."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import expanded
from ..errors import ConfigError, StageIncompleteError, TrajectoryError, TrajectoryNotFoundError
from ..journal import Lock, StageJournal, hold, naming_writer
from ..store import Store, lock_folder, store_path

__all__ = ["Move", "RelocateResult", "relocate_trajectories"]

SHOWN = 3
"""Files that an error names."""


@dataclass(frozen=True, slots=True)
class Move:
    """One recorded file.

    Attributes
    ----------
    old, new
        Where it was, and where it should be now.
    problem
        Why the new place can't be recorded; empty where it can.
    """

    old: str
    new: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RelocateResult:
    """What a relocation found.

    Attributes
    ----------
    store
        Path of the store.
    trajectories, topologies
        The files under the old place.
    was_done
        Whether they were recorded at the new place already, and nothing was changed.
    """

    store: Path
    trajectories: tuple[Move, ...]
    topologies: tuple[Move, ...]
    was_done: bool


def relocate_trajectories(
    store: str | os.PathLike[str],
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    break_lock: bool = False,
) -> RelocateResult:
    """Record that source files have moved: all of those under `old`, or none.

    Each trajectory must have the content at its new place that it was ingested with. Nothing else in the
    store changes: the same ingest, asked for with the new paths, finds all done, or goes on.

    Parameters
    ----------
    store
        Path of the store.
    old
        A folder, or a file, as it was recorded.
    new
        Where that is now.
    dry_run
        Look only; files that can't be relocated are then no error, see `Move`.
    break_lock
        Take the store's lock also from a process of which it can't be told whether it lives, such as one of
        another host. Only where you are sure that it doesn't.

    Raises
    ------
    ConfigError
        If no recorded file lies under `old`.
    TrajectoryError
        If a trajectory isn't at its new place, or has another content there.
    StageIncompleteError
        If nothing was ingested yet.
    StoreError
        If the store is locked, or can't be written.
    """
    path = store_path(store)
    before, after = _absolute(old), _absolute(new)
    if dry_run:
        return _found(Store.open(path), before, after)
    lock = Lock("ingest")
    with naming_writer(lock_folder(path), lock, break_lock=break_lock):
        Store.open(path)
    with hold(lock_folder(path), [lock], break_lock=break_lock) as writer:
        opened = Store.open(path, writer=writer)
        result = _found(opened, before, after)
        _refuse((*result.trajectories, *result.topologies))
        if not result.was_done:
            _record(opened, _journal(opened), result, before, after)
        else:
            opened.renew_plan_copy("ingest")
    return result


def _absolute(path: str | os.PathLike[str]) -> str:
    # Not resolved: paths are recorded as the user gave them, through links.
    return os.path.normpath(expanded(path).absolute())


def _journal(store: Store) -> StageJournal:
    journal = store.journal("ingest")
    if journal is None or not journal.done("trajectory_path").all():
        raise StageIncompleteError(f"{store.path} holds no record of files yet. Run `twopass ingest` first.")
    if "append" in journal.plan.request and not journal.complete:
        # Its plan names the files that it adds.
        raise StageIncompleteError(
            f"An append to {store.path} was interrupted. Run it again first, with the files where they were."
        )
    return journal


def _found(store: Store, old: str, new: str) -> RelocateResult:
    journal = _journal(store)
    recorded = [str(path) for path in store.read("trajectory_path")]
    digests = [str(digest) for digest in store.read("trajectory_digest")]
    sizes = store.read("trajectory_size").tolist()
    request = journal.plan.request
    asked = [path for path, *_ in request.get("trajectories", [])]
    trajectories = [
        Move(path, moved, _content_problem(moved, digest, size))
        for path, digest, size in zip(recorded, digests, sizes, strict=True)
        if (moved := _moved(path, old, new))
    ]
    # A topology that stayed behind is no error: only a new ingest needs it.
    topologies = [
        Move(path, moved, _size_problem(moved, size))
        for path, size, _ in request.get("top", [])
        if (moved := _moved(path, old, new)) and Path(moved).exists()
    ]
    # A kill may have come between two writes: then the request is all that still has the old paths.
    is_done = not trajectories and not topologies and not any(_moved(path, old, new) for path in asked)
    if is_done and not any(_moved(path, new, new) for path in recorded):
        folders = sorted({str(Path(path).parent) for path in recorded})
        listed = ", ".join(folders[:SHOWN]) + (f" and {len(folders) - SHOWN} more" if folders[SHOWN:] else "")
        raise ConfigError(f"No file of {store.path} is recorded under {old}. They lie in {listed}.")
    return RelocateResult(store.path, tuple(trajectories), tuple(topologies), is_done)


def _moved(path: str, old: str, new: str) -> str:
    """Return where a file is now, empty where it didn't lie under `old`."""
    if path != old and not path.startswith(old.rstrip(os.sep) + os.sep):
        return ""
    return os.path.normpath(new + path.removeprefix(old))


def _content_problem(path: str, digest: str, size: int) -> str:
    from ..trajectory import digest_file

    try:
        # A running simulation goes on writing to the file: what was ingested is its beginning.
        is_longer = Path(path).is_file() and Path(path).stat().st_size > size
        found = digest_file(path, size_bytes=size if is_longer else None)
    except TrajectoryNotFoundError:
        return "there is no such file"
    except TrajectoryError as error:
        return str(error)
    return "" if found == digest else "its content differs from what was ingested"


def _size_problem(path: str, size: int) -> str:
    found = Path(path).stat().st_size if Path(path).is_file() else None
    return "" if found == size else f"it isn't the topology of {size} bytes that was used"


def _refuse(moves: tuple[Move, ...]) -> None:
    bad = [move for move in moves if move.problem]
    if not bad:
        return
    listed = "; ".join(f"{move.new}: {move.problem}" for move in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if bad[SHOWN:] else ""
    missing = all(not Path(move.new).exists() for move in bad)
    raise (TrajectoryNotFoundError if missing else TrajectoryError)(
        f"Cannot relocate, and nothing was changed: {listed}{more}. Move the files first, or check the paths "
        "with --dry-run."
    )


def _record(store: Store, journal: StageJournal, result: RelocateResult, old: str, new: str) -> None:
    paths = [str(path) for path in store.read("trajectory_path")]
    moved = [_moved(path, old, new) for path in paths]
    changed: dict[str, NDArray[Any]] = {
        "trajectory_path": np.array([after or path for path, after in zip(paths, moved, strict=True)], object)
    }
    if store.has("trajectory_modified"):
        modified = store.read("trajectory_modified").copy()
        for index in (index for index, after in enumerate(moved) if after):
            modified[index] = Path(moved[index]).stat().st_mtime_ns
        changed["trajectory_modified"] = modified
    journal.commit([record for name, values in changed.items() for record in store.write_all(name, values)])

    # Last: until it is there, the same command finishes what a kill has stopped.
    request = dict(journal.plan.request)
    topologies = {move.old for move in result.topologies}
    for kind in ("trajectories", "top"):
        request[kind] = [
            _stamp(after, stamp[1])
            if (after := _moved(stamp[0], old, new)) and (kind == "trajectories" or stamp[0] in topologies)
            else stamp
            for stamp in request.get(kind, [])
        ]
    journal.amend(request)


def _stamp(path: str, size: int) -> list[Any]:
    """Describe a file as the request of an ingest does; one that has grown still counts as changed."""
    return [path, size, Path(path).stat().st_mtime_ns]
