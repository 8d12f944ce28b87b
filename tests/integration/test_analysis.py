"""What follows the labels in Python: xarray's own verbs, and the accessor `twopass`."""

import pickle
import warnings

import mdtraj as md
import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import squareform

from trajectory_files import make_trajectory
from twopass_store import (
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
)
from twopass_store.errors import ConfigError, StageIncompleteError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three runs of 40, 30 and 20 frames; the second has a gap in time after its 12th frame."""
    folder = tmp_path_factory.mktemp("analysis")
    whole = make_trajectory(90, n_residues=2, seed=3)
    whole[0].save_pdb(str(folder / "top.pdb"))
    for number, rows in enumerate((range(40), range(40, 70), range(70, 90))):
        part = whole[list(rows)]
        part.time = np.arange(part.n_frames) * 2.0 + (np.arange(part.n_frames) >= 12) * (number == 1) * 50
        part.save_xtc(str(folder / f"run{number}.xtc"))
    ingest_trajectories(folder / "s.zarr", sorted(folder.glob("run*.xtc")), top=folder / "top.pdb")
    cluster_subset(folder / "s.zarr", select="all", stride=3, n_clusters=4)
    assign_frames(folder / "s.zarr")
    return folder / "s.zarr"


def test_xarray__as_people_write_it(store):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = open_results(store)
        labels = results.label.values
        inside = results.where(results.label == 2, drop=True)
        assert inside.sizes["frame"] == (labels == 2).sum()
        assert inside.position.dtype == np.float32
        np.testing.assert_array_equal(inside.frame, np.flatnonzero(labels == 2))
        np.testing.assert_array_equal(inside.linkage, results.linkage)
        means = results.groupby("label").mean().rmsd_to_leader
        for label in np.unique(labels):
            expected = results.rmsd_to_leader.values[labels == label].mean()
            np.testing.assert_allclose(means.sel(label=label), expected, rtol=1e-5)
        np.testing.assert_array_equal(results.sel(frame=slice(5, 9)).time, results.time[5:10])
        alphas = results.sel(atom=results.atom_name == "CA")
        assert set(alphas.atom_name.values) == {"CA"}
        assert set(results.groupby("residue_name").groups) == set(results.residue_name.values)
        assert results.isel(frame=[3, 1]).frame.values.tolist() == [3, 1]
        pytest.importorskip("matplotlib").use("Agg")
        assert results.label.plot(x="time")
        engine = xr.open_dataset(store, engine="twopass", name="default")
    xr.testing.assert_identical(engine.drop_vars("position").load(), results.drop_vars("position").load())


def test_dtrajs__end_with_runs_at_gaps_and_unlabelled_frames(store):
    results = open_results(store).load()
    labels = results.label.values
    found, frames = results.twopass.dtrajs(return_frames=True)
    assert frames == [range(40), range(40, 52), range(52, 70), range(70, 90)]
    for states, rows in zip(found, frames, strict=True):
        np.testing.assert_array_equal(states, labels[rows] - 1)
    part = results.isel(frame=slice(10, 60))
    part = part.assign_coords(label=part.label.where(part.frame != 20, -1).astype(int))
    assert part.twopass.dtrajs(return_frames=True)[1] == [
        range(10),
        range(11, 30),
        range(30, 42),
        range(42, 50),
    ]


@pytest.mark.parametrize("lag", [1, 3, 15])
def test_transitions__are_those_that_deeptime_counts(store, lag):
    markov = pytest.importorskip("deeptime").markov
    results = open_results(store)
    found = results.twopass.transitions(lag)
    dtrajs = [states for states in results.twopass.dtrajs() if len(states) > lag]
    expected = markov.TransitionCountEstimator(lag, "sliding", n_states=4).fit_fetch(dtrajs).count_matrix
    np.testing.assert_array_equal(found["count"], expected)
    rows = np.asarray(expected).sum(axis=1)
    np.testing.assert_allclose(found.probability[rows > 0].sum("to_cluster"), 1.0)
    assert found.probability[rows == 0].isnull().all()


def test_populations__of_runs_and_blocks(store):
    results = pickle.loads(pickle.dumps(open_results(store))).load()
    labels = results.label.values
    found = results.twopass.populations("run")
    for row, part in enumerate(np.split(labels, [40, 70])):
        np.testing.assert_array_equal(found.group_n_frames[row], np.bincount(part, minlength=5)[1:])
    np.testing.assert_allclose(found.share, np.bincount(labels, minlength=5)[1:] / 90)
    assert (found.share_error > 0).any()
    assert results.twopass.populations("blocks:2").group_n_frames.sum() == 90


def test_structures__are_the_frames_of_the_files(store):
    results = open_results(store)
    files = md.join(
        [md.load(str(file), top=store.parent / "top.pdb") for file in sorted(store.parent.glob("*.xtc"))]
    )
    wanted = np.flatnonzero(results.label.values == 1)[::2]
    found = results.twopass.frames_of(1, stride=2)
    np.testing.assert_array_equal(found.xyz, files.xyz[wanted])
    np.testing.assert_array_equal(found.time, files.time[wanted])
    leaders = results.twopass.leaders()
    np.testing.assert_array_equal(leaders.xyz, files.xyz[results.leader_frame.values])
    with pytest.raises(ConfigError, match=r"cluster 7; there are: 1, 2, 3, 4"):
        results.twopass.frames_of(7)


def test_map__keeps_distances_as_well_as_a_plane_can(store):
    from twopass_store.analysis import distance_map, square_distances

    results = open_results(store)
    rows = np.array([0, 3, 4, 11, 29])
    expected = squareform(results.rmsd.values)
    np.testing.assert_array_equal(square_distances(results, rows), expected[np.ix_(rows, rows)])
    found = distance_map(results)
    gram = -0.5 * (expected.astype(float) ** 2)
    gram -= gram.mean(axis=0) + gram.mean(axis=1, keepdims=True) - gram.mean()
    values, vectors = np.linalg.eigh(gram)
    best = vectors[:, -2:] * np.sqrt(values[-2:])
    np.testing.assert_allclose(found.xy @ found.xy.T, best @ best.T, atol=1e-9)
    np.testing.assert_allclose(found.shown_share, values[-2:].sum() / values.sum(), rtol=1e-6)
    np.testing.assert_array_equal(found.label, results.subset_label)


def test_plots__draw_every_cluster(store):
    pytest.importorskip("matplotlib").use("Agg")
    plot = open_results(store).twopass.plot
    assert len(plot.populations().patches) == 4
    assert len(plot.timeline().get_yticks()) == 3
    assert len(plot.dendrogram().get_xticklabels()) == 4
    assert sum(len(points.get_offsets()) for points in plot.map().collections) == 30
    assert plot.rmsd_matrix().images[0].get_array().shape == (30, 30)
    assert sum(patch.get_height() for patch in plot.rmsd().patches) == 90
    assert plot.transitions(lag=2).images


def test_accessor__needs_labels(store, tmp_path):
    cluster_subset(store, name="fresh", select="all", stride=3, n_clusters=2)
    results = open_results(store, "fresh")
    with pytest.raises(StageIncompleteError, match="twopass assign STORE --name fresh"):
        results.twopass.dtrajs()
    assert results.twopass.leaders().n_frames == results.sizes["leader"]
