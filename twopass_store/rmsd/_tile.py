"""Minimal RMSD of a few rows to one block of frames: the arithmetic, in float64 from end to end.

A *block* holds `LANES` centred frames with the frame index fastest; a *row* is one centred frame or leader
with its coordinates side by side. A pair is always a row against a lane. Every lane sees the same IEEE
operations in the same order (no reassociation, no fused multiply-add), so a distance depends on its two
structures only: not on lane, tile, call, thread or CPU.

References
----------
Horn, J. Opt. Soc. Am. A 4 (1987) 629: the rotation is the top eigenvector of a 4×4 key matrix.
Theobald, Acta Cryst. A 61 (2005) 478: its eigenvalue from the quartic, without diagonalising.
"""

import math

import numpy as np
import numpy.typing as npt

from ._jit import kernel
from ._packing import ATOM_STEP, LANES

__all__ = ["ROWS", "tile_kernel"]

Float64Array = npt.NDArray[np.float64]

ROWS = 16
"""Rows that one tile sets against a block, which is read from the second-level cache once for all of them."""

ATOM_BATCH = 32
"""Atoms that all rows of a tile take before the next ones."""

DOUBTFUL = -1.0
"""Stands for a squared RMSD until `_superposed` has worked it out."""

TOLERANCE_NM = 1e-9
"""A distance whose estimated error is larger is worked out again from the coordinates."""

LAGUERRE_STEPS = 4
"""Enough for all but about one in a hundred pairs of unrelated structures."""

MAX_SWEEPS = 30
"""Jacobi's method needs five or so; the limit only guards against an endless loop."""

EPSILON = 2.220446049250313e-16

QUARTIC_NOISE = 32.0 * EPSILON
"""Rounding of the quartic's value, in units of λ⁴; twice what was seen."""


@kernel
def _add_products(row: Float64Array, block: Float64Array, sums: Float64Array) -> None:
    """Add Σ x_i·y_j over `ATOM_STEP` atoms of a row and of every lane, for the nine (i, j).

    Parameters
    ----------
    row
        Coordinates of the atoms, shape (3 * ATOM_STEP,), nm.
    block
        The same atoms of each lane, shape (3 * ATOM_STEP * LANES,), nm.
    sums
        Shape (9 * LANES,), nm², (i, j) in C order; added to.
    """
    x0, y0, z0, x1, y1, z1 = row[0], row[1], row[2], row[3], row[4], row[5]
    x2, y2, z2, x3, y3, z3 = row[6], row[7], row[8], row[9], row[10], row[11]
    for k in range(LANES):
        a0, b0, c0 = block[k], block[LANES + k], block[2 * LANES + k]
        a1, b1, c1 = block[3 * LANES + k], block[4 * LANES + k], block[5 * LANES + k]
        a2, b2, c2 = block[6 * LANES + k], block[7 * LANES + k], block[8 * LANES + k]
        a3, b3, c3 = block[9 * LANES + k], block[10 * LANES + k], block[11 * LANES + k]
        sums[k] = sums[k] + x0 * a0 + x1 * a1 + x2 * a2 + x3 * a3
        sums[LANES + k] = sums[LANES + k] + x0 * b0 + x1 * b1 + x2 * b2 + x3 * b3
        sums[2 * LANES + k] = sums[2 * LANES + k] + x0 * c0 + x1 * c1 + x2 * c2 + x3 * c3
        sums[3 * LANES + k] = sums[3 * LANES + k] + y0 * a0 + y1 * a1 + y2 * a2 + y3 * a3
        sums[4 * LANES + k] = sums[4 * LANES + k] + y0 * b0 + y1 * b1 + y2 * b2 + y3 * b3
        sums[5 * LANES + k] = sums[5 * LANES + k] + y0 * c0 + y1 * c1 + y2 * c2 + y3 * c3
        sums[6 * LANES + k] = sums[6 * LANES + k] + z0 * a0 + z1 * a1 + z2 * a2 + z3 * a3
        sums[7 * LANES + k] = sums[7 * LANES + k] + z0 * b0 + z1 * b1 + z2 * b2 + z3 * b3
        sums[8 * LANES + k] = sums[8 * LANES + k] + z0 * c0 + z1 * c1 + z2 * c2 + z3 * c3


