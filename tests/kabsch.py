"""RMSD by every metric in float64, written apart from the library: the reference of its tests."""

import numpy as np
import numpy.typing as npt

__all__ = [
    "aligned_positions",
    "kabsch_condensed",
    "kabsch_matrix",
    "kabsch_rmsd",
    "plain_rmsd",
    "random_rotations",
    "weighted_kabsch_rmsd",
]

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


def weighted_kabsch_rmsd(x: npt.ArrayLike, y: npt.ArrayLike, masses: npt.ArrayLike) -> Float64Array:
    """Minimal weighted RMSD, √(Σ m |R x + t − y|² / Σ m), paired by broadcasting, nm."""
    shares = np.asarray(masses, dtype=np.float64) / np.sum(masses)
    left, right = (_centred(np.asarray(a, dtype=np.float64), shares) for a in (x, y))
    rotation = _rotation(left * shares[:, np.newaxis], right)
    return plain_rmsd(left @ rotation, right, shares)


def plain_rmsd(x: npt.ArrayLike, y: npt.ArrayLike, masses: npt.ArrayLike | None = None) -> Float64Array:
    """Weighted RMSD of positions as they are, paired by broadcasting, nm."""
    difference = np.asarray(x, dtype=np.float64) - np.asarray(y, dtype=np.float64)
    return np.sqrt(np.average(np.sum(difference**2, axis=-1), axis=-1, weights=masses))


def aligned_positions(
    xyz: npt.ArrayLike,
    reference: npt.ArrayLike,
    fitted: npt.ArrayLike,
    masses: npt.ArrayLike | None = None,
) -> Float64Array:
    """Positions of all atoms after each frame's fit on a reference by some, shape (n_frames, n_atoms, 3).

    ``reference`` and ``masses`` are of the fitted atoms.
    """
    positions, target = np.asarray(xyz, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    mass = np.ones(len(target)) if masses is None else np.asarray(masses, dtype=np.float64)
    shares = mass / mass.sum()
    centres = np.einsum("fai,a->fi", positions[:, fitted], shares)[:, np.newaxis]
    to = np.einsum("ai,a->i", target, shares)
    rotation = _rotation((positions[:, fitted] - centres) * shares[:, np.newaxis], target - to)
    return (positions - centres) @ rotation + to


def _centred(xyz: Float64Array, shares: Float64Array) -> Float64Array:
    return xyz - np.einsum("...ai,a->...i", xyz, shares)[..., np.newaxis, :]


def _rotation(left: Float64Array, right: Float64Array) -> Float64Array:
    u, _, vt = np.linalg.svd(np.swapaxes(left, -1, -2) @ right)
    u[..., :, 2] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))[..., np.newaxis]
    return u @ vt
