"""Files whose topologies differ, and whose chosen atoms are the same: or not."""

import mdtraj as md
import numpy as np
import pytest

from trajectory_files import make_topology
from twopass_store import ingest_trajectories
from twopass_store.errors import TopologyMismatchError
from twopass_store.store import Store


def save(path, topology, seed):
    rng = np.random.default_rng(seed)
    trajectory = md.Trajectory(rng.random((5, topology.n_atoms, 3)).astype(np.float32), topology)
    trajectory.save(str(path))
    return trajectory


def test_apo_and_holo__with_and_without_solvent_share_a_store(tmp_path, twopass):
    apo = save(tmp_path / "apo.h5", make_topology(4), 1)
    wet = save(tmp_path / "wet.h5", make_topology(4, n_waters=9), 2)
    again = save(tmp_path / "again.h5", make_topology(4), 3)
    twopass("ingest", "s.zarr", "wet.h5", "apo.h5", "again.h5", "--select", "name CA CB")
    store = Store.open(tmp_path / "s.zarr")
    chosen = apo.topology.select("name CA CB")
    expected = np.concatenate([part.xyz[:, chosen] for part in (wet, apo, again)])
    np.testing.assert_array_equal(store.read("position"), expected)
    np.testing.assert_array_equal(store.read("trajectory"), np.repeat([0, 1, 2], 5))
    # Which atoms were taken from where is part of what makes the store this one.
    trajectories = store.journal("ingest").plan.parameters["trajectories"]
    assert ["of 28 atoms" in text for text in trajectories] == [False, True, True]


def test_mutants__match_by_number_and_say_so(tmp_path, twopass):
    save(tmp_path / "wild.h5", make_topology(4), 1)
    topology = make_topology(4)
    topology.residue(1).name, topology.residue(3).name = "VAL", "SER"
    save(tmp_path / "mutant.h5", topology, 2)
    result = twopass("ingest", "s.zarr", "wild.h5", "mutant.h5", "--select", "name CA")
    assert "mutant.h5 against wild.h5: 2 residues of another name (ALA4→VAL, ALA6→SER)" in result.stderr
    assert Store.open(tmp_path / "s.zarr").read("residue_name").tolist() == ["ALA"] * 4


def test_renumbered_residues__match_in_order_and_say_so(tmp_path, twopass):
    save(tmp_path / "one.h5", make_topology(4), 1)
    topology = make_topology(4)
    for residue in topology.residues:
        residue.resSeq += 100
    save(tmp_path / "two.h5", topology, 2)
    result = twopass("ingest", "s.zarr", "one.h5", "two.h5")
    assert "two.h5 against one.h5: residues have other numbers" in result.stderr
    topology.residue(2).name = "GLY"
    save(tmp_path / "two.h5", topology, 2)
    result = twopass("ingest", "t.zarr", "one.h5", "two.h5", code=3)
    assert "atom 14 is GLY105-N and atom 14 is ALA5-N" in result.stderr


def test_protein__says_which_residues_with_a_backbone_it_leaves_out(tmp_path, twopass):
    topology = make_topology(6, n_waters=2)
    for residue, name in ((1, "HIE"), (3, "HIE"), (4, "CYX")):
        topology.residue(residue).name = name
    save(tmp_path / "run.h5", topology, 1)
    result = twopass("ingest", "s.zarr", "run.h5", "--select", "protein and name CA")
    assert "leaves out 2 HIE, 1 CYX, which mdtraj doesn't count as protein" in result.stderr
    advice = result.stderr.partition('use "')[2].partition('"')[0]
    result = twopass("ingest", "t.zarr", "run.h5", "--select", advice)
    assert "leaves out" not in result.stderr
    assert Store.open(tmp_path / "t.zarr").shape("position") == (5, 6, 3)
    # The same words choose the atoms of the RMSD, and are told there.
    result = twopass("cluster", "t.zarr", "--n-clusters", "2", "--select", "protein")
    assert "leaves out 2 HIE, 1 CYX" in result.stderr


def test_guessed_elements__are_told_where_they_select(tmp_path, twopass):
    topology = make_topology(1)
    topology.atom(4).name, topology.residue(0).name = "CL1", "LIG"
    save(tmp_path / "run.gro", topology, 1)
    result = twopass("ingest", "s.zarr", "run.gro", "--select", "element C")
    assert "guessed from names: CA is C, CL1 is C," in result.stderr
    result = twopass("cluster", "s.zarr", "--n-clusters", "2", "--select", "mass > 3")
    assert "guessed from names: CA is C, CL1 is C" in result.stderr
    save(tmp_path / "run.h5", topology, 1)
    result = twopass("ingest", "t.zarr", "run.h5", "--select", "element C")
    assert "guessed" not in result.stderr


def test_selection__that_is_wrong_is_shown_with_the_place(tmp_path, twopass):
    save(tmp_path / "run.h5", make_topology(4), 1)
    result = twopass("ingest", "s.zarr", "run.h5", "--select", "name CA or Protein", code=2)
    assert result.stderr.endswith('did you mean "protein"?\n  name CA or Protein\n             ^\n')


def test_calcium__is_no_c_alpha(tmp_path):
    save(tmp_path / "one.h5", make_topology(4), 1)
    topology = make_topology(4)
    topology.atom(9).element = md.element.calcium
    save(tmp_path / "two.h5", topology, 2)
    with pytest.raises(TopologyMismatchError, match=r"ALA4-CA \(calcium\) and atom 9 is ALA4-CA \(carbon\)"):
        ingest_trajectories(tmp_path / "s.zarr", [tmp_path / "one.h5", tmp_path / "two.h5"], select="name CA")
