"""RMSD of one pair in float64, which settles what the faster kernels leave open.

References
----------
Horn, J. Opt. Soc. Am. A 4 (1987) 629: the rotation is the top eigenvector of a 4×4 key matrix.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..jit import inlined

__all__ = ["fitted_squared", "invariants", "plain_squared"]

Float64Array = npt.NDArray[np.float64]


MAX_STEPS = 30
"""Newton's method needs five or so where the root is a single one."""

MIN_CERTAIN = 1e-5
"""Value of slope times (1 - root), over the root's fourth power, from which on the root gives RMSD² with nine
digits."""


@inlined
def invariants(
    xx: Any, xy: Any, xz: Any, yx: Any, yy: Any, yz: Any, zx: Any, zy: Any, zz: Any
) -> tuple[Any, Any, Any]:
    """‖M‖², ‖cof M‖² and det M of a 3×3 matrix."""
    c0, c1, c2 = yy * zz - yz * zy, yz * zx - yx * zz, yx * zy - yy * zx
    c3, c4, c5 = xz * zy - xy * zz, xx * zz - xz * zx, xy * zx - xx * zy
    c6, c7, c8 = xy * yz - xz * yy, xz * yx - xx * yz, xx * yy - xy * yx
    norm = xx * xx + xy * xy + xz * xz + yx * yx + yy * yy + yz * yz + zx * zx + zy * zy + zz * zz
    minors = c0 * c0 + c1 * c1 + c2 * c2 + c3 * c3 + c4 * c4 + c5 * c5 + c6 * c6 + c7 * c7 + c8 * c8
    return norm, minors, xx * c0 + xy * c1 + xz * c2


@inlined
def fitted_squared(a: Float64Array, b: Float64Array, trace: float) -> float:
    """Minimal RMSD², nm², of centred structures, shape (3, n_atoms), nm; `trace` is Σ|a|² + Σ|b|², nm²."""
    ax, ay, az, bx, by, bz = a[0], a[1], a[2], b[0], b[1], b[2]
    xx = xy = xz = yx = yy = yz = zx = zy = zz = 0.0
    for k in range(ax.size):
        a, b, c, u, v, w = ax[k], ay[k], az[k], bx[k], by[k], bz[k]
        xx, xy, xz = xx + a * u, xy + a * v, xz + a * w
        yx, yy, yz = yx + b * u, yy + b * v, yz + b * w
        zx, zy, zz = zx + c * u, zy + c * v, zz + c * w
    s = 2.0 / trace
    norm, minors, det = invariants(xx * s, xy * s, xz * s, yx * s, yy * s, yz * s, zx * s, zy * s, zz * s)
    root = min(math.sqrt(norm + 2.0 * math.sqrt(3.0 * minors if det > 0.0 else minors)), 1.0)
    for _ in range(MAX_STEPS):
        excess = root * root - norm
        slope = 4.0 * root * excess - 8.0 * det
        step = (excess * excess - 8.0 * det * root - 4.0 * minors) / slope
        root -= step
        if not abs(step) > 1e-9:
            break
    # No term of the quartic exceeds 12 root⁴, so rounding moves the root by at most 1e-14 root⁴ / slope.
    # All this is false for NaN.
    squared: float = (1.0 - root) * trace / ax.size
    least = MIN_CERTAIN * root**4
    if not (slope > 0.0 and (1.0 - root) * slope > least and abs(step) <= 1e-9):
        # Diagonalising is backward stable whatever the eigenvalues, where the quartic loses half the digits.
        key = np.empty((4, 4))
        key[0, 0], key[1, 1], key[2, 2], key[3, 3] = xx + yy + zz, xx - yy - zz, yy - xx - zz, zz - xx - yy
        key[0, 1] = key[1, 0] = yz - zy
        key[0, 2] = key[2, 0] = zx - xz
        key[0, 3] = key[3, 0] = xy - yx
        key[1, 2] = key[2, 1] = xy + yx
        key[1, 3] = key[3, 1] = zx + xz
        key[2, 3] = key[3, 2] = yz + zy
        squared = _turned_squared(ax, ay, az, bx, by, bz, np.linalg.eigh(key)[1][:, 3])
    return squared


@inlined
def _turned_squared(
    ax: Float64Array,
    ay: Float64Array,
    az: Float64Array,
    bx: Float64Array,
    by: Float64Array,
    bz: Float64Array,
    quaternion: Float64Array,
) -> float:
    """RMSD² after a rotation, from the coordinates.

    An error in the rotation enters only squared, and no large numbers cancel. Where a structure is so thin
    that its turn about itself is lost in rounding, no rotation may be better: identical structures give 0.
    """
    w, x, y, z = quaternion
    # The rotation's matrix less 1.
    xx, xy, xz = -2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)
    yx, yy, yz = 2.0 * (x * y + w * z), -2.0 * (x * x + z * z), 2.0 * (y * z - w * x)
    zx, zy, zz = 2.0 * (x * z - w * y), 2.0 * (y * z + w * x), -2.0 * (x * x + y * y)
    turned = unturned = 0.0
    for k in range(ax.size):
        a, b, c = ax[k], ay[k], az[k]
        u, v, w = a - bx[k], b - by[k], c - bz[k]
        unturned += u * u + v * v + w * w
        u, v, w = u + xx * a + xy * b + xz * c, v + yx * a + yy * b + yz * c, w + zx * a + zy * b + zz * c
        turned += u * u + v * v + w * w
    return min(turned, unturned) / ax.size


@inlined
def plain_squared(a: Float64Array, b: Float64Array, n_atoms: int) -> float:
    """RMSD², nm², of two structures as they are; of all coordinates of each, shape (3 * n_atoms,), nm.

    Summed over differences: a thousand nanometres from the origin, inner products would cancel to nothing.
    """
    total = 0.0
    for k in range(a.size):
        difference = a[k] - b[k]
        total += difference * difference
    return total / n_atoms
