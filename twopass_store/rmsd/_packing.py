"""Frames laid out for the kernels: float64, centred and weighted, x of all atoms first, then y, then z."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..jit import kernel
from .metric import Metric
from .superposition import aligned

__all__ = ["Float64Array", "frames_at_once", "pack"]

Float64Array = npt.NDArray[np.float64]

PIECE_BYTES = 1 << 20
"""Packed bytes of frames that one call of a kernel takes."""


def frames_at_once(n_atoms: int) -> int:
    """Frames of ``n_atoms`` atoms that are packed in one call."""
    return max(16, PIECE_BYTES // (24 * n_atoms))


def pack(xyz: npt.NDArray[Any], metric: Metric, packed: Float64Array, traces: Float64Array) -> None:
    """Centre and weigh frames of any real type and layout, or superpose them.

    Fills `packed`, shape (n_blocks, 3, lanes, n_measured), nm: frame ``i`` is lane ``i % lanes`` of block ``i
    // lanes``, and lanes beyond the last frame are left as they are. Fills `traces`, nm², with Σ|x|² of each
    frame; NaN for one that isn't finite.
    """
    lanes = packed.shape[2]
    roots = metric.root_weights(packed.shape[3])
    # All other real types, foreign byte orders among them, are exact in float64.
    kind = xyz.dtype if xyz.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    step = -(-frames_at_once(xyz.shape[1]) // lanes) * lanes
    for start in range(0, len(xyz), step):
        part = slice(start, min(start + step, len(xyz)))
        frames = np.ascontiguousarray(xyz[part], dtype=kind)
        if metric.alignment is not None:
            frames = aligned(frames, metric.alignment)
        pack_kernel(frames, roots, metric.fit, packed[start // lanes :], traces[part])


@kernel
def pack_kernel(
    xyz: npt.NDArray[Any], roots: Float64Array, centred: bool, packed: Float64Array, traces: Float64Array
) -> None:
    """Fill blocks; parameters as for `pack`, and factors of the atoms' coordinates, shape (n_atoms,)."""
    lanes, n_atoms = packed.shape[2], xyz.shape[1]
    for frame in range(xyz.shape[0]):
        block, lane = divmod(frame, lanes)
        x, y, z = packed[block, 0, lane], packed[block, 1, lane], packed[block, 2, lane]
        positions = xyz[frame]
        for k in range(n_atoms):
            x[k], y[k], z[k] = positions[k, 0], positions[k, 1], positions[k, 2]
        cx = cy = cz = 0.0
        if centred:
            for k in range(n_atoms):
                weight = roots[k] * roots[k]
                cx, cy, cz = cx + weight * x[k], cy + weight * y[k], cz + weight * z[k]
        cx, cy, cz = cx / n_atoms, cy / n_atoms, cz / n_atoms
        # One sum an axis, or each addition would wait for the one before.
        xx = yy = zz = 0.0
        for k in range(n_atoms):
            a, b, c = (x[k] - cx) * roots[k], (y[k] - cy) * roots[k], (z[k] - cz) * roots[k]
            x[k], y[k], z[k] = a, b, c
            xx, yy, zz = xx + a * a, yy + b * b, zz + c * c
        trace = xx + yy + zz
        traces[frame] = trace if math.isfinite(trace) else np.nan
