"""Faithful leaders, and how often the second pass brings labels back, against brute force."""

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from twopass_store.linkage import (
    choose_leaders,
    choose_medoids,
    halves,
    held_out_labels,
    measure_faithfulness,
    number_by_share,
    second_pass,
)


def subset(seed, n_frames=120, n_clusters=5, method="ward"):
    rng = np.random.default_rng(seed)
    xyz = np.repeat(rng.normal(size=(6, 3)), n_frames // 6, axis=0) + rng.normal(size=(n_frames, 3))
    condensed = pdist(rng.permutation(xyz)).astype(np.float32)
    labels = hierarchy.fcluster(hierarchy.linkage(condensed, method), n_clusters, "maxclust")
    return condensed, squareform(condensed), labels


def n_right(square, labels, leaders):
    """Frames strictly nearer to a leader of their own cluster than to any other."""
    same = labels[leaders][None, :] == labels[:, None]
    own = np.where(same, square[:, leaders], np.inf).min(axis=1)
    other = np.where(same, np.inf, square[:, leaders]).min(axis=1)
    return int((own < other).sum())


def brute_faithful(square, labels, medoids, faithfulness, max_leaders):
    """The rounds as the docstring tells them, every gain by counting anew."""
    chosen = [int(medoid) for medoid in medoids]
    enough = faithfulness * labels.size
    while n_right(square, labels, chosen) < enough and len(chosen) < max_leaders:
        now = n_right(square, labels, chosen)
        best = []
        for label in range(1, labels.max() + 1):
            members = np.flatnonzero(labels == label)
            gains = [n_right(square, labels, [*chosen, int(each)]) - now for each in members]
            if max(gains) > 0:
                best.append((-max(gains), label, int(members[int(np.argmax(gains))])))
        if not best:
            break
        for turn, (_, _, candidate) in enumerate(sorted(best)):
            before = n_right(square, labels, chosen)
            if turn and n_right(square, labels, [*chosen, candidate]) <= before:
                continue
            chosen.append(candidate)
            if n_right(square, labels, chosen) >= enough or len(chosen) >= max_leaders:
                break
    return chosen


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("faithfulness", "max_leaders"), [(0.9, 50), (1.0, 200), (1.0, 9)])
def test_faithful__equals_the_rounds_by_brute_force(seed, faithfulness, max_leaders):
    condensed, square, labels = subset(seed, method=("ward", "average", "complete")[seed % 3])
    medoids = choose_medoids(condensed, labels)
    expected = brute_faithful(square, labels, medoids, faithfulness, max_leaders)
    for n_threads in (1, 3):
        leaders = choose_leaders(
            condensed,
            labels,
            method="faithful",
            faithfulness=faithfulness,
            max_leaders=max_leaders,
            n_threads=n_threads,
        )
        assert sorted(leaders.subset_index.tolist()) == sorted(expected)
        np.testing.assert_array_equal(labels[leaders.subset_index], leaders.label)
        assert (np.diff(leaders.label) >= 0).all()
        firsts = [int(leaders.subset_index[leaders.label == label][0]) for label in range(1, 6)]
        assert firsts == medoids.tolist()


def test_faithful__ends_where_nothing_can_be_mended():
    # Two clusters of the same structure: no leader tells them apart.
    leaders = choose_leaders(np.zeros(15, np.float32), np.array([1, 2, 1, 2, 1, 2]), method="faithful")
    assert leaders.subset_index.tolist() == [0, 1]
    alone = choose_leaders(np.empty(0, np.float32), np.array([1]), method="faithful")
    assert alone.subset_index.tolist() == [0]


