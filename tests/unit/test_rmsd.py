"""What the kernels take and refuse, and superposition; see test_rmsd_metric for what holds of any metric."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_info

from distances import rmsd_to_leaders
from kabsch import kabsch_matrix, plain_rmsd, weighted_kabsch_rmsd
from twopass_store.errors import ConfigError, NonFiniteError, TopologyMismatchError
from twopass_store.rmsd import (
    PairwiseRmsd,
    nearest_leaders,
    prepare_leaders,
    superpose,
)
from twopass_store.rmsd._blas import one_blas_thread

Positions = npt.NDArray[np.float32]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def frames(rng: np.random.Generator, n_frames: int, n_atoms: int) -> Positions:
    base = rng.normal(size=(n_atoms, 3)) * 0.5
    return (base + rng.normal(size=(n_frames, n_atoms, 3)) * 0.1).astype(np.float32)


def all_pairs(xyz: npt.ArrayLike) -> Positions:
    prepared = PairwiseRmsd(xyz)
    return prepared.pairs(0, prepared.n_pairs)


@pytest.mark.parametrize("n_leaders", [1, 16, 17, 100])
@pytest.mark.parametrize("n_frames", [0, 1, 65, 300])
def test_nearest_leaders__any_number_of_frames_and_leaders(
    rng: np.random.Generator, n_frames: int, n_leaders: int
) -> None:
    xyz, leaders = frames(rng, n_frames, 7), frames(rng, n_leaders, 7)
    reference = kabsch_matrix(xyz, leaders)
    nearest = nearest_leaders(xyz, prepare_leaders(leaders))
    np.testing.assert_array_equal(nearest.index, reference.argmin(axis=1))
    np.testing.assert_allclose(nearest.rmsd, reference.min(axis=1), atol=1e-7)
    assert rmsd_to_leaders(xyz, prepare_leaders(leaders)).shape == (n_frames, n_leaders)


def test_prepare_leaders__refuses_leaders_that_are_not_finite(rng: np.random.Generator) -> None:
    xyz = frames(rng, 5, 4)
    xyz[3, 0, 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"1 of 5 leaders .* index 3"):
        prepare_leaders(xyz)
    with pytest.raises(ConfigError, match="at least one"):
        prepare_leaders(xyz[:0])


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 2), (2, 0, 3), (1, 2, 4, 3)])
def test_rmsd__refuses_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(TopologyMismatchError, match="n_frames, n_atoms, 3"):
        prepare_leaders(np.zeros(shape))
    with pytest.raises(TopologyMismatchError, match="n_frames, n_atoms, 3"):
        PairwiseRmsd(np.zeros(shape))


def test_rmsd__refuses_other_atom_counts(rng: np.random.Generator) -> None:
    leaders = prepare_leaders(frames(rng, 2, 5))
    with pytest.raises(TopologyMismatchError, match=r"6 atoms .* 5"):
        nearest_leaders(frames(rng, 3, 6), leaders)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 46), (46, 46)])
def test_pairs__refuses_ranges_outside(rng: np.random.Generator, start: int, stop: int) -> None:
    with pytest.raises(ConfigError, match="45 pairs"):
        PairwiseRmsd(frames(rng, 10, 3)).pairs(start, stop)


@pytest.mark.parametrize("n_frames", [0, 1, 2, 3])
def test_pairs__few_frames(rng: np.random.Generator, n_frames: int) -> None:
    prepared = PairwiseRmsd(frames(rng, n_frames, 4))
    assert prepared.n_frames == n_frames
    assert prepared.n_atoms == 4
    assert prepared.pairs(0, prepared.n_pairs).shape == (n_frames * (n_frames - 1) // 2,)


def test_rmsd__float64_input_keeps_its_digits(rng: np.random.Generator) -> None:
    xyz = frames(rng, 2, 10).astype(np.float64) + 1e5
    xyz[1] = xyz[0] + rng.normal(size=(10, 3)) * 1e-4
    np.testing.assert_allclose(all_pairs(xyz)[0], kabsch_matrix(xyz[:1], xyz[1:])[0, 0], rtol=1e-4)


def test_superpose__fits_on_some_atoms_and_never_mirrors(rng: np.random.Generator) -> None:
    reference = rng.normal(size=(12, 3))
    xyz = (reference * [-1, 1, 1])[np.newaxis].astype(np.float32)
    xyz[0, 11] = np.nan
    fitted = np.arange(1, 11)
    moved = superpose(xyz, reference, atom_indices=fitted)
    assert np.isnan(moved[0, 11]).all()
    assert np.isfinite(moved[0, :11]).all()
    distance = np.sqrt(((moved[0, fitted] - reference[fitted]) ** 2).sum() / 10)
    best = kabsch_matrix(xyz[:, fitted], reference[np.newaxis, fitted])[0, 0]
    assert distance == pytest.approx(best, abs=1e-6)
    assert best > 0.1
    chirality = [np.linalg.det(a[[2, 3, 4]] - a[1]) for a in (xyz[0].astype(float), moved[0].astype(float))]
    assert chirality[0] == pytest.approx(chirality[1], rel=1e-4)


def test_superpose__by_weights_leaves_the_least_weighted_distance(rng: np.random.Generator) -> None:
    xyz, masses = frames(rng, 5, 9), rng.choice([1.008, 12.011, 32.06], size=9)
    moved = superpose(xyz, xyz[0], weights=masses)
    distance = plain_rmsd(moved, xyz[0], masses)
    np.testing.assert_allclose(distance, weighted_kabsch_rmsd(xyz, xyz[0], masses), atol=1e-6)
    assert (distance[1:] < plain_rmsd(superpose(xyz, xyz[0]), xyz[0], masses)[1:]).all()
    with pytest.raises(ConfigError, match="index 0"):
        superpose(xyz, xyz[0], weights=np.zeros(9))


def test_superpose__frames_and_references_that_are_not_finite(rng: np.random.Generator) -> None:
    xyz = frames(rng, 3, 5)
    xyz[1, 2, 0] = np.inf
    moved = superpose(xyz, xyz[0])
    assert np.isnan(moved[1]).all()
    assert np.isfinite(moved[[0, 2]]).all()
    with pytest.raises(NonFiniteError, match="reference"):
        superpose(xyz, xyz[1])
    with pytest.raises(TopologyMismatchError, match="0 to 4"):
        superpose(xyz, xyz[0], atom_indices=[1, 5])
    with pytest.raises(TopologyMismatchError, match="atoms"):
        superpose(xyz, xyz[0, :4])


def test_products__stay_on_one_thread_whichever_thread_asked_first():
    first, second = ThreadPoolExecutor(1), ThreadPoolExecutor(1)

    def numbers_of_threads():
        with one_blas_thread():
            return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    with first, second:
        assert [each.submit(numbers_of_threads).result() for each in (first, second)] == [{1}, {1}]
