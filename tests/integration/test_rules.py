"""Which leader gives a frame its label, and labels that the subset keeps."""

import json

import mdtraj as md
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from conftest import EXAMPLE
from kabsch import kabsch_matrix
from twopass_store import (
    TwoPassClustering,
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
    summarize,
)
from twopass_store.config import LINKAGE_METHODS
from twopass_store.errors import ConfigError, FingerprintMismatchError

FRAMES = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb", stride=25)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    FRAMES[0].save_pdb(str(folder / "top.pdb"))
    FRAMES.save_xtc(str(folder / "md.xtc"))
    ingest_trajectories(folder / "s.zarr", folder / "md.xtc", top=folder / "top.pdb", workers=1)
    return folder / "s.zarr"


@pytest.fixture(scope="module")
def square(store):
    """Distances of all pairs in float64."""
    cluster_subset(store, name="any", select="all", stride=1, n_clusters=2, workers=1)
    xyz = open_results(store, "any").position.values
    return kabsch_matrix(xyz, xyz)


def labelled(store, name, *, noise_cutoff=None, **options):
    cluster_subset(store, name=name, select="all", workers=1, **options)
    assign_frames(store, name=name, noise_cutoff=noise_cutoff, margin="rule" in options, workers=1)
    return open_results(store, name)


def gromos(square, cutoff):
    """Daura's method in float64: labels in the order found, and the centres."""
    labels, centres = np.zeros(len(square), int), []
    while (labels == 0).any():
        left = labels == 0
        counts = np.where(left, ((square < cutoff) & left).sum(axis=1), -1)
        centres.append(int(counts.argmax()))
        labels[left & (square[centres[-1]] < cutoff)] = len(centres)
    return labels, centres


@settings(deadline=None, max_examples=25, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), n_frames=st.integers(2, 60), neighbours=st.floats(0, 1))
def test_gromos__over_every_frame_equals_float64(seed, n_frames, neighbours):
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(4, 5, 3))
    xyz = states[rng.integers(4, size=n_frames)] + rng.normal(size=(n_frames, 5, 3)) * 0.3
    square = kabsch_matrix(xyz.astype(np.float32), xyz.astype(np.float32))
    cutoff = np.quantile(square, neighbours) + 1e-3
    assume((abs(square - cutoff) > 1e-6).all())
    found = TwoPassClustering(method="gromos", cutoff=cutoff, stride=1).fit(xyz)
    expected, centres = gromos(square, cutoff)
    np.testing.assert_array_equal(found.labels_, expected)
    np.testing.assert_array_equal(found.leader_indices_, centres)


