"""Clusters by counting neighbours, without a tree."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from ..condensed import Int64Array, count_frames
from ._passes import add_to_lists, copy_row, count_neighbours, take_largest

__all__ = ["gromos", "gromos_of_pairs", "gromos_of_pairs_bytes"]


def gromos(condensed: npt.NDArray[np.float32], *, cutoff: float) -> tuple[npt.NDArray[np.int32], Int64Array]:
    """Daura's clustering, as ``gmx cluster -method gromos`` does it but for frames that were taken.

    The frame with most neighbours nearer than the cutoff makes a cluster with all of them; they are taken
    out, and the same is done with the rest until nothing is left. In GROMACS (2022), a frame that was taken
    may still be the centre of others.

    Takes condensed distances, shape (n_pairs,), and O(N) memory besides. Returns labels, shape (n_frames,),
    from 1 in the order in which clusters are found, and the index of each one's centre, shape (n_clusters,).
    The lowest index wins a tie.

    References
    ----------
    Daura et al., Angew. Chem. Int. Ed. 38 (1999) 236.
    """
    n_frames = count_frames(condensed)
    below = np.float32(cutoff)
    n_neighbours = np.ones(n_frames, np.int32)  # every frame is its own
    count_neighbours(condensed, below, n_neighbours)
    labels = np.zeros(n_frames, np.int32)
    row = np.empty(n_frames, np.float32)
    centres: list[int] = []
    while (labels == 0).any():
        centres.append(int(n_neighbours.argmax()))
        copy_row(condensed, centres[-1], row)
        members = np.flatnonzero((row < below) & (labels == 0))
        labels[members] = len(centres)
        for member in members.tolist():
            copy_row(condensed, member, row)
            n_neighbours -= row < below
        # Never again the largest, whatever else is subtracted.
        n_neighbours[members] = -n_frames
    return labels, np.array(centres, dtype=np.int64)


def gromos_of_pairs(
    pairs: Callable[[], Iterable[npt.NDArray[np.int32]]], labels: npt.NDArray[np.int32]
) -> Int64Array:
    """Go on with `gromos` where all pairs of neighbours are known that are left.

    `pairs` is called twice, and gives them in parts: frame indices, shape (n_pairs, 2), each pair once.
    `labels`, shape (n_frames,), are filled in where they are 0, from the largest label on. Returns the index
    of the centre of each cluster found.
    """
    n_frames = len(labels)
    n_neighbours = np.zeros(n_frames, np.int32)
    for part in pairs():
        n_neighbours += np.bincount(part.reshape(-1), minlength=n_frames).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(n_neighbours, dtype=np.int64)])
    neighbours, ends = np.empty(starts[-1], np.int32), starts[:-1].copy()
    for part in pairs():
        add_to_lists(part, ends, neighbours)
    centres = np.empty(np.count_nonzero(labels == 0), np.int64)
    n_found = take_largest(starts, neighbours, n_neighbours, labels, labels.max(initial=0), centres)
    return centres[:n_found]


def gromos_of_pairs_bytes(n_frames: int, n_pairs: int) -> int:
    """Memory of `gromos_of_pairs`, in bytes, without the pairs themselves."""
    # Lists of both frames; starts, ends, counts and centres, and each frame's place in the queue.
    return 8 * n_pairs + 48 * n_frames
