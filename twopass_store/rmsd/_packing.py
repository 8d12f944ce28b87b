"""Frames laid out for the kernels: float64, centred or not, in blocks with the frame index fastest.

One vector instruction then serves many frames. All other layouts, types and sizes of input end here, so that
the large kernels are compiled for one signature only.
"""

import math
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import TopologyMismatchError
from ..jit import kernel
from ._alignment import aligned as superposed
from ._transpose import SQUARE, centre_lanes, transpose_square, weigh_lanes
from .metric import Metric

__all__ = [
    "ATOM_STEP",
    "CACHE_LINE",
    "LANES",
    "Float64Array",
    "aligned",
    "as_positions",
    "blocks_per_slab",
    "empty_blocks",
    "n_blocks",
    "pack",
    "pack_kernel",
    "padded_atoms",
    "slabs",
    "unpack_kernel",
]

Float64Array = npt.NDArray[np.float64]

Number = TypeVar("Number", np.float32, np.float64)

LANES = 16
"""Frames in a block."""

ATOM_STEP = 4
"""Atoms that one pass over the lanes adds up; atoms are padded to a multiple of it with zeros."""

CACHE_LINE = 64

SLAB_STEP = 4
"""Slabs come in multiples of so many blocks, which are screened together."""

SLAB_BYTES = 2 << 20
"""Packed bytes that one call of a kernel on a stream of frames takes, unless a single block is larger."""


def as_positions(xyz: npt.ArrayLike, *, n_atoms: int | None = None) -> npt.NDArray[Any]:
    """Check the shape of positions, without a copy where ``xyz`` is an array.

    Parameters
    ----------
    xyz
        Positions, shape (n_frames, n_atoms, 3), nm.
    n_atoms
        The number of atoms that there must be; any number from 1 where None.

    Raises
    ------
    TopologyMismatchError
        If the shape is another.
    """
    positions = np.asarray(xyz)
    if positions.ndim != 3 or positions.shape[2] != 3 or positions.shape[1] == 0:
        raise TopologyMismatchError(
            f"Positions need a shape (n_frames, n_atoms, 3) with at least one atom, not {positions.shape}: "
            "index or reshape the array so that frames, atoms and x, y, z are its three axes."
        )
    if n_atoms is not None and positions.shape[1] != n_atoms:
        raise TopologyMismatchError(
            f"The frames have {positions.shape[1]} atoms and what they are compared with has {n_atoms}: "
            "select the same atoms, in the same order, on both sides."
        )
    return positions


