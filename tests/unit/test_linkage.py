"""Linkages and cuts: the worked example, small cases, refusals, memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from twopass_store.config import LINKAGE_METHODS
from twopass_store.errors import ConfigError
from twopass_store.linkage import (
    cut,
    link_in_place,
    link_rows,
    linkage_bytes,
    suggest_n_clusters,
)

ALA2 = Path(__file__).parents[2].parent / "shared" / "data" / "ala2.h5"
EXAMPLE_LABELS = [2, 3, 3, 3, 1, 1, 3, 2, 1, 2, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1]


def points(n_frames, n_dimensions=12, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(4, n_dimensions)) * 2
    return centres[rng.integers(0, 4, n_frames)] + rng.normal(size=(n_frames, n_dimensions))


def assert_same_tree(linkage, expected):
    np.testing.assert_array_equal(linkage[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    np.testing.assert_allclose(linkage[:, 2], expected[:, 2], rtol=0, atol=1e-12)


def kabsch_rmsd(a, b):
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, values, vt = np.linalg.svd(a.T @ b)
    values[-1] *= np.sign(np.linalg.det(u @ vt))
    return np.sqrt(max(0.0, (a**2).sum() + (b**2).sum() - 2 * values.sum()) / len(a))


@pytest.fixture(scope="module")
def example_rmsd():
    if not ALA2.exists():
        pytest.skip(f"the worked example's trajectory isn't at {ALA2}")
    md = pytest.importorskip("mdtraj")
    xyz = md.load(str(ALA2), stride=5).xyz.astype(np.float64)
    return np.array([kabsch_rmsd(xyz[i], xyz[j]) for i in range(20) for j in range(i + 1, 20)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_link_rows__gives_the_labels_of_the_worked_example(example_rmsd, dtype):
    linkage = link_rows(example_rmsd.astype(dtype), method="ward")
    assert cut(linkage, n_clusters=3).tolist() == EXAMPLE_LABELS


def test_link_in_place__differs_from_the_worked_example_in_one_frame(example_rmsd):
    labels = cut(link_in_place(example_rmsd.copy(), method="ward"), n_clusters=3)
    assert np.flatnonzero(labels != EXAMPLE_LABELS).tolist() == [14]


@pytest.mark.parametrize("method", LINKAGE_METHODS)
@pytest.mark.parametrize("n_frames", [2, 3, 500])
def test_link_in_place__equals_scipy_for_float32_distances(method, n_frames):
    condensed = pdist(points(n_frames)).astype(np.float32).astype(np.float64)
    expected = hierarchy.linkage(condensed, method)
    assert_same_tree(link_in_place(condensed, method=method), expected)


@pytest.mark.parametrize("method", LINKAGE_METHODS)
@pytest.mark.parametrize("n_frames", [2, 3, 400])
def test_link_rows__equals_scipy_on_the_square_matrix(method, n_frames):
    condensed = pdist(points(n_frames)).astype(np.float32)
    square = squareform(condensed.astype(np.float64))
    expected = hierarchy.linkage(pdist(square), method)
    before = condensed.copy()
    for n_threads in (1, 3):
        linkage = link_rows(condensed, method=method, n_threads=n_threads)
        assert_same_tree(linkage, expected)
    np.testing.assert_array_equal(condensed, before)


@pytest.mark.parametrize("method", LINKAGE_METHODS)
def test_link__of_one_frame_is_empty(method):
    assert link_in_place(np.empty(0), method=method).shape == (0, 4)
    assert link_rows(np.empty(0, dtype=np.float32), method=method).shape == (0, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.1, 1e200])
def test_link__refuses_distances_that_are_none(value):
    condensed = pdist(points(5))
    condensed[3] = value
    for link in (link_in_place, link_rows):
        with pytest.raises(ConfigError, match="finite and not negative"):
            link(condensed.copy(), method="average")


def test_link__refuses_impossible_lengths():
    for link in (link_in_place, link_rows):
        with pytest.raises(ConfigError, match=r"n \(n - 1\) / 2 pairs"):
            link(np.zeros(4), method="ward")
        with pytest.raises(ConfigError, match="one dimension"):
            link(np.zeros((3, 3)), method="ward")


def run_measured(code):
    """Run code in a fresh interpreter and return what it prints: the growth of peak memory in bytes."""
    prelude = """
import re, numpy as np
from pathlib import Path
from twopass_store.linkage import link_in_place, link_rows
def status(key):
    return 1024 * int(re.search(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
# Whatever is loaded or made on first use belongs to the libraries.
for method in ("average", "centroid", "single"):
    link_rows(np.random.default_rng(0).random(45).astype("f4"), method=method, n_threads=2)
before = status("VmRSS")
"""
    child = prelude + code + '\nprint(status("VmHWM") - before)'
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    return int(done.stdout)


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")


@needs_proc
@pytest.mark.parametrize("method", ["average", "centroid"])
def test_link_in_place__needs_little_more_than_its_input(method):
    n_frames = 4000
    n_pairs = n_frames * (n_frames - 1) // 2
    growth = run_measured(f"""
condensed = np.empty({n_pairs})
np.random.default_rng(0).random(out=condensed)
link_in_place(condensed, method={method!r})""")
    assert growth < 1.3 * 8 * n_pairs
    assert growth < linkage_bytes(n_frames, rows=False)


@needs_proc
def test_link_rows__stays_within_its_projection():
    n_frames = 2500
    n_pairs = n_frames * (n_frames - 1) // 2
    growth = run_measured(f"""
condensed = np.random.default_rng(0).random({n_pairs}, dtype=np.float32)
link_rows(condensed, method="ward", n_threads=2)""")
    projected = linkage_bytes(n_frames, rows=True, n_threads=2)
    assert growth < projected
    # Less than the square matrix and the distances between its rows, which scipy holds.
    assert projected < 8 * n_frames**2 + 8 * n_pairs


@pytest.mark.parametrize("method", LINKAGE_METHODS)
def test_cut__equals_fcluster(method):
    linkage = hierarchy.linkage(pdist(points(60)), method)
    for n_clusters in (1, 2, 3, 7, 59, 60):
        labels = cut(linkage, n_clusters=n_clusters)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, hierarchy.fcluster(linkage, n_clusters, "maxclust"))
        assert labels.max() <= n_clusters
    for cutoff in (0.0, *np.quantile(linkage[:, 2], [0.2, 0.8, 1.0])):
        expected = hierarchy.fcluster(linkage, cutoff, "distance")
        np.testing.assert_array_equal(cut(linkage, cutoff=cutoff), expected)


def test_suggest_n_clusters__finds_the_clusters_that_are_there():
    rng = np.random.default_rng(1)
    centres = np.array([[0, 0], [10, 0], [0, 11], [12, 13], [30, 30.0]])
    xy = np.repeat(centres, 12, axis=0) + rng.normal(size=(60, 2)) * 0.1
    linkage = hierarchy.linkage(pdist(xy), "average")
    assert 5 in [each.n_clusters for each in suggest_n_clusters(linkage)]


@pytest.mark.parametrize("method", LINKAGE_METHODS)
def test_suggest_n_clusters__gives_cutoffs_that_cut_as_promised(method):
    linkage = hierarchy.linkage(pdist(points(80)), method)
    suggestions = suggest_n_clusters(linkage, count=30, largest=30)
    assert len(suggestions) > 5
    for each in suggestions:
        assert cut(linkage, cutoff=each.cutoff).max() == each.n_clusters
        assert cut(linkage, n_clusters=each.n_clusters).max() == each.n_clusters
