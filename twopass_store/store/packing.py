"""Coordinates as integers: how positions are packed for the store and unpacked to the very same bits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOSSLESS", "Misfit", "Packing"]

# Values worked on at once, so that what a chunk is turned into on the way stays in the cache.
_BLOCK = 1 << 15


@dataclass(frozen=True, slots=True)
class Misfit:
    """The first coordinate that a packing can't hold, and its place in the positions."""

    frame: int
    atom: int
    axis: int
    value: float  # nm
    is_too_large: bool  # beyond the range of the type; otherwise off the grid


@dataclass(frozen=True, slots=True)
class Packing:
    """How positions are stored: each must come back bit for bit, unless it `rounds` to the nearest step."""

    dtype: str  # float32, int16 or int32
    scale: float | None = None  # one step of the integers, nm, as a number of float32; None for float32
    rounds: bool = False

    @classmethod
    def on_grid(cls, step_nm: float, dtype: str, *, rounds: bool = False) -> Self:
        """Return a packing whose step is `step_nm`, as float32 has it."""
        return cls(dtype, float(np.float32(step_nm)), rounds)

    @classmethod
    def of_array(cls, dtype: np.dtype[Any], attrs: Mapping[str, Any]) -> Self:
        """Return the packing of an array with that type and those attributes."""
        if dtype.kind == "f":
            return cls("float32")
        return cls(dtype.name, float(np.float32(attrs["scale_factor"])), "rounded_to" in attrs)

    @property
    def limit_nm(self) -> float:
        """The largest coordinate that it holds, nm."""
        return np.inf if self.scale is None else np.iinfo(self.dtype).max * self.scale

    def pack(self, xyz: NDArray[np.float32]) -> NDArray[Any] | Misfit:
        """Turn positions into what is stored, or tell which coordinate doesn't fit.

        Parameters
        ----------
        xyz
            Shape (n_frames, n_atoms, 3), nm. Not modified.

        Returns
        -------
        An array of the same shape, of type `dtype`. Unless `rounds`, `unpack` gives the bits of `xyz` back:
        that was checked for every value. The least integer is never used: it marks what was not written.
        """
        if self.scale is None:
            return np.ascontiguousarray(xyz, np.float32)
        packed = np.empty(xyz.shape, self.dtype)
        values, steps = np.ascontiguousarray(xyz, np.float32).reshape(-1), packed.reshape(-1)
        scale, limit = np.float32(self.scale), np.iinfo(self.dtype).max
        # A quotient of up to 2^15 steps is near enough to its integer in float32.
        quotients = np.empty(_BLOCK, np.float32 if self.dtype == "int16" else np.float64)
        unpacked = np.empty(_BLOCK, np.float32)
        for start in range(0, len(values), _BLOCK):
            part = values[start : start + _BLOCK]
            quotient, back = quotients[: len(part)], unpacked[: len(part)]
            into = steps[start : start + _BLOCK]
            with np.errstate(invalid="ignore", over="ignore"):
                np.divide(part, scale, out=quotient, dtype=quotient.dtype)
                np.rint(quotient, out=quotient)
                np.copyto(into, quotient, casting="unsafe")
            fits = -limit <= quotient.min() and quotient.max() <= limit
            if fits and not self.rounds:
                np.multiply(into, scale, out=back, dtype=np.float32)
                fits = np.array_equal(back.view(np.int32), part.view(np.int32))
            if not fits:
                return self._misfit(xyz, start, part, quotient)
        return packed

    def unpack(self, stored: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Turn what is stored, or a part of it, into positions, nm; put into `out` if given."""
        if out is None:
            out = np.empty(stored.shape, np.float32)
        if self.scale is None:
            np.copyto(out, stored)
        else:
            # The product in float32 gives the very bits that an XTC reader does; a division doesn't.
            np.multiply(stored, np.float32(self.scale), out=out, dtype=np.float32)
        return out

    def largest_error(self, xyz: NDArray[np.float32], packed: NDArray[Any]) -> float:
        """Return by how much packing moved a coordinate at most, nm."""
        moved = self.unpack(packed).astype(np.float64) - xyz
        return float(np.abs(moved).max(initial=0.0))

    def _misfit(
        self, xyz: NDArray[np.float32], start: int, part: NDArray[np.float32], quotient: NDArray[Any]
    ) -> Misfit:
        limit = np.iinfo(self.dtype).max
        is_too_large = ~(np.abs(quotient) <= limit)
        is_off = is_too_large
        if not self.rounds:
            steps = np.where(is_too_large, 0, quotient).astype(self.dtype)
            is_off = is_off | (self.unpack(steps).view(np.int32) != part.view(np.int32))
        first = int(np.argmax(is_off))
        frame, atom, axis = (int(index) for index in np.unravel_index(start + first, xyz.shape))
        return Misfit(frame, atom, axis, float(part[first]), bool(is_too_large[first]))


LOSSLESS = Packing("float32")
"""Coordinates as they are, in float32."""
