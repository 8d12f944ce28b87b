"""The fast rotation against the careful one and against numpy, on inner products of all kinds."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from kabsch import random_rotations
from twopass_store.rmsd._rotation import best_rotation, fast_rotation

Float64Array = npt.NDArray[np.float64]
N = 400


def noisy(rng: np.random.Generator) -> Float64Array:
    base = rng.normal(size=(12, 3))
    return np.einsum("nai,aj->nij", base + rng.normal(size=(N, 12, 3)) * 0.2, base)


def of_singular_values(rng: np.random.Generator, values: list[float]) -> Float64Array:
    return random_rotations(rng, N) @ np.diag(values) @ random_rotations(rng, N)


KINDS: dict[str, Callable[[np.random.Generator], Float64Array]] = {
    "unrelated": lambda rng: rng.normal(size=(N, 3, 3)),
    "noisy copies": noisy,
    "copies": lambda rng: of_singular_values(rng, [3.0, 2.0, 1.0]),
    "spheres": lambda rng: of_singular_values(rng, [1.0, 1.0, 1.0]),
    "mirror images": lambda rng: of_singular_values(rng, [3.0, 2.0, -1.0]),
    "mirror images of spheres": lambda rng: of_singular_values(rng, [1.0, 1.0, -1.0]),
    "nearly mirrored": lambda rng: of_singular_values(rng, [1.0, 1.0, -0.999]),
    "planar": lambda rng: of_singular_values(rng, [2.0, 1.0, 0.0]),
    "collinear": lambda rng: of_singular_values(rng, [1.0, 0.0, 0.0]),
    "needles": lambda rng: of_singular_values(rng, [1.0, 1e-7, 1e-9]),
    "tiny": lambda rng: rng.normal(size=(N, 3, 3)) * 1e-150,
    "huge": lambda rng: rng.normal(size=(N, 3, 3)) * 1e150,
    "nothing": lambda rng: np.zeros((N, 3, 3)),
}


def matrix(quaternion: tuple[float, ...]) -> Float64Array:
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rotation__is_proper_and_gains_what_can_be_gained(kind: str) -> None:
    products = KINDS[kind](np.random.default_rng(2))
    scale = np.abs(products).max() or 1.0
    for one in products / scale:
        left, values, right = np.linalg.svd(one)
        most = values[0] + values[1] + values[2] * np.sign(np.linalg.det(left) * np.linalg.det(right))
        for function in (best_rotation, fast_rotation):
            rotation = matrix(function(*(one * scale).ravel()))
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
            assert np.linalg.det(rotation) == pytest.approx(1.0)
            assert np.trace(rotation @ one) == pytest.approx(most, abs=1e-12)


@pytest.mark.parametrize("kind", ["unrelated", "noisy copies", "copies", "spheres", "planar", "huge"])
def test_fast_rotation__is_the_careful_one(kind: str) -> None:
    for one in KINDS[kind](np.random.default_rng(3)):
        careful, fast = (matrix(function(*one.ravel())) for function in (best_rotation, fast_rotation))
        np.testing.assert_allclose(fast, careful, atol=1e-10)


def test_fast_rotation__of_nan_is_nan() -> None:
    assert np.isnan(fast_rotation(np.nan, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)).all()
