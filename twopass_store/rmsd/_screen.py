"""Lower bounds of squared RMSDs in float32, to leave out the leaders that can't be nearest.

Nothing of it is ever returned: the bounds hold whatever the rounding, and every leader that they don't rule
out is compared in float64. With u = 2⁻²⁴, in units of E = (Σ|x|² + Σ|y|²)/2:

- Each inner product is wrong by at most γ Σ|x||y|, where γ counts the roundings on its way. λ is the largest
  tr(RᵀM), so it moves by no more than the singular values of the error together, which is √3 γ at most
  (Cauchy and Schwarz, twice). That is the slack: λ of the rounded M is up to 1 + slack.
- ‖M‖ ≤ 1 bounds every intermediate. The quartic's value is wrong by less than 50 u: 20 u from 4N, 14 u from
  (λ² − F)², 11 u from 8Dλ, 5 u from their sum. Its slope is wrong by less than 60 u: 40 u from F alone. So
  `NOISE` leaves as much again for the rounding of the step itself. Newton's step from above, with the value
  taken as smaller and the slope as larger by `NOISE`, ends above λ.

Then RMSD² ≥ 2E(1 − λ − slack)/A. The leader with the lowest bound is compared first; the others follow whose
bound reaches the distance found, so ties are found too.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from ..jit import kernel
from ._packing import LANES, unpack_kernel
from ._products import ATOM_BATCH, add_pair_products, add_products
from ._quartic import QUARTIC, coefficients, places
from ._tile import Scratch, new_scratch, tile_kernel
from ._vector import Lanes, data_pointer, emitted, load, spread, store

__all__ = ["SCREEN_FROM", "SCREEN_ROWS", "columns_kernel", "screened_kernel"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]

SCREEN_ROWS = 64
"""Frames that are set against one block of leaders, which is read from far away once for all of them."""

SCREEN_FROM = 32
"""Leaders from which on the screening gains more than its own layout costs."""

U = 2.0**-24

NOISE = 128.0 * U
"""Rounding of the quartic's value and slope, and of the bound to start from."""

NEWTON_STEPS = 3
"""More would tell apart leaders that aren't near."""

TINY, HUGE = 1e-30, 1e30
"""Squared sizes, nm², beyond which float32 may underflow or overflow: there the bound is 0."""

SLACK_NM = 4e-9
"""Twice what the float64 kernel may be wrong by, and as much again."""


@emitted
def _describe(
    typing: Any, sums: Any, row: Any, row_trace: Any, traces: Any, n_atoms: Any, quartics: Any
) -> tuple[Any, Callable[..., Any]]:
    """The quartics of one row and every lane, and an upper bound of their largest roots.

    Parameters
    ----------
    sums
        Inner products, shape (any, 9 * LANES), nm², float32.
    row
        Which of them.
    row_trace
        Σ|x|² of the row, nm², float32.
    traces
        Σ|y|² of the lanes, shape (LANES,), nm², float32.
    n_atoms
        Atoms, without the padding.
    quartics
        To fill, shape (any, QUARTIC), float32.
    """

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        word = values[1].type
        sums_at = data_pointer(context, builder, sums, values[0])
        traces_at = data_pointer(context, builder, traces, values[3])
        quartics_at = data_pointer(context, builder, quartics, values[5])
        first = builder.mul(values[1], word(9 * LANES))
        products = [load(builder, sums_at, builder.add(first, word(ij * LANES)), LANES) for ij in range(9)]
        half = (spread(builder, values[2], LANES) + load(builder, traces_at, word(0), LANES)) * 0.5
        norm, minors, det = coefficients(products, 1.0 / half)
        # Not at most 1: from below two roots that rounding left there, a step would go anywhere.
        most = _slack(builder, values[4]) + 1.0
        root = (norm + (minors * 3.0 + NOISE).sqrt() * 2.0 + NOISE).sqrt().at_most(most)
        for place, one in zip(places(builder, values[1]), (norm, minors, det, root), strict=True):
            store(one, quartics_at, place)
        return context.get_dummy_value()

    return types.void(sums, types.intp, types.float32, traces, types.intp, quartics), emit


