"""Topologies with the right number of atoms in another order are refused or warned about, others aren't."""

from itertools import chain, pairwise
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest

import twopass_store

DATA = Path(twopass_store.__file__).parent / "data"
ODD = "have odd lengths"


@pytest.fixture
def chignolin():
    trajectory = md.load(DATA / "chignolin.xtc", top=DATA / "chignolin.pdb")[:20]
    trajectory.unitcell_vectors = np.tile(3 * np.eye(3), (20, 1, 1))
    return trajectory


def reordered(trajectory, atoms):
    """The same frames with their atoms in another order, as a file without a topology has them."""
    shuffled = md.Trajectory(trajectory.xyz[:, list(atoms)], None)
    shuffled.unitcell_vectors = trajectory.unitcell_vectors
    return shuffled


def residues(trajectory):
    return [[atom.index for atom in residue.atoms] for residue in trajectory.topology.residues]


def by_name(trajectory):
    names = [atom.name for atom in trajectory.topology.atoms]
    return chain.from_iterable(sorted(each, key=names.__getitem__) for each in residues(trajectory))


@pytest.mark.parametrize("extension", ["pdb", "gro"])
@pytest.mark.parametrize(
    "order",
    [
        lambda t: np.random.default_rng(1).permutation(t.n_atoms),
        lambda t: chain.from_iterable(residues(t)[::-1]),
        by_name,
    ],
    ids=["shuffled", "residues", "names"],
)
def test_atoms_in_another_order__are_refused(chignolin, tmp_path, twopass, order, extension):
    chignolin[0].save(tmp_path / f"top.{extension}")
    reordered(chignolin, order(chignolin)).save_xtc(tmp_path / "run.xtc")
    told = twopass("ingest", "s.zarr", "run.xtc", "--top", f"top.{extension}", code=3).stderr
    assert f"in another order than in {tmp_path}/top.{extension}" in told
    assert "--top" in told


def test_two_residues_in_another_order__are_warned_about(chignolin, tmp_path, twopass):
    order = residues(chignolin)
    order[3:5] = order[4], order[3]
    reordered(chignolin, chain.from_iterable(order)).save_xtc(tmp_path / "run.xtc")
    arguments = ("run.xtc", "--top", "example:chignolin.pdb")
    assert ODD in twopass("ingest", "ca.zarr", *arguments, "--select", "name CA").stderr
    told = twopass("ingest", "s.zarr", *arguments).stderr
    assert ODD in told
    assert "chignolin.pdb has the atoms in the order" in told
    assert "; the worst is GLU5-" in told


def with_broken_images(trajectory, folder):
    trajectory.xyz %= np.float32(3)
    trajectory.save_xtc(folder / "run.xtc")
    return "run.xtc", "--top", "example:chignolin.pdb", "--image", "whole"


def without_a_loop(trajectory, folder):
    kept = trajectory.atom_slice(trajectory.topology.select("resid < 4 or resid > 6"))
    kept[0].save_gro(folder / "top.gro")
    kept.save_xtc(folder / "run.xtc")
    return "run.xtc", "--top", "top.gro"


def beads_named_like_atoms(trajectory, folder):
    topology = md.Topology()
    one = topology.add_chain()
    beads = [
        topology.add_atom(name, md.element.carbon, topology.add_residue("CHX", one))
        for name in ("C1", "C2", "C3", "C4")
    ]
    for pair in pairwise(beads):
        topology.add_bond(*pair)
    xyz = np.cumsum(np.full((20, 4, 3), 0.47 / np.sqrt(3)), axis=1)
    md.Trajectory(xyz, topology).save_hdf5(folder / "run.h5")
    return ("run.h5",)


def virtual_sites_and_metals(trajectory, folder):
    topology = trajectory.topology
    residue = topology.add_residue("HEM", topology.add_chain())
    for name, element in (("FE", md.element.iron), ("MW", md.element.virtual)):
        topology.add_bond(topology.add_atom(name, element, residue), topology.atom(0))
    xyz = np.concatenate([trajectory.xyz, np.full((20, 2, 3), 2.0)], axis=1)
    md.Trajectory(xyz, topology).save_hdf5(folder / "run.h5")
    return ("run.h5", "--select", "all")


@pytest.mark.parametrize(
    "make", [with_broken_images, without_a_loop, beads_named_like_atoms, virtual_sites_and_metals]
)
def test_bonds_of_other_lengths__pass_where_they_are_no_mistake(chignolin, tmp_path, twopass, make):
    told = twopass("ingest", "s.zarr", *make(chignolin, tmp_path)).stderr
    assert ODD not in told
