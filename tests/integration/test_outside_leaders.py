"""Structures from outside as leaders: matched by residue and name, labelled by order or by file."""

import json
import shutil

import mdtraj as md
import numpy as np
import pytest
import xarray as xr

from twopass_store import (
    adopt_leaders,
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
)
from twopass_store.errors import (
    ConfigError,
    FingerprintMismatchError,
    TopologyMismatchError,
    TrajectoryError,
)
from twopass_store.store import Store


@pytest.fixture(scope="module")
def frames():
    from conftest import EXAMPLE

    return md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, frames):
    """A store, and structures: whole ones, one in another order, one of heavy atoms alone."""
    from conftest import EXAMPLE

    folder = tmp_path_factory.mktemp("outside")
    ingest_trajectories(
        folder / "s.zarr", EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb"
    )
    frames[[100, 900]].save_pdb(folder / "a.pdb")
    frames[[2000, 3000, 3500]].save_pdb(folder / "b.pdb")
    frames[[100, 900]].save_gro(folder / "a.gro")
    heavy = frames.topology.select("element != H")
    frames[[2500]].atom_slice(heavy).save_pdb(folder / "heavy.pdb")
    frames[[2500]].atom_slice(frames.topology.select("element H")).save_pdb(folder / "hydrogens.pdb")
    # Atoms of each residue the other way round.
    order = np.concatenate([[a.index for a in r.atoms][::-1] for r in frames.topology.residues])
    topology = md.Topology()
    chain = topology.add_chain()
    for residue in frames.topology.residues:
        copy = topology.add_residue(residue.name, chain, residue.resSeq)
        for atom in reversed(list(residue.atoms)):
            topology.add_atom(atom.name, atom.element, copy)
    md.Trajectory(frames.xyz[[900]][:, order], topology).save_pdb(folder / "turned.pdb")
    return folder


def expected_labels(frames, leaders, labels):
    heavy = frames.topology.select("element != H")
    distances = np.stack([md.rmsd(frames, frames, leader, atom_indices=heavy) for leader in leaders])
    return np.array(labels)[distances.argmin(axis=0)], np.sort(distances, axis=0)


@pytest.mark.parametrize(("labels_by", "labels"), [("order", [1, 2, 3, 4, 5]), ("file", [1, 1, 2, 2, 2])])
def test_structures__lead_by_order_or_by_file(folder, frames, labels_by, labels):
    store, name = folder / "s.zarr", f"by-{labels_by}"
    result = adopt_leaders(store, [folder / "a.pdb", folder / "b.pdb"], name=name, leader_labels=labels_by)
    assert (result.n_leaders, result.n_clusters, result.n_missing_atoms) == (5, max(labels), 0)
    assign_frames(store, name=name, margin=True)
    expected, distances = expected_labels(frames, [100, 900, 2000, 3000, 3500], labels)
    with open_results(store, name) as results:
        assert results.leader_label.values.tolist() == labels
        assert results.leader_frame.values.tolist() == [-1] * 5
        assert results.leader_model.values.tolist() == [0, 1, 0, 1, 2]
        assert results.leader_path.values[4].endswith("b.pdb")
        # PDB rounds to 1e-4 nm: only frames at a tie may go another way.
        clear = distances[1] - distances[0] > 1e-3
        np.testing.assert_array_equal(results.label.values[clear], expected[clear])
        np.testing.assert_allclose(results.rmsd_to_leader.values, distances[0], atol=3e-4)
        assert "subset_label" not in results
        assert "linkage" not in results
        assert results.leader_path.attrs["long_name"]
    tree = xr.open_datatree(store, engine="zarr", consolidated=False)
    assert tree[f"clusterings/{name}/leader_position"].shape == (5, 22, 3)
    assert adopt_leaders(
        store, [folder / "a.pdb", folder / "b.pdb"], name=name, leader_labels=labels_by
    ).was_complete


