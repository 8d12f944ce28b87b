"""Daura's clustering, against an independent brute force on the square matrix."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from twopass_store.linkage import choose_leaders, gromos, second_pass


def brute(square, cutoff):
    """Count, take out, count anew."""
    left, labels, label = list(range(len(square))), [0] * len(square), 0
    while left:
        label += 1
        centre = max(left, key=lambda i: (sum(square[i, j] < cutoff for j in left), -i))
        members = [j for j in left if square[centre, j] < cutoff]
        for j in members:
            labels[j] = label
        left = [j for j in left if j not in members]
    return labels


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_frames=st.integers(1, 40),
    cutoff=st.sampled_from([1e-3, 0.5, 1.0, 2.0, 3.0, 100.0]),
    ties=st.booleans(),
)
def test_gromos__equals_brute_force_with_ties(seed, n_frames, cutoff, ties):
    rng = np.random.default_rng(seed)
    xyz = rng.integers(0, 4, size=(n_frames, 2)) if ties else rng.normal(size=(n_frames, 3))
    condensed = pdist(xyz.astype(float)).astype(np.float32) if n_frames > 1 else np.empty(0, np.float32)
    square = squareform(condensed) if n_frames > 1 else np.zeros((1, 1), np.float32)
    labels, centres = gromos(condensed, cutoff=cutoff)
    assert labels[centres].tolist() == list(range(1, len(centres) + 1))
    assert labels.dtype == np.int32
    assert labels.tolist() == brute(square, np.float32(cutoff))
    leaders = choose_leaders(condensed, labels, method="centres", cutoff=cutoff)
    np.testing.assert_array_equal(leaders.subset_index, centres)
    np.testing.assert_array_equal(second_pass(condensed, leaders, within=cutoff)[0], labels)


def test_gromos__neighbours_are_nearer_than_the_cutoff_not_at_it():
    condensed = pdist(np.array([[0.0], [1.0], [2.0], [7.0]])).astype(np.float32)
    assert gromos(condensed, cutoff=1.0)[0].tolist() == [1, 2, 3, 4]
    assert gromos(condensed, cutoff=1.001)[0].tolist() == [1, 1, 1, 2]
