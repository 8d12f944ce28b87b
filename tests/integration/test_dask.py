"""The second pass on the workers of a Dask cluster: two processes of this machine."""

import shutil
import warnings

import mdtraj as md
import numpy as np
import pytest

from twopass_store import cluster_subset, ingest_trajectories

distributed = pytest.importorskip("distributed")


@pytest.fixture
def store(tmp_path, example_xtc, example_top):
    """140,000 frames, so three units."""
    frames = md.load(example_xtc, top=example_top)
    rng = np.random.default_rng(0)
    for part in range(2):
        order = np.concatenate([rng.permutation(frames.n_frames) for _ in range(18)])[:70_000]
        md.Trajectory(frames.xyz[order], frames.topology).save_xtc(tmp_path / f"part{part}.xtc")
    ingest_trajectories(
        tmp_path / "threads.zarr", [tmp_path / "part0.xtc", tmp_path / "part1.xtc"], top=example_top
    )
    cluster_subset(tmp_path / "threads.zarr", subset_frames=500, n_clusters=8, leaders_per_cluster=2)
    shutil.copytree(tmp_path / "threads.zarr", tmp_path / "dask.zarr")
    return tmp_path


def contents(store):
    return {str(file.relative_to(store)): file.read_bytes() for file in store.rglob("*") if file.is_file()}


def test_assign__on_two_worker_processes_gives_the_same_bytes(store, twopass):
    twopass("assign", "threads.zarr", "--margin", "--workers", 2)
    with warnings.catch_warnings():
        # The cluster's own sockets, closed while it shuts down.
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        )
        with cluster:
            twopass("assign", "dask.zarr", "--margin", "--scheduler", cluster.scheduler_address)
    ours, theirs = contents(store / "threads.zarr"), contents(store / "dask.zarr")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert not (store / "dask.zarr.lock").exists()
