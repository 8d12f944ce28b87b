"""Compiled passes over condensed distances that lie in memory as float32."""

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from ..jit import kernel

__all__ = [
    "add_cophenetic_moments",
    "add_row_to_sums",
    "add_to_lists",
    "copy_part",
    "copy_row",
    "count_gains",
    "count_neighbours",
    "nearest_of_other_kind",
    "sum_by_cell",
    "take_largest",
]


@kernel
def add_row_to_sums(
    row: npt.NDArray[Any], index: int, labels: npt.NDArray[np.int32], sums: npt.NDArray[np.float64]
) -> None:
    """Add distances of `index` to all later frames to the sums within clusters, on both sides.

    `labels` and `sums` have the shape (n_frames,).
    """
    label = labels[index]
    of_index = 0.0
    for offset in range(row.size):
        if labels[index + 1 + offset] == label:
            of_index += row[offset]
            sums[index + 1 + offset] += row[offset]
    sums[index] += of_index


@kernel
def copy_row(condensed: npt.NDArray[Any], index: int, row: npt.NDArray[Any]) -> None:
    """Copy the distances of one frame to all frames into `row`, shape (n_frames,)."""
    n_frames = row.size
    position = index - 1
    for other in range(index):
        row[other] = condensed[position]
        position += n_frames - 2 - other
    row[index] = 0.0
    for other in range(index + 1, n_frames):
        row[other] = condensed[position + other - index]


@kernel
def copy_part(
    condensed: npt.NDArray[np.float32],
    members: npt.NDArray[np.int64],
    n_frames: int,
    part: npt.NDArray[np.float32],
) -> None:
    """Copy the distances between some of `n_frames` frames, in ascending order, into their condensed form."""
    position = 0
    for first in range(members.size):
        index = members[first]
        start = n_frames * index - index * (index + 1) // 2 - index - 1
        for second in range(first + 1, members.size):
            part[position] = condensed[start + members[second]]
            position += 1


@kernel
def count_gains(
    condensed: npt.NDArray[np.float32],
    start: int,
    stop: int,
    labels: npt.NDArray[np.int32],
    mend_below: npt.NDArray[np.float32],
    break_below: npt.NDArray[np.float32],
    gains: npt.NDArray[np.int32],
) -> None:
    """Count what each frame would mend and break as a further leader, over some rows of the triangle.

    A frame mends another of its own cluster that is nearer to it than `mend_below`, and breaks one of another
    cluster that is nearer than `break_below`, both of shape (n_frames,) and negative if there is nothing to
    do. `gains` are mended minus broken so far, shape (n_frames,).
    """
    n_frames = labels.size
    for index in range(start, stop):
        label = labels[index]
        mend_here, break_here = mend_below[index], break_below[index]
        first = n_frames * index - index * (index + 1) // 2
        row = condensed[first : first + n_frames - 1 - index]
        # Slices from the row's start on, and no branch: so the loop runs in vector registers.
        other_label = labels[index + 1 :]
        mend_other, break_other = mend_below[index + 1 :], break_below[index + 1 :]
        other_gains = gains[index + 1 :]
        own_gain = np.int32(0)
        for offset in range(row.size):
            is_same = other_label[offset] == label
            weight = np.int32(1) if is_same else np.int32(-1)
            below_other = mend_other[offset] if is_same else break_other[offset]
            below_here = mend_here if is_same else break_here
            own_gain += weight if row[offset] < below_other else np.int32(0)
            other_gains[offset] += weight if row[offset] < below_here else np.int32(0)
        gains[index] += own_gain


@kernel
def count_neighbours(
    condensed: npt.NDArray[np.float32], below: np.float32, n_neighbours: npt.NDArray[np.int32]
) -> None:
    """Add to each frame, shape (n_frames,), how many others are nearer than `below`."""
    n_frames = n_neighbours.size
    for index in range(n_frames - 1):
        first = n_frames * index - index * (index + 1) // 2
        row = condensed[first : first + n_frames - 1 - index]
        others = n_neighbours[index + 1 :]
        own = np.int32(0)
        for offset in range(row.size):
            is_near = np.int32(1) if row[offset] < below else np.int32(0)
            own += is_near
            others[offset] += is_near
        n_neighbours[index] += own


@kernel
def sum_by_cell(
    condensed: npt.NDArray[np.float32],
    cell_of: npt.NDArray[np.int32],
    sums: npt.NDArray[np.float64],
    squares: npt.NDArray[np.float64],
) -> None:
    """Add up the distances of each frame to each cell of a partition, and the squares between cells.

    `sums` has the shape (n_frames, n_cells), `squares` (n_cells, n_cells): a pair counts once, at the cell of
    its first frame and that of its second.
    """
    n_frames = cell_of.size
    position = 0
    for first in range(n_frames - 1):
        cell = cell_of[first]
        for second in range(first + 1, n_frames):
            distance = np.float64(condensed[position])
            sums[first, cell_of[second]] += distance
            sums[second, cell] += distance
            squares[cell, cell_of[second]] += distance * distance
            position += 1


