"""Gromos over all frames of a store, which stores no distances."""

import re

import mdtraj as md
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import twopass_store
from actions import Stopped, stopping_at
from conftest import EXAMPLE
from kabsch import aligned_positions, kabsch_matrix, plain_rmsd
from small_stores import files_of
from twopass_store import assign_frames, cluster_subset, ingest_trajectories, open_results
from twopass_store.cluster import neighbours
from twopass_store.errors import ConfigError, MemoryBudgetError
from twopass_store.journal import ledger

FRAMES = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb", stride=16)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    FRAMES[0].save_pdb(str(folder / "top.pdb"))
    FRAMES.save_xtc(str(folder / "md.xtc"))
    ingest_trajectories(folder / "s.zarr", folder / "md.xtc", top=folder / "top.pdb", workers=1)
    cluster_subset(folder / "s.zarr", method="gromos", cutoff="0.7A", all_frames=True)
    return folder / "s.zarr"


@pytest.fixture
def small_tiles(monkeypatch):
    """Many tiles, and lists of neighbours only when little is left."""
    for name, value in {"MAX_ROWS": 64, "MAX_COLUMNS": 64, "TASKS_AT_ONCE": 1}.items():
        monkeypatch.setattr(neighbours, name, value)
    fits = neighbours.AllFrames._fits
    monkeypatch.setattr(
        neighbours.AllFrames, "_fits", lambda self: fits(self) and np.sum(self._state.labels == 0) < 100
    )


def beads(n_atoms):
    top = md.Topology()
    chain = top.add_chain()
    for _ in range(n_atoms):
        top.add_atom("CA", md.element.carbon, top.add_residue("ALA", chain))
    return top


def daura(near):
    """Labels in the order found, and centres, from a square matrix that tells who is near to whom."""
    labels, centres = np.zeros(len(near), int), []
    while (labels == 0).any():
        left = labels == 0
        centres.append(int(np.where(left, (near & left).sum(axis=1), -1).argmax()))
        labels[left & near[centres[-1]]] = len(centres)
    return labels, centres


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    n_frames=st.integers(2, 150),
    n_atoms=st.integers(3, 9),
    n_states=st.integers(1, 6),
    share=st.floats(0, 1),
)
def test_all_frames__of_any_frames_equals_float64(
    seed, n_frames, n_atoms, n_states, share, tmp_path_factory, small_tiles
):
    folder, rng = tmp_path_factory.mktemp("any"), np.random.default_rng(seed)
    states = rng.normal(scale=0.5, size=(n_states, n_atoms, 3))
    xyz = states[rng.integers(0, n_states, n_frames)] + rng.normal(scale=0.05, size=(n_frames, n_atoms, 3))
    walk = md.Trajectory(xyz.astype(np.float32), beads(n_atoms))
    walk[0].save_pdb(str(folder / "top.pdb"))
    walk.save_dcd(str(folder / "md.dcd"))
    ingest_trajectories(folder / "s.zarr", folder / "md.dcd", top=folder / "top.pdb", workers=1)
    square = kabsch_matrix(walk.xyz.astype(float), walk.xyz.astype(float))
    # In the middle of a gap, so that rounding decides nothing.
    heights = np.unique(square.round(6))
    gaps = np.flatnonzero(np.diff(heights) > 2e-6)
    at = gaps[int(share * (len(gaps) - 1))]
    cutoff = (heights[at] + heights[at + 1]) / 2
    asked = {"select": "all", "method": "gromos", "cutoff": float(cutoff)}
    cluster_subset(folder / "s.zarr", all_frames=True, workers=2, **asked)
    found = open_results(folder / "s.zarr")
    labels, centres = daura(square < cutoff)
    np.testing.assert_array_equal(found.subset_label, labels)
    np.testing.assert_array_equal(found.leader_frame, centres)


def test_all_frames__of_many_atoms_in_tiles_as_they_are(tmp_path):
    rng = np.random.default_rng(4)
    n_frames, n_atoms = 2_500, 300  # more frames than are compared with others at once
    centres = rng.normal(scale=0.8, size=(40, n_atoms, 3))
    wide = rng.normal(scale=0.1, size=(n_frames, n_atoms, 3)) * rng.uniform(0.3, 1, (n_frames, 1, 1))
    xyz = centres[rng.integers(0, 40, n_frames)] + wide
    walk = md.Trajectory(xyz.astype(np.float32), beads(n_atoms))
    walk[0].save_pdb(str(tmp_path / "top.pdb"))
    walk.save_xtc(str(tmp_path / "md.xtc"))
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "md.xtc", top=tmp_path / "top.pdb", workers=1)
    asked = {"select": "all", "method": "gromos", "cutoff": 0.17}
    cluster_subset(tmp_path / "s.zarr", name="all", all_frames=True, **asked)
    cluster_subset(tmp_path / "s.zarr", name="stored", stride=1, **asked)
    found, stored = (open_results(tmp_path / "s.zarr", name) for name in ("all", "stored"))
    assert 40 < found.attrs["n_clusters_found"] < n_frames
    np.testing.assert_array_equal(found.subset_label, stored.subset_label)
    np.testing.assert_array_equal(found.leader_frame, stored.leader_frame)
    for size in range(1, 3_000):
        rows, columns = neighbours.tile_frames(size)
        assert rows % columns == 0


