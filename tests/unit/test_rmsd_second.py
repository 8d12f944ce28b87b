"""The nearest leader of another label, against all distances by float64 Kabsch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distances import rmsd_to_leaders
from kabsch import kabsch_matrix
from twopass_store.errors import ConfigError, TopologyMismatchError
from twopass_store.rmsd import Metric, nearest_leaders, nearest_other_leaders, prepare_leaders

PROFILE = settings(deadline=None, max_examples=40, derandomize=True)


def structures(seed, n_frames, n_leaders, n_atoms):
    rng = np.random.default_rng(seed)
    leaders = rng.normal(size=(n_leaders, n_atoms, 3)).astype(np.float32)
    frames = leaders[rng.integers(n_leaders, size=n_frames)] + rng.normal(size=(n_frames, n_atoms, 3)) * 0.5
    return frames.astype(np.float32), leaders


@PROFILE
@given(
    seed=st.integers(0, 2**32 - 1),
    n_frames=st.integers(1, 70),
    n_leaders=st.integers(1, 70),
    n_labels=st.integers(1, 5),
)
def test_nearest_other__is_the_least_distance_among_other_labels(seed, n_frames, n_leaders, n_labels):
    frames, leaders = structures(seed, n_frames, n_leaders, 6)
    rng = np.random.default_rng(seed)
    leader_label = rng.integers(1, n_labels + 1, size=n_leaders).astype(np.int32)
    label = rng.integers(1, n_labels + 1, size=n_frames).astype(np.int32)
    label[rng.random(n_frames) < 0.1] = -1
    distances = kabsch_matrix(frames, leaders)
    distances[leader_label == label[:, np.newaxis]] = np.inf
    expected = distances.min(axis=1)
    is_found = np.isfinite(expected) & (label >= 0)

    found = nearest_other_leaders(frames, prepare_leaders(leaders), leader_label, label)
    assert (found.index[~is_found] == -1).all()
    assert np.isnan(found.rmsd[~is_found]).all()
    np.testing.assert_array_equal(found.index[is_found], distances.argmin(axis=1)[is_found])
    np.testing.assert_allclose(found.rmsd[is_found], expected[is_found], atol=1e-6)


@PROFILE
@given(
    seed=st.integers(0, 2**32 - 1),
    n_leaders=st.integers(1, 70),
    is_collinear=st.booleans(),
    fit=st.booleans(),
)
def test_first_within__is_strictly_below_as_the_distances_in_float32_are(seed, n_leaders, is_collinear, fit):
    frames, leaders = structures(seed, 40, n_leaders, 6)
    if is_collinear:
        frames[..., 1:] = leaders[..., 1:] = 0
    frames[3, 2, 1] = np.nan
    prepared = prepare_leaders(leaders, Metric(fit=fit))
    distances, nearest = rmsd_to_leaders(frames, prepared), nearest_leaders(frames, prepared)
    # A cutoff that is the distance of a pair.
    cutoff = distances[seed % 3, seed % n_leaders]
    found = nearest_leaders(frames, prepared, first_within=float(cutoff))
    near = distances < cutoff
    expected = np.where(near.any(axis=1), near.argmax(axis=1), nearest.index)
    np.testing.assert_array_equal(found.index, expected)
    np.testing.assert_array_equal(
        found.rmsd[found.index >= 0], distances[np.arange(40), expected][found.index >= 0]
    )


@pytest.mark.parametrize("metric", [Metric(), Metric(fit=False), Metric(weights=np.arange(1.0, 8.0))])
def test_nearest_other__is_that_of_the_other_leaders_alone_by_any_metric(metric):
    frames, leaders = structures(1, 300, 50, 7)
    leader_label = np.repeat(np.arange(1, 11, dtype=np.int32), 5)
    prepared = prepare_leaders(leaders, metric)
    nearest = nearest_leaders(frames, prepared)
    label = leader_label[nearest.index]
    found = nearest_other_leaders(frames, prepared, leader_label, label)
    for own in range(1, 11):
        others = np.flatnonzero(leader_label != own)
        alone = nearest_leaders(frames[label == own], prepare_leaders(leaders[others], metric))
        np.testing.assert_array_equal(found.index[label == own], others[alone.index])
        np.testing.assert_array_equal(found.rmsd[label == own], alone.rmsd)
    assert (found.rmsd >= nearest.rmsd).all()


def test_nearest_other__of_a_frame_that_is_not_finite_is_none():
    frames, leaders = structures(2, 20, 4, 5)
    frames[7, 2, 1] = np.nan
    found = nearest_other_leaders(frames, prepare_leaders(leaders), [1, 1, 2, 2], np.ones(20))
    assert found.index[7] == -1
    assert np.isnan(found.rmsd[7])
    assert np.delete(found.index, 7).min() >= 2


def test_nearest_other__refuses_labels_that_do_not_fit():
    frames, leaders = structures(4, 5, 3, 5)
    prepared = prepare_leaders(leaders)
    with pytest.raises(ConfigError, match="one label for each"):
        nearest_other_leaders(frames, prepared, [1, 2], np.ones(5))
    with pytest.raises(ConfigError, match="one label for each"):
        nearest_other_leaders(frames, prepared, [1, 2, 3], np.ones(4))
    with pytest.raises(TopologyMismatchError):
        nearest_other_leaders(frames[:, :4], prepared, [1, 2, 3], np.ones(5))
