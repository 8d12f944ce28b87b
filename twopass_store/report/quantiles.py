"""Quantiles of many numbers in little memory, from fine histograms."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["LENGTH_EDGES", "SHARE_EDGES", "Histogram", "length_bins", "share_bins"]

_SHIFT = 15
_FIRST, _LAST = (int(np.float32(length).view(np.int32)) >> _SHIFT for length in (2.0**-17, 2.0**7))

LENGTH_EDGES = (np.arange(_FIRST, _LAST + 1, dtype=np.int32) << _SHIFT).view(np.float32).astype(np.float64)
"""Bins of lengths in nm, the leading bits of float32: at most 0.4 % wide, so far are quantiles off."""
LENGTH_EDGES[0] = 0.0

SHARE_EDGES = np.linspace(0.0, 1.0, 4097)
"""Even bins of numbers from 0 to 1."""


def length_bins(lengths: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the bins of lengths, shape (n,), nm; those outside go into the first or last."""
    bits = np.ascontiguousarray(lengths, np.float32).view(np.int32) >> _SHIFT
    bins: NDArray[np.intp] = np.clip(bits - _FIRST, 0, _LAST - _FIRST - 1).astype(np.intp)
    return bins


def share_bins(shares: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bins of numbers from 0 to 1, shape (n,)."""
    n_bins = len(SHARE_EDGES) - 1
    return np.clip((shares * n_bins).astype(np.intp), 0, n_bins - 1)


class Histogram:
    """Counts numbers by label, from 0, in bins with these edges."""

    def __init__(self, n_labels: int, edges: NDArray[np.float64]) -> None:
        self.edges = edges
        self.counts = np.zeros((n_labels, len(edges) - 1), np.uint32)

    def places(self, label: NDArray[np.integer], bins: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return where numbers of these labels and bins are counted, shape (n,)."""
        return label * self.counts.shape[1] + bins

    def add(self, places: NDArray[np.intp]) -> None:
        """Count numbers by their places."""
        # numpy is a hundred times slower if the types differ.
        np.add.at(self.counts.reshape(-1), places, np.uint32(1))

    def quantiles(self, shares: Sequence[float]) -> NDArray[np.float64]:
        """Quantiles of each label, shape (n_labels, n_shares); NaN for a label without numbers."""
        found = np.full((len(self.counts), len(shares)), np.nan)
        for label, of_label in enumerate(self.counts):
            counts = of_label.astype(np.int64)
            below = np.cumsum(counts)
            if below[-1] == 0:
                continue
            # The bin of the smallest number with this share at or below it, numpy's `inverted_cdf`.
            wanted = np.maximum(np.ceil(np.multiply(shares, below[-1])), 1)
            place = np.searchsorted(below, wanted)
            inside = (wanted - (below[place] - counts[place]) - 0.5) / counts[place]
            found[label] = self.edges[place] + inside * np.diff(self.edges)[place]
        return found
