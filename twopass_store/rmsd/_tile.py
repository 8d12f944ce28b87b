"""All pairs of one set of frames, in float64: a matrix product a tile, and the root of a quartic a pair.

Tiles lie on a fixed grid and are always computed whole, so a pair comes from the same product, at the same
place, whichever part of the distances is asked for. With M the inner products over E = (Σ|x|² + Σ|y|²)/2,
F = ‖M‖², D = det M and N = ‖cof M‖², the largest root λ of p = (λ² − F)² − 8Dλ − 4N gives RMSD² =
2E(1 − λ)/A. All four roots are real, being eigenvalues of a symmetric matrix, so Laguerre's iteration from
above comes down to λ without overshooting. The root is sought in float32, which has twice as many lanes in a
vector, and a step of Newton's in float64 squares its error. What that leaves uncertain is settled pair by
pair.

References
----------
Theobald, Acta Cryst. A 61 (2005) 478: the largest eigenvalue of the key matrix, without diagonalising.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..jit import inlined, kernel
from ._pair import MIN_CERTAIN, fitted_squared, invariants, plain_squared

__all__ = ["COLUMNS", "ROWS", "condensed_fitted", "condensed_plain"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

ROWS, COLUMNS = 64, 64
"""Frames of a tile on either side."""

UNCERTAIN = np.float32(-1)


@inlined
def _laguerre(root: Any, norm: Any, minors4: Any, det8: Any) -> Any:
    """One step towards the largest root."""
    square = root * root
    excess = square - norm
    value = excess * excess - det8 * root - minors4
    slope = np.float32(4) * root * excess - det8
    bend = np.float32(8) * square + np.float32(4) * excess
    discriminant = np.float32(9) * slope * slope - np.float32(12) * value * bend
    return root - np.float32(4) * value / (slope + math.sqrt(max(discriminant, np.float32(0))))


@inlined
def _fill_distances(
    px: Float64Array,
    py: Float64Array,
    pz: Float64Array,
    trace: float,
    traces: Float64Array,
    n_atoms: int,
    singles: Float32Array,
) -> int:
    """RMSD of one frame to `COLUMNS` others, or `UNCERTAIN`; return the number of these.

    `px`, `py` and `pz` are products of its x, y and z with x, y and z of the others, shape (3 * COLUMNS,),
    nm²; overwritten. The last quarter of `singles`, shape (4 * COLUMNS,), is filled with the distances, nm.
    """
    inverse = 1.0 / n_atoms
    for k in range(COLUMNS):
        scale = 2.0 / (trace + traces[k])
        xx, xy, xz = px[k] * scale, px[COLUMNS + k] * scale, px[2 * COLUMNS + k] * scale
        yx, yy, yz = py[k] * scale, py[COLUMNS + k] * scale, py[2 * COLUMNS + k] * scale
        zx, zy, zz = pz[k] * scale, pz[COLUMNS + k] * scale, pz[2 * COLUMNS + k] * scale
        norm, minors, det = invariants(xx, xy, xz, yx, yy, yz, zx, zy, zz)
        px[k], px[COLUMNS + k], px[2 * COLUMNS + k] = norm, 4.0 * minors, 8.0 * det
        singles[k], singles[COLUMNS + k], singles[2 * COLUMNS + k] = norm, 4.0 * minors, 8.0 * det
    for k in range(COLUMNS):
        norm, minors4, det8 = singles[k], singles[COLUMNS + k], singles[2 * COLUMNS + k]
        # Cauchy's inequality; with Cauchy and Schwarz, 1 is a bound, too.
        most = np.float32(3) * minors4 if det8 > np.float32(0) else minors4
        root = min(math.sqrt(norm + math.sqrt(most)), np.float32(1))
        # Unrolled, or the loop wouldn't become one over vectors.
        root = _laguerre(root, norm, minors4, det8)
        root = _laguerre(root, norm, minors4, det8)
        root = _laguerre(root, norm, minors4, det8)
        root = _laguerre(root, norm, minors4, det8)
        singles[3 * COLUMNS + k] = root
    n_uncertain = 0
    for k in range(COLUMNS):
        norm, minors4, det8 = px[k], px[COLUMNS + k], px[2 * COLUMNS + k]
        root = np.float64(singles[3 * COLUMNS + k])
        excess = root * root - norm
        slope = 4.0 * root * excess - det8
        step = (excess * excess - det8 * root - minors4) / slope
        rest = 1.0 - (root - step)
        # Where p′, p″ and the root are positive, at most one root is larger (Budan and Fourier), and the
        # step tells how near it is. The slope is the product of the distances to the three other roots, two
        # of which come to at most 8λ²: a lower bound of the distance to the next one is slope / 8. All
        # comparisons are false for NaN.
        bend = 2.0 * root * root + excess
        is_certain = (
            (slope > 0.0)
            & (bend > 0.0)
            & (root > 0.0)
            & (rest * slope > MIN_CERTAIN * root**4)
            & (abs(step) < 1e-3 * slope)
            & (24.0 * step * step < 1e-9 * rest * slope)
        )
        distance = math.sqrt(rest * (trace + traces[k]) * inverse)
        singles[3 * COLUMNS + k] = distance if is_certain else UNCERTAIN
        n_uncertain += 0 if is_certain else 1
    return n_uncertain


@kernel
def condensed_fitted(
    blocks: Float64Array,
    traces: Float64Array,
    n_frames: int,
    start: int,
    row: int,
    order: Int64Array,
    left: Float64Array,
    products: Float64Array,
    out: Float32Array,
) -> None:
    """Fill `out` with minimal RMSDs (nm) of pairs i < j, in scipy's condensed order from `start` on.

    `blocks` and `traces` are from `pack`, shapes (n_blocks, 3, COLUMNS, n_atoms) and (n_blocks * COLUMNS,);
    NaN is the trace of a frame that isn't finite or isn't there. `row` is the i of the first pair, `order`
    the atom of frame i that stands for each atom of frame j. `left` and `products` are scratch, shapes (3 *
    ROWS, n_atoms) and (3 * ROWS, 3 * COLUMNS).
    """
    n_blocks, _, _, n_atoms = blocks.shape
    right = blocks.reshape(n_blocks, 3 * COLUMNS, n_atoms)
    singles = np.empty(4 * COLUMNS, np.float32)
    distances = singles[3 * COLUMNS :]
    rows = left.reshape(3, ROWS, n_atoms)
    stop = start + out.size
    first = row // ROWS * ROWS
    while first < n_frames and _pair(first, first + 1, n_frames) < stop:
        for axis in range(3):
            for k in range(ROWS):
                block, lane = divmod(first + k, COLUMNS)
                source, target = blocks[block, axis, lane], left[axis * ROWS + k]
                for atom in range(n_atoms):
                    target[atom] = source[order[atom]]
        for block in range(first // COLUMNS, n_blocks):
            from_column, to_column = block * COLUMNS, min((block + 1) * COLUMNS, n_frames)
            is_computed = False
            for i in range(first, min(first + ROWS, n_frames)):
                # The pair (i, 0), if it were there; then what is wanted of this row in this block.
                origin = _pair(i, 0, n_frames)
                low = max(from_column, i + 1, start - origin)
                high = min(to_column, stop - origin)
                if low >= high:
                    continue
                if not is_computed:
                    np.dot(left, right[block].T, products)
                    is_computed = True
                of_block = traces[from_column : from_column + COLUMNS]
                k = i - first
                x, y, z = products[k], products[ROWS + k], products[2 * ROWS + k]
                n_uncertain = _fill_distances(x, y, z, traces[i], of_block, n_atoms, singles)
                of_row = distances[low - from_column : high - from_column]
                if n_uncertain:
                    for j in range(low, high):
                        if of_row[j - low] == UNCERTAIN:
                            total = traces[i] + traces[j]
                            a, b = rows[:, k], blocks[block, :, j - from_column]
                            squared = np.nan if math.isnan(total) else fitted_squared(a, b, total)
                            of_row[j - low] = math.sqrt(squared)
                wanted = out[origin + low - start : origin + high - start]
                for j in range(of_row.size):
                    wanted[j] = of_row[j]
        first += ROWS


@kernel
def condensed_plain(
    blocks: Float64Array,
    traces: Float64Array,
    n_frames: int,
    start: int,
    row: int,
    order: Int64Array,
    out: Float32Array,
) -> None:
    """RMSDs of structures as they are; parameters as for `condensed_fitted`, in blocks of one frame."""
    n_atoms = blocks.shape[3]
    flat = blocks.reshape(blocks.shape[0], 3 * n_atoms)
    one = np.empty(3 * n_atoms)
    i, j, filled = row, start - _pair(row, 0, n_frames), -1
    for k in range(out.size):
        if j == n_frames:
            i += 1
            j = i + 1
        if filled != i:
            filled = i
            for atom in range(n_atoms):
                for axis in range(3):
                    one[axis * n_atoms + atom] = blocks[i, axis, 0, order[atom]]
        out[k] = math.sqrt(plain_squared(one, flat[j], n_atoms) + 0.0 * (traces[i] + traces[j]))
        j += 1


@inlined
def _pair(i: int, j: int, n_frames: int) -> int:
    """Index of the pair (i, j) in the condensed vector."""
    return i * (2 * n_frames - i - 3) // 2 + j - 1
