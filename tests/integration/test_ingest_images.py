"""Periodic images: undone as mdtraj does it, and warned about where they are not."""

import re

import mdtraj as md
import numpy as np
import pytest

from trajectory_files import make_topology
from twopass_store import ingest_trajectories
from twopass_store.errors import TrajectoryError
from twopass_store.store import Store

BOX = 4.0


def two_chains(n_waters=12):
    """Two chains of three alanines each, and water."""
    topology = make_topology(3)
    return topology.join(make_topology(3, n_waters=n_waters))


def make_box(n_frames=9, seed=4):
    """Compact chains side by side that drift through a box, whole."""
    topology = two_chains()
    rng = np.random.default_rng(seed)
    xyz = np.empty((n_frames, topology.n_atoms, 3))
    for chain, start in enumerate([0.0, 0.9]):
        atoms = [atom.index for atom in topology.chain(chain).atoms]
        xyz[:, atoms] = np.cumsum(rng.normal(scale=0.03, size=(len(atoms), 3)), axis=0)
        xyz[:, atoms, 0] += start
    for water in (residue for residue in topology.residues if residue.name == "HOH"):
        atoms = [atom.index for atom in water.atoms]
        xyz[:, atoms] = rng.random(3) * BOX + rng.normal(scale=0.05, size=(3, 3))
    xyz += np.arange(n_frames)[:, None, None] * np.array([0.6, 0.35, -0.5])
    trajectory = md.Trajectory(xyz.astype(np.float32), topology, time=np.arange(n_frames))
    trajectory.unitcell_lengths = np.full((n_frames, 3), BOX)
    trajectory.unitcell_angles = np.full((n_frames, 3), 90)
    return trajectory


@pytest.fixture
def wrapped(tmp_path):
    """The same with every atom put into the box by itself; saved with its topology."""
    trajectory = make_box()
    whole = trajectory.xyz.copy()
    trajectory.xyz = trajectory.xyz % np.float32(BOX)
    trajectory.save_hdf5(tmp_path / "run.h5")
    return md.load(tmp_path / "run.h5"), whole


def shape_of(xyz):
    """Distances of all atoms from the first, which no translation changes."""
    return np.linalg.norm(xyz - xyz[:, :1], axis=2)


def test_whole__is_what_mdtraj_makes_of_all_atoms(wrapped, tmp_path):
    trajectory, whole = wrapped
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "run.h5", select="chainid 0", image="whole")
    found = Store.open(tmp_path / "s.zarr").read("position")
    expected = trajectory.make_molecules_whole()
    atoms = trajectory.topology.select("chainid 0")
    np.testing.assert_allclose(found, expected.xyz[:, atoms], atol=1e-6)
    np.testing.assert_allclose(shape_of(found), shape_of(whole[:, atoms]), atol=1e-5)


def test_anchor__brings_chains_together(wrapped, tmp_path, twopass):
    trajectory, whole = wrapped
    twopass("ingest", "s.zarr", "run.h5", "--select", "protein", "--image", "anchor=chainid 0")
    found = Store.open(tmp_path / "s.zarr").read("position")
    atoms = trajectory.topology.select("protein")
    np.testing.assert_allclose(shape_of(found), shape_of(whole[:, atoms]), atol=1e-5)
    molecules = trajectory.topology.find_molecules()
    expected = trajectory.image_molecules(anchor_molecules=molecules[:1], other_molecules=molecules[1:])
    np.testing.assert_allclose(found, expected.xyz[:, atoms], atol=1e-5)


def test_images_as_they_are__are_warned_about(wrapped, tmp_path, twopass):
    result = twopass("ingest", "s.zarr", "run.h5", "--select", "protein")
    assert "atoms jump across the box in" in result.stderr
    assert "of the 9 frames looked at; the first is run.h5, frame " in result.stderr
    assert "by the nearest image" in result.stderr
    result = twopass("ingest", "s.zarr", "run.h5", "--select", "protein", "--image", "whole", code=7)
    assert "image" in result.stderr
    result = twopass("ingest", "t.zarr", "run.h5", "--select", "protein", "--image", "anchor=chainid 0")
    assert "jump" not in result.stderr


