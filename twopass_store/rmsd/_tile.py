"""Minimal RMSD of a few rows to one block of frames: the arithmetic, in float64 from end to end.

A *block* holds `LANES` centred frames with the frame index fastest; a *row* is one centred frame or leader
with its coordinates side by side. A pair is always a row against a lane. Every lane sees the same operations
in the same order, so a distance depends on its two structures only: not on lane, tile, call or thread.

References
----------
Theobald, Acta Cryst. A 61 (2005) 478: the largest eigenvalue of the key matrix, without diagonalising.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..jit import kernel
from ._packing import LANES
from ._products import ATOM_BATCH, add_pair_products, add_products
from ._quartic import (
    DOUBLE_STEPS,
    DOUBTFUL,
    QUARTIC,
    SINGLE_STEPS,
    describe_pairs,
    refine_roots,
    squared_rmsd,
)
from ._rotation import best_rotation

__all__ = ["ROWS", "SCRATCH_BYTES", "Scratch", "new_scratch", "tile_kernel"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

ROWS = 16
"""Rows that one tile sets against a block; at a thousand atoms, both fit into the second-level cache."""

SCRATCH_BYTES = ROWS * (9 * LANES * 8 + QUARTIC * (8 + 4) + LANES * 8)
"""What `new_scratch` allocates."""


class Scratch(NamedTuple):
    """Memory for one tile, used again for the next.

    Attributes
    ----------
    sums
        Inner products, shape (ROWS, 9 * LANES), nm².
    quartics, singles
        What describes the pairs, shape (ROWS, QUARTIC), in float64 and in float32.
    squared
        The answer: squared RMSDs, shape (ROWS, LANES), nm².
    """

    sums: Float64Array
    quartics: Float64Array
    singles: Float32Array
    squared: Float64Array


@kernel
def new_scratch() -> Scratch:
    """Memory for one tile, uninitialised."""
    return Scratch(
        np.empty((ROWS, 9 * LANES)),
        np.empty((ROWS, QUARTIC)),
        np.empty((ROWS, QUARTIC), np.float32),
        np.empty((ROWS, LANES)),
    )


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
    w, x, y, z = best_rotation(xx, xy, xz, yx, yy, yz, zx, zy, zz)
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
def _settle_doubts(
    row: int,
    rows: Float64Array,
    row_traces: Float64Array,
    block: Float64Array,
    traces: Float64Array,
    n_atoms: int,
    same: int,
    scratch: Scratch,
) -> None:
    """Replace what is `DOUBTFUL` in one row of ``scratch.squared``; parameters as for `tile_kernel`."""
    sums, quartics, _, squared = scratch
    quartics[row, 3 * LANES :] = 1.0
    for _step in range(DOUBLE_STEPS):
        refine_roots(quartics, row)
    again = np.empty((1, LANES))
    one = slice(row, row + 1)
    squared_rmsd(quartics[one], quartics[one], 0, row_traces[row], traces, n_atoms, again)
    for lane in range(LANES):
        # A lane that was sure keeps its answer, or it would depend on the lanes beside it.
        if squared[row, lane] != DOUBTFUL or lane == row + same:
            continue
        squared[row, lane] = again[0, lane]
        if math.isnan(row_traces[row] + traces[lane]):
            squared[row, lane] = np.nan
        elif again[0, lane] == DOUBTFUL:
            squared[row, lane] = _superposed(rows[row], block, lane, sums[row], n_atoms)


@kernel
def tile_kernel(
    rows: Float64Array,
    row_traces: Float64Array,
    block: Float64Array,
    traces: Float64Array,
    n_atoms: int,
    same: int,
    scratch: Scratch,
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
    same
        Row r and lane r + same are one frame, and are left out: no pair takes longer than one of equals.
        `LANES` where there is none.
    scratch
        From `new_scratch`; its `squared` is filled, and rows beyond n_rows are left alone.
    """
    n_rows, width = rows.shape
    sums, quartics, singles, squared = scratch
    sums[:n_rows] = 0.0
    for first in range(0, width, 3 * ATOM_BATCH):
        last = min(first + 3 * ATOM_BATCH, width)
        for row in range(0, n_rows - 1, 2):
            add_pair_products(rows, row, block, first, last, min(row // 2, 2), sums)
        if n_rows % 2:
            add_products(rows, n_rows - 1, block, first, last, 2, sums)
    for row in range(n_rows):
        describe_pairs(sums, row, row_traces[row], traces, quartics, singles)
    for _ in range(SINGLE_STEPS):
        for row in range(n_rows):
            refine_roots(singles, row)
    for row in range(n_rows):
        if squared_rmsd(quartics, singles, row, row_traces[row], traces, n_atoms, squared):
            _settle_doubts(row, rows, row_traces, block, traces, n_atoms, same, scratch)
