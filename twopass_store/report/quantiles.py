"""Quantiles of many numbers in little memory, from fine histograms."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["LENGTH_RESOLUTION", "SHARE_RESOLUTION", "LengthHistogram", "ShareHistogram"]

KEPT_BITS = 8
"""Bits of a float32's fraction that tell the bins of lengths apart."""

LENGTH_RESOLUTION = 2.0**-KEPT_BITS
"""Relative error of a quantile of lengths, at most."""

SHARE_RESOLUTION = 1.0 / 4096
"""Error of a quantile of shares, at most."""

_SHIFT = 23 - KEPT_BITS
# 7.6e-6 to 128 nm: what is nearer to 0 counts as the lowest bin, which begins at 0.
_LOWEST, _HIGHEST = np.array([2.0**-17, 2.0**7], np.float32).view(np.int32) >> _SHIFT


class _Histogram(Protocol):
    counts: NDArray[np.uint32]

    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, shape (n_bins + 1,)."""


class LengthHistogram:
    """Counts lengths by label in bins of 0.4 % of their value.

    The order of positive float32 numbers is that of their bits, so the leading bits are the bin.
    """

    N_BINS = int(_HIGHEST - _LOWEST)

    def __init__(self, n_labels: int) -> None:
        self.counts = np.zeros((n_labels, self.N_BINS), np.uint32)

    def add(self, label: NDArray[np.integer], length: NDArray[np.float32]) -> None:
        """Count lengths (float32, not negative), each with a label, shapes (n,)."""
        bits = (length.astype(np.float32, copy=False).view(np.int32) >> _SHIFT) - _LOWEST
        _count(self.counts, label, np.clip(bits, 0, self.N_BINS - 1))

    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, shape (n_bins + 1,)."""
        bits = (np.arange(_LOWEST, _HIGHEST + 1, dtype=np.int32) << _SHIFT).astype(np.int32)
        edges = bits.view(np.float32).astype(np.float64)
        edges[0] = 0.0
        return edges

    def quantiles(self, shares: Sequence[float]) -> NDArray[np.float64]:
        """Quantiles of each label, shape (n_labels, n_shares); NaN for a label without numbers."""
        return _quantiles(self, shares)


class ShareHistogram:
    """Counts numbers from 0 to 1 by label in even bins."""

    N_BINS = round(1 / SHARE_RESOLUTION)

    def __init__(self, n_labels: int) -> None:
        self.counts = np.zeros((n_labels, self.N_BINS), np.uint32)

    def add(self, label: NDArray[np.integer], share: NDArray[np.floating]) -> None:
        """Count shares, each with a label, shapes (n,)."""
        _count(self.counts, label, np.clip((share * self.N_BINS).astype(np.int32), 0, self.N_BINS - 1))

    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, shape (n_bins + 1,)."""
        return np.linspace(0.0, 1.0, self.N_BINS + 1)

    def quantiles(self, shares: Sequence[float]) -> NDArray[np.float64]:
        """Quantiles of each label, shape (n_labels, n_shares); NaN for a label without numbers."""
        return _quantiles(self, shares)


def _count(counts: NDArray[np.uint32], label: NDArray[np.integer], bins: NDArray[np.integer]) -> None:
    np.add.at(counts.reshape(-1), label.astype(np.int64) * counts.shape[1] + bins, 1)


def _quantiles(histogram: _Histogram, shares: Sequence[float]) -> NDArray[np.float64]:
    edges = histogram.edges()
    found = np.full((len(histogram.counts), len(shares)), np.nan)
    for label, of_label in enumerate(histogram.counts):
        counts = of_label.astype(np.int64)
        below = np.cumsum(counts)
        if below[-1] == 0:
            continue
        # The smallest number that has this share at or below it, numpy's `inverted_cdf`, lies in this bin.
        wanted = np.maximum(np.ceil(np.multiply(shares, below[-1])), 1)
        place = np.searchsorted(below, wanted)
        inside = (wanted - (below[place] - counts[place]) - 0.5) / counts[place]
        found[label] = edges[place] + inside * (edges[place + 1] - edges[place])
    return found
