"""The hot loop: nine inner products of one or two rows with every lane of a block, kept in registers.

A library for matrix products would bring threads of its own, and results that depend on the shape of the
tile. Here each sum runs over the atoms in their order, one multiplication and addition after the other, so a
pair has the same bits whatever stands beside it.
"""

from collections.abc import Callable
from typing import Any

import numpy.typing as npt
from llvmlite import ir
from numba import types

from ._packing import CACHE_LINE, LANES
from ._vector import Lanes, data_pointer, emitted, fetch_ahead, load, spread, store, vector_bytes

__all__ = ["ATOM_BATCH", "add_pair_products", "add_products"]

Products = Callable[[npt.NDArray[Any], int, npt.NDArray[Any], int, int, int, npt.NDArray[Any]], None]

AXES = 3

ATOM_BATCH = 64
"""Atoms that all rows of a tile take before the next: of so many, a block stays in the first-level cache."""


def _products(n_rows: int) -> Products:
    """Make the function that takes ``n_rows`` rows at a time.

    Its parameters: all rows, shape (any, 3 * padded atoms); the first of those wanted; a block, shape
    (3 * padded atoms * LANES,); the half-open range of coordinates to add up, both ends multiples of three;
    which share of the block's next atoms to fetch into the cache on the way, from 0 to 2; and the sums to
    add to, shape (any, 9 * LANES), (i, j) in C order. All arrays are contiguous, and float32 or float64
    alike.
    """

    @emitted
    def products(
        typing: Any, rows: Any, row: Any, block: Any, first: Any, last: Any, turn: Any, sums: Any
    ) -> tuple[Any, Callable[..., Any]]:
        def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
            width = min(LANES, vector_bytes() * 8 // rows.dtype.bitwidth)
            # With shorter vectors come fewer registers: 18 sums would not stay in them.
            at_once = n_rows if vector_bytes() == 64 else 1
            row_array = context.make_array(rows)(context, builder, values[0])
            length = builder.extract_value(row_array.shape, 1)
            numbers = [builder.add(values[1], values[1].type(r)) for r in range(n_rows)]
            starts = [builder.gep(row_array.data, [builder.mul(r, length)]) for r in numbers]
            lanes = data_pointer(context, builder, block, values[2])
            target = data_pointer(context, builder, sums, values[6])
            word, in_line = values[1].type, CACHE_LINE * 8 // rows.dtype.bitwidth
            for group in range(0, LANES, width):
                # Each atom fetches one line: so many turns and groups together all of the next atoms.
                turn = builder.add(builder.mul(values[5], word(LANES // width)), word(group // width))
                ahead = builder.mul(turn, word(ATOM_BATCH * in_line))
                ahead = builder.add(ahead, builder.mul(values[4], word(LANES)))
                cursor = ahead, word(in_line)
                totals: list[Lanes] = []
                for r in range(0, n_rows, at_once):
                    some = starts[r : r + at_once]
                    totals += _sum_over_atoms(builder, some, lanes, (group, width), values[3:5], cursor)
                for index, total in enumerate(totals):
                    r, ij = divmod(index, AXES * AXES)
                    sums_of_row = builder.mul(numbers[r], numbers[r].type(AXES * AXES * LANES))
                    offset = builder.add(sums_of_row, numbers[r].type(ij * LANES + group))
                    store(load(builder, target, offset, width) + total, target, offset)
            return context.get_dummy_value()

        return types.void(rows, types.intp, block, types.intp, types.intp, types.intp, sums), emit

    made: Products = products
    return made


def _sum_over_atoms(
    builder: Any, rows: list[Any], lanes: Any, part: tuple[int, int], ends: list[Any], ahead: tuple[Any, Any]
) -> list[Lanes]:
    """Emit the loop for some lanes, ``part`` being where they start and how many they are.

    At least one atom is taken. ``ahead`` is the offset of the first line to fetch and the step to the next.
    """
    (group, width), (first, last) = part, ends
    word, element = first.type, lanes.type.pointee
    before, loop = builder.block, builder.append_basic_block("atoms")
    after = builder.append_basic_block("sums")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(word)
    k.add_incoming(first, before)
    cursor = builder.phi(word)
    cursor.add_incoming(ahead[0], before)
    zero = ir.Constant(ir.VectorType(element, width), [0.0] * width)
    running = [builder.phi(zero.type) for _ in range(len(rows) * AXES * AXES)]
    cursor.add_incoming(builder.add(cursor, ahead[1]), loop)
    # Blocks of many atoms come from the third-level cache, and products would wait for it.
    fetch_ahead(builder, lanes, cursor)
    start = builder.mul(k, word(LANES))
    columns = [load(builder, lanes, builder.add(start, word(j * LANES + group)), width) for j in range(AXES)]
    totals: list[Lanes] = []
    for row in rows:
        for i in range(AXES):
            value = spread(builder, builder.load(builder.gep(row, [builder.add(k, word(i))])), width)
            totals += [Lanes(builder, running[len(totals) + j]) + value * columns[j] for j in range(AXES)]
    following = builder.add(k, word(AXES))
    k.add_incoming(following, loop)
    for phi, total in zip(running, totals, strict=True):
        phi.add_incoming(zero, before)
        phi.add_incoming(total.value, loop)
    builder.cbranch(builder.icmp_signed("<", following, last), loop, after)
    builder.position_at_end(after)
    return totals


add_products = _products(1)
add_pair_products = _products(2)