@kernel
def _squared_rmsd(
    sums: Float64Array, row_trace: float, traces: Float64Array, n_atoms: int, squared: Float64Array
) -> int:
    """Squared RMSD of one row to every lane, from their inner products.

    With M the inner products over E = (Σ|x|² + Σ|y|²)/2, F = ‖M‖², D = det M and N = ‖cof M‖², the largest
    root λ of (λ² − F)² − 8Dλ − 4N gives RMSD² = 2E(1 − λ)/A. All four roots are real, being eigenvalues of a
    symmetric matrix, so Laguerre's iteration from above comes down to λ without overshooting, and cubically.

    In singular values, λ = s₁ + s₂ ± s₃. Cauchy's inequality bounds it by √(F + 2√(3N)), and by √(F + 2√N)
    where det M ≤ 0; Cauchy and Schwarz by 1.

    Parameters
    ----------
    sums
        Inner products, shape (9 * LANES,), nm².
    row_trace
        Σ|x|² of the row, nm².
    traces
        Σ|y|² of the lanes, shape (LANES,), nm².
    n_atoms
        Atoms, without the padding.
    squared
        To fill, shape (LANES,), nm²; `DOUBTFUL` where the error may pass `TOLERANCE_NM`.

    Returns
    -------
    The number of doubtful lanes.
    """
    # Rounding of the sums moves M, and λ by no more than that.
    sum_noise = EPSILON * (2.0 + n_atoms / 16.0)
    n_doubtful = 0
    for k in range(LANES):
        half = 0.5 * (row_trace + traces[k])
        scale = 1.0 / half
        xx, xy, xz = sums[k] * scale, sums[LANES + k] * scale, sums[2 * LANES + k] * scale
        yx, yy, yz = sums[3 * LANES + k] * scale, sums[4 * LANES + k] * scale, sums[5 * LANES + k] * scale
        zx, zy, zz = sums[6 * LANES + k] * scale, sums[7 * LANES + k] * scale, sums[8 * LANES + k] * scale
        c0, c1, c2 = yy * zz - yz * zy, yz * zx - yx * zz, yx * zy - yy * zx
        c3, c4, c5 = xz * zy - xy * zz, xx * zz - xz * zx, xy * zx - xx * zy
        c6, c7, c8 = xy * yz - xz * yy, xz * yx - xx * yz, xx * yy - xy * yx
        norm = xx * xx + xy * xy + xz * xz + yx * yx + yy * yy + yz * yz + zx * zx + zy * zy + zz * zz
        minors = c0 * c0 + c1 * c1 + c2 * c2 + c3 * c3 + c4 * c4 + c5 * c5 + c6 * c6 + c7 * c7 + c8 * c8
        det = xx * c0 + xy * c1 + xz * c2
        root = min(1.0, math.sqrt(norm + 2.0 * math.sqrt(3.0 * minors if det > 0.0 else minors)))
        step = 0.0
        slope = 0.0
        for _ in range(LAGUERRE_STEPS):
            excess = root * root - norm
            value = excess * excess - 8.0 * det * root - 4.0 * minors
            slope = 4.0 * root * excess - 8.0 * det
            bend = 8.0 * root * root + 4.0 * excess
            spread = 9.0 * slope * slope - 12.0 * value * bend
            step = 4.0 * value / (slope + math.sqrt(max(spread, 0.0)))
            root -= step
        # slope is the product of the distances to the three other roots, two of which come to at most 8λ²:
        # that leaves a lower bound of the distance to the next root. Every term of the quartic is of order
        # λ⁴, and its rounding moves a single root by noise / slope; the iteration leaves about step³ / gap².
        square = root * root
        gap = slope / (8.0 * square)
        shift = QUARTIC_NOISE * square * square / slope
        left = abs(step * step * step) / (gap * gap)
        mean = 2.0 * half / n_atoms
        answer = max(mean * (1.0 - root), 0.0)
        error = mean * (shift + left + sum_noise)
        # All comparisons are false for NaN.
        sure = (
            slope > 0.0
            and abs(step) <= 0.01 * gap
            and shift <= 0.01 * gap
            and error * error <= TOLERANCE_NM * TOLERANCE_NM * answer
        )
        squared[k] = answer if sure else DOUBTFUL
        n_doubtful += 0 if sure else 1
    return n_doubtful


@kernel
def _top_eigenvector(key: Float64Array, vectors: Float64Array) -> int:
    """Diagonalise a symmetric 4×4 matrix by Jacobi's cyclic rotations.

    Backward stable whatever the eigenvalues, equal ones included, where the quartic loses half the digits.

    Parameters
    ----------
    key
        The matrix, shape (4, 4); overwritten, its diagonal ends as the eigenvalues.
    vectors
        To fill with eigenvectors in columns, shape (4, 4).

    Returns
    -------
    The column of the largest eigenvalue, the first of equals.
    """
    vectors[:] = 0.0
    for p in range(4):
        vectors[p, p] = 1.0
    for _ in range(MAX_SWEEPS):
        rotated = False
        for p in range(3):
            for q in range(p + 1, 4):
                if abs(key[p, q]) <= 0.1 * EPSILON * (abs(key[p, p]) + abs(key[q, q])):
                    continue
                rotated = True
                cotangent = (key[q, q] - key[p, p]) / (2.0 * key[p, q])
                tangent = math.copysign(1.0, cotangent) / (abs(cotangent) + math.hypot(cotangent, 1.0))
                cosine = 1.0 / math.hypot(tangent, 1.0)
                sine = tangent * cosine
                for k in range(4):
                    left, right = key[k, p], key[k, q]
                    key[k, p], key[k, q] = cosine * left - sine * right, sine * left + cosine * right
                for k in range(4):
                    left, right = key[p, k], key[q, k]
                    key[p, k], key[q, k] = cosine * left - sine * right, sine * left + cosine * right
                    left, right = vectors[k, p], vectors[k, q]
                    vectors[k, p], vectors[k, q] = cosine * left - sine * right, sine * left + cosine * right
                key[p, q] = key[q, p] = 0.0
        if not rotated:
            break
    top = 0
    for p in range(1, 4):
        if key[p, p] > key[top, top]:
            top = p
    return top


