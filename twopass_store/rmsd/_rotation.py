"""The proper rotation that superposes two structures best, from their inner products.

References
----------
Horn, J. Opt. Soc. Am. A 4 (1987) 629: the rotation is the top eigenvector of a 4×4 key matrix.
"""

import math

import numpy as np
import numpy.typing as npt

from ..jit import inlined

__all__ = ["best_rotation"]

Float64Array = npt.NDArray[np.float64]

MAX_SWEEPS = 30
"""Jacobi's method needs five or so; the limit only guards against an endless loop."""

EPSILON = 2.220446049250313e-16


@inlined
def _top_eigenvector(key: Float64Array, vectors: Float64Array) -> int:
    """Return the column of a symmetric 4×4 matrix's largest eigenvalue, the first of equals.

    Jacobi's cyclic rotations are backward stable whatever the eigenvalues, equal ones included, where the
    quartic loses half the digits. They diagonalise `key` in place and fill `vectors` with eigenvectors in
    columns.
    """
    vectors[:] = 0.0
    for p in range(4):
        vectors[p, p] = 1.0
    for _ in range(MAX_SWEEPS):
        rotated = False
        for p in range(3):
            for q in range(p + 1, 4):
                if abs(key[p, q]) <= 0.1 * EPSILON * (abs(key[p, p]) + abs(key[q, q])):
                    continue
                rotated = True
                cotangent = (key[q, q] - key[p, p]) / (2.0 * key[p, q])
                tangent = math.copysign(1.0, cotangent) / (abs(cotangent) + math.hypot(cotangent, 1.0))
                cosine = 1.0 / math.hypot(tangent, 1.0)
                sine = tangent * cosine
                for k in range(4):
                    left, right = key[k, p], key[k, q]
                    key[k, p], key[k, q] = cosine * left - sine * right, sine * left + cosine * right
                for k in range(4):
                    left, right = key[p, k], key[q, k]
                    key[p, k], key[q, k] = cosine * left - sine * right, sine * left + cosine * right
                    left, right = vectors[k, p], vectors[k, q]
                    vectors[k, p], vectors[k, q] = cosine * left - sine * right, sine * left + cosine * right
                key[p, q] = key[q, p] = 0.0
        if not rotated:
            break
    top = 0
    for p in range(1, 4):
        if key[p, p] > key[top, top]:
            top = p
    return top


@inlined
def best_rotation(
    xx: float, xy: float, xz: float, yx: float, yy: float, yz: float, zx: float, zy: float, zz: float
) -> tuple[float, float, float, float]:
    """Unit quaternion w, x, y, z that turns centred structure a onto b, from the sums Σ a_i b_j."""
    key = np.empty((4, 4))
    key[0, 0], key[1, 1], key[2, 2], key[3, 3] = xx + yy + zz, xx - yy - zz, yy - xx - zz, zz - xx - yy
    key[0, 1] = key[1, 0] = yz - zy
    key[0, 2] = key[2, 0] = zx - xz
    key[0, 3] = key[3, 0] = xy - yx
    key[1, 2] = key[2, 1] = xy + yx
    key[1, 3] = key[3, 1] = zx + xz
    key[2, 3] = key[3, 2] = yz + zy
    vectors = np.empty((4, 4))
    top = _top_eigenvector(key, vectors)
    w, x, y, z = vectors[0, top], vectors[1, top], vectors[2, top], vectors[3, top]
    unit = 1.0 / math.sqrt(w * w + x * x + y * y + z * z)
    return w * unit, x * unit, y * unit, z * unit