@kernel
def add_cophenetic_moments(
    condensed: npt.NDArray[np.float32],
    leaves: npt.NDArray[np.int64],
    parent: npt.NDArray[np.int64],
    start: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
    heights: npt.NDArray[np.float64],
    moments: npt.NDArray[np.float64],
) -> None:
    """Add, over all pairs, the distance d, the height h at which it is joined, d², h² and d h.

    `leaves` are the frames in the order of the tree's leaves. Of each node, frames first and then merges,
    shape (2 n_frames − 1,): `parent` is the node above it (−1 at the root), `start` and `stop` its leaves as
    a range of that order. `heights` are those of the merges.
    """
    n_frames = leaves.size
    joined = np.empty(n_frames)
    position = 0
    for first in range(n_frames - 1):
        below, node = first, parent[first]
        while node >= 0:
            height = heights[node - n_frames]
            for leaf in range(start[node], start[below]):
                joined[leaves[leaf]] = height
            for leaf in range(stop[below], stop[node]):
                joined[leaves[leaf]] = height
            below, node = node, parent[node]
        for second in range(first + 1, n_frames):
            distance, height = np.float64(condensed[position]), joined[second]
            moments[0] += distance
            moments[1] += height
            moments[2] += distance * distance
            moments[3] += height * height
            moments[4] += distance * height
            position += 1


@kernel
def nearest_of_other_kind(
    condensed: npt.NDArray[np.float32],
    is_second: npt.NDArray[np.bool_],
    nearest: npt.NDArray[np.int64],
) -> None:
    """Find for each frame the nearest one of the other kind; the lowest index wins a tie."""
    n_frames = is_second.size
    least = np.full(n_frames, np.float32(np.inf))
    position = 0
    for first in range(n_frames - 1):
        for second in range(first + 1, n_frames):
            if is_second[first] != is_second[second]:
                distance = condensed[position]
                if distance < least[first]:
                    least[first], nearest[first] = distance, second
                if distance < least[second]:
                    least[second], nearest[second] = distance, first
            position += 1


@kernel
def add_to_lists(
    pairs: npt.NDArray[np.int32], ends: npt.NDArray[np.int64], neighbours: npt.NDArray[np.int32]
) -> None:
    """Append each frame of a pair, shape (n_pairs, 2), to the list of the other.

    `ends` are where the lists end so far, in `neighbours`; shape (n_frames,).
    """
    for k in range(pairs.shape[0]):
        first, second = pairs[k, 0], pairs[k, 1]
        neighbours[ends[first]], neighbours[ends[second]] = second, first
        ends[first] += 1
        ends[second] += 1


@kernel
def take_largest(
    starts: npt.NDArray[np.int64],
    neighbours: npt.NDArray[np.int32],
    n_neighbours: npt.NDArray[np.int32],
    labels: npt.NDArray[np.int32],
    label: int,
    centres: npt.NDArray[np.int64],
) -> int:
    """Make a cluster of the largest neighbourhood that is left, the lowest index of equals, until none is.

    The neighbours of i are ``neighbours[starts[i]:starts[i + 1]]``. `n_neighbours`, those that are left, is
    overwritten; `labels`, 0 where a frame is left, are filled in from `label` + 1 on, and `centres` one a
    cluster. Returns how many were found.
    """
    n_found = 0
    # Numbers only shrink, so what is on top with its present number is the largest. Read as integers, a
    # queue's entries are in the order of numbers and then of frames.
    queue = [
        ((np.int64(0x7FFFFFFF) - n_neighbours[frame]) << 32) | frame
        for frame in range(labels.size)
        if labels[frame] == 0
    ]
    heapq.heapify(queue)
    while len(queue) > 0:
        entry = heapq.heappop(queue)
        centre = entry & 0xFFFFFFFF
        if labels[centre] != 0:
            continue
        present = ((np.int64(0x7FFFFFFF) - n_neighbours[centre]) << 32) | centre
        if present != entry:
            heapq.heappush(queue, present)
            continue
        centres[n_found] = centre
        n_found += 1
        labels[centre] = label + n_found
        for k in range(starts[centre], starts[centre + 1]):
            if labels[neighbours[k]] == 0:
                labels[neighbours[k]] = label + n_found
        for k in range(starts[centre] - 1, starts[centre + 1]):
            member = centre if k < starts[centre] else np.int64(neighbours[k])
            if labels[member] == label + n_found:
                for other in range(starts[member], starts[member + 1]):
                    n_neighbours[neighbours[other]] -= 1
    return n_found
