"""What makes each of the metrics one, whatever the structures."""

import numpy as np
import numpy.typing as npt
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distances import rmsd_to_leaders
from kabsch import aligned_positions, plain_rmsd, weighted_kabsch_rmsd
from twopass_store.errors import ConfigError
from twopass_store.rmsd import Alignment, Metric, nearest_leaders, prepare_leaders

Float64Array = npt.NDArray[np.float64]

settings.register_profile("metric", derandomize=True, deadline=None, max_examples=60)
PROFILE = settings.get_profile("metric")

COORDINATE = st.one_of(
    st.integers(-2, 2).map(float), st.floats(-5, 5, width=32, allow_nan=False, allow_infinity=False)
)
N_ATOMS = 6
FRAMES = st.integers(3, 6).flatmap(
    lambda n_frames: hnp.arrays(np.float32, (n_frames, N_ATOMS, 3), elements=COORDINATE)
)
WEIGHTS = st.none() | hnp.arrays(np.float64, N_ATOMS, elements=st.floats(0.5, 250))
FITTED = np.array([4, 0, 3, 1])


def matrix(x: npt.ArrayLike, y: npt.ArrayLike, metric: Metric) -> Float64Array:
    return rmsd_to_leaders(x, prepare_leaders(y, metric)).astype(np.float64)


def require_axioms(d: Float64Array) -> None:
    assert (d >= 0).all()
    np.testing.assert_allclose(np.diagonal(d), 0.0, atol=1e-8)
    np.testing.assert_allclose(d, d.T, rtol=1e-6, atol=1e-7)
    assert (d[:, :, np.newaxis] <= d[:, np.newaxis, :] + d.T[np.newaxis, :, :] + 1e-6).all()


@PROFILE
@given(FRAMES, WEIGHTS)
def test_fit__weighted_is_a_metric(xyz: npt.NDArray[np.float32], weights: Float64Array | None) -> None:
    found = matrix(xyz, xyz, Metric(weights=weights))
    require_axioms(found)
    masses = np.ones(N_ATOMS) if weights is None else weights
    expected = weighted_kabsch_rmsd(xyz[:, np.newaxis], xyz, masses)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@PROFILE
@given(FRAMES, WEIGHTS)
def test_no_fit__is_a_metric(xyz: npt.NDArray[np.float32], weights: Float64Array | None) -> None:
    found = matrix(xyz, xyz, Metric(fit=False, weights=weights))
    require_axioms(found)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diagonal(found), 0.0)
    np.testing.assert_allclose(found, plain_rmsd(xyz[:, np.newaxis], xyz, weights), rtol=1e-6, atol=1e-9)
    # A fit can only bring structures nearer.
    assert (matrix(xyz, xyz, Metric(weights=weights)) <= found + 1e-6).all()


@PROFILE
@given(FRAMES, WEIGHTS, st.data())
def test_align__is_a_metric(
    xyz: npt.NDArray[np.float32], weights: Float64Array | None, data: st.DataObject
) -> None:
    measured = np.array(data.draw(st.permutations(range(N_ATOMS)))[:3])
    of_fitted, of_measured = (None, None) if weights is None else (weights[FITTED], weights[measured])
    reference = xyz[0, FITTED].astype(np.float64)
    try:
        alignment = Alignment(FITTED, measured, reference, weights=of_fitted)
    except ConfigError:
        assume(False)  # its atoms lie on a line
    metric = Metric(fit=False, weights=of_measured, alignment=alignment)
    found = matrix(xyz, xyz, metric)
    require_axioms(found)
    np.testing.assert_array_equal(found, found.T)
    # A frame whose own atoms leave the turn open may lie either way, but always the same.
    np.testing.assert_array_equal(found, matrix(xyz, xyz, metric))
    positions = xyz[:, FITTED].astype(np.float64)
    shares = np.ones(4) / 4 if of_fitted is None else of_fitted / of_fitted.sum()
    centred = positions - np.einsum("fai,a->fi", positions, shares)[:, np.newaxis]
    to = reference - shares @ reference
    products = np.swapaxes(centred * shares[:, np.newaxis], 1, 2) @ to
    values = np.linalg.svd(products, compute_uv=False)
    is_sure = values[:, 1] - values[:, 2] > 1e-4
    placed = aligned_positions(xyz, reference, FITTED, of_fitted)[:, measured]
    expected = plain_rmsd(placed[:, np.newaxis], placed, of_measured)
    sure = np.ix_(is_sure, is_sure)
    np.testing.assert_allclose(found[sure], expected[sure], rtol=1e-6, atol=1e-6)


@PROFILE
@given(
    st.integers(1, 80), st.integers(1, 40), st.sampled_from(["mass", "no-fit", "align"]), st.integers(0, 99)
)
def test_nearest__is_the_least_of_the_matrix(n_frames: int, n_leaders: int, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(size=(n_frames, N_ATOMS, 3)).astype(np.float32)
    chosen = rng.normal(size=(n_leaders, N_ATOMS, 3)).astype(np.float32)
    chosen[-1] = chosen[0]  # a tie
    weights = rng.uniform(1, 16, size=N_ATOMS)
    metric = {
        "mass": Metric(weights=weights),
        "no-fit": Metric(fit=False),
        "align": Metric(fit=False, alignment=Alignment(FITTED, np.array([2, 5]), chosen[0, FITTED])),
    }[kind]
    nearest, found = nearest_leaders(xyz, prepare_leaders(chosen, metric)), matrix(xyz, chosen, metric)
    np.testing.assert_array_equal(nearest.index, found.argmin(axis=1))
    np.testing.assert_array_equal(nearest.rmsd, found.min(axis=1))
