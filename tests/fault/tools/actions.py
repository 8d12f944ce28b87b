"""Calls of the library that write, small enough to be stopped at each of their writes."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trajectory_files import make_trajectory
from twopass_store import (
    adopt_leaders,
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    recut_clustering,
    relocate_trajectories,
    scan_cuts,
)
from twopass_store.journal import Disk

NAMES = (
    "ingest",
    "cluster",
    "gromos",
    "structures",
    "scan",
    "recut",
    "assign",
    "restart",
    "append",
    "relocate",
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


@dataclass(frozen=True)
class Action:
    """One call of the library, and the store that it finds."""

    act: Callable[[Path], object]
    before: Path | None

    def found_by(self, store: Path) -> Path:
        """Put a store there as the call finds it; returns its path."""
        store.parent.mkdir(parents=True)
        if self.before is not None:
            shutil.copytree(self.before, store)
        return store


def make_actions(folder: Path) -> dict[str, Action]:
    """Return an action of each kind by name, see `NAMES`, with their inputs in a folder."""
    moved = folder / "moved"
    folder = folder / "input"
    for each in (folder, moved):
        each.mkdir()
    trajectory = make_trajectory(300)
    trajectory[0].save_pdb(folder / "top.pdb")
    first, grown, other = folder / "first.xtc", folder / "grown" / "first.xtc", folder / "other.xtc"
    grown.parent.mkdir()
    trajectory[:100].save(str(first))
    for path in (first, folder / "top.pdb"):
        shutil.copy2(path, moved)
    trajectory[:250].save(str(grown))
    trajectory[250:].save(str(other))

    def ingest(store: Path) -> object:
        return ingest_trajectories(store, first, top=folder / "top.pdb", workers=1)

    def cluster(store: Path) -> object:
        return cluster_subset(store, select="all", n_clusters=2, workers=1)

    def assign(store: Path) -> object:
        return assign_frames(store, workers=1, margin=True)

    def stored(name: str, *acts: Callable[[Path], object]) -> Path:
        store = folder / name / "s.zarr"
        store.parent.mkdir()
        for act in acts:
            act(store)
        return store

    ingested = stored("ingested", ingest)
    clustered = stored("clustered", ingest, cluster)
    assigned = stored("assigned", ingest, cluster, assign)
    return {
        "ingest": Action(ingest, None),
        "cluster": Action(cluster, ingested),
        "gromos": Action(
            lambda store: cluster_subset(store, select="all", method="gromos", cutoff="1A", workers=1),
            ingested,
        ),
        "structures": Action(
            lambda store: adopt_leaders(store, folder / "top.pdb", name="own", select="all"), ingested
        ),
        "scan": Action(lambda store: scan_cuts(store, select="all", n_clusters="2:5"), clustered),
        "recut": Action(
            lambda store: recut_clustering(store, name="default", new_name="new", n_clusters=3), clustered
        ),
        "assign": Action(assign, clustered),
        "restart": Action(
            lambda store: cluster_subset(store, select="all", n_clusters=4, workers=1, restart=True), assigned
        ),
        "append": Action(
            lambda store: ingest_trajectories(store, [grown, other], append=True, workers=1), assigned
        ),
        "relocate": Action(lambda store: relocate_trajectories(store, folder, moved), clustered),
    }
