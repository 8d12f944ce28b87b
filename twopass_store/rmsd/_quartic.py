"""Squared RMSDs of a row to every lane from their inner products, by the largest root of a quartic.

With M the inner products over E = (Σ|x|² + Σ|y|²)/2, F = ‖M‖², D = det M and N = ‖cof M‖², the largest
root λ of (λ² − F)² − 8Dλ − 4N gives RMSD² = 2E(1 − λ)/A. All four roots are real, being eigenvalues of a
symmetric matrix, so Newton's and Laguerre's iterations from above come down to λ without overshooting.

In singular values, λ = s₁ + s₂ ± s₃. Cauchy's inequality bounds it by √(F + 2√(3N)), and by √(F + 2√N)
where det M ≤ 0; Cauchy and Schwarz by 1.

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
from ._vector import Lanes, data_pointer, emitted, load, spread, store, vector_bytes

__all__ = ["DOUBTFUL", "coefficients", "keep_nearer", "square_roots", "squared_rmsd"]

DOUBTFUL = -1.0
"""Stands for a squared RMSD whose error may pass `TOLERANCE_NM`."""

TOLERANCE_NM = 1e-9
"""A distance whose estimated error is larger is worked out again from the coordinates."""

LAGUERRE_STEPS = 3
"""With a step of Newton's, enough for 99.5 % of pairs; the others take as many again, and then 99.999 %."""

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
def squared_rmsd(
    typing: Any, sums: Any, row: Any, row_trace: Any, traces: Any, n_atoms: Any, squared: Any
) -> tuple[Any, Callable[..., Any]]:
    """Squared RMSD of one row to every lane.

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
    n_atoms
        Atoms, without the padding.
    squared
        To fill, shape (any, LANES), nm²; `DOUBTFUL` where the error may pass `TOLERANCE_NM`.

    Returns
    -------
    The number of doubtful lanes.
    """

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        width = min(LANES, vector_bytes() // 8)
        word = values[1].type
        sums_at = data_pointer(context, builder, sums, values[0])
        traces_at = data_pointer(context, builder, traces, values[3])
        squared_at = data_pointer(context, builder, squared, values[5])
        atoms = spread(builder, builder.sitofp(values[4], ir.DoubleType()), width)
        inverse_atoms = 1.0 / atoms
        one_trace = spread(builder, values[2], width)
        first_sum, first = builder.mul(values[1], word(9 * LANES)), builder.mul(values[1], word(LANES))
        doubtful = word(0)
        for group in range(0, LANES, width):
            products = [
                load(builder, sums_at, builder.add(first_sum, word(ij * LANES + group)), width)
                for ij in range(9)
            ]
            trace = load(builder, traces_at, word(group), width)
            answer, sure = _converged(products, (one_trace + trace) * 0.5, atoms, inverse_atoms)
            store(answer.where(sure, DOUBTFUL), squared_at, builder.add(first, word(group)))
            bits = builder.bitcast(builder.not_(sure), ir.IntType(width))
            doubtful = builder.add(doubtful, builder.zext(builder.ctpop(bits), word))
        return doubtful

    return types.intp(sums, types.intp, types.float64, traces, types.intp, squared), emit


@emitted
def square_roots(typing: Any, squared: Any, row: Any, roots: Any) -> tuple[Any, Callable[..., Any]]:
    """Square roots of one row of ``squared``, shape (any, LANES), into ``roots``, shape (LANES,), float32."""

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        width = min(LANES, vector_bytes() // 8)
        word = values[1].type
        source = data_pointer(context, builder, squared, values[0])
        target = data_pointer(context, builder, roots, values[2])
        first = builder.mul(values[1], word(LANES))
        for group in range(0, LANES, width):
            lanes = load(builder, source, builder.add(first, word(group)), width).sqrt()
            store(lanes.rounded(ir.FloatType()), target, word(group))
        return context.get_dummy_value()

    return types.void(squared, types.intp, roots), emit


@emitted
def keep_nearer(
    typing: Any, squared: Any, row: Any, index: Any, best: Any, which: Any
) -> tuple[Any, Callable[..., Any]]:
    """Let one row of ``squared`` and its index replace larger values in ``best`` and theirs in ``which``.

    ``best`` and ``which`` have the shape (LANES,) and are float64 both, which holds any index.
    """

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        width = min(LANES, vector_bytes() // 8)
        word = values[1].type
        source = data_pointer(context, builder, squared, values[0])
        best_at = data_pointer(context, builder, best, values[3])
        which_at = data_pointer(context, builder, which, values[4])
        number = spread(builder, builder.sitofp(values[2], ir.DoubleType()), width)
        first = builder.mul(values[1], word(LANES))
        for group in range(0, LANES, width):
            at = word(group)
            value = load(builder, source, builder.add(first, at), width)
            old = load(builder, best_at, at, width)
            closer = value.compare("<", old)
            store(value.where(closer, old), best_at, at)
            store(number.where(closer, load(builder, which_at, at, width)), which_at, at)
        return context.get_dummy_value()

    return types.void(squared, types.intp, types.intp, best, which), emit


def _converged(sums: list[Lanes], half: Lanes, n_atoms: Lanes, inverse_atoms: Lanes) -> tuple[Lanes, Any]:
    """Squared RMSD, and whether its error is below the tolerance."""
    norm, minors, det = coefficients(sums, 1.0 / half)
    product = (minors * 3.0).where(det.compare(">", 0.0), minors)
    start = (norm + product.sqrt() * 2.0).sqrt().at_most(1.0)
    # Rounding of the sums moves M, and λ by no more than that.
    sum_noise = (n_atoms * (1.0 / 16.0) + 2.0) * EPSILON
    quartic = norm, minors, det, half * (2.0 * inverse_atoms), sum_noise
    root, answer, sure = _refined(start, *quartic)
    builder, few = root.builder, root.builder.block
    width = answer.value.type.count
    unsure = builder.bitcast(builder.not_(sure), ir.IntType(width))
    with builder.if_then(builder.icmp_unsigned("!=", unsure, ir.IntType(width)(0)), likely=False):
        _, better, now_sure = _refined(root, *quartic)
        # A lane that was sure keeps its answer, or it would depend on the lanes beside it.
        better, now_sure = answer.where(sure, better), builder.or_(sure, now_sure)
        many = builder.block
    chosen = []
    for first, last in ((answer.value, better.value), (sure, now_sure)):
        phi = builder.phi(first.type)
        phi.add_incoming(first, few)
        phi.add_incoming(last, many)
        chosen.append(phi)
    return Lanes(builder, chosen[0]), chosen[1]


def _refined(
    root: Lanes, norm: Lanes, minors: Lanes, det: Lanes, mean: Lanes, sum_noise: Lanes
) -> tuple[Lanes, Lanes, Any]:
    """The root after steps of Laguerre's and one of Newton's, the answer with it, and whether it is sure.

    ``mean`` is 2E/A, nm².
    """
    det8, minors4 = det * 8.0, minors * 4.0
    for _ in range(LAGUERRE_STEPS):
        square = root * root
        excess = square - norm
        value = excess * excess - det8 * root - minors4
        slope = root * excess * 4.0 - det8
        bend = square * 8.0 + excess * 4.0
        discriminant = slope * slope * 9.0 - value * bend * 12.0
        root = root - value * 4.0 / (slope + discriminant.at_least(0.0).sqrt())
    # Newton's step costs no square root, and is as good where it is small.
    square = root * root
    excess = square - norm
    slope = root * excess * 4.0 - det8
    inverse = 1.0 / slope
    step = (excess * excess - det8 * root - minors4) * inverse
    root = root - step
    # slope is the product of the distances to the three other roots, two of which come to at most 8λ²:
    # that leaves a lower bound of the distance to the next root. Every term of the quartic is of order
    # λ⁴, and its rounding moves a single root by noise / slope; Newton's step leaves at most 3 step² / gap.
    gap = slope * 0.125  # times 1 / λ², as in all that follows
    shift = square * square * QUARTIC_NOISE * inverse
    left = step * step * square * inverse * 24.0
    answer = (mean * (1.0 - root)).at_least(0.0)
    error = mean * (shift + left + sum_noise)
    builder = root.builder
    sure = slope.compare(">", 0.0)
    # All comparisons are false for NaN.
    for truth in (
        (abs(step) * square).compare("<=", gap * 0.01),
        (shift * square).compare("<=", gap * 0.01),
        (error * error).compare("<=", answer * (TOLERANCE_NM * TOLERANCE_NM)),
    ):
        sure = builder.and_(sure, truth)
    return root, answer, sure
