"""How two structures are compared: fitted pair by pair, as they are, or after one superposition of all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError, NonFiniteError, TopologyMismatchError

__all__ = ["Alignment", "Metric", "as_positions", "checked_weights"]

Float64Array = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

MIN_WIDTH_NM = 1e-3
"""Atoms nearer to a line than that leave the turn about it open."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """One superposition of every frame on a reference, by some of its atoms, before others are compared.

    Raises
    ------
    ConfigError
        If there are fewer than three fitted atoms, or they lie on a line: a rotation needs more.
    NonFiniteError
        If a position of the reference isn't a finite number.
    TopologyMismatchError
        If the shapes don't fit.
    """

    fitted: IndexArray  # atoms to superpose, indices into those of a frame
    measured: IndexArray  # atoms whose RMSD is taken, likewise
    reference: Float64Array  # positions of the fitted atoms, shape (n_fitted, 3), nm
    weights: Float64Array | None = None  # of the fitted atoms, such as their masses; equal if None

    def __post_init__(self) -> None:
        for name, kind in (("fitted", np.int64), ("measured", np.int64), ("reference", np.float64)):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=kind))
        n_fitted = self.fitted.size
        if self.reference.shape != (n_fitted, 3):
            raise TopologyMismatchError(
                f"{n_fitted} atoms are to be superposed on a reference of shape {self.reference.shape}: give "
                "one position, x, y and z, for each of them."
            )
        if self.weights is not None:
            object.__setattr__(self, "weights", checked_weights(self.weights, n_fitted))
        if not np.isfinite(self.reference).all():
            raise NonFiniteError(
                "An atom of the reference to superpose on has no finite position: choose another reference, "
                "or atoms that it has."
            )
        centred = self.reference - self.reference.mean(axis=0) if n_fitted else self.reference
        # The second singular value is the size across the longest axis.
        width = np.linalg.svd(centred, compute_uv=False)[1] / np.sqrt(n_fitted) if n_fitted >= 3 else 0.0
        if width < MIN_WIDTH_NM:
            raise ConfigError(
                f"The {n_fitted} atoms to superpose frames on the reference by are fewer than three, or lie "
                "on a line there, and leave a rotation open: select more atoms."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """How two structures are compared. By default: minimal RMSD, atoms of equal weight.

    Each is a metric on structures (or on their shapes), so that the triangle inequality holds. Weights, such
    as masses, give RMSD² = Σ m |x − y|² / Σ m, and count in the fit; only their ratios matter. The RMSD is
    the least over a group of permutations of the compared atoms, which exchanges none of unequal weights.

    Raises
    ------
    ConfigError
        If a weight isn't positive and finite, or both kinds of superposition are asked for.
    """

    fit: bool = True  # superpose each pair first, by the rotation and translation that make its RMSD least
    weights: Float64Array | None = None  # of the compared atoms; equal if None
    alignment: Alignment | None = None  # superpose every frame on one reference instead
    permutations: IndexArray | None = None  # shape (n_permutations, n_measured); None for the identity alone

    def __post_init__(self) -> None:
        if self.fit and self.alignment is not None:
            raise ConfigError(
                "A fit of each pair would undo the superposition on one reference: set `fit` to False, or "
                "leave `alignment` out."
            )
        if self.weights is not None:
            object.__setattr__(self, "weights", checked_weights(self.weights, np.size(self.weights)))

    def n_measured(self, n_atoms: int) -> int:
        """Count the atoms compared in frames of so many; a `TopologyMismatchError` if they don't fit."""
        compared = n_atoms
        if self.alignment is not None:
            compared = self.alignment.measured.size
            indices = np.concatenate([self.alignment.fitted, self.alignment.measured])
            if compared == 0 or indices.min() < 0 or indices.max() >= n_atoms:
                raise TopologyMismatchError(
                    f"The atoms to superpose and to compare must be indices from 0 to {n_atoms - 1}, at "
                    "least one of each: take indices into the atoms of the frames given."
                )
        if self.weights is not None and self.weights.size != compared:
            raise TopologyMismatchError(
                f"There are {self.weights.size} weights for {compared} atoms: give one for each, in their "
                "order."
            )
        if self.permutations is not None and self.permutations.shape[1] != compared:
            raise TopologyMismatchError(
                f"There are permutations of {self.permutations.shape[1]} atoms for {compared} atoms: permute "
                "those compared."
            )
        return compared

    def orders(self, n_measured: int) -> IndexArray:
        """The permutations, shape (n_permutations, n_measured); the identity alone if there are none."""
        return np.arange(n_measured)[np.newaxis] if self.permutations is None else self.permutations

    def root_weights(self, n_measured: int) -> Float64Array:
        """Square roots of the weights, scaled to a mean of 1, shape (n_measured,).

        Coordinates times these, taken from the weighted centre, have the weighted RMSD for their plain one.
        """
        if self.weights is None:
            return np.ones(n_measured)
        # So that equal weights are 1 to the last bit.
        scaled = self.weights / self.weights.max()
        roots: Float64Array = np.sqrt(scaled * (scaled.size / scaled.sum()))
        return roots


def checked_weights(weights: npt.ArrayLike, n_atoms: int) -> Float64Array:
    """Weights as float64; raises a `ConfigError` unless they are one positive finite number for each atom."""
    values = np.ascontiguousarray(weights, dtype=np.float64)
    if values.shape != (n_atoms,) or values.size == 0:
        raise ConfigError(f"Weights of shape {values.shape} don't fit to {n_atoms} atoms: give one for each.")
    bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if bad.size:
        raise ConfigError(
            f"{bad.size} of {n_atoms} weights are not positive finite numbers, the first at index {bad[0]} "
            f"({values[bad[0]]}): give each atom a weight above 0."
        )
    return values


def as_positions(xyz: npt.ArrayLike, *, n_atoms: int | None = None) -> npt.NDArray[Any]:
    """Check the shape (n_frames, n_atoms, 3) of positions, without a copy if ``xyz`` is an array.

    Raises a `TopologyMismatchError` if it is another, or the atoms aren't `n_atoms`.
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
