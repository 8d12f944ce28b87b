"""Files are read by processes of their own: what happens to one is an error that names its file."""

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

from trajectory_files import load, make_trajectory, write
from twopass_store import ingest_trajectories
from twopass_store.errors import TrajectoryError, WorkerError
from twopass_store.store import Store
from twopass_store.trajectory import containment, load_structures, load_topology, probe
from twopass_store.trajectory.containment import contained, end_readers


@pytest.fixture(autouse=True)
def no_reader_left():
    yield
    end_readers()
    assert readers() == []


def readers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        # One that has just ended, of whatever test, has no command line any more.
        with suppress(psutil.NoSuchProcess):
            if "containment import serve" in " ".join(child.cmdline()):
                found.append(child)
    return found


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def use_memory(n_bytes: int) -> int:
    return len(bytes(n_bytes))


@pytest.fixture
def importable(monkeypatch):
    """Functions of this file under a name by which the reader can import them."""
    here = Path(__file__)
    monkeypatch.syspath_prepend(here.parent)
    module = __import__(here.stem)
    end_readers()
    return module


@pytest.mark.parametrize("number", [signal.SIGSEGV])
def test_crash__is_an_error_of_the_file(number, importable, tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(b"x")
    said = rf"the frames of {path}: the reader crashed on it \({number.name}\), so the file is damaged"
    with pytest.raises(TrajectoryError, match=said):
        contained(importable.die, number, path=path, what="the frames")
    # And the next file is read.
    assert contained(importable.use_memory, 3, path=path, what="the frames") == 3


def test_hang__ends_after_a_while(importable, tmp_path, monkeypatch):
    monkeypatch.setattr(containment, "SECONDS", 1)
    path = tmp_path / "run.h5"
    path.write_bytes(b"x")
    with pytest.raises(TrajectoryError, match=r"the reader hasn't finished in 1 s"):
        contained(time.sleep, 60, path=path, what="the frames")


def test_kill__is_no_error_of_the_file(importable, tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(b"x")
    with pytest.raises(WorkerError, match=r"was killed by signal 9.*out of memory.*resume"):
        contained(importable.die, signal.SIGKILL, path=path, what="the frames")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says and limits address space")
def test_memory__beyond_any_sound_file(importable, tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(b"x")
    with pytest.raises(TrajectoryError, match="more memory than any sound file of its size"):
        contained(importable.use_memory, 2 << 30, path=path, what="the frames")
    assert contained(importable.use_memory, 2 << 30, path=path, what="x", needs_bytes=2 << 30) == 2 << 30


def test_file__that_is_mended_is_read(tmp_path):
    trajectory = make_trajectory(20)
    path = write(trajectory, tmp_path / "run.h5")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(TrajectoryError):
        probe(path, trajectory.topology)
    path.write_bytes(data)
    assert probe(path, trajectory.topology).n_frames == 20


def test_driver_that_is_killed__takes_its_readers_along(tmp_path):
    script = (
        "from twopass_store.trajectory.containment import contained, _idle; import os, sys, time; "
        "contained(len, 'abc', path=sys.executable, what='x'); "
        "print(_idle[0]._process.pid, flush=True); time.sleep(60)"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    reader = psutil.Process(int(driver.stdout.readline()))
    driver.kill()
    driver.communicate()
    psutil.wait_procs([reader], timeout=20)
    assert not reader.is_running()


class _Shell:
    def __reduce__(self):
        return os.system, ("touch was-run",)


def test_pickles__in_attributes_are_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(make_trajectory(3), tmp_path / "run.h5")
    text = pickle.dumps(_Shell(), protocol=0)
    assert text.endswith(b".")
    with h5py.File(path, "a") as opened:
        for place in ("/", "/coordinates", "/topology"):
            opened[place].attrs["note"] = np.bytes_(text)
    # PyTables itself would run it.
    subprocess.run([sys.executable, "-c", f"import mdtraj; mdtraj.load({str(path)!r})"], check=True)
    assert (tmp_path / "was-run").exists()
    (tmp_path / "was-run").unlink()
    topology = load_topology(path)
    assert probe(path, topology).n_frames == 3
    load_structures(path)
    ingest_trajectories(tmp_path / "run.zarr", path)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_ingest__the_readers_leave(workers, tmp_path, monkeypatch):
    monkeypatch.setattr("twopass_store.trajectory.end_readers", end_readers)
    trajectory = make_trajectory(20)
    path, top = write(trajectory, tmp_path / "run.nc"), write(trajectory[:1], tmp_path / "top.pdb")
    ingest_trajectories(tmp_path / "run.zarr", path, top=top, workers=workers)
    assert readers() == []
    found = Store.open(tmp_path / "run.zarr").read_positions(range(20))
    np.testing.assert_allclose(found, load(path, trajectory.topology).xyz, atol=1e-6)
