"""Linkages equal scipy's, ties included, and leaders are what brute force finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from twopass_store.linkage import (
    choose_leaders,
    cut,
    link_in_place,
    second_pass,
)

modest = settings(derandomize=True, max_examples=60, deadline=None)


TIES_BREAK_AS_SCIPYS = ("complete", "single", "weighted")


@st.composite
def condensed_distances(draw):
    """Few to many frames, with anything from no tie to nothing but ties."""
    n_frames = draw(st.integers(2, 40))
    n_pairs = n_frames * (n_frames - 1) // 2
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = ["plain", "whole", "grid", "duplicates", "rounded", "zero", "any"]
    kind = draw(st.sampled_from(kinds))
    if kind == "whole":
        return rng.integers(0, draw(st.integers(1, 30)), n_pairs).astype(np.float64)
    if kind == "grid":
        return pdist(rng.integers(0, 4, size=(n_frames, 2)).astype(np.float64))
    if kind == "duplicates":
        return pdist(rng.normal(size=(n_frames, 3))[rng.integers(0, n_frames, n_frames)])
    if kind == "rounded":
        return np.round(pdist(rng.normal(size=(n_frames, 6))) * 0.1, 2)
    if kind == "zero":
        return np.zeros(n_pairs)
    if kind == "any":
        values = st.floats(0, 10, width=32, allow_subnormal=False).filter(lambda v: v == 0 or v > 1e-9)
        return draw(hnp.arrays(np.float64, n_pairs, elements=values))
    return pdist(rng.normal(size=(n_frames, 9))).astype(np.float32).astype(np.float64)


def assert_same_tree(linkage, expected):
    np.testing.assert_array_equal(linkage[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    np.testing.assert_allclose(linkage[:, 2], expected[:, 2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", TIES_BREAK_AS_SCIPYS)
@modest
@given(condensed=condensed_distances())
def test_link_in_place__equals_scipy_with_ties(method, condensed):
    expected = hierarchy.linkage(condensed, method)
    assert_same_tree(link_in_place(condensed, method=method), expected)


@modest
@given(condensed=condensed_distances(), n_clusters=st.integers(1, 6), per_cluster=st.integers(1, 5))
def test_leaders__equal_brute_force_with_ties(condensed, n_clusters, per_cluster):
    # Sums of float32 distances of this size are exact in float64, so that ties are ties.
    condensed = condensed.astype(np.float32)
    square = squareform(condensed).astype(np.float64)
    linkage = hierarchy.linkage(condensed, "average")
    labels = cut(linkage, n_clusters=min(n_clusters, len(square)))
    leaders = choose_leaders(condensed, labels, method="medoid", per_cluster=per_cluster, seed=0)
    expected = []
    for label in range(1, labels.max() + 1):
        members = np.flatnonzero(labels == label)
        own = [int(members[square[np.ix_(members, members)].sum(axis=1).argmin()])]
        while len(own) < min(per_cluster, members.size):
            rest = [int(m) for m in members if m not in own]
            own.append(max(rest, key=lambda m: (square[m, own].min(), -m)))
        expected += own
    assert leaders.subset_index.tolist() == expected
    nearest = square[:, leaders.subset_index].argmin(axis=1)
    np.testing.assert_array_equal(second_pass(condensed, leaders)[0], leaders.label[nearest])
