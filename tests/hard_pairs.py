"""Pairs of structures that are hard on RMSD kernels, and changes by which the hardest can be bred."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from kabsch import random_rotations

__all__ = ["FAMILIES", "N_PAIRS", "Pairs", "bred", "near", "on_one_line", "thin"]

Pairs = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

N_PAIRS = 64


def unrelated(rng: np.random.Generator, n_atoms: int) -> Pairs:
    return rng.normal(size=(N_PAIRS, n_atoms, 3)), rng.normal(size=(N_PAIRS, n_atoms, 3))


def near(rng: np.random.Generator, n_atoms: int) -> Pairs:
    x, _ = unrelated(rng, n_atoms)
    noise = np.geomspace(1e-8, 1.0, N_PAIRS)[:, np.newaxis, np.newaxis]
    return x, (x + rng.normal(size=x.shape) * noise) @ random_rotations(rng, N_PAIRS)


def mirrored(rng: np.random.Generator, n_atoms: int) -> Pairs:
    x, y = near(rng, n_atoms)
    return x, y * [-1.0, 1.0, 1.0]


def flat(rng: np.random.Generator, n_atoms: int) -> Pairs:
    x, y = near(rng, n_atoms)
    thin = np.geomspace(1e-9, 1.0, N_PAIRS)[:, np.newaxis]
    return x * np.stack([thin**0, thin**0, thin], axis=2), y * np.stack([thin**0, thin**0, thin], axis=2)


def thin(rng: np.random.Generator, n_atoms: int) -> Pairs:
    x, y = near(rng, n_atoms)
    width = np.geomspace(1e-9, 1.0, N_PAIRS)[:, np.newaxis]
    return x * np.stack([width**0, width, width], axis=2), y * np.stack([width**0, width, width], axis=2)


def on_one_line(rng: np.random.Generator, n_atoms: int) -> Pairs:
    x = rng.normal(size=(N_PAIRS, n_atoms, 1)) * rng.normal(size=(N_PAIRS, 1, 3))
    return x, x + rng.normal(size=x.shape) * np.geomspace(1e-9, 1e-3, N_PAIRS)[:, np.newaxis, np.newaxis]


def round_bodies(rng: np.random.Generator, n_atoms: int) -> Pairs:
    """Equal moments about all axes, and their mirror images: roots of the quartic meet."""
    x, _ = unrelated(rng, n_atoms)
    x -= x.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(x, full_matrices=False)
    x = np.sqrt(n_atoms) * (u @ vt)
    y = x + rng.normal(size=x.shape) * np.geomspace(1e-9, 1e-2, N_PAIRS)[:, np.newaxis, np.newaxis]
    y[::2] *= -1.0
    return x, y


def unequal(rng: np.random.Generator, n_atoms: int) -> Pairs:
    x, y = near(rng, n_atoms)
    return x * np.geomspace(1e-6, 1e6, N_PAIRS)[:, np.newaxis, np.newaxis], y


Family = Callable[[np.random.Generator, int], Pairs]

FAMILIES: list[Family] = [unrelated, near, mirrored, flat, thin, on_one_line, round_bodies, unequal]


def bred(rng: np.random.Generator, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Pairs:
    """Changed copies: single coordinates, axes, sizes, turns, or the last bits."""
    kind = rng.integers(0, 5)
    strength = 10.0 ** rng.uniform(-8, 0)
    if kind == 0:
        mask = rng.random(x.shape) < 0.2
        return x + mask * rng.normal(size=x.shape) * strength, y
    if kind == 1:
        axes = 1.0 + strength * rng.normal(size=(len(x), 1, 3))
        return x * axes, y * axes
    if kind == 2:
        return x, y * (1.0 + strength * rng.normal(size=(len(x), 1, 1)))
    if kind == 3:
        turns = random_rotations(rng, len(x))
        return x @ turns, y @ turns
    return x, y + (x - y) * strength * rng.random(size=(len(x), 1, 1))