@pytest.mark.parametrize("cutoff", [0.045, 0.08])
def test_gromos__over_every_frame_gives_its_own_labels(store, square, cutoff):
    expected, centres = gromos(square, cutoff)
    found = labelled(store, f"g{cutoff * 1000:.0f}", method="gromos", cutoff=cutoff, stride=1)
    np.testing.assert_array_equal(found.subset_label, expected)
    np.testing.assert_array_equal(found.label, expected)
    np.testing.assert_array_equal(found.leader_frame, centres)
    np.testing.assert_array_equal(found.leader_index, expected - 1)
    own = square[np.arange(len(square)), np.array(centres)[expected - 1]]
    np.testing.assert_allclose(found.rmsd_to_leader, own, atol=1e-6)
    assert found.attrs["faithfulness_overall"] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"method": "gromos", "cutoff": 0.06, "noise_cutoff": 0.065},
        {"method": "gromos", "cutoff": 0.06, "leader_method": "medoid", "rule": "first-within"},
        {"cutoff": 0.08, "linkage": "complete", "rule": "first-within", "max_leaders": 60},
        {"cutoff": 0.3, "no_fit": True, "rule": "first-within", "noise_cutoff": 0.31},
    ],
)
def test_first_within__asks_the_leaders_in_their_order(store, square, options):
    name, noise_cutoff = f"first-{'-'.join(options)}", options.get("noise_cutoff")
    found = labelled(store, name, stride=4, **options)
    distances = square[:, found.leader_frame.values]
    if "no_fit" in options:
        xyz = found.position.values.astype(float)
        moved = xyz[:, np.newaxis] - xyz[found.leader_frame.values]
        distances = np.sqrt((moved**2).sum(axis=3).mean(axis=2))
    near = distances < options["cutoff"]
    index = np.where(near.any(axis=1), near.argmax(axis=1), distances.argmin(axis=1))
    assert (index != distances.argmin(axis=1)).any()
    own = distances[np.arange(len(index)), index]
    label = found.leader_label.values[index]
    beyond = own > (noise_cutoff or np.inf)
    assert beyond.any() == bool(noise_cutoff)
    np.testing.assert_array_equal(found.leader_index, index)
    np.testing.assert_allclose(found.rmsd_to_leader, own, atol=1e-6)
    np.testing.assert_array_equal(found.label, np.where(beyond, -1, label))
    np.testing.assert_array_equal(found.label_status, np.where(beyond, 2, 1))
    if "rmsd_to_second" in found:
        others = np.where(found.leader_label.values == label[:, np.newaxis], np.inf, distances)
        np.testing.assert_allclose(found.rmsd_to_second[~beyond], others.min(axis=1)[~beyond], atol=1e-6)
    again = found.label.values[found.subset_frame.values] == found.subset_label.values
    if noise_cutoff is None:
        assert again.mean() == pytest.approx(found.attrs["faithfulness_overall"])


@pytest.mark.parametrize("method", LINKAGE_METHODS)
def test_kept_labels__of_every_frame_are_those_of_scipy(store, square, method):
    options = {"linkage": method, "n_clusters": 8, "label_order": "linkage", "leader_method": "medoid"}
    xyz = open_results(store, "any").position.values
    expected = fcluster(linkage(squareform(square, checks=False), method), 8, "maxclust")
    found = TwoPassClustering(stride=1, keep_subset_labels=True, **options).fit(xyz)
    np.testing.assert_array_equal(found.labels_, expected)
    if method == "average":
        results = labelled(store, "kept", stride=1, keep_subset_labels=True, **options)
        np.testing.assert_array_equal(results.label, expected)


def test_kept_labels__leave_leaders_and_distances_as_they_are(store, square):
    made = {"method": "gromos", "cutoff": 0.06, "leader_method": "medoid"}
    expected = gromos(square, 0.06)[0]
    found = labelled(store, "kept-gromos", stride=1, keep_subset_labels=True, **made)
    np.testing.assert_array_equal(found.label, expected)
    assert set(found.label_status.values) == {4}
    flags = dict(
        zip(
            found.label_status.attrs["flag_values"],
            found.label_status.attrs["flag_meanings"].split(),
            strict=True,
        )
    )
    assert flags[4] == "kept_from_first_pass"
    nearest = square[:, found.leader_frame.values].argmin(axis=1)
    np.testing.assert_array_equal(found.leader_index, nearest)
    given = found.leader_label.values[nearest]
    assert np.mean(given == expected) == pytest.approx(found.attrs["faithfulness_overall"])
    assert summarize(store, "kept-gromos").n_frames.values.tolist() == np.bincount(expected)[1:].tolist()


def test_kept_labels__may_be_noise(store, twopass):
    options = {"method": "hdbscan", "min_cluster_size": 3, "stride": 1, "keep_subset_labels": True}
    found = labelled(store, "kept-noise", **options)
    np.testing.assert_array_equal(found.label, found.subset_label)
    n_noise = int((found.label == -1).sum())
    assert 0 < n_noise < len(FRAMES)
    assert set(found.label_status.values) == {4}
    told = twopass("summary", store, "--name", "kept-noise").stdout
    assert f"{n_noise} frames that are noise of the first pass" in told
    assert "Frames without a label, by file" in told


