"""Minimal RMSD by Kabsch's method in float64, written apart from the library: the reference of its tests."""

import numpy as np
import numpy.typing as npt

__all__ = ["kabsch_condensed", "kabsch_matrix", "kabsch_rmsd", "random_rotations"]

Float64Array = npt.NDArray[np.float64]


def kabsch_rmsd(x: npt.ArrayLike, y: npt.ArrayLike) -> Float64Array:
    """Minimal RMSD of structures paired by broadcasting, shapes (..., n_atoms, 3), nm, over proper rotations.

    The rotation comes from a singular value decomposition, its sign from the determinants; the distance from
    the coordinates after it, so that nothing cancels.
    """
    left, right = (np.asarray(a, dtype=np.float64) for a in (x, y))
    left, right = (a - a.mean(axis=-2, keepdims=True) for a in (left, right))
    u, _, vt = np.linalg.svd(np.swapaxes(left, -1, -2) @ right)
    u[..., :, 2] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))[..., np.newaxis]
    difference = left @ (u @ vt) - right
    return np.sqrt(np.mean(np.sum(difference**2, axis=-1), axis=-1))


def kabsch_matrix(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Float64Array:
    """Minimal RMSD of every structure of x to every one of y, shape (n_x, n_y), nm."""
    return np.stack([kabsch_rmsd(x, one) for one in y], axis=1)


def kabsch_condensed(x: npt.NDArray[np.floating]) -> Float64Array:
    """Minimal RMSDs of all pairs i < j in scipy's condensed order, nm."""
    return np.concatenate([kabsch_rmsd(x[i + 1 :], x[i]) for i in range(len(x) - 1)])


def random_rotations(rng: np.random.Generator, n: int) -> Float64Array:
    """Proper rotation matrices, shape (n, 3, 3)."""
    q, r = np.linalg.qr(rng.normal(size=(n, 3, 3)))
    q *= np.sign(np.diagonal(r, axis1=1, axis2=2))[:, np.newaxis, :]
    q[:, :, 2] *= np.linalg.det(q)[:, np.newaxis]
    return q
