"""Arithmetic on a vector of lanes inside a numba kernel, as LLVM instructions with operators.

numba's loops become vectors only if LLVM can prove that no two arrays overlap and likes the price; one array
more, and a loop runs five times slower without a word. What is written with `Lanes` is a vector from the
start, on every processor: where its registers are narrower, LLVM cuts the vector up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.extending import intrinsic

__all__ = ["Lanes", "data_pointer", "emitted", "fetch_ahead", "load", "spread", "store", "vector_bytes"]

FLAGS = ("contract",)
"""A product and its sum become one instruction where the processor has it. Nothing else is reordered."""

INT32 = ir.IntType(32)


def emitted(function: Callable[..., Any]) -> Any:
    """Decorate what writes the instructions of a call; see `numba.extending.intrinsic`."""
    return intrinsic(function)


def vector_bytes() -> int:
    """Size of a vector of which the nine sums of one row, or of two, stay in this processor's registers."""
    return 64 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 32


def data_pointer(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Pointer to the first element of an array of numba type ``kind``."""
    return context.make_array(kind)(context, builder, value).data


def load(builder: Any, base: Any, offset: Any, width: int) -> Lanes:
    """Lanes from ``width`` elements that start ``offset`` elements after ``base``."""
    element = base.type.pointee
    pointer = builder.bitcast(builder.gep(base, [offset]), ir.VectorType(element, width).as_pointer())
    return Lanes(builder, builder.load(pointer, align=4 if element == ir.FloatType() else 8))


def store(lanes: Lanes, base: Any, offset: Any) -> None:
    """Write lanes to the elements that start ``offset`` elements after ``base``."""
    pointer = lanes.builder.bitcast(lanes.builder.gep(base, [offset]), lanes.value.type.as_pointer())
    lanes.builder.store(lanes.value, pointer, align=4 if base.type.pointee == ir.FloatType() else 8)


def fetch_ahead(builder: Any, base: Any, offset: Any) -> None:
    """Hint that the cache line ``offset`` elements after ``base`` is wanted soon; it need not exist."""
    module, name, byte = builder.module, "llvm.prefetch.p0i8", ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INT32, INT32, INT32])
    function = module.globals.get(name) or ir.Function(module, kind, name)
    pointer = builder.bitcast(builder.gep(base, [offset]), byte)
    # To be read, into the second-level cache, as data.
    builder.call(function, [pointer, INT32(0), INT32(2), INT32(1)])


def spread(builder: Any, scalar: Any, width: int) -> Lanes:
    """The same scalar in every lane."""
    kind = ir.VectorType(scalar.type, width)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, INT32(0))
    mask = ir.Constant(ir.VectorType(INT32, width), [0] * width)
    return Lanes(builder, builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), mask))


class Lanes:
    """A vector value; operators act lane by lane, and numbers stand for themselves in every lane.

    Parameters
    ----------
    builder
        Where the instructions go.
    value
        The LLVM vector.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    def _operand(self, other: Lanes | float) -> Any:
        if isinstance(other, Lanes):
            return other.value
        return ir.Constant(self.value.type, [other] * self.value.type.count)

    def __add__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fadd(self.value, self._operand(other), flags=FLAGS))

    def __sub__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self.value, self._operand(other), flags=FLAGS))

    def __mul__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fmul(self.value, self._operand(other), flags=FLAGS))

    def __rsub__(self, other: float) -> Lanes:
        return Lanes(self.builder, self.builder.fsub(self._operand(other), self.value, flags=FLAGS))

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fdiv(self.value, self._operand(other)))

    def __rtruediv__(self, other: float) -> Lanes:
        return Lanes(self.builder, self.builder.fdiv(self._operand(other), self.value))

    def _unary(self, name: str) -> Lanes:
        kind = self.value.type
        bits = 32 if kind.element == ir.FloatType() else 64
        module, overload = self.builder.module, f"{name}.v{kind.count}f{bits}"
        function = module.globals.get(overload) or ir.Function(
            module, ir.FunctionType(kind, [kind]), overload
        )
        return Lanes(self.builder, self.builder.call(function, [self.value]))

    def sqrt(self) -> Lanes:
        """Square root, rounded correctly; NaN of a negative number."""
        return self._unary("llvm.sqrt")

    def __abs__(self) -> Lanes:
        return self._unary("llvm.fabs")

    def rounded(self, element: Any) -> Lanes:
        """The same numbers in a shorter type."""
        return Lanes(
            self.builder, self.builder.fptrunc(self.value, ir.VectorType(element, self.value.type.count))
        )

    def compare(self, operator: str, other: Lanes | float) -> Any:
        """Truth of a comparison, one bit a lane; false where either is NaN."""
        return self.builder.fcmp_ordered(operator, self.value, self._operand(other))

    def where(self, mask: Any, other: Lanes | float) -> Lanes:
        """These lanes where ``mask`` is true, the other's elsewhere."""
        return Lanes(self.builder, self.builder.select(mask, self.value, self._operand(other)))

    def at_least(self, other: Lanes | float) -> Lanes:
        """The larger of both; the other one for NaN."""
        return self.where(self.compare(">", other), other)

    def at_most(self, other: Lanes | float) -> Lanes:
        """The smaller of both; the other one for NaN."""
        return self.where(self.compare("<", other), other)
