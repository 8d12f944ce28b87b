"""A greedy choice of leaders that give the first pass's labels back."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ..condensed import Int64Array
from ._passes import copy_row, count_gains

__all__ = ["choose_faithful"]

Float32Array = npt.NDArray[np.float32]


def choose_faithful(
    condensed: Float32Array,
    labels: npt.NDArray[np.integer],
    medoids: Int64Array,
    *,
    faithfulness: float,
    max_leaders: int,
    n_threads: int,
) -> list[Int64Array]:
    """Leaders that give most frames their own label back, by a greedy choice.

    Beginning with the medoids, rounds add leaders until the share `faithfulness` of the frames is nearest to
    a leader of their own cluster: in each cluster the frame that would mend most labels and break fewest, as
    long as it mends more than it breaks. A round takes the clusters by what they gain, and reckons anew after
    each addition. Noise, -1 in `labels`, neither leads nor counts.

    Returns subset indices of the leaders of each cluster, in the order of the choice. The lowest index and
    the lowest label win ties, and the result doesn't depend on threads.
    """
    state = _State(condensed, labels)
    chosen = [[int(medoid)] for medoid in medoids]
    for medoid in medoids.tolist():
        state.add(medoid)
    enough = int(np.ceil(faithfulness * np.count_nonzero(labels > 0) - 1e-9))
    n_leaders = len(medoids)
    with ThreadPoolExecutor(n_threads) as pool:
        while state.n_right < enough and n_leaders < max_leaders:
            gains = state.gains(pool, n_threads)
            candidates = _best_of_each(gains, labels)
            if not candidates:
                break
            for turn, candidate in enumerate(candidates):
                if turn and state.gain(candidate) <= 0:
                    continue
                state.add(candidate)
                chosen[labels[candidate] - 1].append(candidate)
                n_leaders += 1
                if state.n_right >= enough or n_leaders >= max_leaders:
                    break
    return [np.array(each, dtype=np.int64) for each in chosen]


def _best_of_each(gains: npt.NDArray[np.int32], labels: npt.NDArray[np.integer]) -> list[int]:
    """Return the frame of most gain in each cluster that has any, the cluster of most gain first."""
    inside = np.flatnonzero((gains > 0) & (labels > 0))
    order = inside[np.lexsort((inside, -gains[inside], labels[inside]))]
    _, first = np.unique(labels[order], return_index=True)
    best = order[first]
    return [int(index) for index in best[np.argsort(-gains[best], kind="stable")]]


class _State:
    """Distances of every frame to the nearest leader of its own cluster, and of any other."""

    def __init__(self, condensed: Float32Array, labels: npt.NDArray[np.integer]) -> None:
        self._condensed = condensed
        self._labels = np.ascontiguousarray(labels, dtype=np.int32)
        self._own = np.full(labels.size, np.inf, np.float32)
        self._other = np.full(labels.size, np.inf, np.float32)
        self._row = np.empty(labels.size, np.float32)

    @property
    def _is_right(self) -> npt.NDArray[np.bool_]:
        # A tie counts as wrong: the order of the leaders would decide it.
        right: npt.NDArray[np.bool_] = self._own < self._other
        return right

    @property
    def n_right(self) -> int:
        return int(self._is_right.sum())

    def add(self, leader: int) -> None:
        copy_row(self._condensed, leader, self._row)
        is_same = self._labels == self._labels[leader]
        np.minimum(self._own, self._row, out=self._own, where=is_same)
        np.minimum(self._other, self._row, out=self._other, where=~is_same)

    def gain(self, candidate: int) -> int:
        """Return the labels mended less those broken by one more leader."""
        copy_row(self._condensed, candidate, self._row)
        is_same = self._labels == self._labels[candidate]
        mend_below, break_below = self._thresholds()
        mended = int(((self._row < mend_below) & is_same).sum())
        return mended - int(((self._row < break_below) & ~is_same).sum())

    def gains(self, pool: ThreadPoolExecutor, n_threads: int) -> npt.NDArray[np.int32]:
        """Return the same for all frames at once, shape (n_frames,)."""
        mend_below, break_below = self._thresholds()
        n_frames = self._labels.size
        # Rows get shorter: bounds that cut the triangle into equal areas.
        shares = np.linspace(1.0, 0.0, n_threads + 1)
        bounds = np.round((n_frames - 1) * (1.0 - np.sqrt(shares))).astype(int)
        parts = [np.zeros(n_frames, np.int32) for _ in range(n_threads)]

        def count(part: int) -> None:
            first, last = int(bounds[part]), int(bounds[part + 1])
            count_gains(self._condensed, first, last, self._labels, mend_below, break_below, parts[part])

        list(pool.map(count, range(n_threads)))
        # Each wrong frame would mend itself, which no pair tells.
        return np.asarray(sum(parts) + (mend_below > 0), dtype=np.int32)

    def _thresholds(self) -> tuple[Float32Array, Float32Array]:
        is_right = self._is_right
        mend_below = np.where(~is_right, self._other, np.float32(-1))
        # A new leader as near as the own one makes a tie.
        break_below = np.where(is_right, np.nextafter(self._own, np.float32(np.inf)), np.float32(-1))
        return mend_below, break_below
