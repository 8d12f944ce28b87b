"""First passes by other packages, on the stored distances: HDBSCAN and k-medoids."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import squareform

from conftest import EXAMPLE, command
from twopass_store import (
    TwoPassClustering,
    assign_frames,
    cluster_subset,
    export_structures,
    ingest_trajectories,
    open_results,
    recut_clustering,
)
from twopass_store.errors import ConfigError, FingerprintMismatchError
from twopass_store.linkage import adjusted_rand, kmedoids
from twopass_store.progress import Silent
from twopass_store.report import summarize

STRIDE = 12


class Notes(Silent):
    def __init__(self):
        self.lines = []

    def note(self, message):
        self.lines.append(message)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    store = tmp_path_factory.mktemp("methods") / "s.zarr"
    ingest_trajectories(store, EXAMPLE / "alanine-dipeptide.xtc", top=EXAMPLE / "alanine-dipeptide.pdb")
    return store


def numbered(labels):
    """Number clusters by their share; -1 stays."""
    known, counts = np.unique(labels[labels >= 0], return_counts=True)
    assert len(set(counts)) == len(counts), "a tie that the medoids decide"
    numbers = dict(zip(known[np.argsort(-counts)].tolist(), range(1, len(known) + 1), strict=True))
    return np.array([numbers.get(label, -1) for label in labels.tolist()])


def test_hdbscan__labels_are_scikit_learns_and_noise_leads_nothing(ingested, tmp_path):
    cluster = pytest.importorskip("sklearn.cluster")
    notes, options = Notes(), {"stride": STRIDE, "method": "hdbscan", "min_cluster_size": 10}
    result = cluster_subset(ingested, name="h", min_samples=4, progress=notes, **options)
    with open_results(ingested, "h") as results:
        labels, frames = results.subset_label.values, results.subset_frame.values
        square = squareform(results.rmsd.values.astype(np.float64))
        leaders = results.leader_frame.values
    model = cluster.HDBSCAN(min_cluster_size=10, min_samples=4, metric="precomputed", copy=True)
    np.testing.assert_array_equal(labels, numbered(model.fit(square).labels_))
    is_noise = labels == -1
    assert 0 < result.n_subset_noise == is_noise.sum() < len(labels)
    assert result.n_clusters == labels.max() >= 2
    index = np.searchsorted(frames, leaders)
    assert not is_noise[index].any()

    nearest = square[:, index].min(axis=1)
    right = labels == labels[index][square[:, index].argmin(axis=1)]
    assert result.faithfulness == pytest.approx(right[~is_noise].mean())
    (warned,) = (line for line in notes.lines if "noise" in line)
    assert f"{is_noise.sum()} of {len(labels)} subset frames" in warned
    cutoff = float(warned.partition("at ")[2].split()[0])
    assert nearest[~is_noise].max() <= cutoff < nearest[~is_noise].max() + 2e-4
    assert f"{(nearest[is_noise] > cutoff).sum()} of the noise frames" in warned

    assign_frames(ingested, name="h", noise_cutoff=cutoff)
    with open_results(ingested, "h") as results:
        again = results.label.values[frames]
    assert (again[~is_noise] > 0).all()
    summary = summarize(ingested, "h", convergence=True)
    assert summary.attrs["recovered_share"] == pytest.approx(right[~is_noise].mean())
    assert summary.attrs["n_subset_noise"] == is_noise.sum()
    assert summary["n_subset_frames"].values.tolist() == np.bincount(labels[~is_noise])[1:].tolist()
    sizes = np.bincount(labels[~is_noise])[1:] / len(labels)
    np.testing.assert_allclose(summary["stride_share"].values[0], sizes)
    written = export_structures(ingested, tmp_path / "r.pdb", name="h", by="run", representatives=2)
    assert written.n_frames == 2 * result.n_clusters

    noise = frames[is_noise][:1].tolist()
    with pytest.raises(ConfigError, match="in no cluster"):
        cluster_subset(ingested, name="x", min_samples=4, leader_frames=noise, **options)
    with pytest.raises(ConfigError, match="is for method linkage or kmedoids, not hdbscan"):
        recut_clustering(ingested, name="h", new_name="x", n_clusters=3)


def test_kmedoids__labels_and_medoids_are_the_packages(ingested):
    package = pytest.importorskip("kmedoids")
    options = {"stride": STRIDE, "method": "kmedoids", "name": "k"}
    result = cluster_subset(ingested, n_clusters=5, seed=3, **options)
    with open_results(ingested, "k") as results:
        square, labels = squareform(results.rmsd.values), results.subset_label.values
        medoids = results.medoid_frame.values
        positions = results.position.values[:, results.selected_atom_index.values]
    expected = package.fasterpam(square, 5, random_state=3, n_cpu=1)
    np.testing.assert_array_equal(labels, numbered(expected.labels))
    assert sorted(medoids.tolist()) == sorted((STRIDE * expected.medoids).tolist())
    assert result.n_subset_noise == 0
    with pytest.raises(FingerprintMismatchError, match="seed"):
        cluster_subset(ingested, n_clusters=5, seed=4, **options)
    assert recut_clustering(ingested, name="k", new_name="k3", n_clusters=3).n_clusters == 3
    model = TwoPassClustering(n_clusters=5, stride=STRIDE, method="kmedoids", seed=3).fit(positions)
    assert adjusted_rand(model.subset_labels_, labels) == 1.0
    assign_frames(ingested, name="k")
    assert "n_subset_noise" in summarize(ingested, "k").attrs


def test_kmedoids__medoids_that_coincide_make_one_cluster():
    package = pytest.importorskip("kmedoids")
    points = np.array([0.0, 0.0, 0.0, 5.0, 5.0], np.float32)
    square = np.abs(points[:, None] - points)
    labels, medoids = kmedoids(squareform(square), n_clusters=4, seed=0)
    expected = package.fasterpam(square, 4, random_state=0, n_cpu=1)
    assert adjusted_rand(labels, expected.labels) == 1.0
    assert sorted(set(labels.tolist())) == list(range(1, len(medoids) + 1))
    assert labels[medoids].tolist() == list(range(1, len(medoids) + 1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "hdbscan", "cutoff": 0.1}, "`cutoff` is for method linkage or gromos, not hdbscan"),
        ({"method": "hdbscan", "label_order": "linkage"}, "is for method linkage, not hdbscan"),
        ({"method": "hdbscan", "min_cluster_size": 100_000}, "100000 frames are asked for"),
        ({"method": "hdbscan", "min_cluster_size": 300}, "all 334 frames are noise"),
        ({"method": "kmedoids"}, "needs `n_clusters`"),
        ({"method": "kmedoids", "n_clusters": "auto"}, "needs `n_clusters`"),
        ({"n_clusters": 3, "min_samples": 3}, "is for method hdbscan, not linkage"),
    ],
)
def test_methods__refuse_what_they_cannot_do(ingested, options, words):
    if options.get("method") == "hdbscan":
        pytest.importorskip("sklearn")
    with pytest.raises(ConfigError, match=words):
        cluster_subset(ingested, name="no", stride=STRIDE, **options)


def test_methods__name_the_package_that_is_missing(ingested, monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("twopass_store.cluster.methods.distribution", missing)
    with pytest.raises(ConfigError, match="needs scikit-learn, which isn't installed: pip install"):
        cluster_subset(ingested, name="no", stride=STRIDE, method="hdbscan")


def test_kmedoids__ends_with_its_command_while_the_package_is_busy(ingested, tmp_path):
    pytest.importorskip("kmedoids")
    busy = tmp_path / "busy"
    # In C code that never looks at signals, nor lets another thread run.
    (tmp_path / "kmedoids.py").write_text(
        "import ctypes\n"
        "def fasterpam(*_, **__):\n"
        f"    open({str(busy)!r}, 'w').close()\n"
        "    ctypes.PyDLL(None).sleep(60)\n"
    )
    arguments = ["cluster", ingested, "--name", "busy", "--stride", "20"]
    arguments += ["--method", "kmedoids", "--n-clusters", "3"]
    process = subprocess.Popen(
        [command(), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    )
    for _ in range(3000):
        if busy.exists() or process.poll() is not None:
            break
        time.sleep(0.02)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    for _ in range(250):
        if not Path(f"/proc/{child}").exists() or "State:\tZ" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.02)
    pytest.fail("the process of kmedoids lives on")
