"""Figures of cuts, each against an independent one: scikit-learn, scipy, or the definition on the matrix."""

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from twopass_store.linkage import (
    adjusted_rand,
    assess_cuts,
    choose_medoids,
    cophenetic_correlation,
    cut,
    stability_of_cuts,
)

metrics = pytest.importorskip("sklearn.metrics")

RANGE = range(1, 13)


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(5)
    return np.repeat(rng.normal(size=(5, 4)) * 3, 24, axis=0) + rng.normal(size=(120, 4))


@pytest.fixture(scope="module", params=["average", "single"])
def judged(request, points):
    condensed = pdist(points).astype(np.float32)
    linkage = hierarchy.linkage(condensed.astype(np.float64), request.param)
    cuts = [cut(linkage, n_clusters=wanted) for wanted in RANGE]
    return condensed, squareform(condensed).astype(np.float64), cuts, assess_cuts(condensed, cuts)


def test_silhouette__equals_scikit_learns(judged):
    _, square, cuts, figures = judged
    for labels, found in zip(cuts[1:], figures[1:], strict=True):
        expected = metrics.silhouette_score(square, labels, metric="precomputed")
        assert found.silhouette == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_pseudo_f_and_ssr_sst__equal_those_about_the_means_of_vectors(judged, points):
    _, _, cuts, figures = judged
    for labels, found in zip(cuts[1:], figures[1:], strict=True):
        assert found.pseudo_f == pytest.approx(metrics.calinski_harabasz_score(points, labels), rel=1e-5)
        total = ((points - points.mean(axis=0)) ** 2).sum()
        means = np.array([points[labels == label].mean(axis=0) for label in labels])
        between = ((means - points.mean(axis=0)) ** 2).sum()
        assert found.ssr_sst == pytest.approx(between / total, rel=1e-5)


def test_davies_bouldin__is_what_its_definition_says_of_medoids(judged):
    condensed, square, cuts, figures = judged
    for labels, found in zip(cuts[1:], figures[1:], strict=True):
        medoids = choose_medoids(condensed, labels)
        spread = [square[m, labels == k].mean() for k, m in enumerate(medoids, start=1)]
        n = len(medoids)
        worst = [
            max((spread[a] + spread[b]) / square[medoids[a], medoids[b]] for b in range(n) if b != a)
            for a in range(n)
        ]
        assert found.davies_bouldin == pytest.approx(np.mean(worst), rel=1e-6)


def test_sizes__are_counted_and_one_cluster_has_no_figures(judged):
    _, _, cuts, figures = judged
    for labels, found in zip(cuts, figures, strict=True):
        counts = np.bincount(labels)[1:]
        sizes = (counts.size, counts.min(), counts.max(), counts.max() / 120)
        assert (found.n_clusters, found.smallest, found.largest, found.largest_share) == sizes
    one = figures[0]
    assert np.isnan([one.silhouette, one.davies_bouldin, one.pseudo_f]).all()
    assert one.ssr_sst == pytest.approx(0, abs=1e-12)


def test_figures__do_not_need_nested_cuts(judged):
    condensed, _, cuts, figures = judged
    other = np.random.default_rng(0).integers(1, 4, 120).astype(np.int32)
    together = assess_cuts(condensed, [cuts[4], other])
    assert together[0].silhouette == pytest.approx(figures[4].silhouette)
    assert together[1].pseudo_f == pytest.approx(assess_cuts(condensed, [other])[0].pseudo_f)
    assert assess_cuts(condensed, []) == []


@pytest.mark.parametrize("method", ["average", "centroid"])
def test_cophenetic_correlation__equals_scipys(points, method):
    condensed = pdist(points).astype(np.float32)
    linkage = hierarchy.linkage(condensed.astype(np.float64), method)
    expected, _ = hierarchy.cophenet(linkage, condensed.astype(np.float64))
    assert cophenetic_correlation(condensed, linkage) == pytest.approx(expected, rel=1e-9)


def test_cophenetic_correlation__is_undefined_without_spread():
    linkage = hierarchy.linkage(np.ones(6), "average")
    assert np.isnan(cophenetic_correlation(np.ones(6, np.float32), linkage))
    assert np.isnan(cophenetic_correlation(np.ones(1, np.float32), hierarchy.linkage([1.0], "average")))


@pytest.mark.parametrize("seed", range(2))
def test_adjusted_rand__equals_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(1, 6, 200)
    second = np.where(rng.random(200) < 0.3, rng.integers(1, 9, 200), first)
    assert adjusted_rand(first, second) == pytest.approx(metrics.adjusted_rand_score(first, second))
    assert adjusted_rand(first, first) == 1.0
    assert adjusted_rand(np.ones(5, int), np.ones(5, int)) == 1.0


@pytest.mark.parametrize("rows", [False, True])
def test_stability__compares_halves_by_their_nearest_frames(points, rows):
    shuffled = np.random.default_rng(1).permutation(points)
    condensed = pdist(shuffled).astype(np.float32)
    square = squareform(condensed)
    found = stability_of_cuts(condensed, method="average", rows=rows, n_clusters=[1, 2, 5, 9, 61])
    expected = []
    for wanted in (2, 5, 9):
        labels = {}
        for half in (0, 1):
            part = square[half::2, half::2].astype(np.float64)
            linked = pdist(part) if rows else squareform(part)
            labels[half] = hierarchy.fcluster(hierarchy.linkage(linked, "average"), wanted, "maxclust")
        sides = []
        for half in (0, 1):
            nearest = square[half::2, 1 - half :: 2].argmin(axis=1)
            sides.append(metrics.adjusted_rand_score(labels[half], labels[1 - half][nearest]))
        expected.append(np.mean(sides))
    assert found[1:4] == pytest.approx(expected)
    assert np.isnan(found[0])
    assert np.isnan(found[4])
