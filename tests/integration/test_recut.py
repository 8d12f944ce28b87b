"""Other cuts of distances that are there: recut, and gromos."""

import re
import shutil

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from twopass_store import (
    assign_frames,
    cluster_subset,
    ingest_trajectories,
    open_results,
    recut_clustering,
    scan_cuts,
)
from twopass_store.errors import ConfigError, FingerprintMismatchError, StageIncompleteError
from twopass_store.report import summarize
from twopass_store.store import Store


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    from conftest import EXAMPLE

    store = tmp_path_factory.mktemp("recut") / "s.zarr"
    top = EXAMPLE / "alanine-dipeptide.pdb"
    ingest_trajectories(store, EXAMPLE / "alanine-dipeptide.xtc", top=top)
    options = {"label_order": "linkage", "leader_method": "medoid", "leaders_per_cluster": 2}
    cluster_subset(store, name="base", stride=10, n_clusters=4, **options)
    return store


def test_recut__gives_what_cluster_would_and_computes_nothing(ingested, tmp_path):
    before = {file: file.stat().st_ino for file in (ingested / "subsets").rglob("*")}
    result = recut_clustering(ingested, name="base", new_name="seven", n_clusters=7)
    assert (result.n_clusters, result.n_pairs_computed) == (7, 0)
    assert {file: file.stat().st_ino for file in (ingested / "subsets").rglob("*")} == before
    options = {"label_order": "linkage", "leader_method": "medoid", "leaders_per_cluster": 2}
    again = cluster_subset(ingested, name="seven", stride=10, n_clusters=7, **options)
    assert again.was_complete
    assert recut_clustering(ingested, name="base", new_name="seven", n_clusters=7).was_complete
    with open_results(ingested, "seven") as results:
        labels = hierarchy.fcluster(results.linkage.values, 7, "maxclust")
        np.testing.assert_array_equal(results.subset_label.values, labels)
        assert results.sizes["leader"] == 14

    by_height = recut_clustering(ingested, name="base", new_name="height", cutoff="0.6A")
    with open_results(ingested, "height") as results:
        labels = hierarchy.fcluster(results.linkage.values, 0.06, "distance")
        np.testing.assert_array_equal(results.subset_label.values, labels)
        assert by_height.n_clusters == labels.max() > 1
        assert results.attrs["cutoff_nm"] == 0.06


def test_recut__refuses_what_makes_no_sense(ingested):
    for options, kind, words in [
        ({"new_name": "x"}, ConfigError, "Where to cut"),
        ({"new_name": "x", "n_clusters": 2, "cutoff": 0.1}, ConfigError, "either `n_clusters`"),
        ({"new_name": "base", "n_clusters": 2}, ConfigError, "name of its own"),
        ({"new_name": "a/b", "n_clusters": 2}, ConfigError, "a/b"),
        ({"name": "nobody", "new_name": "x", "n_clusters": 2}, StageIncompleteError, "there are: base"),
    ]:
        with pytest.raises(kind, match=words):
            recut_clustering(ingested, **{"name": "base", **options})
    recut_clustering(ingested, name="base", new_name="taken", n_clusters=3)
    with pytest.raises(FingerprintMismatchError, match="stored 3, requested 5"):
        recut_clustering(ingested, name="base", new_name="taken", n_clusters=5)
    changed = recut_clustering(ingested, name="base", new_name="taken", n_clusters=5, restart=True)
    assert changed.n_clusters == 5


