"""The scan of cuts: what it stores, prints, draws and suggests."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
import xarray as xr

from twopass_store import cluster_subset, ingest_trajectories, open_results, scan_cuts
from twopass_store.cluster.judge import suggest
from twopass_store.errors import ConfigError, MemoryBudgetError, StageIncompleteError
from twopass_store.linkage import CutQuality, assess_cuts, cut
from twopass_store.report import plot_scan, store_status
from twopass_store.store import Store


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    from conftest import EXAMPLE

    store = tmp_path_factory.mktemp("scan") / "s.zarr"
    ingest_trajectories(store, EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    return store


def test_scan__gives_figures_with_units_and_keeps_them(ingested):
    scan = scan_cuts(ingested, stride=10, n_clusters=(2, 9), linkage=["average", "ward"])
    assert scan.sizes == {"linkage": 2, "cut": 8}
    assert scan.n_clusters.values.tolist() == list(range(2, 10))
    for variable in scan.data_vars.values():
        assert variable.attrs["units"] == "1"
        assert variable.attrs["long_name"]
    assert (scan.smallest_cluster <= scan.largest_cluster).all()
    assert ((scan.stability > 0) & (scan.stability <= 1)).all()

    # What a clustering of the same tree then has, the figures say.
    clustered = cluster_subset(ingested, name="five", stride=10, n_clusters=5, linkage="ward")
    assert clustered.n_pairs_computed == 0
    with open_results(ingested, "five") as results:
        labels = results.subset_label.values
        found = assess_cuts(results.rmsd.values, [labels])[0]
    ward = scan.sel(linkage="ward").isel(cut=3)
    assert ward.silhouette.item() == pytest.approx(found.silhouette)
    assert ward.pseudo_f.item() == pytest.approx(found.pseudo_f)
    assert ward.largest_cluster.item() == np.bincount(labels).max()

    before = {file: file.stat().st_mtime_ns for file in ingested.rglob("*")}
    left = ingested.with_name("s.zarr.lock")
    left.mkdir()  # by a process that is dead
    again = scan_cuts(ingested, name="five", n_clusters="2:9", linkage=["average", "ward"])
    assert {file: file.stat().st_mtime_ns for file in ingested.rglob("*")} == before
    assert not left.exists()
    xr.testing.assert_identical(again, scan)
    tree = xr.open_datatree(ingested, engine="zarr", consolidated=False)
    stored = [group for group in tree["scans"].children.values() if group.sizes["cut"] == 8]
    assert len(stored) == 2
    assert any(stage.stage.startswith("scan-") and stage.complete for stage in store_status(ingested).stages)


def test_auto__takes_the_suggestion(ingested):
    scan = scan_cuts(ingested, stride=20, linkage=["complete"])
    result = cluster_subset(ingested, name="auto", stride=20, n_clusters="auto", linkage="complete")
    assert result.n_clusters == scan.suggested_n_clusters.item()
    assert result.n_clusters_reason == scan.suggestion_reason.item()
    with open_results(ingested, "auto") as results:
        assert results.attrs["n_clusters_asked"] == result.n_clusters
        labels = cut(results.linkage.values, n_clusters=result.n_clusters)
        np.testing.assert_array_equal(results.subset_label.values, labels)
    assert cluster_subset(
        ingested, name="auto", stride=20, n_clusters="auto", linkage="complete"
    ).was_complete


def quality(n_clusters, silhouette, largest_share=0.5):
    return CutQuality(n_clusters, silhouette, 1.0, 1.0, 0.5, 1, 50, largest_share)


def test_suggestion__is_stable_and_more_than_outliers():
    cuts = [quality(2, 0.9, 0.99), quality(3, 0.7), quality(4, 0.6), quality(5, 0.5)]
    best = suggest([2, 3, 4, 5], cuts, [1.0, 0.5, 0.85, 0.9])
    assert best.n_clusters == 4
    assert "highest silhouette, 0.60" in best.reason
    assert "95%" in best.reason
    # Where none is stable, the best of those that come near.
    best = suggest([2, 3, 4, 5], cuts, [np.nan, 0.5, 0.52, 0.1])
    assert best.n_clusters == 3
    assert "though none is" in best.reason
    # Where all part outliers, any may be taken.
    assert suggest([2], cuts[:1], [0.9]).n_clusters == 2


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"n_clusters": "2-9"}, ConfigError, "write it like 2:30"),
        ({"n_clusters": "1:9"}, ConfigError, "at least 2"),
        ({"n_clusters": "9:2"}, ConfigError, "no smaller"),
        ({"n_clusters": "2:900"}, ConfigError, "400 frames"),
        ({"linkage": ["upgma"]}, ConfigError, "linkage"),
        ({"name": "nobody", "stride": None}, StageIncompleteError, "nobody"),
        ({"name": "nobody"}, ConfigError, "leave out"),
        ({"memory": "301MiB"}, MemoryBudgetError, "301MiB"),
    ],
)
def test_what_does_not_fit__is_refused(ingested, options, kind, words):
    with pytest.raises(kind, match=words):
        scan_cuts(ingested, **{"stride": 10, "n_clusters": "2:5", **options})


def test_auto__needs_enough_frames_and_goes_with_no_cutoff(ingested):
    with pytest.raises(ConfigError, match="halves of the subset, which has 2 frames"):
        cluster_subset(ingested, name="no", stride=2000, n_clusters="auto")
    with pytest.raises(ConfigError, match="exclude each other"):
        cluster_subset(ingested, name="no", stride=10, n_clusters="auto", cutoff=0.1)
    assert "no" not in Store.open(ingested).members("clusterings")


def test_command__prints_a_table_csv_json_and_draws(ingested, twopass, tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(ingested, tmp_path / "s.zarr")
    arguments = ("scan", "s.zarr", "--stride", 10, "--n-clusters", "2:6")
    text = twopass(*arguments, "--plot", "cuts.png").stdout
    assert (tmp_path / "cuts.png").read_bytes().startswith(b"\x89PNG")
    scan = scan_cuts(tmp_path / "s.zarr", stride=10, n_clusters="2:6")
    suggested = scan.suggested_n_clusters.item()
    assert f"Suggested: {suggested} clusters, {scan.suggestion_reason.item()}." in text
    assert f"cophenetic correlation {scan.cophenetic_correlation.item():.3f}" in text
    rows = list(csv.DictReader(io.StringIO(twopass(*arguments, "--format", "csv").stdout)))
    assert [int(row["n_clusters"]) for row in rows] == [2, 3, 4, 5, 6]
    for row, value in zip(rows, scan.silhouette.values[0], strict=True):
        assert float(row["silhouette"]) == value
    found = json.loads(twopass(*arguments, "--format", "json").stdout)
    assert found["linkages"][0]["suggested_n_clusters"] == suggested
    assert len(found["cuts"]) == 5
    assert "'text', 'csv', 'json'" in twopass(*arguments, "--format", "xml", code=2).stderr
    with pytest.raises(ConfigError, match="no such format"):
        plot_scan(scan, tmp_path / "cuts.doc")
    # What can't be drawn is told before what takes time.
    told = twopass("scan", "s.zarr", "--stride", 11, "--plot", "cuts.doc", code=2).stderr
    assert "no such format" in told
    assert "first pass" not in told


def test_command__auto_says_why(ingested, twopass, tmp_path):
    shutil.copytree(ingested, tmp_path / "s.zarr")
    said = twopass("cluster", "s.zarr", "--stride", 20, "--n-clusters", "auto", "--name", "a").stdout
    assert "So many since they have the highest silhouette" in said
    refused = twopass("cluster", "s.zarr", "--stride", 20, "--n-clusters", "many", "--name", "b", code=2)
    assert "--n-clusters" in refused.stderr
