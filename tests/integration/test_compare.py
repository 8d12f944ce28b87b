"""`twopass compare`: a clustering against itself, against noise, and against what doesn't fit."""

import csv
import io
import json

import numpy as np
import pytest

from conftest import EXAMPLE
from twopass_store import assign_frames, cluster_subset, compare_labels, ingest_trajectories, open_results
from twopass_store.errors import ConfigError, StageIncompleteError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "s.zarr"
    ingest_trajectories(
        path, EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb", stride=4
    )
    cluster_subset(path, stride=4, n_clusters=4)
    cluster_subset(path, name="unassigned", stride=4, n_clusters=3)
    assign_frames(path, name="default", noise_cutoff="0.6A")
    return path


@pytest.fixture(scope="module")
def labels(store):
    with open_results(store, "default") as results:
        return results.label.values.astype(int)


def write_cpptraj(path, labels):
    rows = (f"{frame:8d} {label:8d}\n" for frame, label in enumerate(labels, 1))
    path.write_text("#Frame       Clust\n" + "".join(rows))
    return path


def test_itself_under_other_names__agrees_fully(store, labels, tmp_path):
    # cpptraj counts clusters from 0, and -1 is noise.
    other = write_cpptraj(tmp_path / "cnumvtime.dat", np.where(labels > 0, labels - 1, -1))
    found = compare_labels(store, other, "default")
    assert found.attrs["adjusted_rand"] == found.attrs["adjusted_rand_all"] == 1.0
    assert found.label.values.tolist() == [1, 2, 3, 4, -1]
    assert found.other_label.values.tolist() == [0, 1, 2, 3, -1]
    counts = np.bincount(labels[labels > 0], minlength=5)[1:]
    np.testing.assert_array_equal(found.n_frames.values[:-1, :-1], np.diag(counts))
    assert found.n_frames[-1, -1] == (labels < 0).sum() > 0
    assert found.n_frames[:-1, -1].sum() == 0


def test_table__counts_every_pair_of_labels(store, labels, tmp_path):
    rng = np.random.default_rng(0)
    other = np.where(rng.random(len(labels)) < 0.7, labels + 10, rng.integers(-1, 3, len(labels)))
    found = compare_labels(store, write_cpptraj(tmp_path / "other.dat", other), "default")
    noise = np.maximum(other, -1)
    assert set(found.other_label.values) == set(noise)
    for label in found.label.values:
        for one in found.other_label.values:
            count = ((labels == label) & (noise == one)).sum()
            assert found.n_frames.sel(label=label, other_label=one) == count
    assert all({"units", "long_name"} <= set(one.attrs) for one in found.variables.values())
    metrics = pytest.importorskip("sklearn.metrics")
    both = (labels >= 0) & (other >= 0)
    expected = metrics.adjusted_rand_score(labels[both], other[both])
    assert found.attrs["adjusted_rand"] == pytest.approx(expected)
    assert found.attrs["adjusted_rand_all"] == pytest.approx(metrics.adjusted_rand_score(labels, noise))


def test_another_number_of_frames__is_refused(store, labels, tmp_path):
    for n_labels in (len(labels) - 1, len(labels) + 1):
        other = write_cpptraj(tmp_path / "short.dat", np.resize(labels, n_labels))
        with pytest.raises(ConfigError, match=rf"labels of {n_labels:,} frames, and .* has 1,000 frames"):
            compare_labels(store, other, "default")
    with pytest.raises(StageIncompleteError, match="twopass assign"):
        compare_labels(store, other, "unassigned")


def test_command__prints_table_csv_and_json(store, labels, tmp_path, twopass):
    other = write_cpptraj(tmp_path / "cnumvtime.dat", np.where(labels > 2, 7, labels))
    arguments = ("compare", store, "--with", other, "--name", "default")
    text = twopass(*arguments).stdout
    found = compare_labels(store, other, "default")
    assert f"Adjusted Rand index {found.attrs['adjusted_rand']:.4f}" in text
    assert "\n      4 " in text
    rows = list(csv.DictReader(io.StringIO(twopass(*arguments, "--format", "csv").stdout)))
    assert sum(int(row["n_frames"]) for row in rows) == 1000
    found = json.loads(twopass(*arguments, "--format", "json").stdout)
    assert sum(row["n_frames"] for row in found["label_by_other_label"]) == 1000
    # As many clusters as frames don't fit on a line.
    other = write_cpptraj(tmp_path / "all.dat", np.arange(len(labels)))
    assert "more" in twopass("compare", store, "--with", other, "--name", "default").stdout


def test_column_of_something_else__is_refused_before_it_fills_the_memory(store, tmp_path, monkeypatch):
    monkeypatch.setattr("twopass_store.report.compare.MAX_CELLS", 900)
    other = tmp_path / "numbers.txt"
    np.savetxt(other, np.arange(1000) % 250, fmt="%d")
    with pytest.raises(ConfigError, match="250 different labels"):
        compare_labels(store, other, "default")
