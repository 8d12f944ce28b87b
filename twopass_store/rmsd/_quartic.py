"""Squared RMSDs of a row to every lane from their inner products, by the largest root of a quartic.

With M the inner products over E = (Σ|x|² + Σ|y|²)/2, F = ‖M‖², D = det M and N = ‖cof M‖², the largest
root λ of p = (λ² − F)² − 8Dλ − 4N gives RMSD² = 2E(1 − λ)/A. All four roots are real, being eigenvalues of a
symmetric matrix, so Laguerre's iteration from above comes down to λ without overshooting.

In singular values, λ = s₁ + s₂ ± s₃. Cauchy's inequality bounds it by √(F + 2√(3N)), and by √(F + 2√N)
where det M ≤ 0; Cauchy and Schwarz by 1.

The root is sought in float32, twice as many lanes at a time, and a step of Newton's in float64 squares its
error. The test of the result doesn't ask where a root comes from: where p′, p″ and the root are positive, at
most one root is larger (Budan and Fourier), and the size of the step tells how near it is. Each step is one
loop over the rows of a tile, for in the chain of steps of one row most instructions wait for another.

References
----------
Horn, J. Opt. Soc. Am. A 4 (1987) 629: the rotation is the top eigenvector of a 4×4 key matrix.
Theobald, Acta Cryst. A 61 (2005) 478: its eigenvalue from the quartic, without diagonalising.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from ._packing import LANES
from ._vector import Lanes, data_pointer, emitted, load, spread, store

__all__ = [
    "DOUBLE_STEPS",
    "DOUBTFUL",
    "QUARTIC",
    "SINGLE_STEPS",
    "coefficients",
    "describe_pairs",
    "keep_nearer",
    "places",
    "refine_roots",
    "square_roots",
    "squared_rmsd",
]

DOUBTFUL = -1.0
"""Stands for a squared RMSD whose error may pass `TOLERANCE_NM`."""

TOLERANCE_NM = 1e-9
"""A distance whose estimated error is larger is worked out again from the coordinates."""

QUARTIC = 4 * LANES
"""Numbers that describe the pairs of one row: F, N, D and the root of each lane."""

SINGLE_STEPS = 4
"""Laguerre's steps in float32, after which one of Newton's is enough for 99.97 % of pairs."""

DOUBLE_STEPS = 8
"""Laguerre's steps in float64, from 1, for the others."""

EPSILON = 2.220446049250313e-16

QUARTIC_NOISE = 32.0 * EPSILON
"""Rounding of the quartic's value, in units of λ⁴; twice what was seen."""


