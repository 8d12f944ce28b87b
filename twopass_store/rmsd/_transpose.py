"""The steps of packing, on vectors: frames side by side turned into lanes, and lanes centred and weighted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
from llvmlite import ir
from numba import types

from ._vector import Lanes, data_pointer, emitted, load, spread, store

__all__ = ["SQUARE", "centre_lanes", "transpose_square", "weigh_lanes"]

Centre = Callable[[npt.NDArray[Any], int, npt.NDArray[Any]], None]
Weigh = Callable[[npt.NDArray[Any], int, npt.NDArray[Any], npt.NDArray[Any]], None]

AXES = 3

SQUARE = 8
"""Frames and coordinates that are turned at once."""


@emitted
def transpose_square(
    typing: Any, source: Any, start: Any, stride: Any, target: Any, to: Any, pitch: Any
) -> tuple[Any, Callable[..., Any]]:
    """Copy `SQUARE` × `SQUARE` numbers, rows to columns, from float32 or float64 to either.

    Parameters
    ----------
    source, start, stride
        Contiguous array of one axis, where the first row starts in it, and how far it is to the next one.
    target, to, pitch
        The same of the columns.
    """

    def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
        from_at = data_pointer(context, builder, source, values[0])
        to_at = data_pointer(context, builder, target, values[3])
        rows = []
        for r in range(SQUARE):
            offset = builder.add(values[1], builder.mul(values[2], values[2].type(r)))
            rows.append(load(builder, from_at, offset, SQUARE).as_type(to_at.type.pointee).value)
        step = 1
        while step < SQUARE:
            rows = _exchange(builder, rows, step)
            step *= 2
        for r, value in enumerate(rows):
            offset = builder.add(values[4], builder.mul(values[5], values[5].type(r)))
            store(Lanes(builder, value), to_at, offset)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), emit


def centre_lanes(lanes: int) -> Centre:
    """Make the function that centres a block of so many lanes in place.

    Its parameters: the block, shape (3 * padded atoms * lanes,), nm; the number of atoms; and Σ|x|² of each
    lane to fill, shape (lanes,), nm².
    """

    @emitted
    def centre(typing: Any, block: Any, n_atoms: Any, traces: Any) -> tuple[Any, Callable[..., Any]]:
        def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
            word = values[1].type
            block_at = data_pointer(context, builder, block, values[0])
            traces_at = data_pointer(context, builder, traces, values[2])
            count = spread(builder, builder.sitofp(values[1], ir.DoubleType()), lanes)
            with over_atoms(builder, values[1], lanes) as (atom, totals):
                for axis, offset in enumerate(_offsets(builder, atom, lanes)):
                    totals[axis] = totals[axis] + load(builder, block_at, offset, lanes)
            means = [total / count for total in totals]
            with over_atoms(builder, values[1], lanes) as (atom, totals):
                for axis, offset in enumerate(_offsets(builder, atom, lanes)):
                    value = load(builder, block_at, offset, lanes) - means[axis]
                    store(value, block_at, offset)
                    totals[axis] = totals[axis] + value * value
            store(totals[0] + totals[1] + totals[2], traces_at, word(0))
            return context.get_dummy_value()

        return types.void(block, types.intp, traces), emit

    made: Centre = centre
    return made


def weigh_lanes(lanes: int, *, centred: bool) -> Weigh:
    """Make the function that scales the coordinates of each atom of a block in place.

    Its parameters: the block, shape (3 * padded atoms * lanes,), nm; the number of atoms; the factor of each
    atom, shape (n_atoms,), the mean of their squares being 1; and Σ|x|² of each scaled lane to fill, shape
    (lanes,), nm². With ``centred``, the centre of the atoms weighted with the squares becomes the origin.
    """

    @emitted
    def weigh(
        typing: Any, block: Any, n_atoms: Any, roots: Any, traces: Any
    ) -> tuple[Any, Callable[..., Any]]:
        def emit(context: Any, builder: Any, _: Any, values: Any) -> Any:
            word = values[1].type
            block_at = data_pointer(context, builder, block, values[0])
            roots_at = data_pointer(context, builder, roots, values[2])
            traces_at = data_pointer(context, builder, traces, values[3])
            count = spread(builder, builder.sitofp(values[1], ir.DoubleType()), lanes)

            def root_of(atom: Any) -> Lanes:
                return spread(builder, builder.load(builder.gep(roots_at, [atom])), lanes)

            means: list[Lanes] = []
            if centred:
                with over_atoms(builder, values[1], lanes) as (atom, totals):
                    weight = root_of(atom) * root_of(atom)
                    for axis, offset in enumerate(_offsets(builder, atom, lanes)):
                        totals[axis] = totals[axis] + load(builder, block_at, offset, lanes) * weight
                means = [total / count for total in totals]
            with over_atoms(builder, values[1], lanes) as (atom, totals):
                root = root_of(atom)
                for axis, offset in enumerate(_offsets(builder, atom, lanes)):
                    value = load(builder, block_at, offset, lanes)
                    value = (value - means[axis] if centred else value) * root
                    store(value, block_at, offset)
                    totals[axis] = totals[axis] + value * value
            store(totals[0] + totals[1] + totals[2], traces_at, word(0))
            return context.get_dummy_value()

        return types.void(block, types.intp, roots, traces), emit

    made: Weigh = weigh
    return made


@contextmanager
def over_atoms(builder: Any, n_atoms: Any, lanes: int) -> Iterator[tuple[Any, list[Lanes]]]:
    """Emit what stands in the ``with`` once for every atom, one at least; it updates the three sums.

    Three, because additions to one and the same would wait for each other.
    """
    before, loop = builder.block, builder.append_basic_block("atoms")
    after = builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    atom = builder.phi(n_atoms.type)
    kind = ir.VectorType(ir.DoubleType(), lanes)
    phis = [builder.phi(kind) for _ in range(AXES)]
    sums = [Lanes(builder, phi) for phi in phis]
    yield atom, sums
    following = builder.add(atom, n_atoms.type(1))
    atom.add_incoming(n_atoms.type(0), before)
    atom.add_incoming(following, loop)
    for phi, total in zip(phis, sums, strict=True):
        phi.add_incoming(ir.Constant(kind, [0.0] * lanes), before)
        phi.add_incoming(total.value, loop)
    builder.cbranch(builder.icmp_signed("<", following, n_atoms), loop, after)
    builder.position_at_end(after)


def _offsets(builder: Any, atom: Any, lanes: int) -> list[Any]:
    """Where x, y and z of an atom start in a block."""
    start = builder.mul(atom, atom.type(AXES * lanes))
    return [builder.add(start, atom.type(axis * lanes)) for axis in range(AXES)]


def _exchange(builder: Any, rows: list[Any], step: int) -> list[Any]:
    """Swap the two off-diagonal quarters of every square of side ``2 * step``."""
    upper = [k if not k & step else SQUARE + k - step for k in range(SQUARE)]
    lower = [k + step if not k & step else SQUARE + k for k in range(SQUARE)]
    mask = ir.VectorType(ir.IntType(32), SQUARE)
    swapped = list(rows)
    for r in range(SQUARE):
        if not r & step:
            pair = rows[r], rows[r + step]
            swapped[r] = builder.shuffle_vector(*pair, ir.Constant(mask, upper))
            swapped[r + step] = builder.shuffle_vector(*pair, ir.Constant(mask, lower))
    return swapped
