"""Stages done as job arrays: planned, worked on in parts that may fail, and committed."""

import json
import shutil
from importlib.metadata import version

import pytest

from forked import KILLED
from small_chunks import small_chunks
from small_stores import N_FRAMES, SMALL, files_of, flip
from trajectory_files import make_trajectory
from twopass_store import (
    assign_frames,
    cluster_subset,
    commit_job,
    ingest_trajectories,
    list_jobs,
    plan_job,
    remove_clustering,
    store_status,
    work_job,
)
from twopass_store.assign.unit import AssignUnit
from twopass_store.errors import ConfigError, StageIncompleteError, StoreLockedError, StoreNotFoundError
from twopass_store.journal import digest
from twopass_store.store import identity


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with small_chunks(**SMALL):
        store, top = tmp_path_factory.mktemp("made") / "s.zarr", tmp_path_factory.mktemp("top") / "top.pdb"
        trajectory = make_trajectory(N_FRAMES, n_residues=2)
        trajectory[0].save_pdb(str(top))
        trajectory.save_xtc(str(top.with_suffix(".xtc")))
        ingest_trajectories(store, top.with_suffix(".xtc"), top=top)
        cluster_subset(store, select="all", stride=4, n_clusters=3)
        assign_frames(store, margin=True)
        yield store


@pytest.fixture
def store(made, tmp_path):
    """A store without labels; beside it ``whole``, which has them."""
    shutil.copytree(made, tmp_path / "whole")
    shutil.copytree(made, tmp_path / "s.zarr")
    plan_job(tmp_path / "s.zarr", "assign", margin=True, restart=True)
    return tmp_path / "s.zarr"


def assert_whole(store):
    ours, whole = files_of(store), files_of(store.parent / "whole")
    assert ours.keys() == whole.keys()
    assert [name for name in whole if ours[name] != whole[name]] == []
    assert not store.with_name("s.zarr.lock").exists()


def test_job__of_parts_that_die_repeat_and_run_twice_gives_the_same_bytes(store, monkeypatch, forked):
    do, done = AssignUnit.__call__, []

    def die_after_two(unit, chunks):
        if len(done) == 2:
            raise OSError("the node is gone")
        done.append(chunks)
        return do(unit, chunks)

    with monkeypatch.context() as patch:
        patch.setattr(AssignUnit, "__call__", die_after_two)
        with pytest.raises(OSError, match="gone"):
            work_job(store, "assign", workers=1)
    with pytest.raises(
        StageIncompleteError, match=r"4 of 6 units .*assign-default, chunks 2; margin-default"
    ):
        commit_job(store, "assign")
    (receipts,) = store.with_name("s.zarr.lock").glob("*/receipts.*")
    flip(receipts, -9)
    assert plan_job(store, "assign", margin=True).n_done == 0
    assert [(job.stage, job.n_units) for job in list_jobs(store)] == [("assign", 6)]
    # Two processes that don't see each other's receipts.
    receipts.unlink()
    work_job(store, "assign", part="1/2")
    (first,) = receipts.parent.glob("receipts.*")
    hidden = first.rename(store.parent / first.name)
    assert work_job(store, "assign", part="1/2").n_done == 2
    hidden.rename(first)
    assert work_job(store, "assign", part="2/2").n_done == 6
    assert store_status(store).next_command == f"twopass commit {store} assign --name default"
    # As if the store was put back from a copy.
    (store / "clusterings/default/label/c.2").unlink()
    with pytest.raises(
        StageIncompleteError, match=r"missing .*chunks 1-2; .*work \S+ assign --name default`"
    ):
        commit_job(store, "assign")
    assert store_status(store).next_command == f"twopass work {store} assign --name default"
    assert work_job(store, "assign").n_done == 6
    kill_at = 1  # each commit goes on from what the one before, which was killed, has left
    while forked and forked.call("commit_job", str(store), "assign", kill_at=kill_at) == KILLED:
        kill_at += 4
    assert kill_at > 20 or commit_job(store, "assign")
    assert_whole(store)


def test_job__keeps_others_out_until_it_is_dropped(store, monkeypatch):
    monkeypatch.setattr("twopass_store.journal.locks.PATIENCE_SECONDS", 0.05)
    with pytest.raises(StoreLockedError, match=r"kept for a job.*twopass commit .*--break-lock"):
        assign_frames(store)
    with pytest.raises(StoreLockedError, match="kept for a job"):
        plan_job(store, "assign")
    with pytest.raises(StoreLockedError, match="kept for a job"):
        remove_clustering(store, "default")
    work_job(store, "assign", part="1/2")
    assign_frames(store, margin=True, break_lock=True)
    assert work_job(store, "assign").n_units == commit_job(store, "assign", name="default").n_units == 0
    assert_whole(store)


