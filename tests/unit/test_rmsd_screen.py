"""The float32 bounds never pass the true distance, on structures bred to make them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from hard_pairs import FAMILIES, N_PAIRS, Pairs, bred, near
from kabsch import kabsch_rmsd
from twopass_store.rmsd import Metric, prepare_leaders
from twopass_store.rmsd._packing import LANES, empty_blocks, pack, padded_atoms, unpack_kernel
from twopass_store.rmsd._quartic import QUARTIC
from twopass_store.rmsd._screen import _bounds_of_tile

Float64Array = npt.NDArray[np.float64]

U = 2.0**-24


def squared_bounds(x: Float64Array, y: Float64Array) -> Float64Array:
    """Lower bounds for structures paired one to one, shape (n_pairs,), nm²."""
    n_pairs, n_atoms = x.shape[:2]
    leaders = prepare_leaders(y)
    lanes, traces = empty_blocks(n_pairs, n_atoms)
    pack(x, lanes, traces, Metric())
    singles = np.empty((n_pairs, 3 * padded_atoms(n_atoms)), np.float32)
    unpack_kernel(lanes, 0, singles)
    sums = np.empty((n_pairs, 9 * LANES), np.float32)
    quartics = np.empty((n_pairs, QUARTIC), np.float32)
    bounds = np.empty((n_pairs, leaders.column_traces.size), np.float32)
    columns = leaders.columns, leaders.column_traces
    _bounds_of_tile(singles, traces[:n_pairs], *columns, n_atoms, sums, quartics, bounds)
    return np.diagonal(bounds).astype(np.float64)


def room_left(x: Float64Array, y: Float64Array) -> Float64Array:
    """What the squared distance still has above its bound, over what rounding was given; never below 0."""
    n_atoms = x.shape[1]
    mean = sum(((a - a.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2)) for a in (x, y)) / n_atoms
    given = np.sqrt(3.0) * U * (80.0 + n_atoms / 64.0) * mean
    return (kabsch_rmsd(x, y) ** 2 - squared_bounds(x, y)) / given


@pytest.mark.parametrize("n_atoms", [3, 4, 22, 65, 300])
@pytest.mark.parametrize("family", FAMILIES)
def test_screen__bounds_hold_for_structures_bred_against_them(
    family: Callable[[np.random.Generator, int], Pairs], n_atoms: int
) -> None:
    rng = np.random.default_rng(n_atoms)
    x, y = family(rng, n_atoms)
    left = room_left(x, y)
    for _ in range(25):
        new_x, new_y = bred(rng, x, y)
        found = room_left(new_x, new_y)
        worse = found < left
        x[worse], y[worse], left[worse] = new_x[worse], new_y[worse], found[worse]
    assert left.min() >= 0.0


def test_screen__bounds_hold_where_all_roundings_go_one_way() -> None:
    """Equal coordinates, so that every sum drifts; thin ones, so that two roots are at 1."""
    rng = np.random.default_rng(5)
    for n_atoms in (64, 4_096, 30_000):
        x = np.ones((N_PAIRS, n_atoms, 3)) * rng.uniform(1.0, 2.0, size=(N_PAIRS, 1, 1)) * [1.0, 0.0, 0.0]
        x[:, ::2] *= -1.0
        assert room_left(x, x.copy()).min() >= 0.0
        x += rng.normal(size=(N_PAIRS, 1, 3)) * np.sign(x[:, :, :1]) * 1e-3
        assert room_left(x, x.copy()).min() >= 0.0


@pytest.mark.parametrize("n_atoms", [3, 22, 300])
def test_screen__bounds_are_tight_enough_to_be_of_use(n_atoms: int) -> None:
    x, y = near(np.random.default_rng(0), n_atoms)
    bounds, squared = squared_bounds(x, y), kabsch_rmsd(x, y) ** 2
    distinct = squared > 0.01
    assert (bounds[distinct] >= 0.99 * squared[distinct]).all()
