"""Stages on the workers of a Dask cluster: processes of this machine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest

from hosts import Hosts
from small_chunks import small_chunks
from small_stores import SMALL, files_of, flip, make_small
from twopass_store import assign_frames, cluster_subset, ingest_trajectories
from twopass_store.errors import WorkerError
from twopass_store.progress import Silent

distributed = pytest.importorskip("distributed")
# Workers can't import this file.
pytest.importorskip("cloudpickle").register_pickle_by_value(sys.modules[__name__])

# The sockets of a client whose cluster ends.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Cluster:
    """A scheduler and its workers, each a process that nobody starts again."""

    def __init__(self, folder):
        self._folder = folder
        self.scheduler = self._start("scheduler", "--port", 0, "--scheduler-file", folder / "file.json")
        self.file = folder / "file.json"
        self.workers = []

    def add_worker(self):
        limits = ("--nthreads", 1, "--no-nanny", "--host", "127.0.0.1")
        self.workers.append(self._start("worker", "--scheduler-file", self.file, *limits))

    def _start(self, *arguments):
        log = (self._folder / "log").open("ab")
        command = [sys.executable, "-m", "dask", *map(str, arguments), "--no-dashboard"]
        with log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)

    def client(self, n_workers):
        client = distributed.Client(scheduler_file=str(self.file), set_as_default=False)
        client.wait_for_workers(n_workers, timeout=30)
        return client

    def close(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path)
    try:
        for _ in range(2):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.close()


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


def pretend(version):
    from twopass_store.store import identity

    identity()["zarr"] = version


def die_within_a_unit(number=0):
    """Kill a process, that of the worker unless another is given, in the middle of each unit."""
    from twopass_store.assign.unit import AssignUnit

    def kill(*_):
        os.kill(number or os.getpid(), signal.SIGKILL)
        time.sleep(60)

    AssignUnit.__call__ = kill


def fill_memory(fraction, dask_worker=None):
    """Let a worker pause above this fraction of its memory, without that being used."""
    dask_worker.memory_manager.memory_pause_fraction = fraction


class Emptying(Silent):
    """Hears the first note, and then lets workers go on."""

    def __init__(self, client):
        self.client, self.noted = client, []

    def note(self, message):
        if not self.noted:
            self.client.run(fill_memory, 0.8)
        self.noted.append(message)


def test_stages__on_worker_processes_give_the_same_bytes_whatever_befalls_them(
    store, twopass, cluster, monkeypatch
):
    client = cluster.client(2)
    one = min(client.nthreads())
    on_dask = ("assign", "dask.zarr", "--margin", "--scheduler", cluster.file)

    files = "part0.xtc", "part1.xtc", "--top", "example:alanine-dipeptide.pdb"
    twopass("ingest", "own.zarr", *files, *on_dask[-2:])
    for path, content in files_of(store / "own.zarr").items():
        # These tell when, and by which command, the store was made.
        if path not in ("zarr.json", "journal/ingest/zarr.json"):
            assert (store / "threads.zarr" / path).read_bytes() == content

    for name, where in (("threads.zarr", ()), ("dask.zarr", on_dask[-2:])):
        twopass("cluster", name, "--name", "two", "--stride", 60, "--n-clusters", 4, *where)
    pairs = [file.relative_to(store / "dask.zarr") for file in (store / "dask.zarr").glob("*/*60-*/rmsd/c.*")]
    assert len(pairs) == 3
    for file in pairs:
        assert (store / "dask.zarr" / file).read_bytes() == (store / "threads.zarr" / file).read_bytes()
    for name in ("threads.zarr", "dask.zarr"):
        twopass("remove", name, "--name", "two")
        twopass("remove", name, "--unused")

    twopass("assign", "threads.zarr", "--margin", "--workers", 2)
    ours = files_of(store / "threads.zarr")

    client.run(pretend, "3.0.0", workers=[one])
    said = twopass(*on_dask, code=2).stderr
    assert f"The Dask worker {one} can't be used" in said
    assert "has zarr 3.0.0 instead of" in said
    client.run(pretend, version("zarr"), workers=[one])

    chunk = sorted((store / "dask.zarr" / "position").glob("c.*"))[-1]
    flip(chunk, 100)
    said = twopass(*on_dask, code=9).stderr.replace("\n", "")
    assert f"On {socket.gethostname()}: {chunk}" in said
    flip(chunk, 100)

    client.run(die_within_a_unit, workers=[one])
    twopass(*on_dask)
    assert len(client.nthreads()) == 1
    theirs = files_of(store / "dask.zarr")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert not (store / "dask.zarr.lock").exists()

    for name, seconds in (("POLL_SECONDS", 0.2), ("PATIENCE_SECONDS", 0.5)):
        monkeypatch.setattr(f"twopass_store.executors.dask.{name}", seconds)
    client.run(die_within_a_unit)
    client.run(fill_memory, 1e-6)
    while {each["status"] for each in client.scheduler_info()["workers"].values()} != {"paused"}:
        time.sleep(0.05)
    options = {"scheduler": str(cluster.file), "margin": True, "restart": True}
    with pytest.raises(WorkerError, match="No Dask worker is left"):
        assign_frames(store / "dask.zarr", progress=(emptying := Emptying(client)), **options)
    assert any("have paused" in each for each in emptying.noted)

    cluster.add_worker()
    client.wait_for_workers(1, timeout=30)
    client.run(die_within_a_unit, cluster.scheduler.pid)
    client.close()
    said = twopass(*on_dask, code=13).stderr
    assert "doesn't answer any more" in said
    twopass("assign", "dask.zarr", "--margin")
    theirs = files_of(store / "dask.zarr")
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_stages__give_the_same_bytes_where_each_has_a_worker_killed_and_a_host_cut_off(tmp_path):
    file, until_both = tmp_path / "file.json", "until [ -e killed ] && [ -e cut ]; do sleep 0.05; done"
    with Hosts(3, file, SMALL) as hosts, small_chunks(**SMALL):
        hosts.start(1, until_both)
        ours = make_small(tmp_path)
        theirs = tmp_path / "theirs.zarr"
        files = {"trajectories": tmp_path / "md0.xtc", "top": tmp_path / "top.pdb"}
        client = distributed.Client(scheduler_file=str(file), set_as_default=False)
        client.wait_for_workers(1, timeout=60)
        (left,) = client.nthreads()
        for stage, options in (
            (ingest_trajectories, files),
            (cluster_subset, {"select": "all", "stride": 4, "n_clusters": 3}),
            (assign_frames, {"margin": True}),
        ):
            hosts.connect(2)
            hosts.start(1, "touch killed; kill -9 $PPID")
            hosts.start(2, "ip link set out down; touch cut")
            client.wait_for_workers(3, timeout=60)
            stage(theirs, scheduler=str(file), **options)
            assert [*client.nthreads()] == [left]
            for each in ("killed", "cut"):
                (tmp_path / each).unlink()
        client.close()
    for path, content in files_of(theirs).items():
        if Path(path).name != "zarr.json":  # some tell when, and how, they were made
            assert content == (ours / path).read_bytes(), path
    assert not theirs.with_name("theirs.zarr.lock").exists()