def coefficients(sums: list[Lanes], scale: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """F, N and D from nine inner products in C order and 1/E."""
    xx, xy, xz, yx, yy, yz, zx, zy, zz = (one * scale for one in sums)
    c0, c1, c2 = yy * zz - yz * zy, yz * zx - yx * zz, yx * zy - yy * zx
    c3, c4, c5 = xz * zy - xy * zz, xx * zz - xz * zx, xy * zx - xx * zy
    c6, c7, c8 = xy * yz - xz * yy, xz * yx - xx * yz, xx * yy - xy * yx
    norm = xx * xx + xy * xy + xz * xz + yx * yx + yy * yy + yz * yz + zx * zx + zy * zy + zz * zz
    minors = c0 * c0 + c1 * c1 + c2 * c2 + c3 * c3 + c4 * c4 + c5 * c5 + c6 * c6 + c7 * c7 + c8 * c8
    det = xx * c0 + xy * c1 + xz * c2
    return norm, minors, det


@emitted
def describe_pairs(
    typing: Any, sums: Any, row: Any, row_trace: Any, traces: Any, quartics: Any, singles: Any
) -> tuple[Any, Callable[..., Any]]:
    """The quartics of one row and every lane, and an upper bound of their largest roots.

    Parameters
    ----------
    sums
        Inner products, shape (any, 9 * LANES), nm², float64.
    row
        Which of them.
    row_trace
        Σ|x|² of the row, nm².
    traces
        Σ|y|² of the lanes, shape (LANES,), nm².
    quartics
        To fill, shape (any, QUARTIC), float64; without the roots.
    singles
        To fill, the same in float32; with them.
    """

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        word, single = values[1].type, ir.FloatType()
        sums_at = data_pointer(context, builder, sums, values[0])
        traces_at = data_pointer(context, builder, traces, values[3])
        quartics_at = data_pointer(context, builder, quartics, values[4])
        singles_at = data_pointer(context, builder, singles, values[5])
        first_sum = builder.mul(values[1], word(9 * LANES))
        products = [
            load(builder, sums_at, builder.add(first_sum, word(ij * LANES)), LANES) for ij in range(9)
        ]
        trace = load(builder, traces_at, word(0), LANES)
        half = (spread(builder, values[2], LANES) + trace) * 0.5
        at = places(builder, values[1])
        exact = coefficients(products, 1.0 / half)
        norm, minors, det = rounded = [one.as_type(single) for one in exact]
        for place, one, short in zip(at[:3], exact, rounded, strict=True):
            store(one, quartics_at, place)
            store(short, singles_at, place)
        product = (minors * 3.0).where(det.compare(">", 0.0), minors)
        store((norm + product.sqrt() * 2.0).sqrt().at_most(1.0), singles_at, at[3])
        return context.get_dummy_value()

    return types.void(sums, types.intp, types.float64, traces, quartics, singles), emit


@emitted
def refine_roots(typing: Any, quartics: Any, row: Any) -> tuple[Any, Callable[..., Any]]:
    """One step of Laguerre's towards the largest roots of one row, shape (any, QUARTIC), of either type."""

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        base = data_pointer(context, builder, quartics, values[0])
        at = places(builder, values[1])
        norm, minors, det, root = (load(builder, base, place, LANES) for place in at)
        square = root * root
        excess = square - norm
        value = excess * excess - det * 8.0 * root - minors * 4.0
        slope = root * excess * 4.0 - det * 8.0
        bend = square * 8.0 + excess * 4.0
        discriminant = slope * slope * 9.0 - value * bend * 12.0
        store(root - value * 4.0 / (slope + discriminant.at_least(0.0).sqrt()), base, at[3])
        return context.get_dummy_value()

    return types.void(quartics, types.intp), emit


@emitted
def squared_rmsd(
    typing: Any, quartics: Any, roots: Any, row: Any, row_trace: Any, traces: Any, n_atoms: Any, squared: Any
) -> tuple[Any, Callable[..., Any]]:
    """Squared RMSD of one row to every lane, from roots to which a step of Newton's is added.

    Parameters
    ----------
    quartics
        From `describe_pairs`, shape (any, QUARTIC), float64.
    roots
        The same array, or the one in float32: that from which the roots are taken.
    row, row_trace, traces
        As for `describe_pairs`.
    n_atoms
        Atoms, without the padding.
    squared
        To fill, shape (any, LANES), nm²; `DOUBTFUL` where the error may pass `TOLERANCE_NM`.

    Returns
    -------
    The number of doubtful lanes.
    """

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        word, double = values[2].type, ir.DoubleType()
        quartics_at = data_pointer(context, builder, quartics, values[0])
        roots_at = data_pointer(context, builder, roots, values[1])
        traces_at = data_pointer(context, builder, traces, values[4])
        squared_at = data_pointer(context, builder, squared, values[6])
        at = places(builder, values[2])
        norm, minors, det = (load(builder, quartics_at, place, LANES) for place in at[:3])
        root = load(builder, roots_at, at[3], LANES).as_type(double)
        atoms = builder.sitofp(values[5], double)
        inverse_atoms = spread(builder, builder.fdiv(double(1.0), atoms), LANES)
        # Rounding of the sums moves M, and λ by no more than that.
        sum_noise = (spread(builder, atoms, LANES) * (1.0 / 16.0) + 2.0) * EPSILON
        mean = (spread(builder, values[3], LANES) + load(builder, traces_at, word(0), LANES)) * inverse_atoms
        answer, sure = _polished(root, norm, minors, det, mean, sum_noise)
        store(answer.where(sure, DOUBTFUL), squared_at, builder.mul(values[2], word(LANES)))
        bits = builder.bitcast(builder.not_(sure), ir.IntType(LANES))
        return builder.zext(builder.ctpop(bits), word)

    kinds = quartics, roots, types.intp, types.float64, traces, types.intp, squared
    return types.intp(*kinds), emit


@emitted
def square_roots(typing: Any, squared: Any, row: Any, roots: Any, to: Any) -> tuple[Any, Callable[..., Any]]:
    """Square roots of one row of ``squared``, shape (any, LANES), into the float32 from ``roots[to]`` on."""

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        source = data_pointer(context, builder, squared, values[0])
        target = data_pointer(context, builder, roots, values[2])
        lanes = load(builder, source, builder.mul(values[1], values[1].type(LANES)), LANES).sqrt()
        store(lanes.as_type(ir.FloatType()), target, values[3])
        return context.get_dummy_value()

    return types.void(squared, types.intp, roots, types.intp), emit


@emitted
def keep_nearer(
    typing: Any, squared: Any, row: Any, index: Any, best: Any, which: Any
) -> tuple[Any, Callable[..., Any]]:
    """Let one row of ``squared`` and its index replace larger values in ``best`` and theirs in ``which``.

    ``best`` and ``which`` have the shape (LANES,) and are float64 both, which holds any index.
    """

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        word = values[1].type
        source = data_pointer(context, builder, squared, values[0])
        best_at = data_pointer(context, builder, best, values[3])
        which_at = data_pointer(context, builder, which, values[4])
        number = spread(builder, builder.sitofp(values[2], ir.DoubleType()), LANES)
        value = load(builder, source, builder.mul(values[1], word(LANES)), LANES)
        old = load(builder, best_at, word(0), LANES)
        closer = value.compare("<", old)
        store(value.where(closer, old), best_at, word(0))
        store(number.where(closer, load(builder, which_at, word(0), LANES)), which_at, word(0))
        return context.get_dummy_value()

    return types.void(squared, types.intp, types.intp, best, which), emit


def places(builder: Any, row: Any) -> list[Any]:
    """Where F, N, D and the root of a row start."""
    first = builder.mul(row, row.type(QUARTIC))
    return [builder.add(first, row.type(number * LANES)) for number in range(4)]


def _polished(
    root: Lanes, norm: Lanes, minors: Lanes, det: Lanes, mean: Lanes, sum_noise: Lanes
) -> tuple[Lanes, Any]:
    """The answer after one step of Newton's, and whether it is sure; ``mean`` is 2E/A, nm²."""
    square = root * root
    excess = square - norm
    slope = root * excess * 4.0 - det * 8.0
    inverse = 1.0 / slope
    step = (excess * excess - det * 8.0 * root - minors * 4.0) * inverse
    # slope is the product of the distances to the three other roots, two of which come to at most 8λ²:
    # that leaves a lower bound of the distance to the next root. Every term of the quartic is of order
    # λ⁴, and its rounding moves a single root by noise / slope; Newton's step leaves at most 3 step² / gap.
    gap = slope * 0.125  # times 1 / λ², as in all that follows
    shift = square * square * QUARTIC_NOISE * inverse
    left = step * step * square * inverse * 24.0
    answer = (mean * (1.0 - (root - step))).at_least(0.0)
    error = mean * (shift + left + sum_noise)
    builder = root.builder
    bend = square * 2.0 + excess  # a quarter of p″
    sure = bend.at_most(root).compare(">", 0.0)
    # All comparisons are false for NaN.
    for truth in (
        slope.compare(">", 0.0),
        (abs(step) * square).compare("<=", gap * 0.01),
        (shift * square).compare("<=", gap * 0.01),
        # The distance is wrong by error / distance; and what may be 0 has to come out as 0.
        (error * error).compare("<=", answer * answer.at_most(TOLERANCE_NM * TOLERANCE_NM)),
    ):
        sure = builder.and_(sure, truth)
    return answer, sure
