"""The first pass: its choices, its reuse of what is there, its refusals."""

import shutil

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from twopass_store import assign_frames, cluster_subset, ingest_trajectories, open_results
from twopass_store.errors import (
    ConfigError,
    FingerprintMismatchError,
    MemoryBudgetError,
    StageIncompleteError,
)
from twopass_store.progress import Silent
from twopass_store.store import Store
from twopass_store.trajectory import topology_from_json


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    from conftest import EXAMPLE

    store = tmp_path_factory.mktemp("cluster") / "s.zarr"
    top = EXAMPLE / "alanine-dipeptide.pdb"
    ingest_trajectories(store, EXAMPLE / "alanine-dipeptide.xtc", top=top)
    return store


def test_defaults__are_heavy_atoms_ten_thousand_frames_and_faithful_leaders(ingested):
    result = cluster_subset(ingested, name="defaults", n_clusters=3)
    assert result.n_subset_frames == 4000  # fewer than 10,000: all of them
    with open_results(ingested, "defaults") as results:
        topology = topology_from_json(results.attrs["topology"])
        heavy = [atom.index for atom in topology.atoms if atom.element.symbol != "H"]
        assert results.selected_atom_index.values.tolist() == heavy
        assert results.attrs["linkage_method"] == "average"
        assert results.attrs["leader_method"] == "faithful"
        assert results.attrs["faithfulness_overall"] >= 0.95
        assert set(results.medoid_frame.values) <= set(results.leader_frame.values)


def test_protein__is_clustered_by_its_c_alphas(tmp_path):
    from trajectory_files import make_trajectory

    make_trajectory(12, n_residues=11).save_hdf5(tmp_path / "protein.h5")
    ingest_trajectories(tmp_path / "s.zarr", tmp_path / "protein.h5")
    cluster_subset(tmp_path / "s.zarr", n_clusters=2)
    with open_results(tmp_path / "s.zarr") as results:
        assert results.atom_name.values[results.selected_atom_index.values].tolist() == ["CA"] * 11


def test_subset__is_spread_over_the_store_and_takes_at_most_what_was_asked(ingested):
    cluster_subset(ingested, name="few", subset_frames=150, n_clusters=3)
    with open_results(ingested, "few") as results:
        assert results.subset_frame.values.tolist() == list(range(0, 4000, 27))


def test_bytes__do_not_depend_on_memory_and_workers(tmp_path, example_xtc, example_top):
    ingest_trajectories(tmp_path / "a.zarr", example_xtc, top=example_top)
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    for name, options in (("a", {"workers": 1, "memory": "600MiB"}), ("b", {"workers": 3, "memory": "4GiB"})):
        cluster_subset(tmp_path / f"{name}.zarr", stride=2, n_clusters=5, **options)
        assign_frames(tmp_path / f"{name}.zarr", **options)
    chunks = {
        name: {
            file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("c.*")
        }
        for name in ("a.zarr", "b.zarr")
    }
    assert chunks["a.zarr"] == chunks["b.zarr"]


@pytest.mark.parametrize(
    "options",
    [
        {"n_clusters": 12},
        {"n_clusters": 80, "linkage": "ward"},
        {"cutoff": "0.9A", "linkage": "complete"},
        {"n_clusters": 60, "linkage_input": "rows", "leader_method": "random"},
        {"method": "gromos", "cutoff": "0.5A"},
    ],
)
def test_clusters__are_numbered_by_their_share_of_the_subset(ingested, options):
    name = "-".join(str(value).replace(".", "") for value in options.values())
    cluster_subset(ingested, name=name, stride=10, **options)
    with open_results(ingested, name) as results:
        labels, medoids = results.subset_label.values, results.medoid_frame.values
        square = squareform(results.rmsd.values.astype(float))
        members = [np.flatnonzero(labels == label) for label in range(1, labels.max() + 1)]
        assert sum(map(len, members)) == 400
        middles = [10 * each[square[np.ix_(each, each)].sum(axis=0).argmin()] for each in members]
        assert medoids.tolist() == middles
        # Of equals, gromos found the first one first.
        is_tree = "linkage" in results
        keys = [(-len(each), medoid * is_tree) for each, medoid in zip(members, medoids, strict=True)]
        assert keys == sorted(keys)
        leaders = np.searchsorted(results.subset_frame.values, results.leader_frame.values)
        np.testing.assert_array_equal(results.leader_label.values, labels[leaders])
        assert results.attrs["label_order"] == "share"
        if "linkage" not in results:
            return
        wanted = (options["n_clusters"], "maxclust") if "n_clusters" in options else (0.09, "distance")
        of_scipy = fcluster(results.linkage.values, *wanted)
    # The same clusters under other numbers, which are scipy's where they are asked for.
    assert len(set(zip(labels, of_scipy, strict=True))) == labels.max() == of_scipy.max()
    assert (labels != of_scipy).any()
    with pytest.raises(FingerprintMismatchError, match="label_order"):
        cluster_subset(ingested, name=name, stride=10, label_order="linkage", **options)
    cluster_subset(ingested, name=f"{name}-scipy", stride=10, label_order="linkage", **options)
    with open_results(ingested, f"{name}-scipy") as results:
        np.testing.assert_array_equal(results.subset_label.values, of_scipy)


