"""How often the second pass would give the frames of the subset their first-pass label back."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..condensed import Int64Array, count_frames
from ._passes import copy_part, copy_row
from .leaders import Leaders

__all__ = ["Faithfulness", "halves", "held_out_labels", "measure_faithfulness", "second_pass"]

N_BLOCKS = 10
"""Blocks of time that a single run is cut into, to take turns in two halves."""

Float32Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class Faithfulness:
    """How often the second pass would give frames their first-pass label back.

    `confused_label` and `confused_with` are pairs of a first-pass label and another one that the second pass
    gave instead, shape (n_pairs,), the most frequent first, then by label.
    """

    overall: float  # share of all frames judged; NaN if none was
    of_cluster: npt.NDArray[np.float64]  # shape (n_clusters,); NaN if none was judged
    n_judged: int
    confused_label: npt.NDArray[np.int32]
    confused_with: npt.NDArray[np.int32]
    n_confused: Int64Array  # frames of each pair

    @property
    def most_confused(self) -> list[tuple[int, int, int]]:
        """The first three pairs, each with its frames."""
        columns = (self.confused_label, self.confused_with, self.n_confused)
        return list(zip(*(column[:3].tolist() for column in columns), strict=True))


def second_pass(
    condensed: Float32Array, leaders: Leaders, *, within: float | None = None
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Labels of the subset's frames as the second pass would give them, and distances to their leaders.

    Both have the shape (n_frames,). The first leader nearer than `within` takes a frame, the nearest only
    where there is none, and of equally near ones the first.
    """
    n_frames = count_frames(condensed)
    below = np.float32(0.0 if within is None else within)
    nearest = np.full(n_frames, np.inf, np.float32)
    given = np.zeros(n_frames, np.int32)
    row = np.empty(n_frames, np.float32)
    for index, label in zip(leaders.subset_index.tolist(), leaders.label.tolist(), strict=True):
        copy_row(condensed, index, row)
        is_nearer = (row < nearest) & (nearest >= below)
        given[is_nearer] = label
        nearest[is_nearer] = row[is_nearer]
    return given, nearest


def measure_faithfulness(labels: Labels, given: Labels) -> Faithfulness:
    """Compare first-pass labels with those that the second pass gives, shape (n_frames,) each.

    Neither noise, -1 in `labels`, nor a frame that is 0 in `given` is judged.
    """
    n_clusters = int(labels.max())
    judged = (given > 0) & (labels > 0)
    first, second = labels[judged].astype(np.int64), given[judged].astype(np.int64)
    n_of = np.bincount(first, minlength=n_clusters + 1)[1:]
    n_right = np.bincount(first[first == second], minlength=n_clusters + 1)[1:]
    pairs, counts = np.unique((first * (n_clusters + 1) + second)[first != second], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    with np.errstate(invalid="ignore"):
        of_cluster = n_right / n_of
    return Faithfulness(
        overall=float(n_right.sum() / first.size) if first.size else float("nan"),
        of_cluster=of_cluster,
        n_judged=int(first.size),
        confused_label=(pairs[order] // (n_clusters + 1)).astype(np.int32),
        confused_with=(pairs[order] % (n_clusters + 1)).astype(np.int32),
        n_confused=counts[order].astype(np.int64),
    )


def held_out_labels(
    condensed: Float32Array,
    labels: npt.NDArray[np.int32],
    half: npt.NDArray[np.bool_],
    choose: Callable[[Float32Array, npt.NDArray[np.int32]], Leaders],
    *,
    within: float | None = None,
) -> npt.NDArray[np.int32]:
    """The second pass's labels of frames that had no part in the choice of the leaders.

    Leaders chosen from each half of the subset, as `half` says of each frame, label the other one. `choose`
    takes the condensed distances of a half and its labels, from 1 without a gap. Noise, -1 in `labels`, is
    left out. Returns labels, shape (n_frames,); 0 for a frame whose cluster has no member in the other half.
    """
    given = np.zeros(labels.size, np.int32)
    for is_chosen_from in (half, ~half):
        members = np.flatnonzero(is_chosen_from & (labels > 0))
        known = np.unique(labels[members])
        is_judged = ~is_chosen_from & np.isin(labels, known)
        if not is_judged.any():
            continue
        part = np.empty(members.size * (members.size - 1) // 2, np.float32)
        copy_part(condensed, members, labels.size, part)
        compact = (np.searchsorted(known, labels[members]) + 1).astype(np.int32)
        leaders = choose(part, compact)
        leaders = Leaders(members[leaders.subset_index], known[leaders.label - 1])
        given[is_judged] = second_pass(condensed, leaders, within=within)[0][is_judged]
    return given


def halves(groups: Labels) -> npt.NDArray[np.bool_]:
    """Split a subset in two, so that neighbours in time fall into one half as far as possible.

    `groups` are the run or source file of each frame, shape (n_frames,), as is the result. Where there are
    several groups, each lies in one half as a whole, and the halves are about equal in size; else blocks of a
    tenth of the frames take turns.
    """
    names, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if names.size == 1:
        block = np.arange(groups.size) * N_BLOCKS // groups.size
        return np.asarray(block % 2 == 1)
    is_second = np.zeros(names.size, dtype=np.bool_)
    balance = 0
    for group in np.argsort(-sizes, kind="stable"):
        is_second[group] = balance > 0
        balance += -int(sizes[group]) if is_second[group] else int(sizes[group])
    return np.asarray(is_second[index])