def test_job__whose_store_was_removed_says_how_to_drop_it(store):
    shutil.rmtree(store)
    with pytest.raises(StoreLockedError, match="--break-lock"):
        plan_job(store, "assign", margin=True, restart=False)
    with pytest.raises(StoreLockedError, match=r"s.zarr is gone, but a job.*--break-lock"):
        cluster_subset(store, n_clusters=2)
    with pytest.raises(StoreNotFoundError):
        commit_job(store, "assign")


def test_job__mixes_no_versions(store, monkeypatch):
    monkeypatch.setitem(identity(), "zarr", "3.0.0")
    with pytest.raises(ConfigError, match=r"scheduler.*done by `twopass work`"):
        plan_job(store, "assign", scheduler="tcp://localhost:8786")
    with pytest.raises(ConfigError, match=r"has zarr 3.0.0 instead of"):
        work_job(store, "assign")
    monkeypatch.setitem(identity(), "zarr", version("zarr"))
    work_job(store, "assign")
    (file,) = store.with_name("s.zarr.lock").glob("*/receipts.*")
    said = json.loads(file.read_bytes().partition(b"\n")[2])
    data = json.dumps(said | {"host": "n17", "identity": said["identity"] | {"numba": "0.1"}}).encode()
    file.write_bytes(b"%016x\n%b" % (digest(data), data))
    with pytest.raises(ConfigError, match=r"done on n17 with other versions .*numba"):
        commit_job(store, "assign")


@pytest.mark.parametrize(
    ("shard", "frame_files"), [("none", 9), ("none", 2), (4 * SMALL["position_bytes"], 9)]
)
def test_job__of_frames_and_of_those_appended_gives_the_same_bytes(made, tmp_path, shard, frame_files):
    with small_chunks(**SMALL, frame_files=frame_files):
        frames = make_trajectory(2 * N_FRAMES, n_residues=2)
        frames[0].save_pdb(str(tmp_path / "top.pdb"))
        files = [tmp_path / f"md{number}.xtc" for number in range(4)]
        for number, file in enumerate(files):
            frames[number * 35 : (number + 1) * 35].save_xtc(str(file))
        options = {"top": tmp_path / "top.pdb", "shard": shard, "precision": 0.01}
        whole, store = tmp_path / "whole", tmp_path / "s.zarr"
        for append in (False, True):
            given = files[2 * append :][:2]
            ingest_trajectories(whole, given, append=append, **options)
            plan_job(store, "ingest", trajectories=given, append=append, **options)
            with pytest.raises(StageIncompleteError, match="units of this job are missing"):
                commit_job(store, "ingest")
            for part in ("2/2", "1/2"):
                work_job(store, "ingest", part=part, workers=1)
            commit_job(store, "ingest")
    ours, them = files_of(store), files_of(whole)
    differing = [name for name in them if ours.get(name) != them[name]]
    # These tell when, and by which command, the store was made.
    assert set(differing) <= {"zarr.json", "journal/ingest/zarr.json"}
    assert ours.keys() == them.keys()


def test_job__of_distances_lets_cluster_go_on_as_if_it_had_made_them(made, tmp_path):
    options = {"stride": 2, "select": "all", "n_clusters": 3, "name": "own", "mass_weighted": True}
    options |= {"align_to": 5, "align_select": "name CA CB"}
    for name in ("whole", "s.zarr"):
        shutil.copytree(made, tmp_path / name)
    store = tmp_path / "s.zarr"
    n_units = plan_job(store, "cluster", **options).n_units
    assert n_units > 3
    for part in range(1, 4):
        work_job(store, "cluster", part=(part, 3))
    commit_job(store, "cluster")
    assert cluster_subset(store, **options).n_pairs_computed == 0
    assert cluster_subset(tmp_path / "whole", **options).n_pairs_computed > 0
    ours, whole = files_of(store), files_of(tmp_path / "whole")
    differing = [name for name in whole if ours[name] != whole[name]]
    # These tell when they were made.
    assert all(name.endswith("zarr.json") for name in differing)
    assert ours.keys() == whole.keys()