def padded_atoms(n_atoms: int) -> int:
    """Atoms of a packed frame, padding included."""
    return -(-n_atoms // ATOM_STEP) * ATOM_STEP


def n_blocks(n_frames: int) -> int:
    """Blocks that hold ``n_frames`` frames."""
    return -(-n_frames // LANES)


def blocks_per_slab(n_atoms: int) -> int:
    """Blocks of frames of ``n_atoms`` atoms in one slab."""
    fitting = SLAB_BYTES // (24 * LANES * padded_atoms(n_atoms))
    return max(1, fitting // SLAB_STEP) * SLAB_STEP


def empty_blocks(n_frames: int, n_atoms: int) -> tuple[Float64Array, Float64Array]:
    """Memory for the blocks and the traces of ``n_frames`` frames, uninitialised; see `pack_kernel`."""
    blocks = n_blocks(n_frames)
    return aligned(blocks, 3 * padded_atoms(n_atoms) * LANES, np.float64), np.empty(blocks * LANES)


def aligned(n_rows: int, width: int, kind: type[Number]) -> npt.NDArray[Number]:
    """Uninitialised memory, shape (n_rows, width), that starts with a cache line.

    numpy aligns to 16 bytes, but a vector across two cache lines is read twice: at 300 atoms that is a fifth
    of the time.
    """
    values = np.empty(n_rows * width + CACHE_LINE // np.dtype(kind).itemsize, kind)
    skip = -values.ctypes.data % CACHE_LINE // values.itemsize
    return values[skip : skip + n_rows * width].reshape(n_rows, width)


def pack(xyz: npt.NDArray[Any], lanes: Float64Array, traces: Float64Array, metric: Metric) -> None:
    """Fill blocks from positions of any real type and layout; parameters as for `pack_kernel`.

    Conversions and superpositions go slab by slab, so that they never need a second copy of everything.
    """
    n_frames, n_atoms = xyz.shape[:2]
    roots = metric.root_weights(metric.n_measured(n_atoms))
    # All other real types, foreign byte orders among them, are exact in float64.
    target = xyz.dtype if xyz.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    per_slab = blocks_per_slab(n_atoms)
    for block in range(0, lanes.shape[0], per_slab):
        stop = min(block + per_slab, lanes.shape[0])
        frames = np.ascontiguousarray(xyz[block * LANES : min(stop * LANES, n_frames)], dtype=target)
        moved = frames if metric.alignment is None else superposed(frames, metric.alignment)
        pack_kernel(moved, roots, metric.fit, lanes[block:stop], traces[block * LANES : stop * LANES])
        del frames, moved  # or two copies would be there while the next is made


def slabs(xyz: npt.NDArray[Any], metric: Metric) -> Iterator[tuple[slice, Float64Array, Float64Array]]:
    """Pack frames piece by piece into memory that is used again.

    Parameters
    ----------
    xyz
        Positions, shape (n_frames, n_atoms, 3), nm.
    metric
        How they will be compared.

    Yields
    ------
    The range of frames, and their blocks and traces, valid until the next step.
    """
    n_frames, n_atoms = xyz.shape[:2]
    size = blocks_per_slab(n_atoms) * LANES
    lanes, traces = empty_blocks(min(size, n_frames), metric.n_measured(n_atoms))
    for start in range(0, n_frames, size):
        stop = min(start + size, n_frames)
        blocks = n_blocks(stop - start)
        pack(xyz[start:stop], lanes[:blocks], traces[: blocks * LANES], metric)
        yield slice(start, stop), lanes[:blocks], traces[: blocks * LANES]


_centre = centre_lanes(LANES)
_centre_and_weigh = weigh_lanes(LANES, centred=True)
_weigh = weigh_lanes(LANES, centred=False)


@kernel
def pack_kernel(
    xyz: npt.NDArray[Any], roots: Float64Array, centred: bool, lanes: Float64Array, traces: Float64Array
) -> None:
    """Centre and weigh frames and lay them out in blocks.

    Parameters
    ----------
    xyz
        Positions, shape (n_frames, n_atoms, 3), nm, float32 or float64. Not modified.
    roots
        Factors of the atoms' coordinates, shape (n_atoms,), from `Metric.root_weights`; empty to centre only.
    centred
        Whether the frame's centre becomes the origin.
    lanes
        Blocks to fill, shape (n_blocks, 3 * padded atoms * LANES), nm; 0 beyond the last frame.
    traces
        To fill, shape (n_blocks * LANES,), nm²: Σ|x|² of each frame so moved; NaN where that isn't finite
        and beyond the last frame.
    """
    n_frames, n_atoms = xyz.shape[0], xyz.shape[1]
    width = 3 * n_atoms
    for block in range(lanes.shape[0]):
        first = block * LANES
        n_lanes = min(LANES, n_frames - first)
        out = lanes[block]
        if n_lanes < LANES:
            out[:] = 0.0
        frames = xyz[first : first + n_lanes].reshape(n_lanes * width)
        in_squares = n_lanes // SQUARE * SQUARE
        for k in range(0, width - SQUARE + 1, SQUARE):
            for lane in range(0, in_squares, SQUARE):
                transpose_square(frames, lane * width + k, width, out, k * LANES + lane, LANES)
        for k in range(width):
            for lane in range(0 if k >= width // SQUARE * SQUARE else in_squares, n_lanes):
                out[k * LANES + lane] = frames[lane * width + k]
        out[3 * n_atoms * LANES :] = 0.0
        trace = traces[first : first + LANES]
        if roots.shape[0] == 0:
            _centre(out, n_atoms, trace)
        elif centred:
            _centre_and_weigh(out, n_atoms, roots, trace)
        else:
            _weigh(out, n_atoms, roots, trace)
        for lane in range(LANES):
            if lane >= n_lanes or not math.isfinite(trace[lane]):
                trace[lane] = np.nan


@kernel
def unpack_kernel(lanes: Float64Array, first: int, rows: npt.NDArray[Any]) -> None:
    """Copy packed frames ``first`` and following into rows.

    Parameters
    ----------
    lanes
        From `pack_kernel`.
    first
        The first frame wanted.
    rows
        To fill, shape (n_rows, 3 * padded atoms), nm, float32 or float64.
    """
    n_rows, width = rows.shape
    target = rows.reshape(n_rows * width)
    row = 0
    while row < n_rows:
        block, lane = divmod(first + row, LANES)
        source = lanes[block]
        together = SQUARE if lane % SQUARE == 0 and row + SQUARE <= n_rows else 1
        in_squares = width // SQUARE * SQUARE if together == SQUARE else 0
        for k in range(0, in_squares, SQUARE):
            transpose_square(source, k * LANES + lane, LANES, target, row * width + k, width)
        for one in range(together):
            for k in range(in_squares, width):
                target[(row + one) * width + k] = source[k * LANES + lane + one]
        row += together
