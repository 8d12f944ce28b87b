"""From labels to leaders: the frames that stand for a cluster in the second pass."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from .condensed import (
    BLOCK_PAIRS,
    Condensed,
    Int64Array,
    count_frames,
    gather,
    iter_rows,
    pair_positions,
)

__all__ = ["LEADER_METHODS", "Leaders", "choose_leaders", "choose_medoids", "faithful_share"]

LEADER_METHODS = ("medoid", "random")
"""Ways to choose leaders."""

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class Leaders:
    """Leaders of all clusters, grouped by label in ascending order.

    Attributes
    ----------
    subset_index
        Where they are in the subset, shape (n_leaders,); within a label in the order of the choice.
    label
        Their labels, shape (n_leaders,).
    """

    subset_index: npt.NDArray[np.int64]
    label: npt.NDArray[np.int32]


def choose_medoids(condensed: Condensed, labels: Labels, *, block_pairs: int = BLOCK_PAIRS) -> Int64Array:
    """The medoid of every cluster: the member with the smallest sum of distances to the others.

    Parameters
    ----------
    condensed
        Condensed distances, shape (n_pairs,): a numpy array, or anything that is read by slicing; it is
        read once, from start to end, in slices of `block_pairs`. O(N) memory besides.
    labels
        Labels, shape (n_frames,), from 1 without a gap.
    block_pairs
        Pairs read at a time. The result doesn't depend on it.

    Returns
    -------
    Subset indices, shape (n_clusters,): of label 1 first. The lowest index wins a tie.

    Raises
    ------
    ConfigError
        If labels and distances don't fit together, or a distance isn't finite.
    """
    members = _members(labels)
    _check_pairs(condensed, labels)
    # Whole rows in ascending order, however the slices fall, so that the sums round in one way only.
    sums = np.zeros(labels.size)
    for index, row in iter_rows(condensed, block_pairs=block_pairs):
        same = np.flatnonzero(labels[index + 1 :] == labels[index])
        distances = row[same].astype(np.float64)
        sums[index] += distances.sum()
        sums[same + (index + 1)] += distances
    if not np.isfinite(sums).all():
        raise ConfigError(
            "Some distances between frames of one cluster aren't finite: they were never computed, or a "
            "frame has coordinates that aren't finite. Compute the distances again."
        )
    return np.array([each[sums[each].argmin()] for each in members], dtype=np.int64)


def choose_leaders(
    condensed: Condensed,
    labels: Labels,
    *,
    method: str,
    per_cluster: int,
    seed: int,
    medoids: Int64Array | None = None,
    block_pairs: int = BLOCK_PAIRS,
) -> Leaders:
    """Leaders of every cluster.

    Parameters
    ----------
    condensed
        Condensed distances, shape (n_pairs,): a numpy array, or anything that is read by slicing. With
        ``"medoid"`` it is read once per leader of a cluster, one time less if `medoids` are given; with
        ``"random"`` not at all.
    labels
        Labels, shape (n_frames,), from 1 without a gap.
    method
        ``"medoid"``: the medoid first, then always the member farthest from the leaders that its cluster
        already has; the lowest index wins a tie. ``"random"``: a draw without replacement. It depends on
        the seed, the label and the cluster's members, not on other clusters, and a draw of fewer is the
        beginning of a draw of more.
    per_cluster
        Leaders of a cluster; one with fewer members gives them all.
    seed
        Seed of the draw, 0 or more.
    medoids
        What `choose_medoids` gives for these labels, if it is known already.
    block_pairs
        Pairs read at a time. The result doesn't depend on it.

    Raises
    ------
    ConfigError
        If a parameter is out of range, labels and distances don't fit together, or a distance isn't finite.
    """
    if method not in LEADER_METHODS:
        raise ConfigError(f"Leaders can't be chosen by {method!r}: use one of {', '.join(LEADER_METHODS)}.")
    if per_cluster < 1:
        raise ConfigError(f"A cluster needs a leader, {per_cluster} won't do: ask for at least 1 of each.")
    if method == "medoid":
        _check_pairs(condensed, labels)
        if medoids is None:
            medoids = choose_medoids(condensed, labels, block_pairs=block_pairs)
        chosen = _farthest_first(condensed, labels, medoids, per_cluster=per_cluster, block_pairs=block_pairs)
    else:
        if seed < 0:
            raise ConfigError(f"The seed {seed} is negative: use 0 or more.")
        chosen = _draw(labels, per_cluster=per_cluster, seed=seed)
    return Leaders(
        subset_index=np.concatenate(chosen),
        label=np.repeat(np.arange(1, len(chosen) + 1, dtype=np.int32), [each.size for each in chosen]),
    )


def faithful_share(
    condensed: Condensed, labels: Labels, leaders: Leaders, *, block_pairs: int = BLOCK_PAIRS
) -> float:
    """Share of the subset's frames whose nearest leader carries their own label.

    The second pass gives every frame the label of its nearest leader. This is how often it would agree with
    the tree that the labels came from; a low share says that these leaders don't stand for their clusters.

    Parameters
    ----------
    condensed
        Condensed distances, shape (n_pairs,); read once, from start to end. O(N) memory besides.
    labels
        Labels, shape (n_frames,).
    leaders
        At least one leader. The first in their order wins a tie.
    block_pairs
        Pairs read at a time. The result doesn't depend on it.

    Returns
    -------
    A number from 0 to 1.

    Raises
    ------
    ConfigError
        If labels and distances don't fit together, or there is no leader.
    """
    _check_pairs(condensed, labels)
    n_leaders = leaders.subset_index.size
    if n_leaders == 0:
        raise ConfigError("There is no leader to compare with: choose at least one per cluster.")
    nearest = np.full(labels.size, np.inf)
    nearest_leader = np.full(labels.size, n_leaders, dtype=np.int64)
    rank_of: dict[int, int] = {}
    for rank, frame in enumerate(leaders.subset_index.tolist()):
        rank_of.setdefault(frame, rank)
        nearest[frame], nearest_leader[frame] = 0.0, rank_of[frame]

    def offer(
        frames: Int64Array | slice, distances: npt.NDArray[np.floating], rank: Int64Array | int
    ) -> None:
        better = (distances < nearest[frames]) | (
            (distances == nearest[frames]) & (rank < nearest_leader[frames])
        )
        nearest[frames] = np.where(better, distances, nearest[frames])
        nearest_leader[frames] = np.where(better, rank, nearest_leader[frames])

    order = np.argsort(leaders.subset_index, kind="stable")
    ordered = leaders.subset_index[order]
    for index, row in iter_rows(condensed, block_pairs=block_pairs):
        above = int(np.searchsorted(ordered, index, side="right"))
        if above < n_leaders:
            distances = row[ordered[above:] - (index + 1)]
            closest = distances.min()
            rank = int(order[above:][distances == closest].min())
            offer(slice(index, index + 1), np.array([closest]), rank)
        if index in rank_of:
            offer(slice(index + 1, None), row, rank_of[index])
    return float(np.mean(leaders.label[nearest_leader] == labels))


def _farthest_first(
    condensed: Condensed, labels: Labels, medoids: Int64Array, *, per_cluster: int, block_pairs: int
) -> list[Int64Array]:
    members = _members(labels)
    chosen = [[int(medoid)] for medoid in medoids]
    # Distance of every frame to the leaders that its own cluster has so far; below 0 for a leader itself,
    # so that it isn't chosen again while duplicates of it, at 0, can be.
    nearest = np.full(labels.size, np.inf)
    latest = medoids.copy()
    for n_chosen in range(1, per_cluster):
        unfinished = [k for k, each in enumerate(members) if each.size > n_chosen]
        if not unfinished:
            break
        nearest[latest] = -1.0
        frames = np.concatenate([members[k] for k in unfinished])
        frames = frames[nearest[frames] >= 0.0]
        positions = pair_positions(frames, latest[labels[frames] - 1], n_frames=labels.size)
        distances = gather(condensed, positions, block_pairs=block_pairs)
        nearest[frames] = np.minimum(nearest[frames], distances)
        for k in unfinished:
            latest[k] = members[k][nearest[members[k]].argmax()]
            chosen[k].append(int(latest[k]))
    return [np.array(each, dtype=np.int64) for each in chosen]


def _draw(labels: Labels, *, per_cluster: int, seed: int) -> list[Int64Array]:
    chosen = []
    for label, members in enumerate(_members(labels), start=1):
        stream = np.random.SeedSequence(entropy=seed, spawn_key=(label,))
        chosen.append(np.random.Generator(np.random.PCG64(stream)).permutation(members)[:per_cluster])
    return chosen


def _members(labels: Labels) -> list[Int64Array]:
    """Subset indices of every label's members, ascending."""
    if labels.ndim != 1 or labels.size == 0:
        raise ConfigError(f"Labels need shape (n_frames,) and at least one frame, these have {labels.shape}.")
    counts = np.bincount(labels) if labels.min() >= 1 else np.zeros(1, dtype=np.int64)
    if counts.size < 2 or not counts[1:].all():
        raise ConfigError("Labels must run from 1 without a gap, as `cut` gives them; these don't.")
    by_label = np.argsort(labels, kind="stable").astype(np.int64)
    return np.split(by_label, np.cumsum(counts[1:])[:-1])


def _check_pairs(condensed: Condensed, labels: Labels) -> None:
    n_frames = count_frames(condensed)
    if n_frames != labels.size:
        raise ConfigError(
            f"There are labels of {labels.size} frames and distances between {n_frames}: pass those of one "
            "and the same subset."
        )