@pytest.mark.parametrize(
    ("cutoff", "method", "words"),
    [
        ("2", "linkage", "cutoff of 2 nm (20 Å) gives 1 cluster of 100 frames; the tree joins frames at"),
        ("0.001A", "linkage", "gives 100 clusters of 100 frames"),
        ("2", "gromos", "the RMSDs of the frames are"),
        ("0.6A", "linkage", ""),
    ],
)
def test_cutoff__that_joins_all_or_nothing_is_told_with_the_range(ingested, twopass, cutoff, method, words):
    options = ("--cutoff", cutoff, "--method", method, "--stride", 40, "--restart")
    told = twopass("cluster", ingested, "--name", "doubt", *options).stderr
    line = next((line for line in told.splitlines() if line.startswith("warning: the cutoff")), "")
    assert words in line
    assert bool(words) == bool(line)
    if words:
        with open_results(ingested, "doubt") as results:
            heights = rmsd = results.rmsd.values.astype(np.float64)
            if method == "linkage":
                heights = linkage(rmsd, "average")[:, 2]
        assert f"{heights.min():.3g} to {heights.max():.3g} nm" in line
    assert ("tree cut at" in told) == (method == "linkage")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("2", "2 has no unit, so it is 2 nm (20 Å). If Å is meant, write 2A"),
        ("0.002", "0.02 Å"),
        ("20A", ""),
        ("1", ""),
    ],
)
def test_length_without_a_unit__is_doubted_where_no_rmsd_is_like_it(ingested, twopass, written, words):
    one = twopass("cluster", ingested, "--name", "unit", "--cutoff", written, "--stride", 40, "--restart")
    two = twopass("recut", ingested, "--name", "unit", "--as", "again", "--cutoff", written, "--restart")
    assigned = twopass("assign", ingested, "--name", "unit", "--noise-cutoff", written, "--restart")
    for told, option in ((one, "--cutoff"), (two, "--cutoff"), (assigned, "--noise-cutoff")):
        lines = [line for line in told.stderr.splitlines() if "unit" in line and line.startswith("warning")]
        doubts = [line for line in lines if line.startswith(f"warning: {option} {written} has no unit")]
        assert len(doubts) == bool(words)
        assert all(words in line for line in doubts)
        assert not words or lines == doubts


def test_steps__are_reused_under_a_new_name(ingested):
    first = cluster_subset(ingested, name="first", stride=7, n_clusters=5)
    assert first.n_pairs_computed == 572 * 571 // 2
    assert not first.was_complete
    store = Store.open(ingested)
    subset = store.attrs("clusterings/first")["subset"]
    before = {file: file.stat().st_ino for file in (ingested / "subsets" / subset).rglob("*")}
    for name, options in {
        "cut": {"n_clusters": 9},
        "leaders": {"n_clusters": 5, "leaders_per_cluster": 3},
        "random": {"n_clusters": 5, "leader_method": "random"},
    }.items():
        assert cluster_subset(ingested, name=name, stride=7, **options).n_pairs_computed == 0
    assert {file: file.stat().st_ino for file in (ingested / "subsets" / subset).rglob("*")} == before
    # Another linkage shares the distances alone.
    assert cluster_subset(ingested, name="ward", stride=7, n_clusters=5, linkage="ward").n_pairs_computed == 0
    assert store.members(f"subsets/{subset}") == ["linkage_average", "linkage_ward", "rmsd", "subset_frame"]


