"""A disk that refuses at any step of any write: one error, nothing lost, the same bytes once it is mended."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import mdtraj as md
import numpy as np
import pytest

from faults import Stamp, assert_same, stamps
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
from twopass_store.errors import PrecisionError, StoreWriteError
from twopass_store.journal import Disk, Writer
from twopass_store.store import Store

UNITS = "position", "rmsd", "label", "label_status", "leader_index", "rmsd_to_leader"
CODES = errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO


class RefusingDisk(Disk):
    """Refuses from one step on, before it or in its middle, until it is mended.

    A disk that is full or over quota still renames and removes; one that is read-only, or out of reach, does
    nothing any more.
    """

    def __init__(self, at: int = 0, *, code: int = errno.ENOSPC, halfway: bool = False) -> None:
        self.n_steps = 0
        self._at, self._code, self._halfway = at, code, halfway

    def _refuses(self, *, needs_space: bool) -> bool:
        self.n_steps += 1
        if not self._at or self.n_steps < self._at:
            return False
        if self.n_steps > self._at and self._code in (errno.ENOSPC, errno.EDQUOT):
            return needs_space
        return True

    def _error(self) -> OSError:
        return OSError(self._code, os.strerror(self._code))

    def make_folder(self, path: Path) -> None:
        if self._refuses(needs_space=True):
            raise self._error()
        super().make_folder(path)

    def write(self, file: BinaryIO, data: bytes | bytearray | memoryview) -> None:
        if self._refuses(needs_space=True):
            if self._halfway:
                super().write(file, memoryview(data)[: len(data) // 2])
            raise self._error()
        super().write(file, data)

    def sync(self, file: BinaryIO) -> None:
        if self._refuses(needs_space=True):
            raise self._error()
        # Nothing is pulled out here, and real ones take longer than all the rest.

    def rename(self, source: Path, target: Path) -> None:
        if self._refuses(needs_space=False):
            if self._halfway:
                super().rename(source, target)
            raise self._error()
        super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        if self._refuses(needs_space=False):
            raise self._error()

    def remove_tree(self, path: Path) -> None:
        if self._refuses(needs_space=False):
            if self._halfway:
                super().remove_tree(next(path.iterdir()) if path.is_dir() and any(path.iterdir()) else path)
            raise self._error()
        super().remove_tree(path)


@dataclass(frozen=True)
class Action:
    """One call of the library, and the store that it finds."""

    act: Callable[[Path], object]
    before: Path | None


@pytest.fixture(scope="module")
def actions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Action]:
    folder = tmp_path_factory.mktemp("disk")
    trajectory = make_trajectory(300)
    trajectory[0].save_pdb(folder / "top.pdb")
    first, grown, other = folder / "first.xtc", folder / "grown" / "first.xtc", folder / "other.xtc"
    grown.parent.mkdir()
    trajectory[:100].save(str(first))
    moved = tmp_path_factory.mktemp("moved")
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
        "wide": Action(*_misfit(folder)),
        "relocate": Action(lambda store: relocate_trajectories(store, folder, moved), clustered),
    }


def _misfit(folder: Path) -> tuple[Callable[[Path], object], Path]:
    """Three chunks of positions, of which the first two are committed as int16 and the third doesn't fit."""
    folder = folder / "misfit"
    folder.mkdir()
    topology = md.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for _ in range(100):
        topology.add_atom("C", md.element.carbon, residue)
    xyz = np.random.default_rng(2).random((5_000, 100, 3), np.float32)
    xyz[4_500, 50, 0] = -40
    trajectory = md.Trajectory(xyz, topology, time=np.arange(5_000))
    trajectory[0].save_pdb(str(folder / "top.pdb"))
    trajectory.save_xtc(str(folder / "run.xtc"))

    def ingest(store: Path, *, wide: bool = True) -> object:
        return ingest_trajectories(
            store, folder / "run.xtc", top=folder / "top.pdb", wide=wide, workers=1, codec="fast"
        )

    (folder / "before").mkdir()
    with pytest.raises(PrecisionError):
        ingest(folder / "before" / "s.zarr", wide=False)
    return ingest, folder / "before" / "s.zarr"


@pytest.fixture
def refuses_until_mended(
    actions: dict[str, Action], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Lets the disk refuse at steps of an action, at all of them or at so many points."""

    def copied(action: Action, name: str) -> Path:
        store = tmp_path / name / "s.zarr"
        store.parent.mkdir()
        if action.before is not None:
            shutil.copytree(action.before, store)
        return store

    def sweep(name: str, *, code: int, halfway: bool, n_points: int | None = None) -> None:
        action = actions[name]
        reference = copied(action, "reference")
        counting = RefusingDisk()
        monkeypatch.setattr(Writer, "disk", counting)
        action.act(reference)
        n_steps = counting.n_steps
        assert n_steps > 10
        # Not always the same step of a write.
        at_once = 1 if n_points is None else (n_steps // n_points) | 1
        for at in range(1 if n_points is None else 1 + at_once // 2, n_steps + 1, at_once):
            store = copied(action, "refused")
            monkeypatch.setattr(Writer, "disk", RefusingDisk(at, code=code, halfway=halfway))
            with pytest.raises(StoreWriteError, match=os.strerror(code)):
                action.act(store)
            monkeypatch.setattr(Writer, "disk", RefusingDisk())
            # No lock, and no temporary file.
            left = [path for path in store.parent.iterdir() if path != store]
            assert not left, (at, left)
            # Those that replace units that are recorded aside.
            before = {} if name in ("restart", "append", "wide") else recorded_units(store)
            action.act(store)
            assert stamps(list(before)) == before, at
            assert_same(store, reference)
            shutil.rmtree(store.parent)
        shutil.rmtree(reference.parent)

    return sweep


def recorded_units(path: Path) -> dict[Path, Stamp]:
    """The files of units that ledgers speak of."""
    if not Store.exists(path):
        return {}
    store = Store.open(path)
    files: list[Path] = []
    for name in store.members("journal"):
        journal = store.journal(name)
        assert journal is not None
        for product in journal.plan.products:
            if product.path.rpartition("/")[2] in UNITS:
                chunks = np.flatnonzero(journal.done(product.path))
                files += [file for chunk in chunks for file in (path / product.path).glob(f"c.{chunk}*")]
    return stamps(files)


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
    "wide",
    "relocate",
)


@pytest.mark.parametrize("name", NAMES)
def test_disk_that_refuses__is_one_error_and_resumes_once_mended(
    name: str, refuses_until_mended: Callable[..., None]
) -> None:
    code = CODES[NAMES.index(name) % len(CODES)]
    refuses_until_mended(name, code=code, halfway=True, n_points=4)


@pytest.mark.slow
@pytest.mark.parametrize("halfway", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", NAMES)
def test_disk_that_refuses_at_every_step__is_one_error_and_resumes_once_mended(
    name: str, code: int, halfway: bool, refuses_until_mended: Callable[..., None]
) -> None:
    refuses_until_mended(name, code=code, halfway=halfway)
