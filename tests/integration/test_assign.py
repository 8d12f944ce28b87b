"""The second pass: which frames get a label, and what it says of how sure that is."""

import shutil

import numpy as np
import pytest

from conftest import EXAMPLE
from kabsch import kabsch_matrix
from small_stores import forget
from twopass_store import (
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
    store_status,
    summarize,
)
from twopass_store.errors import ConfigError, FingerprintMismatchError
from twopass_store.schema import LABEL_STATUS


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    """The example's frames, clustered: two leaders in each of four clusters."""
    store = tmp_path_factory.mktemp("assign") / "s.zarr"
    ingest_trajectories(store, EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    cluster_subset(store, stride=8, n_clusters=4, leaders_per_cluster=2)
    return store


@pytest.fixture
def store(clustered, tmp_path):
    shutil.copytree(clustered, tmp_path / "s.zarr")
    return tmp_path / "s.zarr"


def columns(store, *names):
    with open_results(store) as results:
        return [results[name].values for name in names]


def test_noise_cutoff__takes_labels_from_far_frames_and_keeps_their_distance(store):
    assign_frames(store)
    label, index, rmsd = columns(store, "label", "leader_index", "rmsd_to_leader")
    cutoff = float(np.quantile(rmsd, 0.9))
    assign_frames(store, noise_cutoff=cutoff, restart=True)
    found, status, same_index, same_rmsd = columns(
        store, "label", "label_status", "leader_index", "rmsd_to_leader"
    )
    beyond = rmsd > np.float32(cutoff)
    assert 0 < beyond.sum() < 500
    np.testing.assert_array_equal(found, np.where(beyond, -1, label))
    assert set(status[beyond]) == {LABEL_STATUS["beyond_noise_cutoff"]}
    assert set(status[~beyond]) == {LABEL_STATUS["assigned"]}
    np.testing.assert_array_equal(same_index, index)
    np.testing.assert_array_equal(same_rmsd, rmsd)
    summary = summarize(store, "default")
    assert summary.attrs["n_beyond_noise_cutoff"] == beyond.sum()
    assert summary.attrs["noise_cutoff_nm"] == pytest.approx(cutoff)
    assert summary.n_frames.sum() == (~beyond).sum()


def test_another_noise_cutoff__is_refused_and_changes_nothing(store):
    assign_frames(store, noise_cutoff="0.5A")
    before = {file: file.stat().st_mtime_ns for file in store.rglob("*")}
    for other in (None, 0.06):
        with pytest.raises(FingerprintMismatchError, match=r"stored 0.05, requested .*--restart"):
            assign_frames(store, noise_cutoff=other)
    assert {file: file.stat().st_mtime_ns for file in store.rglob("*")} == before
    assert assign_frames(store, noise_cutoff=0.05).n_frames_computed == 0
    assert assign_frames(store, noise_cutoff=0.06, restart=True).n_frames_computed == 4000
    assert assign_frames(store, noise_cutoff=0.06).n_frames_computed == 0
    assert assign_frames(store, noise_cutoff=0.06, restart=True).n_frames_computed == 4000


def test_interrupted_assign__is_resumed_with_its_noise_cutoff(store, twopass):
    assign_frames(store, noise_cutoff=0.05)
    forget(store, "assign-default")
    assert not store_status(store).stages[-1].complete
    command = store_status(store).next_command
    assert command == f"twopass assign {store} --noise-cutoff 0.05"
    twopass(*command.split()[1:])
    assert store_status(store).stages[-1].complete


@pytest.mark.parametrize("cutoff", [0, -0.1, "far", float("nan")])
def test_noise_cutoff__is_a_length(store, cutoff):
    with pytest.raises(ConfigError, match="noise_cutoff"):
        assign_frames(store, noise_cutoff=cutoff)


def brute_force_margins(store):
    """The nearest leader of another cluster by all distances, from float64 Kabsch."""
    with open_results(store) as results:
        atoms = results.selected_atom_index.values
        frames, leaders = results.position.values[:, atoms], results.leader_position.values[:, atoms]
        leader_label, label = results.leader_label.values, results.label.values
    distances = kabsch_matrix(frames, leaders)
    distances[leader_label == label[:, np.newaxis]] = np.inf
    has_label = label >= 0
    second = np.where(has_label, leader_label[distances.argmin(axis=1)], -1)
    return second, np.where(has_label, distances.min(axis=1), np.nan)


def test_margin__is_the_distance_to_the_nearest_leader_of_another_cluster(store):
    assign_frames(store, noise_cutoff="0.5A", margin=True)
    label, rmsd, second, to_second = columns(
        store, "label", "rmsd_to_leader", "second_label", "rmsd_to_second"
    )
    expected, expected_rmsd = brute_force_margins(store)
    np.testing.assert_array_equal(second, expected)
    np.testing.assert_allclose(to_second, expected_rmsd, atol=1e-6)
    assert (label == -1).any()
    assert (to_second[label >= 0] >= rmsd[label >= 0]).all()
    with open_results(store) as results:
        assert results.rmsd_to_second.attrs["units"] == "nm"


def test_margin__comes_later_without_touching_labels(store):
    assign_frames(store)
    with open_results(store) as results:
        assert "second_label" not in results
    group = store / "clusterings" / "default"
    before = {file: file.stat().st_mtime_ns for file in group.rglob("*") if file.is_file()}
    result = assign_frames(store, margin=True)
    assert (result.n_frames_computed, result.n_margins_computed) == (0, 4000)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    again = assign_frames(store, margin=True)
    assert (again.n_frames_computed, again.n_margins_computed) == (0, 0)
    # Without --margin they stay.
    assert assign_frames(store).n_frames_computed == 0
    assert "second_label" in open_results(store)
