"""HDF5 and NetCDF-4 files are read by a process of their own: what happens to it is one error."""

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import h5py
import mdtraj as md
import netCDF4
import numpy as np
import psutil
import pytest

from trajectory_files import load, make_trajectory, write
from twopass_store import ingest_trajectories
from twopass_store.errors import TrajectoryError, TruncatedTrajectoryError, WorkerError
from twopass_store.store import Store
from twopass_store.trajectory import containment, load_structures, load_topology, probe, read_blocks
from twopass_store.trajectory.containment import contained, end_reader, is_fragile


@pytest.fixture(autouse=True)
def no_reader_left():
    yield
    end_reader()
    assert readers() == []


def readers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        # One that has just ended, of whatever test, has no command line any more.
        with suppress(psutil.NoSuchProcess):
            if "containment import serve" in " ".join(child.cmdline()):
                found.append(child)
    return found


def as_netcdf4(source: Path, target: Path) -> Path:
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(target, "w", format="NETCDF4") as new:
        new.setncatts({name: old.getncattr(name) for name in old.ncattrs()})
        for name, dimension in old.dimensions.items():
            new.createDimension(name, None if dimension.isunlimited() else len(dimension))
        for name, variable in old.variables.items():
            copied = new.createVariable(name, variable.dtype, variable.dimensions)
            copied.setncatts({key: variable.getncattr(key) for key in variable.ncattrs()})
            copied[:] = variable[:]
    return target


@pytest.fixture(params=["h5", "nc4"])
def file(request, tmp_path) -> tuple[Path, md.Trajectory]:
    trajectory = make_trajectory(20)
    if request.param == "h5":
        return write(trajectory, tmp_path / "run.h5"), trajectory
    return as_netcdf4(write(trajectory, tmp_path / "old.nc"), tmp_path / "run.nc"), trajectory


def test_reading__through_the_process_is_what_mdtraj_reads(file):
    path, trajectory = file
    assert is_fragile(path)
    info = probe(path, trajectory.topology)
    expected = load(path, trajectory.topology)
    blocks = list(
        read_blocks(info, trajectory.topology, frames=range(1, 20, 3), atom_indices=None, block_frames=2)
    )
    np.testing.assert_array_equal(np.concatenate([block.xyz for block in blocks]), expected.xyz[1::3])
    np.testing.assert_array_equal(np.concatenate([block.time for block in blocks]), expected.time[1::3])
    lengths = np.concatenate([block.unitcell_lengths for block in blocks])
    np.testing.assert_array_equal(lengths, expected.unitcell_lengths[1::3])
    assert len(readers()) == 1
    # The process is neither needed nor started for classic NetCDF.
    end_reader()
    old = write(trajectory, path.with_name("classic.nc"))
    assert not is_fragile(old) and probe(old, trajectory.topology).n_frames == 20
    assert readers() == []


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
    end_reader()
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
    with pytest.raises(TrajectoryError, match=r"the reader came to no end in 1 s"):
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


def test_source__of_a_reader_that_is_gone(file):
    path, trajectory = file
    info = probe(path, trajectory.topology)
    blocks = read_blocks(info, trajectory.topology, frames=range(20), atom_indices=None, block_frames=2)
    next(blocks)
    readers()[0].kill()
    with pytest.raises(WorkerError):
        next(blocks)
    blocks = read_blocks(info, trajectory.topology, frames=range(20), atom_indices=None, block_frames=2)
    next(blocks)
    end_reader()
    # Another reader, which may have ended over another file, opens it again.
    np.testing.assert_array_equal(next(blocks).xyz, load(path, trajectory.topology).xyz[2:4])


def test_file__that_is_mended_is_read(file):
    path, trajectory = file
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data), len(data) // 12):
        path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
        try:
            probe(path, trajectory.topology)
        except TrajectoryError:
            refused += 1
        path.write_bytes(data)
        assert probe(path, trajectory.topology).n_frames == 20
    assert refused


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


def test_pieces_that_are_missing__are_no_zeros(file):
    path, trajectory = file
    with h5py.File(path, "a") as opened:
        positions = opened["coordinates"]
        positions.resize(20 * positions.chunks[0] + 20, axis=0)
    with pytest.raises(TrajectoryError) as caught:
        probe(path, trajectory.topology)
    assert isinstance(caught.value, TruncatedTrajectoryError)
    assert "promises" in str(caught.value)


def test_cell__without_angles(file):
    path, trajectory = file
    with h5py.File(path, "a") as opened:
        del opened["cell_angles"]
    with pytest.raises(TrajectoryError, match=r"lengths of a unit cell and no angles|Cannot read"):
        probe(path, trajectory.topology)


@pytest.mark.parametrize("workers", [1, 2])
def test_ingest__the_readers_leave(workers, file):
    path, trajectory = file
    top = write(trajectory[:1], path.with_name("top.pdb"))
    ingest_trajectories(path.with_name("run.zarr"), path, top=top, workers=workers)
    assert readers() == []
    found = Store.open(path.with_name("run.zarr")).read_positions(range(20))
    np.testing.assert_allclose(found, load(path, trajectory.topology).xyz, atol=1e-6)


def test_command__names_the_file_that_crashes_the_reader(tmp_path, twopass):
    """Flips of the metadata, until one crashes it; which one does depends on the library."""
    path = write(make_trajectory(3), tmp_path / "run.h5")
    data = path.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(400):
        place = int(rng.integers(900, 1200))
        path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
        try:
            load_topology(path)
        except TrajectoryError as error:
            if "crashed" in str(error):
                break
    else:
        pytest.skip("this version of the library survives all of them")
    said = twopass("ingest", "run.zarr", "run.h5", code=3).stderr
    assert "run.h5: the reader crashed on it (SIGSEGV)" in said and said.count("\n") == 1
