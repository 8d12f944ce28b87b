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

    A product to which something is added, or that is taken from something, becomes one instruction with one
    rounding where the processor has it; of two products, the second. That is written out here, not left to
    the compiler: it would choose by what stands around, and equal pairs would differ from kernel to kernel.

    Parameters
    ----------
    builder
        Where the instructions go.
    value
        The LLVM vector; None for a product that may not be needed by itself.
    factors
        The two LLVM vectors whose product this is.
    """

    def __init__(self, builder: Any, value: Any, factors: tuple[Any, Any] | None = None) -> None:
        self.builder = builder
        self._value = value
        self._factors = factors

    @property
    def value(self) -> Any:
        """The LLVM vector."""
        if self._value is None:
            assert self._factors is not None
            self._value = self.builder.fmul(*self._factors)
        return self._value

    def _as_lanes(self, other: Lanes | float) -> Lanes:
        if isinstance(other, Lanes):
            return other
        kind = (self._factors[0] if self._factors else self._value).type
        return Lanes(self.builder, ir.Constant(kind, [other] * kind.count))

    def __add__(self, other: Lanes | float) -> Lanes:
        other = self._as_lanes(other)
        if other._factors:
            return self._call("llvm.fmuladd", *other._factors, self.value)
        if self._factors:
            return self._call("llvm.fmuladd", *self._factors, other.value)
        return Lanes(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: Lanes | float) -> Lanes:
        other = self._as_lanes(other)
        if other._factors:
            left, right = other._factors
            return self._call("llvm.fmuladd", self.builder.fneg(left), right, self.value)
        if self._factors:
            return self._call("llvm.fmuladd", *self._factors, self.builder.fneg(other.value))
        return Lanes(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, None, (self.value, self._as_lanes(other).value))

    def __rsub__(self, other: float) -> Lanes:
        return self._as_lanes(other) - self

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fdiv(self.value, self._as_lanes(other).value))

    def __rtruediv__(self, other: float) -> Lanes:
        return self._as_lanes(other) / self

    def _call(self, name: str, *operands: Any) -> Lanes:
        kind = operands[0].type
        bits = 32 if kind.element == ir.FloatType() else 64
        module, overload = self.builder.module, f"{name}.v{kind.count}f{bits}"
        function = module.globals.get(overload) or ir.Function(
            module, ir.FunctionType(kind, [kind] * len(operands)), overload
        )
        return Lanes(self.builder, self.builder.call(function, operands))

    def sqrt(self) -> Lanes:
        """Square root, rounded correctly; NaN of a negative number."""
        return self._call("llvm.sqrt", self.value)

    def __abs__(self) -> Lanes:
        return self._call("llvm.fabs", self.value)

    def as_type(self, element: Any) -> Lanes:
        """The same numbers as floats or doubles, rounded to nearest where those are shorter."""
        kind = ir.VectorType(element, self.value.type.count)
        if self.value.type == kind:
            return self
        convert = self.builder.fptrunc if element == ir.FloatType() else self.builder.fpext
        return Lanes(self.builder, convert(self.value, kind))

    def compare(self, operator: str, other: Lanes | float) -> Any:
        """Truth of a comparison, one bit a lane; false where either is NaN."""
        return self.builder.fcmp_ordered(operator, self.value, self._as_lanes(other).value)

    def where(self, mask: Any, other: Lanes | float) -> Lanes:
        """These lanes where ``mask`` is true, the other's elsewhere."""
        return Lanes(self.builder, self.builder.select(mask, self.value, self._as_lanes(other).value))

    def at_least(self, other: Lanes | float) -> Lanes:
        """The larger of both; the other one for NaN."""
        return self.where(self.compare(">", other), other)

    def at_most(self, other: Lanes | float) -> Lanes:
        """The smaller of both; the other one for NaN."""
        return self.where(self.compare("<", other), other)
