"""Medoids and leaders, against brute force on the square matrix."""

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from twopass_store.condensed import iter_rows
from twopass_store.errors import ConfigError
from twopass_store.linkage import (
    choose_leaders,
    choose_medoids,
)


class Sliced:
    """Distances that can only be sliced, as those on a disk; it remembers the longest slice."""

    def __init__(self, values):
        self._values, self.shape, self.longest = values, values.shape, 0

    def __getitem__(self, key):
        assert isinstance(key, slice)
        assert 0 <= key.start < key.stop <= self.shape[0]
        self.longest = max(self.longest, key.stop - key.start)
        return self._values[key].copy()


@pytest.fixture(scope="module")
def subset():
    rng = np.random.default_rng(3)
    xyz = np.repeat(rng.normal(size=(6, 5)) * 2, 15, axis=0) + rng.normal(size=(90, 5))
    condensed = pdist(rng.permutation(xyz)).astype(np.float32)
    labels = hierarchy.fcluster(hierarchy.linkage(condensed, "average"), 7, "maxclust")
    return condensed, squareform(condensed).astype(np.float64), labels


def by_label(leaders):
    count = int(leaders.label.max())
    return [leaders.subset_index[leaders.label == label].tolist() for label in range(1, count + 1)]


@pytest.mark.parametrize("block_pairs", [1, 7, 89, 1000, 10**6])
def test_iter_rows__does_not_depend_on_how_the_vector_is_sliced(subset, block_pairs):
    condensed, square, _ = subset
    source = Sliced(condensed)
    seen = [(index, row.copy()) for index, row in iter_rows(source, block_pairs=block_pairs)]
    assert [index for index, _ in seen] == list(range(89))
    for index, row in seen:
        np.testing.assert_array_equal(row, square[index, index + 1 :])
    assert source.longest <= block_pairs


def test_choose_medoids__takes_the_lowest_index_on_ties():
    assert choose_medoids(np.ones(15), np.array([2, 1, 2, 1, 2, 1])).tolist() == [1, 0]
    assert choose_medoids(np.empty(0), np.array([1])).tolist() == [0]


def test_choose_medoids__refuses_distances_that_were_never_computed(subset):
    condensed, _, labels = subset
    with pytest.raises(ConfigError, match="aren't finite"):
        choose_medoids(np.full_like(condensed, np.nan), labels)


def test_choose_leaders__draws_without_replacement_and_repeatably(subset):
    condensed, _, labels = subset
    firsts = set()
    for seed in range(20):
        draw = choose_leaders(condensed, labels, method="random", per_cluster=4, seed=seed)
        again = choose_leaders(condensed, labels, method="random", per_cluster=4, seed=seed)
        np.testing.assert_array_equal(draw.subset_index, again.subset_index)
        np.testing.assert_array_equal(labels[draw.subset_index], draw.label)
        assert len(set(draw.subset_index.tolist())) == draw.subset_index.size
        counts = np.bincount(labels)[1:]
        np.testing.assert_array_equal(np.bincount(draw.label)[1:], np.minimum(counts, 4))
        fewer = choose_leaders(condensed, labels, method="random", per_cluster=2, seed=seed)
        assert [each[:2] for each in by_label(draw)] == by_label(fewer)
        firsts.add(tuple(draw.subset_index.tolist()))
    assert len(firsts) == 20


def test_choose_leaders__needs_one_for_each_cluster(subset):
    condensed, _, labels = subset
    with pytest.raises(ConfigError, match=r"6 leaders.*7 clusters"):
        choose_leaders(condensed, labels, method="faithful", max_leaders=6)