@emitted
def _lower_roots(typing: Any, quartics: Any, row: Any) -> tuple[Any, Callable[..., Any]]:
    """One step of Newton's for one row, after which the roots are upper bounds still."""

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        base = data_pointer(context, builder, quartics, values[0])
        at = places(builder, values[1])
        norm, minors, det, root = (load(builder, base, place, LANES) for place in at)
        excess = root * root - norm
        value = excess * excess - det * 8.0 * root - minors * 4.0
        slope = root * excess * 4.0 - det * 8.0
        step = (value - NOISE).at_least(0.0) / (slope.at_least(0.0) + NOISE)
        store(root - step, base, at[3])
        return context.get_dummy_value()

    return types.void(quartics, types.intp), emit


@emitted
def _squared_bounds(
    typing: Any, quartics: Any, row: Any, row_trace: Any, traces: Any, n_atoms: Any, bounds: Any, to: Any
) -> tuple[Any, Callable[..., Any]]:
    """Lower bounds of one row's squared RMSDs to every lane, from the roots.

    Parameters
    ----------
    quartics, row, row_trace, traces, n_atoms
        As for `_describe`.
    bounds, to
        Array of one axis to fill, nm², float32, and where in it.
    """

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        word, single = values[1].type, ir.FloatType()
        quartics_at = data_pointer(context, builder, quartics, values[0])
        traces_at = data_pointer(context, builder, traces, values[3])
        bounds_at = data_pointer(context, builder, bounds, values[5])
        atoms = builder.sitofp(values[4], single)
        share = spread(builder, builder.fdiv(single(2.0 * (1.0 - 32.0 * U)), atoms), LANES)
        half = (spread(builder, values[2], LANES) + load(builder, traces_at, word(0), LANES)) * 0.5
        root = load(builder, quartics_at, places(builder, values[1])[3], LANES)
        bound = (half * share * (1.0 - root - _slack(builder, values[4]))).at_least(0.0)
        # False for NaN.
        usual = builder.and_(half.compare(">", TINY), half.compare("<", HUGE))
        store(bound.where(usual, 0.0), bounds_at, values[6])
        return context.get_dummy_value()

    kinds = quartics, types.intp, types.float32, traces, types.intp, bounds, types.intp
    return types.void(*kinds), emit


def _slack(builder: Any, n_atoms: Any) -> Lanes:
    """How far the rounding of inner products may move λ, in every lane."""
    single = ir.FloatType()
    # Two roundings of the input, one an atom of a batch and one a batch; the rest is for the scaling.
    batches = builder.fdiv(builder.sitofp(n_atoms, single), single(ATOM_BATCH))
    roundings = builder.fadd(batches, single(ATOM_BATCH + 16.0))
    return spread(builder, builder.fmul(roundings, single(math.sqrt(3.0) * U * 1.01)), LANES)


@kernel
def columns_kernel(rows: Float64Array, columns: Float32Array) -> None:
    """Turn leaders from rows into blocks of float32 lanes, shape (n_blocks, 3 * padded atoms * LANES)."""
    n_rows, width = rows.shape
    for block in range(columns.shape[0]):
        target = columns[block]
        for k in range(width):
            for lane in range(LANES):
                row = block * LANES + lane
                target[k * LANES + lane] = rows[row, k] if row < n_rows else 0.0