def test_chain_that_jumps_against_its_neighbour__is_warned_about(tmp_path, twopass):
    trajectory = make_box()
    second = [atom.index for atom in trajectory.topology.chain(1).atoms]
    trajectory.xyz[4:, second] -= np.float32([0, BOX, 0])
    trajectory.save_hdf5(tmp_path / "run.h5")
    result = twopass("ingest", "s.zarr", "run.h5", "--select", "protein")
    assert "jump across the box in 5 of the 9 frames looked at; the first is run.h5, frame 4" in result.stderr
    assert "on another side of chain" in result.stderr


def test_whole_molecules__are_not_warned_about(tmp_path, twopass):
    make_box().save_hdf5(tmp_path / "run.h5")
    assert "jump" not in twopass("ingest", "s.zarr", "run.h5", "--select", "protein").stderr


def test_missing_bonds__name_the_residues(tmp_path, twopass):
    trajectory = make_box()
    trajectory.topology.residue(1).name = "LIG"
    trajectory.topology._bonds = []
    trajectory.save_hdf5(tmp_path / "run.h5")
    result = twopass("ingest", "s.zarr", "run.h5", "--select", "chainid 0", "--image", "whole", code=3)
    assert "doesn't give them for these residues: 1 LIG (such as LIG4-N)" in result.stderr
    # What isn't kept may lack them: the bonds of the standard residues serve.
    twopass("ingest", "s.zarr", "run.h5", "--select", "chainid 1", "--image", "whole")


def test_no_unit_cell__is_said(tmp_path):
    trajectory = make_box()
    trajectory.unitcell_vectors = None
    trajectory.save_hdf5(tmp_path / "run.h5")
    with pytest.raises(TrajectoryError, match=r"run\.h5 has no unit cell, and `image` needs it"):
        ingest_trajectories(tmp_path / "s.zarr", tmp_path / "run.h5", select="protein", image="whole")


def test_skewed_box__is_imaged_too(tmp_path):
    trajectory = make_box()
    whole = trajectory.xyz.copy()
    trajectory.unitcell_angles = np.tile([60, 60, 90], (trajectory.n_frames, 1))
    vectors = trajectory.unitcell_vectors.astype(np.float64)
    inside = np.einsum("fai,fij->faj", whole, np.linalg.inv(vectors)) % 1
    trajectory.xyz = np.einsum("fai,fij->faj", inside, vectors).astype(np.float32)
    trajectory.save_hdf5(tmp_path / "run.h5")
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "run.h5", select="chainid 0", image="whole")
    atoms = trajectory.topology.select("chainid 0")
    found = Store.open(tmp_path / "s.zarr").read("position")
    np.testing.assert_allclose(shape_of(found), shape_of(whole[:, atoms]), atol=1e-5)


def test_jumps_seen_at_ingest__are_repeated_where_rmsds_are_computed(wrapped, twopass):
    told = twopass("ingest", "s.zarr", "run.h5", "--select", "protein").stderr
    figure = re.search(r"in (\d+) of the (\d+) frames looked at", told)
    repeated = "jumped across the box in {} of {} frames".format(*figure.groups())
    assert repeated in twopass("scan", "s.zarr", "--n-clusters", "2:3").stderr
    assert repeated in twopass("cluster", "s.zarr", "--n-clusters", "2").stderr
    twopass("ingest", "whole.zarr", "run.h5", "--select", "protein", "--image", "whole")
    assert "jump" not in twopass("cluster", "whole.zarr", "--n-clusters", "2").stderr
    assert "nothing was changed" in twopass("ingest", "s.zarr", "run.h5", "--select", "protein").stdout