def test_atoms__are_matched_by_name_in_any_order_and_may_be_missing(folder, frames):
    store = folder / "s.zarr"
    files = [folder / "turned.pdb", folder / "heavy.pdb", folder / "a.gro"]
    result = adopt_leaders(store, files, name="mixed")
    assert (result.n_leaders, result.n_missing_atoms) == (4, 12)
    assign_frames(store, name="mixed")
    with open_results(store, "mixed") as results:
        positions = results.leader_position.values
        np.testing.assert_allclose(positions[0], frames.xyz[900], atol=1e-4)
        is_heavy = results.element.values != "H"
        np.testing.assert_allclose(positions[1][is_heavy], frames.xyz[2500][is_heavy], atol=1e-4)
        assert np.isnan(positions[1][~is_heavy]).all()
        np.testing.assert_allclose(positions[2:], frames.xyz[[100, 900]], atol=1e-3)
        assert results.rmsd_to_leader.values[2500] < 1e-3
    assert np.isnan(open_results(store, "mixed").twopass.leaders().xyz[1]).any()


def test_what_does_not_fit__is_refused(folder):
    store = folder / "s.zarr"
    for structures, options, kind, words in [
        ([folder / "hydrogens.pdb"], {}, TopologyMismatchError, "ACE1-CH3.*5 more"),
        ([folder / "heavy.pdb"], {"select": "all"}, TopologyMismatchError, "and 7 more"),
        ([folder / "none.pdb"], {}, TrajectoryError, "none.pdb"),
        ([], {}, ConfigError, "at least one"),
        ([folder / "a.pdb"], {"leader_labels": "name"}, ConfigError, "'order' or 'file'"),
        ([folder / "a.pdb"], {"name": "a/b"}, ConfigError, "a/b"),
    ]:
        with pytest.raises(kind, match=words):
            adopt_leaders(store, structures, **{"name": "refused", **options})
    assert "refused" not in Store.open(store).members("clusterings")


def test_other_structures_under_one_name__are_refused_then_restarted(folder, frames):
    store = folder / "s.zarr"
    adopt_leaders(store, folder / "a.pdb", name="again")
    assign_frames(store, name="again")
    with pytest.raises(FingerprintMismatchError, match=r"a\.pdb.*b\.pdb"):
        adopt_leaders(store, folder / "b.pdb", name="again")
    with pytest.raises(FingerprintMismatchError):
        cluster_subset(store, name="again", stride=50, n_clusters=2)
    # The same name, but other positions.
    shutil.copy(folder / "b.pdb", folder / "copy.pdb")
    adopt_leaders(store, folder / "copy.pdb", name="copied")
    frames[[5]].save_pdb(folder / "copy.pdb")
    with pytest.raises(FingerprintMismatchError, match="positions"):
        adopt_leaders(store, folder / "copy.pdb", name="copied")
    assert adopt_leaders(store, folder / "b.pdb", name="again", restart=True).n_leaders == 3
    with open_results(store, "again") as results:
        assert "label" not in results
    assert assign_frames(store, name="again").n_frames_computed == 4000


def test_command__labels_frames_by_structures_and_sums_up(folder, twopass, tmp_path):
    shutil.copytree(folder / "s.zarr", tmp_path / "s.zarr")
    arguments = ("assign", "s.zarr", "--name", "states", "--leaders", folder / "a.pdb")
    shown = twopass(*arguments, "--leaders", folder / "b.pdb", "--leader-labels", "file").stdout
    assert "5 structures from outside, a cluster for each file; no first pass" in " ".join(shown.split())
    assert "leader:" in shown
    assert "a.pdb" in shown
    again = twopass(*arguments, "--leaders", folder / "b.pdb", "--leader-labels", "file").stdout
    assert "All was done already" in again
    assert "states" in twopass("status", "s.zarr").stdout
    table = twopass("summary", "s.zarr", "--name", "states").stdout
    assert "Leaders from outside" in table
    found = json.loads(twopass("summary", "s.zarr", "--name", "states", "--format", "json").stdout)
    assert len(found["cluster"]) == 2
    assert found["cluster"][0]["n_subset_frames"] == 0
    refused = twopass("summary", "s.zarr", "--name", "states", "--convergence", code=2)
    assert "structures from outside" in refused.stderr
    refused = twopass("export", "s.zarr", "medoids", "--name", "states", "--to", "m.pdb", code=2)
    assert "no medoids" in " ".join(refused.stderr.split())
    assert "--leaders" in twopass("assign", "s.zarr", "--name", "states", "--select", "all", code=2).stderr