@kernel
def _bounds_of_tile(
    singles: Float32Array,
    traces: Float64Array,
    columns: Float32Array,
    column_traces: Float32Array,
    n_atoms: int,
    sums: Float32Array,
    quartics: Float32Array,
    bounds: Float32Array,
) -> None:
    """Fill ``bounds``, shape (n_rows, n_blocks * LANES), for some frames and all leaders."""
    n_rows, width = singles.shape
    pitch = columns.shape[0] * LANES
    flat = bounds.reshape(bounds.shape[0] * pitch)
    for block in range(columns.shape[0]):
        lanes = columns[block]
        lane_traces = column_traces[block * LANES : (block + 1) * LANES]
        sums[:n_rows] = 0.0
        for first in range(0, width, 3 * ATOM_BATCH):
            last = min(first + 3 * ATOM_BATCH, width)
            for row in range(0, n_rows - 1, 2):
                add_pair_products(singles, row, lanes, first, last, min(row // 2, 2), sums)
            if n_rows % 2:
                add_products(singles, n_rows - 1, lanes, first, last, 2, sums)
        for row in range(n_rows):
            _describe(sums, row, np.float32(traces[row]), lane_traces, n_atoms, quartics)
        for _ in range(NEWTON_STEPS):
            for row in range(n_rows):
                _lower_roots(quartics, row)
        for row in range(n_rows):
            to = row * pitch + block * LANES
            _squared_bounds(quartics, row, np.float32(traces[row]), lane_traces, n_atoms, flat, to)


@kernel
def _compare(
    leader: int,
    rows: Float64Array,
    row_traces: Float64Array,
    block: Float64Array,
    traces: Float64Array,
    n_atoms: int,
    scratch: Scratch,
    best: Float64Array,
    which: npt.NDArray[np.int64],
) -> None:
    """Let one leader compete for all lanes of a block, in float64; the lowest index of equals wins."""
    one = slice(leader, leader + 1)
    tile_kernel(rows[one], row_traces[one], block, traces, n_atoms, LANES, scratch)
    for lane in range(LANES):
        value = scratch.squared[0, lane]
        if value < best[lane] or (value == best[lane] and leader < which[lane]):
            best[lane] = value
            which[lane] = leader


@kernel
def screened_kernel(
    lanes: Float64Array,
    traces: Float64Array,
    rows: Float64Array,
    row_traces: Float64Array,
    columns: Float32Array,
    column_traces: Float32Array,
    n_atoms: int,
    index: Int32Array,
    rmsd: Float32Array,
    singles: Float32Array,
    bounds: Float32Array,
) -> None:
    """Row nearest to each packed frame, as `nearest_kernel`, with few pairs in float64.

    Parameters
    ----------
    lanes, traces, rows, row_traces, n_atoms, index, rmsd
        As for `nearest_kernel`.
    columns, column_traces
        The same leaders from `columns_kernel`, and their traces, shape (n_blocks * LANES,), nm².
    singles
        Scratch, shape (SCREEN_ROWS, 3 * padded atoms).
    bounds
        Scratch, shape (SCREEN_ROWS, n_blocks * LANES).
    """
    n_frames, n_leaders = index.shape[0], rows.shape[0]
    single_sums = np.empty((SCREEN_ROWS, 9 * LANES), np.float32)
    quartics = np.empty((SCREEN_ROWS, QUARTIC), np.float32)
    scratch = new_scratch()
    best = np.empty(LANES)
    which = np.empty(LANES, np.int64)
    seen = np.zeros(n_leaders, np.int32)
    # Numbers that aren't negative have the order of their bits, and the least of integers is a vector loop.
    bits = bounds.view(np.int32)
    limit = np.empty(1, np.float32)
    limit_bits = limit.view(np.int32)
    for tile in range(0, n_frames, SCREEN_ROWS):
        n_rows = min(SCREEN_ROWS, n_frames - tile)
        for block in range(tile // LANES, (tile + n_rows - 1) // LANES + 1):
            at = block * LANES - tile
            unpack_kernel(lanes, block * LANES, singles[at : min(at + LANES, n_rows)])
        _bounds_of_tile(
            singles[:n_rows],
            traces[tile : tile + n_rows],
            columns,
            column_traces,
            n_atoms,
            single_sums,
            quartics,
            bounds,
        )
        for block in range(tile // LANES, (tile + n_rows - 1) // LANES + 1):
            start = block * LANES
            n_lanes = min(LANES, n_frames - start)
            trace = traces[start : start + LANES]
            best[:] = np.inf
            which[:] = -1
            for step in range(2):
                for lane in range(n_lanes):
                    if math.isnan(trace[lane]):
                        continue
                    of_lane = bits[start - tile + lane, :n_leaders]
                    least = of_lane[0]
                    if step == 0:
                        for leader in range(n_leaders):
                            least = min(least, of_lane[leader])
                    else:
                        reach = math.sqrt(best[lane]) + SLACK_NM
                        limit[0] = reach * reach * (1.0 + 4.0 * U)
                        least = limit_bits[0]
                        n_near = 0
                        for leader in range(n_leaders):
                            n_near += 1 if of_lane[leader] <= least else 0
                        if n_near <= 1:
                            continue
                    for leader in range(n_leaders):
                        if of_lane[leader] > least:
                            continue
                        if seen[leader] != block + 1:
                            seen[leader] = block + 1
                            _compare(
                                leader,
                                rows,
                                row_traces,
                                lanes[block],
                                trace,
                                n_atoms,
                                scratch,
                                best,
                                which,
                            )
                        if step == 0:
                            break
            for lane in range(n_lanes):
                index[start + lane] = which[lane]
                rmsd[start + lane] = math.sqrt(best[lane]) if which[lane] >= 0 else np.nan