@kernel
def _superposed(row: Float64Array, block: Float64Array, lane: int, sums: Float64Array, n_atoms: int) -> float:
    """Squared RMSD of a row to one lane, in nm², from the coordinates after the best rotation.

    An error in the rotation enters only squared, and no large numbers cancel. Where a structure is so thin
    that its turn about itself is lost in rounding, no rotation may be better: identical structures give 0.

    Parameters
    ----------
    row, block, sums
        As for `_add_products`, but of all atoms.
    lane
        Which lane of the block.
    n_atoms
        Atoms, without the padding.
    """
    xx, xy, xz = sums[lane], sums[LANES + lane], sums[2 * LANES + lane]
    yx, yy, yz = sums[3 * LANES + lane], sums[4 * LANES + lane], sums[5 * LANES + lane]
    zx, zy, zz = sums[6 * LANES + lane], sums[7 * LANES + lane], sums[8 * LANES + lane]
    key = np.empty((4, 4))
    key[0, 0], key[1, 1], key[2, 2], key[3, 3] = xx + yy + zz, xx - yy - zz, yy - xx - zz, zz - xx - yy
    key[0, 1] = key[1, 0] = yz - zy
    key[0, 2] = key[2, 0] = zx - xz
    key[0, 3] = key[3, 0] = xy - yx
    key[1, 2] = key[2, 1] = xy + yx
    key[1, 3] = key[3, 1] = zx + xz
    key[2, 3] = key[3, 2] = yz + zy
    vectors = np.empty((4, 4))
    top = _top_eigenvector(key, vectors)
    w, x, y, z = vectors[0, top], vectors[1, top], vectors[2, top], vectors[3, top]
    unit = 1.0 / math.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * unit, x * unit, y * unit, z * unit
    total = 0.0
    unrotated = 0.0
    for atom in range(n_atoms):
        a, b, c = row[3 * atom], row[3 * atom + 1], row[3 * atom + 2]
        first = 3 * atom * LANES + lane
        # 2q × (q × x + w x): what the quaternion's rotation adds to x.
        s, t, u = y * c - z * b + w * a, z * a - x * c + w * b, x * b - y * a + w * c
        dx, dy, dz = a - block[first], b - block[first + LANES], c - block[first + 2 * LANES]
        unrotated += dx * dx + dy * dy + dz * dz
        dx, dy, dz = dx + 2.0 * (y * u - z * t), dy + 2.0 * (z * s - x * u), dz + 2.0 * (x * t - y * s)
        total += dx * dx + dy * dy + dz * dz
    return min(total, unrotated) / n_atoms


@kernel
def tile_kernel(
    rows: Float64Array,
    row_traces: Float64Array,
    block: Float64Array,
    traces: Float64Array,
    n_atoms: int,
    sums: Float64Array,
    squared: Float64Array,
) -> None:
    """Squared RMSD of up to `ROWS` rows to every lane of a block; NaN where either isn't finite.

    Parameters
    ----------
    rows
        Shape (n_rows, 3 * padded atoms), nm.
    row_traces
        Shape (n_rows,), nm².
    block
        Shape (3 * padded atoms * LANES,), nm.
    traces
        Of the block's lanes, shape (LANES,), nm².
    n_atoms
        Atoms, without the padding.
    sums
        Scratch, shape (ROWS, 9 * LANES).
    squared
        To fill, shape (ROWS, LANES), nm²; rows beyond n_rows are left alone.
    """
    n_rows, width = rows.shape
    sums[:n_rows] = 0.0
    for first in range(0, width, 3 * ATOM_BATCH):
        last = min(first + 3 * ATOM_BATCH, width)
        for row in range(n_rows):
            for k in range(first, last, 3 * ATOM_STEP):
                _add_products(
                    rows[row, k : k + 3 * ATOM_STEP],
                    block[k * LANES : (k + 3 * ATOM_STEP) * LANES],
                    sums[row],
                )
    for row in range(n_rows):
        if _squared_rmsd(sums[row], row_traces[row], traces, n_atoms, squared[row]) == 0:
            continue
        for lane in range(LANES):
            if squared[row, lane] != DOUBTFUL:
                continue
            if math.isnan(row_traces[row] + traces[lane]):
                squared[row, lane] = np.nan
            else:
                squared[row, lane] = _superposed(rows[row], block, lane, sums[row], n_atoms)
