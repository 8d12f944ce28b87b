"""Minimal RMSD of a few rows to one block of frames: the arithmetic, in float64 from end to end.

A *block* holds `LANES` centred frames with the frame index fastest; a *row* is one centred frame or leader
with its coordinates side by side. A pair is always a row against a lane. Every lane sees the same operations
in the same order, so a distance depends on its two structures only: not on lane, tile, call or thread.

References
----------
Horn, J. Opt. Soc. Am. A 4 (1987) 629: the rotation is the top eigenvector of a 4×4 key matrix.
Theobald, Acta Cryst. A 61 (2005) 478: its eigenvalue from the quartic, without diagonalising.
"""

import math

import numpy as np
import numpy.typing as npt

from ._jit import kernel
from ._packing import LANES
from ._products import ATOM_BATCH, add_pair_products, add_products
from ._quartic import DOUBTFUL, squared_rmsd

__all__ = ["ROWS", "tile_kernel"]

Float64Array = npt.NDArray[np.float64]

ROWS = 16
"""Rows that one tile sets against a block; at a thousand atoms, both fit into the second-level cache."""

MAX_SWEEPS = 30
"""Jacobi's method needs five or so; the limit only guards against an endless loop."""

EPSILON = 2.220446049250313e-16


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
        for row in range(0, n_rows - 1, 2):
            add_pair_products(rows, row, block, first, last, min(row // 2, 2), sums)
        if n_rows % 2:
            add_products(rows, n_rows - 1, block, first, last, 2, sums)
    for row in range(n_rows):
        if squared_rmsd(sums, row, row_traces[row], traces, n_atoms, squared) == 0:
            continue
        for lane in range(LANES):
            if squared[row, lane] != DOUBTFUL:
                continue
            if math.isnan(row_traces[row] + traces[lane]):
                squared[row, lane] = np.nan
            else:
                squared[row, lane] = _superposed(rows[row], block, lane, sums[row], n_atoms)
