"""Source files that have moved: recorded where they are now, all or none."""

import shutil
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest

from conftest import EXAMPLE
from twopass_store import ingest_trajectories, open_results, relocate_trajectories
from twopass_store.errors import (
    CorruptChunkError,
    StoreLockedError,
    TrajectoryError,
    TrajectoryNotFoundError,
)
from twopass_store.journal import Lock, StageJournal, hold
from twopass_store.store import Store


@pytest.fixture
def project(tmp_path) -> Path:
    """Two trajectories and their topology in ``old``, ingested into ``run.zarr``."""
    old = tmp_path / "old"
    (old / "md").mkdir(parents=True)
    frames = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    frames[:1500].save_xtc(old / "md" / "a.xtc")
    frames[1500:3000].save_trr(old / "md" / "b.trr")
    shutil.copy(EXAMPLE / "alanine-dipeptide.pdb", old / "top.pdb")
    ingest(tmp_path, "old")
    return tmp_path


def ingest(project, folder, **options):
    paths = [project / folder / "md" / name for name in ("a.xtc", "b.trr")]
    return ingest_trajectories(project / "run.zarr", paths, top=project / folder / "top.pdb", **options)


def content(store: Path) -> dict[str, bytes]:
    return {str(file.relative_to(store)): file.read_bytes() for file in store.rglob("*") if file.is_file()}


def recorded(store: Path) -> list[str]:
    return [str(path) for path in Store.open(store).read("trajectory_path")]


def test_relocate__then_all_is_done(project, twopass):
    twopass("cluster", "run.zarr", "--n-clusters", 3, "--subset-frames", 300)
    twopass("assign", "run.zarr")
    before = content(project / "run.zarr")
    (project / "old").rename(project / "new")

    listed = twopass("relocate", "run.zarr", "old", "new", "--dry-run").stdout
    assert f"{project}/old/md/a.xtc -> {project}/new/md/a.xtc\n" in listed
    assert f"{project}/old/top.pdb -> {project}/new/top.pdb\n" in listed
    assert content(project / "run.zarr") == before

    said = twopass("relocate", "run.zarr", "old", "new").stdout
    assert said == "run.zarr: 2 trajectory files and 1 other file recorded at the new place\n"
    assert recorded(project / "run.zarr") == [f"{project}/new/md/{name}" for name in ("a.xtc", "b.trr")]
    assert not (project / "run.zarr.lock").exists()
    after = content(project / "run.zarr")
    assert {name for name in before if before[name] != after[name]} <= {
        "trajectory_path/c.0",
        "trajectory_modified/c.0",
        "journal/ingest/zarr.json",
        "journal/ingest/ledger/c.0",
    }

    moved = ["new/md/a.xtc", "new/md/b.trr", "--top", "new/top.pdb"]
    assert "All was done already" in twopass("ingest", "run.zarr", *moved).stdout
    assert "All was done already" in twopass("relocate", "run.zarr", "old", "new").stdout
    again = twopass("cluster", "run.zarr", "--n-clusters", 3, "--subset-frames", 300)
    assert "All was done already" in again.stdout
    assert "All was done already" in twopass("assign", "run.zarr").stdout
    assert "a.xtc" in twopass("summary", "run.zarr").stdout
    assert content(project / "run.zarr") == after
    with open_results(project / "run.zarr") as results:
        assert [str(path) for path in results.trajectory_path.values] == recorded(project / "run.zarr")


def test_relocate__all_or_none(project, twopass):
    store = project / "run.zarr"
    before = content(store)
    (project / "old").rename(project / "new")
    lost = (project / "new/md/b.trr").rename(project / "b.trr")
    with pytest.raises(
        TrajectoryNotFoundError, match=r"nothing was changed: .*new/md/b\.trr: there is no such"
    ):
        relocate_trajectories(store, project / "old", project / "new")
    assert content(store) == before

    # The very bytes but one.
    damaged = bytearray(lost.read_bytes())
    damaged[-1] ^= 1
    (project / "new/md/b.trr").write_bytes(damaged)
    with pytest.raises(TrajectoryError, match=r"b\.trr: its content differs from what was ingested"):
        relocate_trajectories(store, project / "old", project / "new")
    result = twopass("relocate", "run.zarr", "old", "new", "--dry-run", code=3)
    assert "b.trr: its content differs" in result.stdout
    assert "1 of 3 files can't be relocated" in result.stderr
    assert content(store) == before
    lost.replace(project / "new/md/b.trr")
    assert not relocate_trajectories(store, project / "old", project / "new").was_done


@pytest.mark.parametrize("stop", ["commit", "amend"])
def test_relocate__goes_on_after_a_stop_between_two_writes(stop, project, monkeypatch):
    (project / "old").rename(project / "new")
    store = project / "run.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(StageJournal, stop, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            relocate_trajectories(store, project / "old", project / "new")
    assert not relocate_trajectories(store, project / "old", project / "new").was_done
    assert relocate_trajectories(store, project / "old", project / "new").was_done
    assert ingest(project, "new").n_frames_computed == 0


def test_relocate__a_file_that_has_grown_and_new_ones(project):
    """A simulation goes on in its new place, and is appended from there."""
    store, frames = (
        project / "run.zarr",
        md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb"),
    )
    (project / "old").rename(project / "new")
    frames[1500:3200].save_trr(project / "new/md/b.trr")
    frames[3200:].save_xtc(project / "new/md/c.xtc")
    relocate_trajectories(store, project / "old", project / "new")
    assert recorded(store) == [f"{project}/new/md/{name}" for name in ("a.xtc", "b.trr")]
    new = [project / "new/md" / name for name in ("a.xtc", "b.trr", "c.xtc")]
    added = ingest_trajectories(store, new, append=True)
    assert added.n_frames_computed == 1000
    assert recorded(store) == [str(path) for path in new]
    opened = Store.open(store)
    file, frame = opened.read("trajectory"), opened.read("source_frame")
    expected = np.array([0, 1500, 3200])[file] + frame
    assert sorted(expected.tolist()) == list(range(4000))
    np.testing.assert_array_equal(opened.read("time"), frames.time[expected])

    (project / "new").rename(project / "newer")
    relocate_trajectories(store, project / "new", project / "newer")
    again = [project / "newer/md" / path.name for path in new]
    assert ingest_trajectories(store, again, append=True).n_frames_computed == 0


def test_relocate__refusals(project):
    store = project / "run.zarr"
    with (
        hold(store.with_name("run.zarr.lock"), [Lock("clustering-default")]),
        pytest.raises(StoreLockedError),
    ):
        relocate_trajectories(store, project / "old", project / "new")
    Store.open(store)
    shutil.rmtree(store / "journal" / "ingest")
    with pytest.raises(CorruptChunkError, match="the journal of ingest can't be used"):
        relocate_trajectories(store, project / "old", project / "new")
