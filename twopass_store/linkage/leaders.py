"""From labels to leaders: the frames that stand for a cluster in the second pass."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..condensed import Condensed, Int64Array, iter_rows, pair_positions
from ..errors import ConfigError
from ._passes import add_row_to_sums, copy_row
from .faithful import choose_faithful

__all__ = ["FAITHFUL_PER_CLUSTER", "Leaders", "choose_leaders", "choose_medoids", "choosing_bytes"]

FAITHFUL_PER_CLUSTER = 5
"""Leaders of a cluster, on average, that ``"faithful"`` takes at most by default."""

Distances = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class Leaders:
    """Leaders of all clusters, grouped by label in ascending order, then in the order of the choice."""

    subset_index: npt.NDArray[np.int64]  # shape (n_leaders,)
    label: npt.NDArray[np.int32]  # shape (n_leaders,)


def choose_medoids(condensed: Condensed, labels: Labels) -> Int64Array:
    """The medoid of every cluster: the member with the smallest sum of distances to the others.

    Takes condensed distances, shape (n_pairs,), and labels, shape (n_frames,), from 1 without a gap and -1
    for noise. Returns subset indices, shape (n_clusters,), of label 1 first; the lowest index wins a tie.
    Raises a `ConfigError` if a distance within a cluster isn't finite.
    """
    sums = np.zeros(labels.size)
    narrow = np.ascontiguousarray(labels, dtype=np.int32)
    for index, row in iter_rows(condensed):
        add_row_to_sums(row, index, narrow, sums)
    if not np.isfinite(sums).all():
        raise ConfigError(
            "Some distances between frames of one cluster aren't finite: they were never computed, or a "
            "frame has coordinates that aren't finite. Compute the distances again."
        )
    return np.array([each[sums[each].argmin()] for each in _members(labels)], dtype=np.int64)


def choose_leaders(
    condensed: Distances,
    labels: Labels,
    *,
    method: str,
    per_cluster: int = 1,
    seed: int = 0,
    faithfulness: float = 0.95,
    max_leaders: int | None = None,
    cutoff: float = 0.0,
    medoids: Int64Array | None = None,
    n_threads: int = 1,
) -> Leaders:
    """Leaders of every cluster, by one of four methods; the lowest index wins a tie.

    ``faithful``
        The medoids, then those frames that bring most labels back, see `choose_faithful`, until the share
        `faithfulness` is back, or there are `max_leaders` of all clusters together, `FAITHFUL_PER_CLUSTER`
        times the number of clusters if None.
    ``medoid``
        The medoid, then always the member farthest from the leaders that its cluster already has.
    ``random``
        A draw without replacement, not looking at the distances. It depends on the seed, the label and the
        cluster's members, not on other clusters, and a draw of fewer is the beginning of a draw of more.
    ``centres``
        The member with the most others of its cluster nearer than the `cutoff`, which is the frame that
        `gromos` took out with them.

    Takes condensed distances, shape (n_pairs,), float32, and labels, shape (n_frames,), from 1 without a gap
    and -1 for noise. `per_cluster` is for medoid and random; a cluster with fewer members gives them all.
    `medoids` are those of `choose_medoids`, if they are known already. Raises a `ConfigError` if there may be
    fewer leaders than clusters, or a distance isn't finite.
    """
    if method == "random":
        chosen = _draw(labels, per_cluster=per_cluster, seed=seed)
    elif method == "centres":
        chosen = _centres(condensed, labels, below=np.float32(cutoff))
    else:
        medoids = choose_medoids(condensed, labels) if medoids is None else medoids
        if method == "medoid":
            chosen = _farthest_first(condensed, labels, medoids, per_cluster=per_cluster)
        else:
            most = _most(max_leaders, len(medoids))
            chosen = choose_faithful(
                condensed, labels, medoids, faithfulness=faithfulness, max_leaders=most, n_threads=n_threads
            )
    return Leaders(
        subset_index=np.concatenate(chosen),
        label=np.repeat(np.arange(1, len(chosen) + 1, dtype=np.int32), [each.size for each in chosen]),
    )


def choosing_bytes(n_frames: int, *, n_threads: int = 1) -> int:
    """Upper bound of the memory that a choice of leaders and its faithfulness need, distances included."""
    # As float32, the distances of all frames and those of the larger half of them, which may be almost all
    # where a run is; then vectors along the subset. The last term is code on first use.
    return 4 * n_frames * (n_frames - 1) + (200 + 8 * n_threads) * n_frames + (8 << 20)


def _most(max_leaders: int | None, n_clusters: int) -> int:
    if max_leaders is None:
        return FAITHFUL_PER_CLUSTER * n_clusters
    if max_leaders < n_clusters:
        raise ConfigError(
            f"{max_leaders} leaders can't stand for {n_clusters} clusters, each needs one: allow at least "
            f"{n_clusters} (--max-leaders), or ask for fewer clusters."
        )
    return max_leaders


def _farthest_first(
    condensed: Distances, labels: Labels, medoids: Int64Array, *, per_cluster: int
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
        nearest[frames] = np.minimum(nearest[frames], condensed[positions])
        for k in unfinished:
            latest[k] = members[k][nearest[members[k]].argmax()]
            chosen[k].append(int(latest[k]))
    return [np.array(each, dtype=np.int64) for each in chosen]


def _centres(condensed: Distances, labels: Labels, *, below: np.float32) -> list[Int64Array]:
    n_neighbours, row = np.empty(labels.size, np.int64), np.empty(labels.size, np.float32)
    for frame in range(labels.size):
        copy_row(condensed, frame, row)
        n_neighbours[frame] = np.count_nonzero((row < below) & (labels == labels[frame]))
    return [each[[n_neighbours[each].argmax()]] for each in _members(labels)]


def _draw(labels: Labels, *, per_cluster: int, seed: int) -> list[Int64Array]:
    chosen = []
    for label, members in enumerate(_members(labels), start=1):
        stream = np.random.SeedSequence(entropy=seed, spawn_key=(label,))
        chosen.append(np.random.Generator(np.random.PCG64(stream)).permutation(members)[:per_cluster])
    return chosen


def _members(labels: Labels) -> list[Int64Array]:
    """Subset indices of every label's members, ascending."""
    clustered = np.flatnonzero(labels > 0).astype(np.int64)
    by_label = clustered[np.argsort(labels[clustered], kind="stable")]
    return np.split(by_label, np.cumsum(np.bincount(labels[clustered])[1:])[:-1])