@pytest.mark.parametrize(
    ("options", "cutoff"),
    [
        ({}, 0.07),
        ({"no_fit": True}, 0.5),
        ({"align_to": 3, "align_select": "resid 0"}, 0.15),
        ({}, 0.0005),
        ({}, 10.0),
    ],
)
def test_all_frames__equals_float64_and_a_first_pass_of_stride_1(store, options, cutoff, small_tiles):
    name = "one"
    asked = {"name": name, "select": "all", "method": "gromos", "cutoff": cutoff, "restart": True, **options}
    cluster_subset(store, all_frames=True, workers=2, **asked)
    assign_frames(store, name=name, workers=1)
    found = open_results(store, name)
    xyz = found.position.values.astype(float)
    if "align_to" in options:
        fitted = [atom.index for atom in FRAMES.top.atoms if atom.residue.index == 0]
        xyz = aligned_positions(xyz, xyz[3, fitted], fitted)
    square = plain_rmsd(xyz[:, None], xyz[None]) if options else kabsch_matrix(xyz, xyz)
    labels, centres = daura(square < cutoff)
    np.testing.assert_array_equal(found.subset_label, labels)
    np.testing.assert_array_equal(found.leader_frame, centres)
    np.testing.assert_array_equal(found.label, labels)
    assert "rmsd" not in found
    cluster_subset(store, stride=1, workers=1, **asked)
    np.testing.assert_array_equal(open_results(store, name).subset_label, labels)


def test_all_frames__stopped_at_any_save_goes_on_to_the_same_bytes(store, tmp_path, small_tiles, monkeypatch):
    whole = tmp_path / "whole.zarr"
    ingest_trajectories(whole, store.parent / "md.xtc", top=store.parent / "top.pdb", workers=1)
    cluster_subset(whole, method="gromos", cutoff="0.7A", all_frames=True, workers=1)
    again = tmp_path / "again.zarr"
    ingest_trajectories(again, store.parent / "md.xtc", top=store.parent / "top.pdb", workers=1)
    monkeypatch.setattr(ledger, "COMMIT_SECONDS", 0.0)
    for number in range(100):
        try:
            # The steps before the first save are a few.
            with stopping_at(16 + 3 * number):
                cluster_subset(again, method="gromos", cutoff="0.7A", all_frames=True, workers=1 + number % 2)
            break
        except Stopped:
            twopass_store.store_status(again)
    assert number > 5
    ours, theirs = files_of(again), files_of(whole)
    assert ours.keys() == theirs.keys()
    arrays = [path for path in theirs if path.startswith("clusterings") and not path.endswith("zarr.json")]
    assert [path for path in arrays if ours[path] != theirs[path]] == []


def test_all_frames__without_distances_others_say_so(store, tmp_path, twopass):
    twopass("assign", store, "--margin", "--quiet")
    for words in (
        ["status", store],
        ["summary", store],
        ["report", store, "--to", tmp_path / "r.html"],
        ["report", store, "--static", tmp_path / "pictures"],
        ["export", store, "medoids", "--to", tmp_path / "m.pdb"],
        ["recut", store, "--name", "default", "--as", "finer", "--cutoff", "0.5A"],
        ["verify", store],
    ):
        twopass(*words)
    for words in (
        ["summary", store, "--convergence"],
        ["export", store, "structures", "--representatives", 2, "--to", tmp_path / "s.pdb"],
    ):
        assert "of all frames" in twopass(*words, "--name", "default", code=2).stderr
    with pytest.raises(ConfigError, match="of all frames"):
        open_results(store, "default").twopass.plot.map()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "linkage", "n_clusters": 3}, "`all_frames` is for method gromos"),
        ({"stride": 2}, "`stride`: with `all_frames`"),
        ({"leader_method": "medoid"}, "`leader_method`: with `all_frames`"),
    ],
)
def test_all_frames__refuses_what_does_not_fit(store, options, words):
    asked = {"method": "gromos", "cutoff": 0.1, **options}
    asked = {key: value for key, value in asked.items() if key != "cutoff" or "n_clusters" not in options}
    with pytest.raises(ConfigError, match=re.escape(words)):
        cluster_subset(store, name="no", all_frames=True, **asked)
    with pytest.raises(MemoryBudgetError, match="cluster needs"):
        cluster_subset(store, name="no", all_frames=True, method="gromos", cutoff=0.1, memory="310MiB")