def test_kept_labels__are_those_of_the_subset_alone_also_after_an_append(tmp_path, store):
    path, top = tmp_path / "s.zarr", store.parent / "top.pdb"
    for name, some in (("1", slice(120)), ("2", slice(120, None))):
        FRAMES[some].save_xtc(str(tmp_path / f"{name}.xtc"))
    ingest_trajectories(path, tmp_path / "1.xtc", top=top, workers=1)
    options = {"stride": 3, "n_clusters": 3, "leader_method": "random", "noise_cutoff": "0.7A"}
    labelled(path, "kept", keep_subset_labels=True, **options)
    labelled(path, "plain", **options)
    ingest_trajectories(path, tmp_path / "2.xtc", append=True, workers=1)
    for name in ("kept", "plain"):
        assign_frames(path, name=name, noise_cutoff="0.7A", workers=1)
    kept, plain = open_results(path, "kept"), open_results(path, "plain")
    frame = kept.subset_frame.values
    assert frame.tolist() == list(range(0, 120, 3))
    expected, status = plain.label.values, plain.label_status.values
    assert (expected[frame] != kept.subset_label.values).any()
    expected[frame], status[frame] = kept.subset_label, 4
    np.testing.assert_array_equal(kept.label, expected)
    np.testing.assert_array_equal(kept.label_status, status)
    for name in ("leader_index", "rmsd_to_leader"):
        np.testing.assert_array_equal(kept[name], plain[name])


def test_rule__is_told_and_belongs_to_the_clustering(store, twopass, tmp_path):
    made = ["cluster", store, "--name", "told", "--select", "all", "--stride", 4, "--method", "gromos"]
    made += ["--cutoff", "0.7A", "--keep-subset-labels"]
    assert "subset frames keep their labels; the leaders would change 0.0% of them" in twopass(*made).stderr
    labels = twopass("assign", store, "--name", "told")
    rule = (
        "label of the first leader within 0.07 nm (0.7 Å), else of the nearest; subset frames keep their own"
    )
    for said in (twopass("status", store), twopass("summary", store, "--name", "told"), labels):
        assert rule in " ".join(said.stdout.split())
    pytest.importorskip("ipymolstar")
    twopass("report", store, "--name", "told", "--to", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert json.dumps(rule) in page
    assert "the first of them, in this order, to which its RMSD was below 0.07 nm" in page
    assert "kept the labels" in page
    twopass("cluster", store, "--name", "every", "--select", "all", *made[-5:], "--all-frames")
    twopass("assign", store, "--name", "every")
    options = {"name": "told", "select": "all", "stride": 4, "method": "gromos", "cutoff": "0.7A"}
    with pytest.raises(FingerprintMismatchError, match=r"keep_subset_labels \(stored True"):
        cluster_subset(store, **options)
    for other in ({"rule": "nearest"}, {"leader_method": "faithful"}):
        with pytest.raises(FingerprintMismatchError, match=r"rule \(stored first-within"):
            cluster_subset(store, keep_subset_labels=True, **other, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_clusters": 3, "rule": "first-within"}, "needs `cutoff`"),
        ({"n_clusters": 3, "linkage": "ward", "rule": "first-within"}, "needs `cutoff`"),
        ({"n_clusters": 3, "leader_method": "centres"}, "linkage finds none"),
        (
            {"method": "gromos", "cutoff": 0.1, "leader_method": "centres", "leaders_per_cluster": 2},
            "one centre",
        ),
    ],
)
def test_rules__are_refused_where_they_make_no_sense(store, options, words):
    with pytest.raises(ConfigError, match=words):
        cluster_subset(store, name="no", select="all", stride=4, **options)


def test_noise_cutoff__within_the_reach_of_a_leader_is_refused(store):
    cluster_subset(store, name="far", select="all", stride=4, method="gromos", cutoff=0.2, workers=1)
    with pytest.raises(ConfigError, match=r"--noise-cutoff 0.1 nm .* less than the 0.2 nm .*--rule nearest"):
        assign_frames(store, name="far", noise_cutoff=0.1)
