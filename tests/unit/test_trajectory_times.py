import mdtraj as md
import numpy as np
import pytest

from trajectory_files import FORMATS, WITH_TIME, load, make_trajectory, write
from twopass_store.trajectory import probe, read_times


@pytest.mark.parametrize("extension", FORMATS)
def test_times__are_those_that_mdtraj_loads(tmp_path, extension):
    trajectory = make_trajectory(30)
    trajectory.time = np.cumsum(np.random.default_rng(2).random(30) * 1000) + 1e5 / 3
    file = write(trajectory, tmp_path / f"run.{extension}")
    times = read_times(probe(file, trajectory.topology))
    if extension in WITH_TIME:
        assert times.dtype == np.float64
        np.testing.assert_array_equal(times, load(file, trajectory.topology).time)
    else:
        assert times is None


def test_times_that_are_all_the_same__are_none(tmp_path):
    trajectory = make_trajectory(5)
    trajectory.time = np.zeros(5)
    trajectory.save_xtc(tmp_path / "zero.xtc")
    assert read_times(probe(tmp_path / "zero.xtc", trajectory.topology)) is None
    trajectory[:1].save_xtc(tmp_path / "one.xtc")
    assert read_times(probe(tmp_path / "one.xtc", trajectory.topology)).tolist() == [0]


def test_times_of_many_frames__are_found_by_hopping(tmp_path, example_xtc, example_top):
    times = read_times(probe(example_xtc, md.load_topology(example_top)))
    np.testing.assert_array_equal(times, md.load(example_xtc, top=example_top).time)
