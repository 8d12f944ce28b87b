"""Which frames are nearer to each other than a cutoff, decided without their distances."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._blas import one_blas_thread
from ._near import LANES, Marks, add_marks, mark_near
from ._packing import pack
from .metric import Metric, as_positions

__all__ = ["NearFrames", "PackedFrames"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PackedFrames:
    """Frames laid out for `NearFrames`; see there."""

    frame: Int64Array
    blocks: Float64Array
    singles: Float32Array
    traces: Float64Array

    def __len__(self) -> int:
        return len(self.frame)


class NearFrames:
    """Tells which pairs of frames are nearer than a cutoff (nm), exactly as their distances in float32 would.

    Prepared once; then many threads may use one instance. `origin` is any frame of the set, shape (n_atoms,
    3), nm: positions that are compared without a fit are taken from there, since far from the origin rounding
    would leave every pair open.
    """

    def __init__(self, cutoff: float, origin: npt.ArrayLike, metric: Metric) -> None:
        self._metric = metric
        self._below = np.float32(cutoff)
        first = as_positions(np.asarray(origin)[np.newaxis])
        self.n_atoms = metric.n_measured(first.shape[1])  # that are compared
        self._shift = np.zeros((1, 3, 1, self.n_atoms))
        if not self._metric.fit:
            pack(first, self._metric, self._shift, np.empty(1))
            np.nan_to_num(self._shift, copy=False, posinf=0.0, neginf=0.0)

    def pack(self, xyz: npt.NDArray[Any], frame: Int64Array, *, lanes: int = LANES) -> PackedFrames:
        """Lay frames out, shape (n_frames, n_atoms, 3), nm, with their indices, shape (n_frames,).

        Rows may have fewer lanes, such as 1 if there is but one: so many are multiplied at once.
        """
        n_blocks = -(-len(xyz) // lanes)
        blocks = np.zeros((n_blocks, 3, lanes, self.n_atoms))
        traces = np.full(n_blocks * lanes, np.nan)
        pack(as_positions(xyz), self._metric, blocks, traces[: len(xyz)])
        return PackedFrames(frame, blocks, *self._multiplied(blocks, traces))

    def _multiplied(self, blocks: Float64Array, traces: Float64Array) -> tuple[Float32Array, Float64Array]:
        """Return what is multiplied in float32, and its Σ|x|²; NaN stays."""
        if self._metric.fit:
            return blocks.astype(np.float32).reshape(-1, self.n_atoms), traces
        shifted = (blocks - self._shift).swapaxes(1, 2).reshape(-1, 3 * self.n_atoms)
        return shifted.astype(np.float32), np.square(shifted).sum(axis=1) + 0.0 * traces

    def marks(self, rows: PackedFrames, columns: PackedFrames) -> Iterator[tuple[slice, Marks]]:
        """Yield a slice of the rows, and 1 where a row and a column are near, shape (n_rows, n_columns).

        The marks are overwritten by the next. A frame is near to itself, and one that isn't finite to none.
        """
        lanes, width = rows.blocks.shape[2], len(rows.singles) // len(rows.blocks)
        products = np.empty((width, len(columns.singles)), np.float32)
        marks = np.empty((lanes, len(columns.blocks) * LANES), np.uint8)
        orders = self._metric.orders(self.n_atoms)
        of_one = marks if len(orders) == 1 else marks.copy()
        for block, row in enumerate(rows.blocks):
            part = slice(block * lanes, min((block + 1) * lanes, len(rows)))
            traces = rows.traces[block * lanes : (block + 1) * lanes]
            for number, order in enumerate(orders):
                of_order = row, rows.singles[block * width : (block + 1) * width], traces
                if len(orders) > 1:
                    permuted = np.ascontiguousarray(row[..., order])
                    of_order = permuted, *self._multiplied(permuted[np.newaxis], traces)
                with one_blas_thread():
                    mark_near(
                        *of_order,
                        rows.frame[part],
                        columns.blocks,
                        columns.singles,
                        columns.traces,
                        columns.frame,
                        self._metric.fit,
                        self._below,
                        products,
                        of_one,
                    )
                if len(orders) > 1:
                    np.bitwise_or(marks, of_one, out=marks) if number else np.copyto(marks, of_one)
            yield part, marks[: part.stop - part.start, : len(columns)]

    def count(self, rows: PackedFrames, columns: PackedFrames) -> tuple[Int32Array, Int32Array]:
        """Count for each row its near columns, and for each column its near rows."""
        of_rows, of_columns = np.zeros(len(rows), np.int32), np.zeros(len(columns), np.int32)
        for part, marks in self.marks(rows, columns):
            add_marks(marks, of_rows[part], of_columns)
        return of_rows, of_columns

    def pairs(self, rows: PackedFrames, columns: PackedFrames) -> Int32Array:
        """List near rows and columns by their indices, shape (n_pairs, 2)."""
        found = [np.empty((0, 2), np.int32)]
        for part, marks in self.marks(rows, columns):
            of_rows, of_columns = np.nonzero(marks.view(np.bool_))
            frames = rows.frame[part][of_rows], columns.frame[of_columns]
            found.append(np.stack(frames, axis=1).astype(np.int32))
        return np.concatenate(found)
