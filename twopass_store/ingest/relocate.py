"""Trajectory files that have moved since they were ingested."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import expanded
from ..errors import ConfigError, StageIncompleteError, TrajectoryError, TrajectoryNotFoundError
from ..journal import Lock, StageJournal, hold
from ..store import Store, lock_folder, store_path
from .origins import Origins, file_columns, recorded_origins

__all__ = ["Move", "RelocateResult", "relocate_trajectories"]

SHOWN = 3  # files that an error names


@dataclass(frozen=True, slots=True)
class Move:
    """One recorded file."""

    old: str
    new: str  # where it should be now
    problem: str = ""  # why the new place can't be recorded; empty if it can


@dataclass(frozen=True, slots=True)
class RelocateResult:
    """What a relocation found."""

    store: Path
    trajectories: tuple[Move, ...]  # these and the next: the files under the old place
    topologies: tuple[Move, ...]
    was_done: bool  # they were recorded at the new place already, and nothing was changed


def relocate_trajectories(
    store: str | os.PathLike[str],
    old: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    break_lock: bool = False,
) -> RelocateResult:
    """Record that source files have moved: all of those under `old`, or none.

    Each trajectory must have the content at its new place that it was ingested with. Afterwards the same
    ingest with the new paths finds all done, or goes on.

    Parameters
    ----------
    store
        Path of the store.
    old, new
        A folder, or a file, as it was recorded, and where that is now.
    dry_run
        Look only; files that can't be relocated are then no error, see `Move`.
    break_lock
        Take the store's lock from a process that may still be running, such as one on another host. Only if
        you are sure that it isn't.

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
    Store.open(path)  # nothing is made beside a store that isn't there
    with hold(lock_folder(path), [Lock("ingest")], break_lock=break_lock) as writer:
        opened = Store.open(path, writer=writer)
        result = _found(opened, before, after)
        _refuse((*result.trajectories, *result.topologies))
        if not result.was_done:
            _record(opened, before, after)
    return result


def _absolute(path: str | os.PathLike[str]) -> str:
    # Not resolved: paths are recorded as the user gave them, through links.
    return os.path.normpath(expanded(path).absolute())


def _recorded(store: Store) -> tuple[StageJournal, Origins]:
    journal, origins = store.journal("ingest"), recorded_origins(store)
    if journal is None or origins is None or not journal.done("trajectory_path").all():
        raise StageIncompleteError(f"{store.path} holds no record of files yet. Run `twopass ingest` first.")
    if "append" in journal.plan.request and not journal.complete:
        # Its plan names the files that it adds.
        raise StageIncompleteError(
            f"An append to {store.path} was interrupted. Run it again first, with the files where they were."
        )
    return journal, origins


def _found(store: Store, old: str, new: str) -> RelocateResult:
    journal, origins = _recorded(store)
    recorded = [file.info for file in origins.files]
    trajectories = tuple(
        Move(info["path"], moved, _content_problem(moved, info["digest"], info["size_bytes"]))
        for info in recorded
        if (moved := _moved(info["path"], old, new))
    )
    # A topology that stayed behind is no error: only a new ingest needs it.
    topologies = tuple(
        Move(path, moved, "" if Path(moved).stat().st_size == size else f"it has other than {size} bytes")
        for path, size, _ in journal.plan.request["top"]
        if (moved := _moved(path, old, new)) and Path(moved).is_file()
    )
    is_done = not (trajectories or topologies)
    if is_done and not any(_moved(info["path"], new, new) for info in recorded):
        folders = sorted({str(Path(info["path"]).parent) for info in recorded})
        listed = ", ".join(folders[:SHOWN]) + (f" and {len(folders) - SHOWN} more" if folders[SHOWN:] else "")
        raise ConfigError(f"No file of {store.path} is recorded under {old}. They lie in {listed}.")
    return RelocateResult(store.path, trajectories, topologies, is_done)


def _moved(path: str, old: str, new: str) -> str:
    """Return where a file is now, empty if it wasn't under `old`."""
    if path != old and not path.startswith(old.rstrip(os.sep) + os.sep):
        return ""
    return os.path.normpath(new + path.removeprefix(old))


def _content_problem(path: str, digest: str, size: int) -> str:
    from ..trajectory import digest_file

    if not Path(path).is_file():
        return "there is no such file"
    try:
        # A running simulation goes on writing to the file: what was ingested is its beginning.
        found = digest_file(path, size_bytes=size)
    except TrajectoryError as error:
        return str(error)
    return "" if found == digest else "its content differs from what was ingested"


def _refuse(moves: tuple[Move, ...]) -> None:
    bad = [move for move in moves if move.problem]
    if not bad:
        return
    listed = "; ".join(f"{move.new}: {move.problem}" for move in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if bad[SHOWN:] else ""
    missing = all(not Path(move.new).exists() for move in bad)
    raise (TrajectoryNotFoundError if missing else TrajectoryError)(
        f"Cannot relocate, and nothing was changed: {listed}{more}. Move the files first, or check the paths "
        "with `dry_run`."
    )


def _record(store: Store, old: str, new: str) -> None:
    def now(path: str, modified_ns: int) -> tuple[str, int]:
        moved = _moved(path, old, new)
        is_there = moved and Path(moved).is_file()  # a topology may have stayed
        return (moved, Path(moved).stat().st_mtime_ns) if is_there else (path, modified_ns)

    journal, origins = _recorded(store)
    files = []
    for file in origins.files:
        path, modified_ns = now(file.info["path"], file.info["modified_ns"])
        info = {**file.info, "path": path, "modified_ns": modified_ns}
        files.append(replace(file, info=info, topology=now(file.topology, 0)[0]))
    columns = file_columns(files)
    names = ("trajectory_path", "trajectory_modified")
    journal.commit([record for name in names for record in store.write_all(name, columns[name])])

    # Last: until it is there, the same command finishes what a kill has stopped.
    plan = replace(origins, files=tuple(files)).put_into(journal.plan)
    request = dict(plan.request)
    for kind in ("trajectories", "top"):
        # The recorded size: a file that has grown still counts as changed.
        stamps = [(size, *now(path, at)) for path, size, at in request[kind]]
        request[kind] = [[path, size, at] for size, path, at in stamps]
    journal.amend(replace(plan, request=request))
