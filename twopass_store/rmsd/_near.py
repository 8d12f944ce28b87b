"""Which pairs of frames are nearer than a cutoff, without their distances.

RMSD² = 2E(1 − λ)/A is below c² where λ, the largest root of p = (λ² − F)² − 8Dλ − 4N, is above
t = 1 − A c²/(2E). All roots of p are real, so t is above all of them where p and its derivatives are positive
there (Budan and Fourier), and below the largest where one of them is negative: the roots of a derivative lie
between those of p. No root is sought. Signs are taken in float32 at either end of what rounding leaves open,
with the slack and the noise of `_screen`; pairs between are settled one by one in float64.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..jit import inlined, kernel
from ._pair import fitted_squared, invariants, plain_squared
from ._screen import EIGHT, FOUR, HALF, HUGE, NOISE, ONE, TINY, TWO, U
from ._tile import COLUMNS as LANES

__all__ = ["LANES", "add_marks", "mark_near"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
Marks = npt.NDArray[np.uint8]

FAR, NEAR, OPEN = np.uint8(0), np.uint8(1), np.uint8(2)
LEAST = np.float32(-2)
"""No root is below -1."""


@inlined
def _least_derivative(at: Any, norm: Any, minors4: Any, det8: Any) -> Any:
    """Least of p and its derivatives (of the second and third, a share), positive above the largest root."""
    excess = at * at - norm
    value = excess * excess - det8 * at - minors4
    slope = FOUR * at * excess - det8
    bend = TWO * at * at + excess
    return min(min(value, slope), min(bend, at))


@inlined
def _mark_fitted(
    px: Float32Array,
    py: Float32Array,
    pz: Float32Array,
    trace: np.float32,
    traces: Float32Array,
    n_atoms: int,
    below: np.float32,
    marks: Marks,
) -> int:
    """Mark the frames of a block that are near to one; return how many remain open.

    `px`, `py` and `pz` are products of its x, y and z with x, y and z of the others, shape (3 * LANES,), nm²;
    `traces` and `marks` have the shape (LANES,).
    """
    slack = np.float32(math.sqrt(3.0) * U * 1.01 * (n_atoms + 18) + 16.0 * U)
    square = np.float32(np.float64(below) * np.float64(below) * n_atoms * 0.5)
    n_open = 0
    for k in range(LANES):
        half = (trace + traces[k]) * HALF
        scale = ONE / half
        xx, xy, xz = px[k] * scale, px[LANES + k] * scale, px[2 * LANES + k] * scale
        yx, yy, yz = py[k] * scale, py[LANES + k] * scale, py[2 * LANES + k] * scale
        zx, zy, zz = pz[k] * scale, pz[LANES + k] * scale, pz[2 * LANES + k] * scale
        norm, minors, det = invariants(xx, xy, xz, yx, yy, yz, zx, zy, zz)
        minors4, det8 = FOUR * minors, EIGHT * det
        at = max(ONE - square * scale, LEAST)
        is_known = (half > TINY) & (half < HUGE)  # False for NaN
        is_far = is_known & (_least_derivative(at - slack, norm, minors4, det8) > NOISE)
        is_near = is_known & (_least_derivative(at + slack, norm, minors4, det8) < -NOISE)
        mark = FAR if is_far else OPEN
        mark = NEAR if is_near else mark
        marks[k] = mark
        n_open += 1 if mark == OPEN else 0
    return n_open


@inlined
def _mark_plain(
    products: Float32Array,
    trace: np.float32,
    traces: Float32Array,
    n_atoms: int,
    below: np.float32,
    marks: Marks,
) -> int:
    """The same for structures as they are; products of all their coordinates, shape (LANES,), nm²."""
    slack = np.float32(U * 1.01 * (3 * n_atoms + 18) + 16.0 * U)
    square = np.float32(np.float64(below) * np.float64(below) * n_atoms * 0.5)
    n_open = 0
    for k in range(LANES):
        half = (trace + traces[k]) * HALF
        rest, room = half - products[k], (half + square) * slack
        is_known = half < HUGE  # False for NaN
        mark = FAR if is_known & (rest - room > square) else OPEN
        mark = NEAR if is_known & (rest + room < square) else mark
        marks[k] = mark
        n_open += 1 if mark == OPEN else 0
    return n_open


@kernel
def mark_near(
    row: Float64Array,
    row_single: Float32Array,
    row_traces: Float64Array,
    row_frame: Int64Array,
    columns: Float64Array,
    columns_single: Float32Array,
    column_traces: Float64Array,
    column_frame: Int64Array,
    fit: bool,
    below: np.float32,
    products: Float32Array,
    marks: Marks,
) -> None:
    """Mark which frames of some blocks are nearer than a cutoff to those of one block.

    `row` and `columns` are from `pack`, shapes (3, n_lanes, n_atoms) and (n_blocks, 3, LANES, n_atoms), nm.
    `row_single` and `columns_single` are what is multiplied in float32, shapes (width of the block, n_atoms
    or 3 * n_atoms) and (width of all blocks, likewise): x, y and z of the lanes one after the other, or all
    coordinates of a lane where there is no `fit`. Traces are Σ|x|² of that, NaN for a frame that isn't
    finite. `row_frame` and `column_frame` may be fewer than lanes; of a pair, the earlier frame is compared
    with the later one. `products` is scratch.
    """
    n_blocks, _, _, n_atoms = columns.shape
    n_lanes = row.shape[1]
    np.dot(row_single, columns_single.T, products)
    traces = np.empty(LANES, np.float32)
    for block in range(n_blocks):
        first = LANES * block
        for k in range(LANES):
            traces[k] = column_traces[first + k]
        n_here = min(LANES, column_frame.size - first)
        for i in range(row_frame.size):
            some = marks[i][first : first + LANES]
            trace = np.float32(row_traces[i])
            if fit:
                here = slice(3 * first, 3 * (first + LANES))
                x, y, z = products[i][here], products[n_lanes + i][here], products[2 * n_lanes + i][here]
                n_open = _mark_fitted(x, y, z, trace, traces, n_atoms, below, some)
            else:
                n_open = _mark_plain(products[i][first : first + LANES], trace, traces, n_atoms, below, some)
            if n_open == 0:
                continue
            for k in range(n_here):
                if some[k] == OPEN:
                    a, b = row[:, i], columns[block, :, k]
                    if row_frame[i] > column_frame[first + k]:
                        a, b = b, a
                    some[k] = _is_near(a, b, row_traces[i] + column_traces[first + k], fit, below)


@inlined
def _is_near(a: Float64Array, b: Float64Array, total: float, fit: bool, below: np.float32) -> np.uint8:
    """Decide as whoever compares the stored distance, a float32, with the cutoff."""
    if math.isnan(total):
        return FAR
    n_atoms = a.shape[1]
    squared = 0.0
    if fit:
        squared = fitted_squared(a, b, total)
    else:
        for axis in range(3):
            squared += plain_squared(a[axis], b[axis], n_atoms)
    return NEAR if np.float32(math.sqrt(squared)) < below else FAR


@kernel
def add_marks(marks: Marks, row_counts: Int32Array, column_counts: Int32Array) -> None:
    """Add the marks to the counts of their rows and columns, shapes (n_rows,) and (n_columns,)."""
    for i in range(row_counts.size):
        some = marks[i]
        count = np.int32(0)
        for k in range(column_counts.size):
            one = np.int32(some[k])
            count += one
            column_counts[k] += one
        row_counts[i] += count
