"""Structures moved onto a reference, by the singular value decomposition of their inner products.

References
----------
Kabsch, Acta Cryst. A 34 (1978) 827.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import NonFiniteError, TopologyMismatchError
from .metric import Alignment, as_positions, checked_weights

__all__ = ["aligned", "superpose"]

Float64Array = npt.NDArray[np.float64]


def superpose(
    xyz: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    atom_indices: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float32]:
    """Move every frame onto a reference by the proper rotation that minimises the RMSD of chosen atoms.

    Meant for tens of structures, not for trajectories: it works in float64 on all of them at once.

    Parameters
    ----------
    xyz, reference
        Positions, shapes (n_frames, n_atoms, 3) and (n_atoms, 3), nm.
    atom_indices, weights
        Atoms to fit on, all if None, and their weights, such as masses, equal if None; shape (n_fitted,).

    Returns
    -------
    Moved positions of all atoms, nm. An atom that is NaN stays NaN; a frame in which a fitted atom isn't
    finite is NaN throughout.

    Raises
    ------
    TopologyMismatchError
        If the atom counts differ, or if no atom is left to fit on.
    ConfigError
        If the weights aren't one positive number for each fitted atom.
    NonFiniteError
        If a fitted atom of the reference isn't finite.
    """
    target = as_positions(np.asarray(reference)[np.newaxis])[0].astype(np.float64)
    mobile = as_positions(xyz, n_atoms=target.shape[0]).astype(np.float64)
    fitted = np.arange(target.shape[0]) if atom_indices is None else np.asarray(atom_indices, dtype=np.intp)
    if fitted.size == 0 or fitted.min() < 0 or fitted.max() >= target.shape[0]:
        raise TopologyMismatchError(
            f"The atoms to fit on must be indices from 0 to {target.shape[0] - 1}, at least one of them: "
            "select atoms of the topology that the positions belong to."
        )
    weight = np.ones(fitted.size) if weights is None else checked_weights(weights, fitted.size)
    shares = weight / weight.sum()
    target_centre = shares @ target[fitted]
    if not np.isfinite(target_centre).all():
        raise NonFiniteError(
            "A fitted atom of the reference has no finite position: choose another reference, or fit on "
            "atoms that it has."
        )
    with np.errstate(invalid="ignore"):  # from inf - inf, which is to become NaN
        mobile -= (shares @ mobile[:, fitted])[:, np.newaxis]
        rotations = _rotations(mobile[:, fitted], shares[:, np.newaxis] * (target[fitted] - target_centre))
        moved: npt.NDArray[np.float32] = (mobile @ rotations + target_centre).astype(np.float32)
        return moved


def aligned(xyz: npt.NDArray[Any], alignment: Alignment) -> Float64Array:
    """Superpose frames on one reference; returns the compared atoms from its centre, nm.

    Each frame is worked on by itself, so that the result doesn't depend on which frames come together. It
    isn't finite where a fitted atom isn't.
    """
    weights = np.ones(alignment.fitted.size) if alignment.weights is None else alignment.weights
    shares = weights / weights.sum()
    # The reference carries the weights of the products, so that frames need theirs for the centre only.
    target = (alignment.reference - shares @ alignment.reference) * shares[:, np.newaxis]
    fitted = xyz[:, alignment.fitted].astype(np.float64)
    with np.errstate(invalid="ignore"):
        centres = (shares @ fitted)[:, np.newaxis]
        moved: Float64Array = (xyz[:, alignment.measured] - centres) @ _rotations(fitted - centres, target)
    return moved


def _rotations(mobile: Float64Array, target: Float64Array) -> Float64Array:
    """Matrices that turn centred rows of ``mobile`` onto ``target``, shape (n_frames, 3, 3)."""
    products = mobile.transpose(0, 2, 1) @ target
    # The singular value decomposition raises on NaN for the whole batch.
    finite = np.isfinite(products).all(axis=(1, 2))
    rotations = np.full(products.shape, np.nan)
    left, _, right = np.linalg.svd(products[finite])
    # Without this a structure would be mirrored where that fits better.
    left[:, :, 2] *= np.sign(np.linalg.det(left) * np.linalg.det(right))[:, np.newaxis]
    rotations[finite] = left @ right
    return rotations