def test_default__is_taken_where_no_clustering_is_named(ingested, tmp_path, twopass):
    store = tmp_path / "s.zarr"
    shutil.copytree(ingested, store)
    recut_clustering(store, name="base", new_name="Another", n_clusters=3)
    for name in ("assign", "summary"):
        assert "called default" in twopass(name, store, code=2).stderr
    assert twopass("status", store).stdout.endswith("twopass assign s.zarr --name Another\n")
    recut_clustering(store, name="base", new_name="default", n_clusters=2)
    assert ", clustering default" in twopass("assign", store).stdout
    for arguments in (
        ["summary"],
        ["export", "medoids", "--to", "m.pdb"],
        ["recut", "--as", "x", "--cutoff", 0.1],
    ):
        result = twopass(arguments[0], store, *arguments[1:])
        assert "clustering default" in result.stdout + result.stderr
    with open_results(store) as results:
        assert results.attrs["clustering"] == "default"
        assert results.label.max() == 2
    shown = twopass("status", store).stdout
    assert re.search(r"Files +alanine-dipeptide.xtc\n.*\n\nclustering +first pass +cut ", shown)
    assert re.search(r"\ndefault +average +into 2 +2( +\d\d.*%){2} +100.0% +[\d.]+ KiB", shown)
    assert re.search(r"\nx +average +at 0.1 nm +\d+( +\d\d.*%){2} +– +[\d.]+ KiB", shown)


def test_gromos__goes_through_leaders_and_the_second_pass(ingested):
    result = cluster_subset(ingested, name="gromos", stride=10, method="gromos", cutoff="0.8A")
    assert result.n_pairs_computed == 0
    with open_results(ingested, "gromos") as results:
        assert "linkage" not in results
        labels = results.subset_label.values
        counts = np.bincount(labels)[1:]
        assert counts[0] == counts.max()
        # The first cluster is a frame with all its neighbours.
        near = squareform(results.rmsd.values) < np.float32(0.08)
        np.testing.assert_array_equal(np.flatnonzero(labels == 1), np.flatnonzero(near[near.sum(0).argmax()]))
    assign_frames(ingested, name="gromos")
    with open_results(ingested, "gromos") as results:
        again = results.label.values[results.subset_frame.values]
        assert np.mean(again == labels) == pytest.approx(result.faithfulness, abs=0.01)
    assert summarize(ingested, "gromos").attrs["method"] == "gromos"
    finer = recut_clustering(ingested, name="gromos", new_name="gromos-fine", cutoff="0.5A")
    assert finer.n_clusters > result.n_clusters
    with pytest.raises(ConfigError, match="is for method linkage"):
        recut_clustering(ingested, name="gromos", new_name="no", n_clusters=3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs `cutoff`"),
        ({"n_clusters": 3}, "is for method linkage"),
        ({"cutoff": 0.1, "linkage_input": "rows"}, "is for method linkage"),
        ({"cutoff": 0.1, "label_order": "linkage"}, "is for method linkage"),
    ],
)
def test_gromos__is_refused_with_options_of_a_tree(ingested, options, words):
    with pytest.raises(ConfigError, match=words):
        cluster_subset(ingested, name="no", stride=10, method="gromos", **options)
    assert "no" not in Store.open(ingested).members("clusterings")


def test_recut__keeps_to_the_subset_of_before_an_append(tmp_path):
    import mdtraj as md

    from conftest import EXAMPLE

    top = EXAMPLE / "alanine-dipeptide.pdb"
    frames = md.load(EXAMPLE / "alanine-dipeptide.xtc", top=top)
    frames[:1000].save_xtc(tmp_path / "a.xtc")
    frames[1000:1500].save_xtc(tmp_path / "b.xtc")
    store = tmp_path / "s.zarr"
    ingest_trajectories(store, tmp_path / "a.xtc", top=top)
    cluster_subset(store, name="base", subset_frames=200, n_clusters=3)
    ingest_trajectories(store, [tmp_path / "b.xtc"], append=True)
    result = recut_clustering(store, name="base", new_name="finer", n_clusters=6)
    assert (result.n_pairs_computed, result.n_subset_frames) == (0, 200)
    scanned = scan_cuts(store, name="base", n_clusters=(2, 4))
    assert len(Store.open(store).members("subsets")) == 1
    assert scanned.sizes["cut"] == 3
    assign_frames(store, name="finer")
    with open_results(store, "finer") as results:
        assert results.sizes["frame"] == 1500
        assert (results.label.values > 0).all()