def test_leader_frames__lead_in_the_order_given(ingested):
    order = (400, 0, 3980, 1000)
    cluster_subset(ingested, name="chosen", stride=20, n_clusters=3, leader_frames=order)
    assign_frames(ingested, name="chosen")
    with open_results(ingested, "chosen") as results:
        assert results.leader_frame.values.tolist() == list(order)
        np.testing.assert_array_equal(results.leader_position.values, results.position.values[list(order)])
        assert results.leader_index.values[list(order)].tolist() == [0, 1, 2, 3]
        assert (results.rmsd_to_leader.values[list(order)] == 0).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": 4001, "n_clusters": 2}, "4000 frames.*--stride 4001"),
        ({"stride": 4000, "n_clusters": 1}, "subset has 1 of"),
        ({"stride": 100, "n_clusters": 41}, "41 clusters.*40 frames"),
        ({"stride": 100, "n_clusters": 2, "leader_frames": (100, 150)}, "150 is not in the subset"),
        ({"stride": 100, "n_clusters": 2, "leader_frames": (9999,)}, "9999 is not in the subset"),
        ({"select": "name XX", "n_clusters": 2}, "name XX"),
        ({"stride": 2, "subset_frames": 10, "n_clusters": 2}, "exclude each other"),
        ({"n_clusters": 2, "cutoff": 0.2}, "exclude each other"),
        ({"cutoff": 0.2, "linkage": "median"}, "isn't an RMSD"),
        ({"cutoff": 0.2, "linkage_input": "rows"}, "not an RMSD"),
        ({"n_clusters": 2, "linkage": "upgma"}, "linkage"),
        ({"n_clusters": 0}, "n_clusters"),
        ({"n_clusters": 2, "name": "a/b"}, "a/b"),
    ],
)
def test_what_does_not_fit__is_refused_and_leaves_nothing(ingested, options, words):
    options = {"name": "refused", **options}
    with pytest.raises(ConfigError, match=words):
        cluster_subset(ingested, **options)
    assert "refused" not in Store.open(ingested).members("clusterings")


def test_other_parameters_under_one_name__are_refused_then_restarted(ingested):
    cluster_subset(ingested, name="anew", stride=50, n_clusters=3)
    assign_frames(ingested, name="anew")
    with pytest.raises(FingerprintMismatchError, match="stored 3, requested 4"):
        cluster_subset(ingested, name="anew", stride=50, n_clusters=4)
    assert open_results(ingested, "anew").attrs["n_clusters_found"] == 3
    cluster_subset(ingested, name="anew", stride=50, n_clusters=4, restart=True)
    with open_results(ingested, "anew") as results:
        assert results.attrs["n_clusters_found"] == 4
        assert "label" not in results
    assert assign_frames(ingested, name="anew").n_frames_computed == 4000
    again = cluster_subset(ingested, name="anew", stride=50, n_clusters=4, restart=True)
    assert (again.was_complete, again.n_pairs_computed) == (False, 0)
    assert assign_frames(ingested, name="anew").n_frames_computed == 4000


def test_too_little_memory__names_the_largest_subset_that_fits(ingested):
    with pytest.raises(MemoryBudgetError, match=r"needs (\d+)MiB") as caught:
        cluster_subset(ingested, name="small", stride=1, n_clusters=3, memory="340MiB", workers=1)
    message = str(caught.value)
    assert "may use 340MiB" in message
    fits = int(message.rpartition("--subset-frames ")[2].split(")")[0])
    assert 2 <= fits < 4000
    cluster_subset(ingested, name="small", subset_frames=fits, n_clusters=3, memory="340MiB", workers=1)
    assert fits / 2 < Store.open(ingested).shape("clusterings/small/subset_label")[0] <= fits


def test_results__need_a_finished_clustering_of_that_name(ingested, tmp_path):
    with pytest.raises(StageIncompleteError, match="no finished clustering 'nobody'"):
        open_results(ingested, "nobody")
    with pytest.raises(ConfigError, match=r"several clusterings.*defaults"):
        open_results(ingested)
    with pytest.raises(StageIncompleteError, match="no finished clustering 'nobody'"):
        assign_frames(ingested, name="nobody")
    from conftest import EXAMPLE

    ingest_trajectories(tmp_path / "new.zarr", EXAMPLE / "alanine-dipeptide.pdb")
    with pytest.raises(StageIncompleteError, match="no clustering yet"):
        open_results(tmp_path / "new.zarr")


def test_labels_in_progress__are_shown_only_where_asked_for(ingested):
    class Stopping(Silent):
        def start(self, stage: str, *, total: int, done: int, unit: str) -> None:
            if stage == "assign":
                raise KeyboardInterrupt

    cluster_subset(ingested, name="half", stride=50, n_clusters=3)
    with pytest.raises(KeyboardInterrupt):
        assign_frames(ingested, name="half", progress=Stopping())
    assert "label" not in open_results(ingested, "half")
    partial = open_results(ingested, "half", partial=True)
    assert (partial.label.values == -1).all()
    assert partial.label_status.attrs["flag_meanings"].split()[0] == "pending"
