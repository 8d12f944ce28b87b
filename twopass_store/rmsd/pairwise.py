"""All pairwise distances of one set of frames, any range of them at a time."""

import math

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ._blas import one_blas_thread
from ._packing import pack
from ._tile import COLUMNS, ROWS, condensed_fitted, condensed_plain
from .metric import Metric, as_positions

__all__ = ["PairwiseRmsd"]


class PairwiseRmsd:
    """RMSDs between frames, as ranges of scipy's condensed vector.

    Prepared once; then many threads may call `pairs` on one instance. Frames have the shape (n_frames,
    n_atoms, 3), nm; only a packed copy is kept. They are compared by minimal RMSD if `metric` is None.

    Raises
    ------
    TopologyMismatchError
        If the shape isn't (n_frames, n_atoms, 3) with at least one atom, or the metric is of other atoms.
    """

    def __init__(self, xyz: npt.ArrayLike, metric: Metric | None = None) -> None:
        positions = as_positions(xyz)
        metric = metric or Metric()
        self._metric = metric
        self.n_frames, self.n_atoms = int(positions.shape[0]), metric.n_measured(positions.shape[1])
        self.n_pairs = self.n_frames * (self.n_frames - 1) // 2
        columns = COLUMNS if metric.fit else 1
        n_blocks = -(-self.n_frames // columns)
        self._blocks = np.zeros((n_blocks, 3, columns, self.n_atoms))
        self._traces = np.full(n_blocks * columns, np.nan)
        pack(positions, metric, self._blocks, self._traces[: self.n_frames])

    def pairs(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Distances of a half-open range of the condensed vector.

        Any cutting into ranges gives the same bits. Ranges of many rows are the fast ones, since tiles are
        computed whole. Returns nm, shape (stop - start,); NaN where one of the two frames isn't finite.
        Raises a `ConfigError` if the range isn't within 0 and `n_pairs`.
        """
        if not 0 <= start <= stop <= self.n_pairs:
            raise ConfigError(
                f"Pairs {start} to {stop} were asked for, but {self.n_frames} frames have {self.n_pairs} "
                "pairs: give 0 <= start <= stop <= n_pairs."
            )
        out = np.empty(stop - start, np.float32)
        if not out.size:
            return out
        first, *others = self._metric.orders(self.n_atoms)
        self._fill(start, first, out)
        other = np.empty_like(out) if others else out
        for order in others:
            self._fill(start, order, other)
            np.minimum(out, other, out=out)
        return out

    def _fill(self, start: int, order: npt.NDArray[np.int64], out: npt.NDArray[np.float32]) -> None:
        of_pairs = self._blocks, self._traces, self.n_frames, start, self._row_of(start), order
        if self._metric.fit:
            left, products = np.empty((3 * ROWS, self.n_atoms)), np.empty((3 * ROWS, 3 * COLUMNS))
            with one_blas_thread():
                condensed_fitted(*of_pairs, left, products, out)
        else:
            condensed_plain(*of_pairs, out)

    def _row_of(self, pair: int) -> int:
        """Row i of a pair, in exact integers: counted from the end, rows have 1, 2, 3, … pairs."""
        after = self.n_pairs - 1 - pair
        return self.n_frames - 2 - (math.isqrt(8 * after + 1) - 1) // 2