@pytest.mark.parametrize("method", ["faithful", "medoid", "random"])
def test_leaders__and_figures_are_those_of_the_frames_without_noise(method):
    _, square, labels = subset(5)
    rng = np.random.default_rng(5)
    with_noise = np.where(rng.random(labels.size) < 0.3, -1, labels).astype(np.int32)
    rest = np.flatnonzero(with_noise > 0)
    of_rest = np.ascontiguousarray(square[np.ix_(rest, rest)])
    found = []
    for distances, part in ((square, with_noise), (of_rest, with_noise[rest])):
        condensed = squareform(distances, checks=False).astype(np.float32)
        part, medoids = number_by_share(part, choose_medoids(condensed, part))
        leaders = choose_leaders(condensed, part, method=method, per_cluster=2, seed=1, medoids=medoids)
        half = halves(np.zeros(len(part))) if len(part) == len(rest) else halves_of(rest, len(part))
        given = second_pass(condensed, leaders)[0]
        held_out = held_out_labels(
            condensed, part, half, lambda c, p: choose_leaders(c, p, method=method, per_cluster=2)
        )
        found.append((leaders, part, *(measure_faithfulness(part, each) for each in (given, held_out))))
    (all_leaders, all_labels, *all_figures), (leaders, part, *figures) = found
    assert all_leaders.subset_index.tolist() == rest[leaders.subset_index].tolist()
    assert all_leaders.label.tolist() == leaders.label.tolist()
    np.testing.assert_array_equal(all_labels[rest], part)
    assert (np.delete(all_labels, rest) == -1).all()
    for one, other in zip(all_figures, figures, strict=True):
        assert (one.overall, one.n_judged) == (other.overall, other.n_judged)
        np.testing.assert_array_equal(one.of_cluster, other.of_cluster)
        np.testing.assert_array_equal(one.n_confused, other.n_confused)


def halves_of(rest, n_frames):
    """The halves of the rest, among all frames."""
    half = np.zeros(n_frames, bool)
    half[rest] = halves(np.zeros(len(rest)))
    return half


@pytest.mark.parametrize("method", ["faithful", "medoid", "random"])
def test_faithfulness__equals_brute_force(method):
    condensed, square, labels = subset(3)
    leaders = choose_leaders(condensed, labels, method=method, per_cluster=2, seed=1)
    given = second_pass(condensed, leaders)[0]
    nearest = square[:, leaders.subset_index].argmin(axis=1)
    np.testing.assert_array_equal(given, leaders.label[nearest])
    measured = measure_faithfulness(labels, given)
    assert measured.n_judged == 120
    assert measured.overall == np.mean(given == labels)
    expected = [np.mean(given[labels == label] == label) for label in range(1, 6)]
    np.testing.assert_allclose(measured.of_cluster, expected)
    confused = {
        (a, b): int(((labels == a) & (given == b)).sum())
        for a in range(1, 6)
        for b in range(1, 6)
        if a != b and ((labels == a) & (given == b)).any()
    }
    pairs = list(zip(measured.confused_label.tolist(), measured.confused_with.tolist(), strict=True))
    assert pairs == sorted(confused, key=lambda pair: (-confused[pair], pair))
    assert measured.n_confused.tolist() == [confused[pair] for pair in pairs]


def test_held_out__judges_each_half_by_leaders_of_the_other():
    condensed, square, labels = subset(4)
    half = np.random.default_rng(1).random(labels.size) < 0.5
    only = labels[0]
    half[labels == only] = True  # a cluster in one half alone
    asked = []

    def choose(part, part_labels):
        asked.append(part)
        return choose_leaders(part, part_labels, method="medoid")

    given = held_out_labels(condensed, labels, half, choose)
    for side, part in zip((half, ~half), asked, strict=True):
        np.testing.assert_array_equal(squareform(part), square[np.ix_(side, side)])
        others = np.flatnonzero(~side & np.isin(labels, labels[side]))
        known = np.unique(labels[side])
        medoids = []
        for label in known:
            members = np.flatnonzero(side & (labels == label))
            medoids.append(members[square[np.ix_(members, members)].sum(axis=1).argmin()])
        nearest = square[np.ix_(others, medoids)].argmin(axis=1)
        np.testing.assert_array_equal(given[others], known[nearest])
    assert (given[labels == only] == 0).all()
    measured = measure_faithfulness(labels, given)
    assert np.isnan(measured.of_cluster[only - 1])
    assert measured.n_judged == (labels != only).sum()


def test_halves__keep_groups_whole_and_alike_in_size():
    groups = np.repeat([7, 3, 9, 4], [10, 40, 25, 15])
    second = halves(groups)
    assert all(len(set(second[groups == group])) == 1 for group in (3, 4, 7, 9))
    assert abs(int(second.sum()) - 45) <= 5
    alone = halves(np.zeros(100))
    assert alone.tolist() == [block % 2 == 1 for block in range(10) for _ in range(10)]
