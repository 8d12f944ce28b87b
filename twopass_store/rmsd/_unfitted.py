"""RMSD of a few rows to one block of frames as they are, without a fit.

Summed over differences rather than by inner products: a thousand nanometres from the origin those would
cancel to nothing, and a difference and its square cost less than the nine products of a fit. As in the fit,
every lane sees the same operations in the same order.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from ..jit import kernel
from ._packing import LANES
from ._vector import Lanes, data_pointer, emitted, load, spread, store, vector_bytes

__all__ = ["unfitted_kernel"]

Float64Array = npt.NDArray[np.float64]

Squares = Callable[[Float64Array, Float64Array, int, Float64Array, Float64Array, int, Float64Array], None]

AXES = 3


def _squares(n_rows: int) -> Squares:
    """Make the function that takes ``n_rows`` rows at a time.

    Its parameters: all rows, shape (any, 3 * padded atoms), and their traces; the first of those wanted; a
    block, shape (3 * padded atoms * LANES,), and the traces of its lanes, shape (LANES,); the number of atoms
    without the padding; and the squared RMSDs to fill, shape (any, LANES), nm².
    """

    @emitted
    def squares(
        typing: Any, rows: Any, row_traces: Any, row: Any, block: Any, traces: Any, n_atoms: Any, squared: Any
    ) -> tuple[Any, Callable[..., Any]]:
        def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
            width = min(LANES, vector_bytes() // 8)
            word = values[2].type
            row_array = context.make_array(rows)(context, builder, values[0])
            length = builder.extract_value(row_array.shape, 1)
            numbers = [builder.add(values[2], word(r)) for r in range(n_rows)]
            starts = [builder.gep(row_array.data, [builder.mul(r, length)]) for r in numbers]
            row_traces_at = data_pointer(context, builder, row_traces, values[1])
            lanes = data_pointer(context, builder, block, values[3])
            traces_at = data_pointer(context, builder, traces, values[4])
            target = data_pointer(context, builder, squared, values[6])
            atoms = spread(builder, builder.sitofp(values[5], ir.DoubleType()), width)
            for first in range(0, LANES, 2 * width):
                groups = [group for group in (first, first + width) if group < LANES]
                totals = iter(_sum_over_atoms(builder, starts, lanes, groups, width, values[5]))
                for r in numbers:
                    row_trace = spread(builder, builder.load(builder.gep(row_traces_at, [r])), width)
                    for group in groups:
                        # NaN where either structure isn't finite, and 0 elsewhere.
                        doubt = (row_trace + load(builder, traces_at, word(group), width)) * 0.0
                        offset = builder.add(builder.mul(r, word(LANES)), word(group))
                        store(next(totals) / atoms + doubt, target, offset)
            return context.get_dummy_value()

        kinds = rows, row_traces, types.intp, block, traces, types.intp, squared
        return types.void(*kinds), emit

    made: Squares = squares
    return made


def _sum_over_atoms(
    builder: Any, rows: list[Any], lanes: Any, groups: list[int], width: int, n_atoms: Any
) -> list[Lanes]:
    """Emit the loop for some rows and groups of lanes; returns their sums of squares, rows outermost."""
    word = n_atoms.type
    before, loop = builder.block, builder.append_basic_block("atoms")
    after = builder.append_basic_block("sums")
    builder.branch(loop)
    builder.position_at_end(loop)
    atom = builder.phi(word)
    atom.add_incoming(word(0), before)
    zero = ir.Constant(ir.VectorType(ir.DoubleType(), width), [0.0] * width)
    running = [builder.phi(zero.type) for _ in range(len(rows) * len(groups) * AXES)]
    k = builder.mul(atom, word(AXES))
    starts = [builder.mul(builder.add(k, word(j)), word(LANES)) for j in range(AXES)]
    columns = [
        [load(builder, lanes, builder.add(start, word(group)), width) for start in starts] for group in groups
    ]
    totals: list[Lanes] = []
    for row in rows:
        point = [
            spread(builder, builder.load(builder.gep(row, [builder.add(k, word(j))])), width)
            for j in range(AXES)
        ]
        for of_group in columns:
            for j in range(AXES):
                difference = point[j] - of_group[j]
                totals.append(Lanes(builder, running[len(totals)]) + difference * difference)
    following = builder.add(atom, word(1))
    atom.add_incoming(following, loop)
    for phi, total in zip(running, totals, strict=True):
        phi.add_incoming(zero, before)
        phi.add_incoming(total.value, loop)
    builder.cbranch(builder.icmp_signed("<", following, n_atoms), loop, after)
    builder.position_at_end(after)
    return [totals[i] + totals[i + 1] + totals[i + 2] for i in range(0, len(totals), AXES)]


_row = _squares(1)
_pair_of_rows = _squares(2)


@kernel
def unfitted_kernel(
    rows: Float64Array,
    row_traces: Float64Array,
    block: Float64Array,
    traces: Float64Array,
    n_atoms: int,
    squared: Float64Array,
) -> None:
    """Squared RMSD of rows to every lane of a block as they are; parameters as for `tile_kernel`."""
    n_rows = rows.shape[0]
    for row in range(0, n_rows - 1, 2):
        _pair_of_rows(rows, row_traces, row, block, traces, n_atoms, squared)
    if n_rows % 2:
        _row(rows, row_traces, n_rows - 1, block, traces, n_atoms, squared)
