"""Frames as H5MD in Zarr, and MDAnalysis reading them through zarrtraj.

zarrtraj needs zarr 2, so it lives in an environment of its own (``python -m venv Z; Z/bin/pip install
zarrtraj``), and ``TWOPASS_ZARRTRAJ_PYTHON=Z/bin/python`` tells the test where that is.
"""

import os
import subprocess

import numpy as np
import pytest
import zarr

from conftest import EXAMPLE
from trajectory_files import make_trajectory, write
from twopass_store import export_coordinates, ingest_trajectories
from twopass_store.errors import ConfigError
from twopass_store.store import Store

N_FRAMES = 23

READ = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np, zarrtraj, MDAnalysis
universe = MDAnalysis.Universe(sys.argv[1], sys.argv[2])
frames = [(ts.positions.copy(), ts.time, np.array(ts.dimensions)) for ts in universe.trajectory]
positions, times, cells = zip(*frames)
cells = [] if universe.dimensions is None else cells
np.savez(sys.argv[3], positions=positions, times=times, cells=cells)
"""


@pytest.fixture(scope="module", params=[True, False], ids=["cell", "no cell"])
def walk(request, tmp_path_factory):
    """A random walk, and its store from two files, whose steps repeat."""
    folder = tmp_path_factory.mktemp("h5md")
    trajectory = make_trajectory(N_FRAMES, has_cell=request.param)
    if request.param:
        trajectory.unitcell_angles = np.full((N_FRAMES, 3), (60, 60, 90), np.float32)
    top = write(trajectory[:1], folder / "top.pdb")
    parts = [write(trajectory[:10], folder / "a.trr"), write(trajectory[10:], folder / "b.trr")]
    ingest_trajectories(folder / "run.zarr", parts, top=top)
    return trajectory, folder


def test_zarrmd__is_laid_out_as_h5md_says(walk, tmp_path):
    trajectory, folder = walk
    export_coordinates(folder / "run.zarr", tmp_path / "out.zarrmd", frames="2:")
    root = zarr.open_group(tmp_path / "out.zarrmd", mode="r", zarr_format=2)
    assert root["h5md"].attrs["version"] == [1, 1]
    particles = root["particles/trajectory"]
    position = particles["position"]
    np.testing.assert_array_equal(position["value"][:], trajectory.xyz[2:])
    np.testing.assert_array_equal(position["time"][:], trajectory.time[2:])
    assert (position["value"].attrs["unit"], position["time"].attrs["unit"]) == ("nm", "ps")
    assert position["step"][:].tolist() == list(range(N_FRAMES - 2))
    box = dict(particles["box"].attrs)
    has_cell = trajectory.unitcell_lengths is not None
    assert box == {"dimension": 3, "boundary": ["periodic" if has_cell else "none"] * 3}
    assert ("edges" in particles["box"]) == has_cell
    if has_cell:
        edges = particles["box/edges/value"][:]
        np.testing.assert_allclose(edges, trajectory.unitcell_vectors[2:], atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarrmd"]


def test_zarrmd__is_read_by_zarrtraj(walk, tmp_path):
    python = os.environ.get("TWOPASS_ZARRTRAJ_PYTHON")
    if python is None:
        pytest.skip("TWOPASS_ZARRTRAJ_PYTHON names no Python that has zarrtraj")
    trajectory, folder = walk
    export_coordinates(folder / "run.zarr", tmp_path / "out.zarrmd", top_to=tmp_path / "out.pdb")
    arguments = [tmp_path / "out.pdb", tmp_path / "out.zarrmd", tmp_path / "read.npz"]
    result = subprocess.run([python, "-c", READ, *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    read = np.load(tmp_path / "read.npz")
    np.testing.assert_allclose(read["positions"], 10 * trajectory.xyz, rtol=1e-6)
    np.testing.assert_allclose(read["times"], trajectory.time, rtol=1e-6)
    if trajectory.unitcell_lengths is not None:
        np.testing.assert_allclose(read["cells"][:, :3], 10 * trajectory.unitcell_lengths, rtol=1e-5)
        np.testing.assert_allclose(read["cells"][:, 3:], trajectory.unitcell_angles, rtol=1e-5)
    else:
        assert not len(read["cells"])


def test_zarrmd__replaces_only_what_is_one(walk, tmp_path):
    _, folder = walk
    target = tmp_path / "out.zarrmd"
    export_coordinates(folder / "run.zarr", target)
    with pytest.raises(ConfigError, match="exists already"):
        export_coordinates(folder / "run.zarr", target)
    export_coordinates(folder / "run.zarr", target, frames=":5", overwrite=True)
    assert zarr.open_group(target, mode="r")["particles/trajectory/position/value"].shape[0] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["out.zarrmd"]
    other = tmp_path / "thesis.zarrmd"
    other.mkdir()
    (other / "chapter1.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="is a folder"):
        export_coordinates(folder / "run.zarr", other, overwrite=True)
    assert (other / "chapter1.tex").exists()


def test_zarrmd__frames_chosen_by_the_command(tmp_path, twopass):
    xtc, top = EXAMPLE / "alanine-dipeptide.xtc", EXAMPLE / "alanine-dipeptide.pdb"
    ingest_trajectories(tmp_path / "run.zarr", xtc, top=top)
    said = twopass("export", "run.zarr", "coordinates", "--to", "some.zarrmd", "--frames", "7::13").stdout
    assert "308 frames of 22 atoms, H5MD in Zarr" in said
    found = zarr.open_group(tmp_path / "some.zarrmd", mode="r")["particles/trajectory/position/value"]
    np.testing.assert_array_equal(found[:], Store.open(tmp_path / "run.zarr").read("position")[7::13])
