"""Clusters by counting neighbours, without a tree."""

import numpy as np
import numpy.typing as npt

from ._passes import copy_row, count_neighbours
from .condensed import Int64Array, count_frames

__all__ = ["gromos"]


def gromos(condensed: npt.NDArray[np.float32], *, cutoff: float) -> tuple[npt.NDArray[np.int32], Int64Array]:
    """Daura's clustering, as ``gmx cluster -method gromos`` does it.

    The frame with most neighbours nearer than the cutoff makes a cluster with all of them; they are taken
    out, and the same is done with the rest until nothing is left.

    Parameters
    ----------
    condensed
        Condensed distances, shape (n_pairs,), float32. Not modified; O(N) memory besides.
    cutoff
        Frames nearer than this are neighbours, in the unit of the distances.

    Returns
    -------
    Labels, shape (n_frames,), from 1 in the order in which clusters are found, and the index of each one's
    centre, shape (n_clusters,). The lowest index wins a tie.

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
