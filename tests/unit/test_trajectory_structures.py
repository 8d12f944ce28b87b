"""Single structures out of files."""

import numpy as np
import pytest

from trajectory_files import make_trajectory
from twopass_store.errors import TrajectoryError, TrajectoryNotFoundError
from twopass_store.trajectory import load_structures


@pytest.mark.parametrize(("extension", "atol"), [("pdb", 6e-5), ("gro", 6e-4), ("h5", 0)])
def test_load_structures__gives_the_first_one(tmp_path, extension, atol):
    several = make_trajectory(3)
    several.save(str(tmp_path / f"several.{extension}"))
    topology, positions = load_structures(tmp_path / f"several.{extension}", only_first=True)
    assert [str(atom) for atom in topology.atoms] == [str(atom) for atom in several.topology.atoms]
    assert positions.dtype == np.float32
    np.testing.assert_allclose(positions, several.xyz[:1], atol=atol)
    np.testing.assert_allclose(load_structures(tmp_path / f"several.{extension}")[1], several.xyz, atol=atol)


def test_load_structures__refuses_what_has_no_atoms_or_no_positions(tmp_path, example_xtc):
    with pytest.raises(TrajectoryError, match="its content is XTC"):
        load_structures(example_xtc)
    with pytest.raises(TrajectoryNotFoundError):
        load_structures(tmp_path / "nowhere.pdb")
    (tmp_path / "broken.pdb").write_text("ATOM  nothing\n")
    with pytest.raises(TrajectoryError, match=r"the topology of .*broken\.pdb"):
        load_structures(tmp_path / "broken.pdb")
