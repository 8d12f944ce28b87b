"""The proper rotation that superposes two structures best, from their inner products.

References
----------
Horn, J. Opt. Soc. Am. A 4 (1987) 629: the rotation is the top eigenvector of a 4×4 key matrix.
Liu, Agrafiotis and Theobald, J. Comput. Chem. 31 (2010) 1561: that from the matrix of cofactors.
"""

import math

import numpy as np
import numpy.typing as npt

from ..jit import inlined

__all__ = ["best_rotation", "fast_rotation"]

Float64Array = npt.NDArray[np.float64]

MAX_SWEEPS = 30
"""Jacobi's method needs five or so; the limit only guards against an endless loop."""

EPSILON = 2.220446049250313e-16

MAX_STEPS = 20
"""Newton's method needs five or so where its root is a single one."""

MIN_SLOPE = 1e-3
"""Slope of the quartic, for inner products of norm 1, from which on the rotation is sure to 1e-11."""


@inlined
def _top_eigenvector(key: Float64Array, vectors: Float64Array) -> int:
    """Diagonalise a symmetric 4×4 matrix by Jacobi's cyclic rotations.

    Backward stable whatever the eigenvalues, equal ones included, where the quartic loses half the digits.

    Parameters
    ----------
    key
        The matrix, shape (4, 4); overwritten, its diagonal ends as the eigenvalues.
    vectors
        To fill with eigenvectors in columns, shape (4, 4).

    Returns
    -------
    The column of the largest eigenvalue, the first of equals.
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


@inlined
def fast_rotation(
    xx: float, xy: float, xz: float, yx: float, yy: float, yz: float, zx: float, zy: float, zz: float
) -> tuple[float, float, float, float]:
    """The same as `best_rotation`, five times as fast, but for the last digits.

    Newton's method from above finds the largest eigenvalue of the key matrix, and the cofactors of what is
    left of the matrix its eigenvector. Where other eigenvalues are near, Jacobi's method takes over.
    """
    norm = xx * xx + xy * xy + xz * xz + yx * yx + yy * yy + yz * yz + zx * zx + zy * zy + zz * zz
    if not (norm > 1e-200 and norm < 1e200):
        return best_rotation(xx, xy, xz, yx, yy, yz, zx, zy, zz)
    unit = 1.0 / math.sqrt(norm)
    xx, xy, xz = xx * unit, xy * unit, xz * unit
    yx, yy, yz = yx * unit, yy * unit, yz * unit
    zx, zy, zz = zx * unit, zy * unit, zz * unit
    c0, c1, c2 = yy * zz - yz * zy, yz * zx - yx * zz, yx * zy - yy * zx
    c3, c4, c5 = xz * zy - xy * zz, xx * zz - xz * zx, xy * zx - xx * zy
    c6, c7, c8 = xy * yz - xz * yy, xz * yx - xx * yz, xx * yy - xy * yx
    minors = c0 * c0 + c1 * c1 + c2 * c2 + c3 * c3 + c4 * c4 + c5 * c5 + c6 * c6 + c7 * c7 + c8 * c8
    det8 = 8.0 * (xx * c0 + xy * c1 + xz * c2)
    # The quartic and the bound to start from are those of `_quartic`, with F = 1.
    root = math.sqrt(1.0 + 2.0 * math.sqrt(3.0 * minors if det8 > 0.0 else minors))
    for _ in range(MAX_STEPS):
        excess = root * root - 1.0
        slope = 4.0 * root * excess - det8
        # It only falls on the way. False for NaN as well.
        if not slope > MIN_SLOPE:
            return best_rotation(xx, xy, xz, yx, yy, yz, zx, zy, zz)
        step = (excess * excess - det8 * root - 4.0 * minors) / slope
        root -= step
        if not abs(step) > 4.0 * EPSILON * root:
            break
    a, b, c, d = xx + yy + zz - root, xx - yy - zz - root, yy - xx - zz - root, zz - xx - yy - root
    e, f, g = yz - zy, zx - xz, xy - yx
    h, i, j = xy + yx, zx + xz, yz + zy
    # Minors of the first two and of the last two rows of [[a, e, f, g], [e, b, h, i], [f, h, c, j],
    # [g, i, j, d]].
    s0, s1, s2 = a * b - e * e, a * h - e * f, a * i - e * g
    s3, s4, s5 = e * h - b * f, e * i - b * g, f * i - h * g
    t1, t2 = f * j - g * c, f * d - g * j
    t3, t4, t5 = h * j - i * c, h * d - i * j, c * d - j * j
    # Each row of cofactors is the eigenvector times one of its own components.
    q00, q11 = b * t5 - h * t4 + i * t3, a * t5 - f * t2 + g * t1
    q22, q33 = g * s4 - i * s2 + d * s0, f * s3 - h * s1 + c * s0
    if max(abs(q00), abs(q11)) >= max(abs(q22), abs(q33)):
        if abs(q00) >= abs(q11):
            w, x, y, z = q00, f * t4 - e * t5 - g * t3, i * s5 - j * s4 + d * s3, c * s4 - h * s5 - j * s3
        else:
            w, x, y, z = f * t4 - e * t5 - g * t3, q11, j * s2 - g * s5 - d * s1, f * s5 - c * s2 + j * s1
    elif abs(q22) >= abs(q33):
        w, x, y, z = i * s5 - j * s4 + d * s3, j * s2 - g * s5 - d * s1, q22, h * s2 - f * s4 - j * s0
    else:
        w, x, y, z = c * s4 - h * s5 - j * s3, f * s5 - c * s2 + j * s1, h * s2 - f * s4 - j * s0, q33
    unit = 1.0 / math.sqrt(w * w + x * x + y * y + z * z)
    return w * unit, x * unit, y * unit, z * unit
