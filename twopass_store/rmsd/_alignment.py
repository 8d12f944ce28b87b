"""Superposition of a stream of frames on one reference, in float64, a frame at a time."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..jit import kernel
from ._rotation import fast_rotation
from .metric import Alignment

__all__ = ["aligned"]

Float64Array = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]


def aligned(xyz: npt.NDArray[Any], alignment: Alignment) -> Float64Array:
    """Superpose frames and take out the atoms that are compared.

    Parameters
    ----------
    xyz
        Positions, shape (n_frames, n_atoms, 3), nm, float32 or float64, C-contiguous. Not modified.
    alignment
        By which atoms, on what.

    Returns
    -------
    Positions from the reference's centre, shape (n_frames, n_measured, 3), nm. Not finite where a fitted
    atom isn't.
    """
    n_fitted = alignment.fitted.size
    weights = np.ones(n_fitted) if alignment.weights is None else alignment.weights
    shares = weights / weights.sum()
    # The reference carries the weights of the products, so that frames need theirs for the centre only.
    target = (alignment.reference - shares @ alignment.reference) * shares[:, np.newaxis]
    moved = np.empty((xyz.shape[0], alignment.measured.size, 3))
    align_kernel(xyz, alignment.fitted, alignment.measured, shares, target, moved)
    return moved


@kernel
def align_kernel(
    xyz: npt.NDArray[Any],
    fitted: IndexArray,
    measured: IndexArray,
    shares: Float64Array,
    target: Float64Array,
    moved: Float64Array,
) -> None:
    """Turn each frame onto the reference.

    Parameters
    ----------
    xyz, fitted, measured
        As for `aligned`.
    shares
        Weights of the fitted atoms, shape (n_fitted,), with a sum of 1.
    target
        Their positions in the reference from its centre, times their shares, shape (n_fitted, 3), nm.
    moved
        To fill, shape (n_frames, n_measured, 3), nm.
    """
    for frame in range(xyz.shape[0]):
        positions = xyz[frame]
        cx = cy = cz = 0.0
        for k in range(fitted.shape[0]):
            atom = fitted[k]
            share = shares[k]
            cx += share * positions[atom, 0]
            cy += share * positions[atom, 1]
            cz += share * positions[atom, 2]
        xx = xy = xz = yx = yy = yz = zx = zy = zz = 0.0
        for k in range(fitted.shape[0]):
            atom = fitted[k]
            a, b, c = positions[atom, 0] - cx, positions[atom, 1] - cy, positions[atom, 2] - cz
            u, v, w = target[k, 0], target[k, 1], target[k, 2]
            xx, xy, xz = xx + a * u, xy + a * v, xz + a * w
            yx, yy, yz = yx + b * u, yy + b * v, yz + b * w
            zx, zy, zz = zx + c * u, zy + c * v, zz + c * w
        w, x, y, z = fast_rotation(xx, xy, xz, yx, yy, yz, zx, zy, zz)
        # Rows of the quaternion's rotation matrix.
        r00, r01, r02 = 1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)
        r10, r11, r12 = 2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)
        r20, r21, r22 = 2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)
        for k in range(measured.shape[0]):
            atom = measured[k]
            a, b, c = positions[atom, 0] - cx, positions[atom, 1] - cy, positions[atom, 2] - cz
            moved[frame, k, 0] = r00 * a + r01 * b + r02 * c
            moved[frame, k, 1] = r10 * a + r11 * b + r12 * c
            moved[frame, k, 2] = r20 * a + r21 * b + r22 * c
