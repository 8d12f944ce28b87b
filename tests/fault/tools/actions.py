"""Calls of the library that write, small enough to be stopped at each of their steps on the disk."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power import on_disk
from trajectory_files import make_trajectory
from twopass_store import (
    adopt_leaders,
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    recut_clustering,
    relocate_trajectories,
    rename_clustering,
    scan_cuts,
)
from twopass_store.journal import Disk

NAMES = (
    "ingest",
    "cluster",
    "recut",
    "assign",
    "append",
    "assign anew",
    "cluster anew",
    "ingest anew",
    "scan",
    "gromos",
    "structures",
    "relocate",
    "rename",
)


class LosingDisk(Disk):
    """Does something to the disk before one of its steps, as another program would."""

    def __init__(self, at: int, lose: Callable[[], object]) -> None:
        self.n_steps = 0
        self._at, self._lose = at, lose

    def _step(self) -> None:
        self.n_steps += 1
        if self.n_steps == self._at:
            self._lose()

    def make_folder(self, path: Path) -> None:
        self._step()
        super().make_folder(path)

    def write(self, file: Any, data: Any) -> None:
        self._step()
        super().write(file, data)

    def sync(self, file: Any) -> None:
        self._step()

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        self._step()
        super().sync_folder(path)

    def remove_tree(self, path: Path) -> None:
        self._step()
        super().remove_tree(path)


class Stopped(BaseException):
    """Ends a run as a kill does, but that it gives its lock back."""


@contextmanager
def stopping_at(step: int) -> Iterator[None]:
    """Raise `Stopped` at that step on the disk, counted from 1; at none where 0."""

    def stop() -> None:
        raise Stopped

    with on_disk(LosingDisk(step, stop)):
        yield


@dataclass(frozen=True)
class Action:
    """One call of the library, the store that it finds, the one that it leaves, and its steps on the disk."""

    act: Callable[[Path], object]
    before: Path | None
    after: Path
    n_steps: int

    def found_by(self, store: Path) -> Path:
        """Put a store there as the call finds it; returns its path."""
        return placed(self.before, store)


def placed(before: Path | None, store: Path) -> Path:
    store.parent.mkdir(parents=True)
    if before is not None:
        shutil.copytree(before, store)
    return store


def make_actions(
    folder: Path, *, frames: int = 20, workers: int = 1, only: str | None = None
) -> dict[str, Action]:
    """Return an action of each kind by name, see `NAMES`, each on what another one left.

    Parameters
    ----------
    folder
        Where to work.
    frames
        Frames at first.
    workers
        Threads of the passes.
    only
        The last one that is needed.
    """
    inputs, moved = folder / "in", folder / "moved"
    for each in (inputs, moved):
        each.mkdir(parents=True)
    first, top = inputs / "a.xtc", inputs / "top.pdb"
    short, long, more = inputs / "short.xtc", inputs / "long.xtc", inputs / "b.xtc"
    trajectory = make_trajectory(frames + 11, n_residues=2)
    trajectory[0].save_pdb(str(top))
    trajectory[:frames].save(str(short))
    trajectory[: frames + 6].save(str(long))
    trajectory[frames + 6 :].save(str(more))
    shutil.copy2(short, moved / "a.xtc")
    shutil.copy2(top, moved)

    def ingest(store: Path, **options: Any) -> None:
        shutil.copy2(short, first)
        ingest_trajectories(store, first, top=top, workers=workers, **options)

    def append(store: Path) -> None:
        shutil.copy2(long, first)
        ingest_trajectories(store, [first, more], append=True, workers=workers)

    def cluster(store: Path, **options: Any) -> None:
        cluster_subset(store, select="all", workers=workers, **options)

    def assign(store: Path, **options: Any) -> None:
        assign_frames(store, name="default", margin=True, workers=workers, **options)

    def recut(store: Path) -> None:
        recut_clustering(store, name="default", new_name="fine", n_clusters=4, workers=workers)

    def scan(store: Path) -> None:
        scan_cuts(store, n_clusters="2:4", linkage=["ward"], name="default", workers=workers)

    plan: dict[str, tuple[Callable[[Path], object], str | None]] = {
        "ingest": (ingest, None),
        "cluster": (lambda store: cluster(store, n_clusters=3, stride=2), "ingest"),
        "recut": (recut, "cluster"),
        "assign": (assign, "recut"),
        "append": (append, "assign"),
        "assign anew": (lambda store: assign(store, noise_cutoff=0.05, restart=True), "assign"),
        "cluster anew": (lambda store: cluster(store, n_clusters=2, stride=3, restart=True), "assign"),
        "ingest anew": (lambda store: ingest(store, stride=2, restart=True), "cluster"),
        "scan": (scan, "cluster"),
        "gromos": (lambda store: cluster(store, method="gromos", cutoff="1A"), "ingest"),
        "structures": (lambda store: adopt_leaders(store, top, name="own", select="all"), "ingest"),
        "relocate": (lambda store: relocate_trajectories(store, inputs, moved), "cluster"),
        "rename": (lambda store: rename_clustering(store, "default", "own"), "append"),
    }
    actions: dict[str, Action] = {}
    for name, (act, on) in plan.items():
        before = None if on is None else actions[on].after
        store = placed(before, folder / name / "s.zarr")
        counting = LosingDisk(0, lambda: None)
        with on_disk(counting):
            act(store)
        actions[name] = Action(act, before, store, counting.n_steps)
        if name == only:
            break
    return actions
